package dynamo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// Attributes of a dead letter.
const (
	dqEvent    = "ev" // ULIDs; absent for an undecodable message
	dqEndpoint = "ep"
	dqGen      = "g"
	dqType     = "et"
	dqURL      = "u"
	dqReason   = "fr"
	dqAttempts = "n"
	dqRaw      = "rb"
	dqCreated  = "ca"
)

func encodeDeadLetter(e *hook.DeadLetter) item {
	it := deadLetterKey(e.Tenant, e.ID)
	if e.EventID != "" {
		it[dqEvent], it[dqEndpoint] = str(ulid(e.EventID)), str(ulid(e.EndpointID))
	}
	setNum(it, dqGen, int64(e.Gen))
	setStr(it, dqType, e.EventType)
	setStr(it, dqURL, e.EndpointURL)
	setStr(it, dqReason, e.FailureReason)
	setNum(it, dqAttempts, int64(e.Attempts))
	setStr(it, dqRaw, e.RawBody)
	setTime(it, dqCreated, e.CreatedAt)
	setExpiry(it, e.ExpiresAt)
	return it
}

func decodeDeadLetter(tenant string, it item) *hook.DeadLetter {
	e := &hook.DeadLetter{
		ID:            hook.DeadLetterPrefix + getStr(it, SortKey),
		Ref:           hook.Ref{Tenant: tenant},
		Gen:           int(getNum(it, dqGen)),
		EventType:     getStr(it, dqType),
		EndpointURL:   getStr(it, dqURL),
		FailureReason: getStr(it, dqReason),
		Attempts:      int(getNum(it, dqAttempts)),
		RawBody:       getStr(it, dqRaw),
		CreatedAt:     getTime(it, dqCreated),
		ExpiresAt:     getExpiry(it),
	}
	if event := getStr(it, dqEvent); event != "" {
		e.EventID, e.EndpointID = hook.EventPrefix+event, hook.EndpointPrefix+getStr(it, dqEndpoint)
	}
	return e
}

// DeadLetter reads an entry; hook.ErrNotFound when there is none.
func (t *Table) DeadLetter(ctx context.Context, tenant, id string) (*hook.DeadLetter, error) {
	if !hook.ValidID(hook.DeadLetterPrefix, id) {
		return nil, fmt.Errorf("dead letter %q: %w", id, hook.ErrNotFound)
	}
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: deadLetterKey(tenant, id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read dead letter %s: %w", id, err)
	}
	if out.Item == nil || expired(out.Item, t.now()) {
		return nil, fmt.Errorf("dead letter %s: %w", id, hook.ErrNotFound)
	}
	return decodeDeadLetter(tenant, out.Item), nil
}

// ListDeadLetters lists a tenant's entries, newest first. next is where the
// next page goes on; empty at the end.
func (t *Table) ListDeadLetters(ctx context.Context, f hook.DeadLetterFilter, p hook.Page) (entries []*hook.DeadLetter, next string, err error) {
	from, below := ulidSpan(f.Since, f.Until, ulid(p.After))
	conditions := deadLetterConditions(f)
	searches := make([]search, shards)
	for i := range searches {
		searches[i] = search{pk: deadLettersPK(f.Tenant, strconv.Itoa(i)), from: from, below: below, conditions: conditions}
	}
	items, next, err := t.page(ctx, searches, p.Limit, maxAnswerBytes)
	if err != nil {
		return nil, "", fmt.Errorf("list dead letters: %w", err)
	}
	for _, it := range items {
		entries = append(entries, decodeDeadLetter(f.Tenant, it))
	}
	if next != "" {
		next = hook.DeadLetterPrefix + next
	}
	return entries, next, nil
}

// PutDeadLetter stores an entry, unless there is one of that id.
func (t *Table) PutDeadLetter(ctx context.Context, e *hook.DeadLetter) error {
	err := t.put(ctx, &types.Put{
		TableName: t.name, Item: encodeDeadLetter(e),
		ConditionExpression:       aws.String("attribute_not_exists(PK) OR expires_at <= :now"),
		ExpressionAttributeValues: item{":now": num(t.now().Unix())},
	})
	if _, no := refused(err, 0); no {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store dead letter %s: %w", e.ID, err)
	}
	return nil
}

// DeleteDeadLetter removes an entry; hook.ErrNotFound when there is none.
func (t *Table) DeleteDeadLetter(ctx context.Context, tenant, id string) error {
	if !hook.ValidID(hook.DeadLetterPrefix, id) {
		return fmt.Errorf("dead letter %q: %w", id, hook.ErrNotFound)
	}
	// A transaction, for its token: after a lost answer the SDK's retry of a
	// plain delete would find nothing to delete.
	err := t.transact(ctx, []types.TransactWriteItem{{Delete: &types.Delete{
		TableName: t.name, Key: deadLetterKey(tenant, id),
		ConditionExpression:       aws.String("attribute_exists(PK) AND (attribute_not_exists(expires_at) OR expires_at > :now)"),
		ExpressionAttributeValues: item{":now": num(t.now().Unix())},
	}}})
	if _, no := refused(err, 0); no {
		return fmt.Errorf("dead letter %s: %w", id, hook.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("delete dead letter %s: %w", id, err)
	}
	return nil
}

// deadLetterConditions are what a filter asks of an entry, beside its time.
func deadLetterConditions(f hook.DeadLetterFilter) []condition {
	conditions := where(where(nil, dqType, f.EventType), dqReason, f.Reason)
	if f.EndpointID != "" {
		conditions = where(conditions, dqEndpoint, ulid(f.EndpointID))
	}
	return conditions
}

// CountDeadLetters counts the entries that a filter lets through. It reads all
// of the tenant's of that time: it is for people who look, not for programs
// that poll.
func (t *Table) CountDeadLetters(ctx context.Context, f hook.DeadLetterFilter) (int, error) {
	from, below := ulidSpan(f.Since, f.Until, "")
	total := 0
	for i := range shards {
		in := t.queryInput(&search{pk: deadLettersPK(f.Tenant, strconv.Itoa(i)), from: from, below: below, conditions: deadLetterConditions(f)})
		alive := "(attribute_not_exists(expires_at) OR expires_at > :now)"
		if in.FilterExpression != nil {
			alive += " AND " + *in.FilterExpression
		}
		in.FilterExpression, in.ExpressionAttributeValues[":now"] = &alive, num(t.now().Unix())
		n, err := t.count(ctx, in)
		if err != nil {
			return 0, fmt.Errorf("count dead letters: %w", err)
		}
		total += n
	}
	return total, nil
}

// GrowDeadLetters adds to the number of entries that were made in an hour, and
// returns it.
func (t *Table) GrowDeadLetters(ctx context.Context, tenant string, hour time.Time, n int) (total int, err error) {
	expiry := item{}
	setExpiry(expiry, hour.Add(48*time.Hour))
	out, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: t.name, Key: deadLetterGrowthKey(tenant, hour), UpdateExpression: aws.String("ADD n :n SET expires_at = :until"),
		ExpressionAttributeValues: item{":n": num(int64(n)), ":until": expiry[TTL]}, ReturnValues: types.ReturnValueUpdatedNew,
	})
	if err != nil {
		return 0, fmt.Errorf("count new dead letters: %w", err)
	}
	return int(getNum(out.Attributes, "n")), nil
}
