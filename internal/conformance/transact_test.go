package conformance

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

func (t *trial) transact(writes ...types.TransactWriteItem) error {
	_, err := t.db.TransactWriteItems(t.ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
	return err
}

// cancelled are the reasons' codes of a cancelled transaction; nil for any
// other error.
func cancelled(err error) []string {
	var c *types.TransactionCanceledException
	if !errors.As(err, &c) {
		return nil
	}
	codes := make([]string, len(c.CancellationReasons))
	for i, r := range c.CancellationReasons {
		codes[i] = *r.Code
	}
	return codes
}

// puts is a put of a transaction; with a condition, if it is not empty.
func (t *trial) puts(it item, condition string) types.TransactWriteItem {
	p := &types.Put{TableName: &t.table, Item: it}
	if condition != "" {
		p.ConditionExpression = &condition
	}
	return types.TransactWriteItem{Put: p}
}

func transactionChecks() []check {
	return []check{
		{
			on: onDynamoDB, name: "a transaction puts, updates, deletes and checks at once", source: dynamodbAPI + "TransactWriteItems.html",
			run: func(t *trial) {
				t.put(t.with("update", item{"hd": num(1), "expires_at": num(now)}))
				t.put(t.key("delete"))
				t.put(t.with("check", item{"e": num(2), "st": str("paused")}))
				require.NoError(t, t.transact(
					t.puts(t.with("put", item{"a": num(1)}), "attribute_not_exists(PK)"),
					types.TransactWriteItem{Update: &types.Update{
						TableName: &t.table, Key: t.key("update"), UpdateExpression: ptr("ADD hd :one REMOVE expires_at"),
						ConditionExpression: ptr("attribute_exists(PK)"), ExpressionAttributeValues: item{":one": num(1)},
					}},
					types.TransactWriteItem{Delete: &types.Delete{TableName: &t.table, Key: t.key("delete")}},
					types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
						TableName: &t.table, Key: t.key("check"), ConditionExpression: ptr("e = :epoch AND st <> :active"),
						ExpressionAttributeValues: item{":epoch": num(2), ":active": str("active")},
					}},
					types.TransactWriteItem{Delete: &types.Delete{TableName: &t.table, Key: t.key("never")}},
				))
				require.Equal(t, t.with("put", item{"a": num(1)}), t.get(t.key("put")))
				require.Equal(t, t.with("update", item{"hd": num(2)}), t.get(t.key("update")))
				require.Nil(t, t.get(t.key("delete")))
			},
		},
		{
			on: onDynamoDB, name: "a transaction of which one condition fails does nothing, and says which in order", source: dynamodbAPI + "TransactWriteItems.html",
			run: func(t *trial) {
				there := t.put(t.with("there", item{"r": num(4)}))
				err := t.transact(
					t.puts(t.key("a"), ""),
					types.TransactWriteItem{Put: &types.Put{
						TableName: &t.table, Item: t.key("there"), ConditionExpression: ptr("r = :rev"), ExpressionAttributeValues: item{":rev": num(3)},
						ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
					}},
					types.TransactWriteItem{Update: &types.Update{TableName: &t.table, Key: t.key("b"), UpdateExpression: ptr("ADD v :one"), ExpressionAttributeValues: item{":one": num(1)}}},
					types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
						TableName: &t.table, Key: t.key("none"), ConditionExpression: ptr("attribute_exists(PK)"),
						ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
					}},
					types.TransactWriteItem{Delete: &types.Delete{TableName: &t.table, Key: t.key("gone"), ConditionExpression: ptr("attribute_exists(PK)")}},
				)
				require.Equal(t, []string{"None", "ConditionalCheckFailed", "None", "ConditionalCheckFailed", "ConditionalCheckFailed"}, cancelled(err), "%v", err)
				var c *types.TransactionCanceledException
				require.ErrorAs(t, err, &c)
				require.Equal(t, there, c.CancellationReasons[1].Item)
				require.Empty(t, c.CancellationReasons[3].Item, "there is none")
				require.Empty(t, c.CancellationReasons[4].Item, "it was not asked for")
				require.Nil(t, t.get(t.key("a")))
				require.Nil(t, t.get(t.key("b")))
				require.Equal(t, there, t.get(there))
			},
		},
		{
			on: onDynamoDB, name: "a transaction that is repeated with its token is done once", source: dynamodbAPI + "TransactWriteItems.html",
			run: func(t *trial) {
				in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: ptr(t.unique), TransactItems: []types.TransactWriteItem{
					t.puts(t.key("once"), "attribute_not_exists(PK)"),
					{Update: &types.Update{TableName: &t.table, Key: t.key("count"), UpdateExpression: ptr("ADD v :one"), ExpressionAttributeValues: item{":one": num(1)}}},
				}}
				for range 3 {
					_, err := t.db.TransactWriteItems(t.ctx, in)
					require.NoError(t, err)
				}
				require.Equal(t, num(1), t.get(t.key("count"))["v"])
			},
		},
		{
			on: onDynamoDB, name: "a delete that is repeated with its token finds what it has deleted", source: dynamodbAPI + "TransactWriteItems.html",
			run: func(t *trial) {
				t.put(t.key("x"))
				in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: ptr(t.unique), TransactItems: []types.TransactWriteItem{
					{Delete: &types.Delete{TableName: &t.table, Key: t.key("x"), ConditionExpression: ptr("attribute_exists(PK)")}},
				}}
				for range 2 {
					_, err := t.db.TransactWriteItems(t.ctx, in)
					require.NoError(t, err)
				}
				in.ClientRequestToken = ptr(t.unique + "-2")
				_, err := t.db.TransactWriteItems(t.ctx, in)
				require.Equal(t, []string{"ConditionalCheckFailed"}, cancelled(err), "%v", err)
			},
		},
		{
			on: onDynamoDB, name: "another transaction with a token that was used is refused", source: dynamodbAPI + "TransactWriteItems.html",
			run: func(t *trial) {
				in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: ptr(t.unique), TransactItems: []types.TransactWriteItem{t.puts(t.with("x", item{"a": num(1)}), "")}}
				_, err := t.db.TransactWriteItems(t.ctx, in)
				require.NoError(t, err)
				in.TransactItems = []types.TransactWriteItem{t.puts(t.with("x", item{"a": num(2)}), "")}
				_, err = t.db.TransactWriteItems(t.ctx, in)
				var other *types.IdempotentParameterMismatchException
				require.ErrorAs(t, err, &other)
				require.Equal(t, num(1), t.get(t.key("x"))["a"])
			},
		},
		{
			on: onDynamoDB, name: "a transaction that was cancelled may be tried again with its token", source: dynamodbAPI + "TransactWriteItems.html",
			run: func(t *trial) {
				in := &dynamodb.TransactWriteItemsInput{ClientRequestToken: ptr(t.unique), TransactItems: []types.TransactWriteItem{
					{Update: &types.Update{TableName: &t.table, Key: t.key("x"), UpdateExpression: ptr("ADD v :one"), ConditionExpression: ptr("attribute_exists(PK)"), ExpressionAttributeValues: item{":one": num(1)}}},
				}}
				_, err := t.db.TransactWriteItems(t.ctx, in)
				require.Equal(t, []string{"ConditionalCheckFailed"}, cancelled(err), "%v", err)
				t.put(t.key("x"))
				_, err = t.db.TransactWriteItems(t.ctx, in)
				require.NoError(t, err)
				require.Equal(t, num(1), t.get(t.key("x"))["v"])
			},
		},
		{
			on: onDynamoDB, name: "a transaction takes 100 writes, and not 101", source: dynamodbAPI + "TransactWriteItems.html",
			run: func(t *trial) {
				var writes []types.TransactWriteItem
				for i := range 101 {
					writes = append(writes, t.puts(t.key(fmt.Sprintf("%03d", i)), ""))
				}
				t.invalid(t.transact(writes...))
				require.Nil(t, t.get(t.key("000")))
				require.NoError(t, t.transact(writes[:100]...))
				require.NotNil(t, t.get(t.key("099")))
			},
		},
		{
			on: onDynamoDB, name: "a transaction with two writes of one item, or with none, is refused", source: dynamodbAPI + "TransactWriteItems.html",
			run: func(t *trial) {
				t.invalid(t.transact(t.puts(t.key("x"), ""), types.TransactWriteItem{Delete: &types.Delete{TableName: &t.table, Key: t.key("x")}}))
				t.invalid(t.transact([]types.TransactWriteItem{}...))
				require.Nil(t, t.get(t.key("x")))
			},
		},
		{
			on: onDynamoDB, name: "a transaction of more than 4 MB is refused", source: dynamodbGuide + "transaction-apis.html",
			run: func(t *trial) {
				var writes []types.TransactWriteItem
				for i := range 11 {
					writes = append(writes, t.puts(t.with(fmt.Sprint(i), item{"b": large(399 << 10)}), ""))
				}
				require.Error(t, t.transact(writes...))
				require.Nil(t, t.get(t.key("0")))
			},
		},
		{
			on: onDynamoDB, name: "transactions at one item at the same time are done one by one, or refused as in conflict", source: dynamodbGuide + "transaction-apis.html",
			run: func(t *trial) {
				const writers, times = 4, 5
				done := make(chan int, writers)
				for range writers {
					go func() {
						n := 0
						defer func() { done <- n }()
						for range times {
							err := t.transact(types.TransactWriteItem{Update: &types.Update{
								TableName: &t.table, Key: t.key("x"), UpdateExpression: ptr("ADD v :one"), ExpressionAttributeValues: item{":one": num(1)},
							}})
							switch list := cancelled(err); {
							case err == nil:
								n++
							case len(list) == 1 && list[0] == "TransactionConflict":
							default:
								require.NoError(t, err)
							}
						}
					}()
				}
				total := 0
				for range writers {
					total += <-done
				}
				require.Equal(t, num(total), t.get(t.key("x"))["v"])
			},
		},
	}
}
