package dynamo

import (
	"bytes"
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// Attributes of an idempotency key.
const (
	ikEvent = "e"
	ikHash  = "h"
	ikSent  = "s"
)

func encodeKey(k *hook.IdempotencyKey) item {
	it := idempotencyKey(k.Tenant, k.Key)
	it[ikEvent], it[ikHash] = str(k.EventID), &types.AttributeValueMemberB{Value: bytes.Clone(k.BodyHash[:])}
	if k.Sent {
		it[ikSent] = &types.AttributeValueMemberBOOL{Value: true}
	}
	setExpiry(it, k.ExpiresAt)
	return it
}

func decodeKey(tenant, producerKey string, it item) *hook.IdempotencyKey {
	k := &hook.IdempotencyKey{Tenant: tenant, Key: producerKey, EventID: getStr(it, ikEvent), BodyHash: getHash(it, ikHash), ExpiresAt: getExpiry(it)}
	if s, ok := it[ikSent].(*types.AttributeValueMemberBOOL); ok {
		k.Sent = s.Value
	}
	return k
}

// PutEventWithKey stores the event and its key, both or neither. When the key
// is taken, and not expired, nothing is written and existing is what it stands
// for.
func (t *Table) PutEventWithKey(ctx context.Context, e *hook.Event, k *hook.IdempotencyKey) (existing *hook.IdempotencyKey, err error) {
	it, err := encodeEvents([]*hook.Event{e})
	if err != nil {
		return nil, fmt.Errorf("store event %s: %w", e.ID, err)
	}
	if err := t.putTargets(ctx, e); err != nil {
		return nil, fmt.Errorf("store event %s with key: %w", e.ID, err)
	}
	writes := []types.TransactWriteItem{
		{Put: &types.Put{
			TableName: t.name, Item: encodeKey(k),
			ConditionExpression:                 aws.String("attribute_not_exists(PK) OR expires_at <= :now"),
			ExpressionAttributeValues:           item{":now": num(t.now().Unix())},
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		}},
		{Put: &types.Put{TableName: t.name, Item: it}},
	}
	err = t.transact(ctx, writes)
	if old, no := refused(err, 0); no {
		found := decodeKey(k.Tenant, k.Key, old)
		if found.EventID == e.ID {
			return nil, nil // our own write, whose answer was lost
		}
		return found, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store event %s with key: %w", e.ID, err)
	}
	return nil, nil
}

// MarkKeySent notes that every message of the key's event is in the queue. A
// key that has expired meanwhile stays as it is.
func (t *Table) MarkKeySent(ctx context.Context, k *hook.IdempotencyKey) error {
	err := t.whileBusy(ctx, func() error {
		_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: t.name, Key: idempotencyKey(k.Tenant, k.Key),
			UpdateExpression:          aws.String("SET s = :yes"),
			ConditionExpression:       aws.String("e = :event"),
			ExpressionAttributeValues: item{":yes": &types.AttributeValueMemberBOOL{Value: true}, ":event": str(k.EventID)},
		})
		return err
	})
	if _, no := refused(err, 0); no {
		return nil
	}
	if err != nil {
		return fmt.Errorf("mark key of event %s: %w", k.EventID, err)
	}
	return nil
}
