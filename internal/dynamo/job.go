package dynamo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// Attributes of a job.
const (
	jbKind     = "k"
	jbStatus   = "st"
	jbRev      = "r"
	jbHop      = "h"
	jbMessage  = "m"
	jbEvent    = "ev"
	jbResend   = "rs"
	jbEndpoint = "ep"
	jbEpoch    = "e"
	jbSince    = "s"
	jbFilter   = "f" // a map: ep, et, fr, s, u
	jbLimit    = "l"
	jbRate     = "ra"
	jbCursor   = "c"
	jbDone     = "d"
	jbTotal    = "n"
	jbCounted  = "nk"
	jbQuiet    = "q"
	jbError    = "er"
	jbUpdated  = "ua"
	jbTries    = "tr"
	jbAside    = "as" // ids, a space between them
	jbRounds   = "ro"
)

func encodeJob(j *hook.Job) item {
	it := jobKey(j.Tenant, j.ID)
	it[jbKind], it[jbStatus], it[jbRev] = str(string(j.Kind)), str(string(j.Status)), num(j.Rev)
	setNum(it, jbHop, int64(j.Hop))
	setStr(it, jbMessage, j.MessageID)
	setStr(it, jbEvent, j.EventID)
	setBool(it, jbResend, j.Resend)
	setStr(it, jbEndpoint, j.EndpointID)
	setNum(it, jbEpoch, j.Epoch)
	setTime(it, jbSince, j.Since)
	f := item{}
	setStr(f, "ep", j.Filter.EndpointID)
	setStr(f, "et", j.Filter.EventType)
	setStr(f, "fr", j.Filter.Reason)
	setTime(f, "s", j.Filter.Since)
	setTime(f, "u", j.Filter.Until)
	if len(f) > 0 {
		it[jbFilter] = &types.AttributeValueMemberM{Value: f}
	}
	setNum(it, jbLimit, int64(j.Limit))
	if j.Rate > 0 {
		it[jbRate] = decimal(j.Rate)
	}
	setStr(it, jbCursor, j.Cursor)
	setNum(it, jbDone, int64(j.Done))
	setNum(it, jbTotal, int64(j.Total))
	setBool(it, jbCounted, j.Counted)
	setTime(it, jbQuiet, j.QuietAt)
	setStr(it, jbError, j.Error)
	setTime(it, jbUpdated, j.UpdatedAt)
	setNum(it, jbTries, int64(j.Tries))
	setStr(it, jbAside, strings.Join(j.Aside, " "))
	setNum(it, jbRounds, int64(j.Rounds))
	setExpiry(it, j.ExpiresAt)
	return it
}

func decodeJob(tenant string, it item) *hook.Job {
	f := getMap(it, jbFilter)
	id := hook.JobPrefix + getStr(it, SortKey)
	j := &hook.Job{
		ID: id, Tenant: tenant, Kind: hook.JobKind(getStr(it, jbKind)), Status: hook.JobStatus(getStr(it, jbStatus)),
		Rev: getNum(it, jbRev), Hop: int(getNum(it, jbHop)), MessageID: getStr(it, jbMessage),
		EventID: getStr(it, jbEvent), Resend: getBool(it, jbResend), EndpointID: getStr(it, jbEndpoint), Epoch: getNum(it, jbEpoch), Since: getTime(it, jbSince),
		Filter: hook.DeadLetterFilter{
			Tenant: tenant, EndpointID: getStr(f, "ep"), EventType: getStr(f, "et"), Reason: getStr(f, "fr"), Since: getTime(f, "s"), Until: getTime(f, "u"),
		},
		Limit: int(getNum(it, jbLimit)), Rate: getDecimal(it, jbRate), Cursor: getStr(it, jbCursor),
		Done: int(getNum(it, jbDone)), Total: int(getNum(it, jbTotal)), Counted: getBool(it, jbCounted), QuietAt: getTime(it, jbQuiet), Error: getStr(it, jbError),
		Tries: int(getNum(it, jbTries)), Rounds: int(getNum(it, jbRounds)),
		CreatedAt: hook.IDTime(id), UpdatedAt: getTime(it, jbUpdated), ExpiresAt: getExpiry(it),
	}
	if ids := getStr(it, jbAside); ids != "" {
		j.Aside = strings.Fields(ids)
	}
	return j
}

// PutJob stores a new job. After an error it may be stored or not.
func (t *Table) PutJob(ctx context.Context, j *hook.Job) error {
	err := t.put(ctx, &types.Put{TableName: t.name, Item: encodeJob(j), ConditionExpression: aws.String("attribute_not_exists(PK)")})
	if _, no := refused(err, 0); no {
		return nil // its own write, whose answer was lost
	}
	if err != nil {
		return fmt.Errorf("store job %s: %w", j.ID, err)
	}
	return nil
}

// SaveJob writes a job whose Rev is the new revision, only where it is at
// Rev-1: hook.ErrConflict otherwise. A write whose answer was lost is
// recognised.
func (t *Table) SaveJob(ctx context.Context, j *hook.Job) error {
	it := encodeJob(j)
	err := t.put(ctx, &types.Put{
		TableName: t.name, Item: it, ConditionExpression: aws.String("r = :rev"), ExpressionAttributeValues: item{":rev": num(j.Rev - 1)},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if old, no := refused(err, 0); no {
		if old != nil && sameJob(it, old) {
			return nil
		}
		err = hook.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("save job %s: %w", j.ID, err)
	}
	return nil
}

// sameJob says whether the job that is there is the one that was to be written.
func sameJob(it, old item) bool {
	return getNum(it, jbRev) == getNum(old, jbRev) && getNum(it, jbHop) == getNum(old, jbHop) && getStr(it, jbMessage) == getStr(old, jbMessage) &&
		getStr(it, jbStatus) == getStr(old, jbStatus) && getStr(it, jbCursor) == getStr(old, jbCursor) && getNum(it, jbUpdated) == getNum(old, jbUpdated)
}

// Job reads a job; hook.ErrNotFound when there is none.
func (t *Table) Job(ctx context.Context, tenant, id string) (*hook.Job, error) {
	if !hook.ValidID(hook.JobPrefix, id) {
		return nil, fmt.Errorf("job %q: %w", id, hook.ErrNotFound)
	}
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: jobKey(tenant, id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read job %s: %w", id, err)
	}
	if out.Item == nil || expired(out.Item, t.now()) {
		return nil, fmt.Errorf("job %s: %w", id, hook.ErrNotFound)
	}
	return decodeJob(tenant, out.Item), nil
}

// ListJobs lists a tenant's jobs, newest first. next is where the next page
// goes on; empty at the end.
func (t *Table) ListJobs(ctx context.Context, tenant string, p hook.Page) (jobs []*hook.Job, next string, err error) {
	_, below := ulidSpan(time.Time{}, time.Time{}, ulid(p.After))
	items, next, err := t.page(ctx, []search{{pk: jobsPK(tenant), from: "0", below: below}}, p.Limit, maxAnswerBytes)
	if err != nil {
		return nil, "", fmt.Errorf("list jobs: %w", err)
	}
	for _, it := range items {
		jobs = append(jobs, decodeJob(tenant, it))
	}
	if next != "" {
		next = hook.JobPrefix + next
	}
	return jobs, next, nil
}
