package dynamo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// rcEndpoints is the set of the ULIDs of endpoints that an event was resent to.
const rcEndpoints = "r"

// Recipients returns the ids of all endpoints that an event matched or was
// resent to, each once: the matched ones first, oldest first.
func (t *Table) Recipients(ctx context.Context, e *hook.Event) ([]string, error) {
	ids, err := t.AllTargets(ctx, e)
	if err != nil {
		return nil, err
	}
	more, _, err := t.query(ctx, search{
		pk: targetsPK(e.Tenant, e.ID), from: recipientsSKPrefix, below: recipientsSKPrefix + "~", ascending: true, consistent: true,
	})
	if err != nil {
		return nil, fmt.Errorf("read recipients of %s: %w", e.ID, err)
	}
	if len(more) == 0 {
		return ids, nil
	}
	matched := make(map[string]bool, len(ids))
	for _, id := range ids {
		matched[id] = true
	}
	var resent []string
	for _, it := range more {
		if set, ok := it[rcEndpoints].(*types.AttributeValueMemberSS); ok {
			for _, u := range set.Value {
				if id := hook.EndpointPrefix + u; !matched[id] {
					resent = append(resent, id)
				}
			}
		}
	}
	slices.Sort(resent)
	return append(slices.Clone(ids), resent...), nil
}

// AddRecipients notes that an event is resent to endpoints that it did not
// match. It may be done again.
func (t *Table) AddRecipients(ctx context.Context, e *hook.Event, ids []string, until time.Time) error {
	byShard := map[string][]string{}
	for _, id := range ids {
		u := ulid(id)
		byShard[shard(u)] = append(byShard[shard(u)], u)
	}
	for s, ulids := range byShard {
		slices.Sort(ulids)
		u := newUpdate()
		u.addValue(rcEndpoints, &types.AttributeValueMemberSS{Value: slices.Compact(ulids)})
		expiry := item{}
		setExpiry(expiry, until)
		u.set(TTL, expiry[TTL])
		err := t.whileBusy(ctx, func() error {
			_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
				TableName: t.name, Key: recipientsKey(e.Tenant, e.ID, s), UpdateExpression: aws.String(u.expression()),
				ExpressionAttributeNames: u.names, ExpressionAttributeValues: u.values,
			})
			return err
		})
		if err != nil {
			return fmt.Errorf("note recipients of %s: %w", e.ID, err)
		}
	}
	return nil
}
