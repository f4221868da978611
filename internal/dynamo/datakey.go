package dynamo

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// dkWrapped is the attribute of a data key's item: the key, encrypted.
const dkWrapped = "w"

// DataKey returns the wrapped key that the tenant's secrets are sealed under,
// or hook.ErrNotFound. It is read strongly consistently.
func (t *Table) DataKey(ctx context.Context, tenant string) ([]byte, error) {
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: dataKeyKey(tenant), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read data key of tenant %s: %w", tenant, err)
	}
	if out.Item == nil {
		return nil, fmt.Errorf("data key of tenant %s: %w", tenant, hook.ErrNotFound)
	}
	return getBytes(out.Item, dkWrapped), nil
}

// AddDataKey stores a wrapped key for the tenant, unless it has one. kept is
// what is stored afterwards: the first one stays. A write whose answer was lost
// finds itself there when it is tried again.
func (t *Table) AddDataKey(ctx context.Context, tenant string, wrapped []byte) (kept []byte, err error) {
	it := dataKeyKey(tenant)
	it[dkWrapped] = &types.AttributeValueMemberB{Value: wrapped}
	_, err = t.client.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: t.name, Item: it, ConditionExpression: aws.String("attribute_not_exists(PK)"),
	})
	if _, no := refused(err, 0); no {
		return t.DataKey(ctx, tenant)
	}
	if err != nil {
		return nil, fmt.Errorf("store data key of tenant %s: %w", tenant, err)
	}
	return wrapped, nil
}
