package dynamo

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// Attributes of an API key.
const (
	akTenant  = "t"
	akRole    = "r"
	akText    = "d"
	akHash    = "h"
	akCreated = "ca"
)

func encodeAPIKey(k *hook.APIKey) item {
	it := apiKeyKey(k.ID)
	it[akTenant], it[akRole] = str(k.Tenant), str(string(k.Role))
	setStr(it, akText, k.Description)
	it[akHash] = &types.AttributeValueMemberB{Value: bytes.Clone(k.Hash[:])}
	setTime(it, akCreated, k.CreatedAt)
	return it
}

func decodeAPIKey(it item) *hook.APIKey {
	return &hook.APIKey{
		ID: getStr(it, SortKey), Tenant: getStr(it, akTenant), Role: hook.Role(getStr(it, akRole)), Description: getStr(it, akText),
		Hash: getHash(it, akHash), CreatedAt: getTime(it, akCreated),
	}
}

// CreateAPIKey stores a new key; hook.ErrConflict when there is one of that id.
func (t *Table) CreateAPIKey(ctx context.Context, k *hook.APIKey) error {
	err := t.put(ctx, &types.Put{
		TableName: t.name, Item: encodeAPIKey(k),
		ConditionExpression:                 aws.String("attribute_not_exists(PK)"),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	})
	if old, no := refused(err, 0); no {
		if getHash(old, akHash) == k.Hash {
			return nil // our own write, whose answer was lost
		}
		return fmt.Errorf("store API key %s: %w", k.ID, hook.ErrConflict)
	}
	if err != nil {
		return fmt.Errorf("store API key %s: %w", k.ID, err)
	}
	return nil
}

// APIKey reads a key; hook.ErrNotFound when there is none.
func (t *Table) APIKey(ctx context.Context, id string) (*hook.APIKey, error) {
	if !hook.ValidKeyID(id) {
		return nil, fmt.Errorf("API key %q: %w", id, hook.ErrNotFound)
	}
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: apiKeyKey(id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read API key %s: %w", id, err)
	}
	if out.Item == nil {
		return nil, fmt.Errorf("API key %s: %w", id, hook.ErrNotFound)
	}
	return decodeAPIKey(out.Item), nil
}

// ListAPIKeys lists a tenant's keys, newest first; those of all tenants for an
// empty one. next is where the next page goes on; empty at the end.
func (t *Table) ListAPIKeys(ctx context.Context, tenant string, p hook.Page) (keys []*hook.APIKey, next string, err error) {
	from, below := ulidSpan(time.Time{}, time.Time{}, p.After)
	items, next, err := t.page(ctx, []search{{
		pk: apiKeysPK, from: from, below: below, consistent: true, conditions: where(nil, akTenant, tenant),
	}}, p.Limit, maxAnswerBytes)
	if err != nil {
		return nil, "", fmt.Errorf("list API keys: %w", err)
	}
	for _, it := range items {
		keys = append(keys, decodeAPIKey(it))
	}
	return keys, next, nil
}

// KeyTenants names the tenants that have API keys, in alphabetical order.
func (t *Table) KeyTenants(ctx context.Context) ([]string, error) {
	seen := map[string]bool{}
	for p := (hook.Page{Limit: keysPerPage}); ; {
		keys, next, err := t.ListAPIKeys(ctx, "", p)
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			seen[k.Tenant] = true
		}
		if next == "" {
			return slices.Sorted(maps.Keys(seen)), nil
		}
		p.After = next
	}
}

// keysPerPage is how many keys are read at a time where all are.
const keysPerPage = 200

// DeleteAPIKey removes a key; hook.ErrNotFound when there is none, or it is not
// that tenant's. An empty tenant means any.
func (t *Table) DeleteAPIKey(ctx context.Context, tenant, id string) error {
	if !hook.ValidKeyID(id) {
		return fmt.Errorf("API key %q: %w", id, hook.ErrNotFound)
	}
	del := &types.Delete{TableName: t.name, Key: apiKeyKey(id), ConditionExpression: aws.String("attribute_exists(PK)")}
	if tenant != "" {
		del.ConditionExpression = aws.String("#t = :tenant")
		del.ExpressionAttributeNames = map[string]string{"#t": akTenant}
		del.ExpressionAttributeValues = item{":tenant": str(tenant)}
	}
	// A transaction, for its token: after a lost answer the SDK's retry of a
	// plain delete would find nothing to delete.
	err := t.transact(ctx, []types.TransactWriteItem{{Delete: del}})
	if _, no := refused(err, 0); no {
		return fmt.Errorf("API key %s: %w", id, hook.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("delete API key %s: %w", id, err)
	}
	return nil
}
