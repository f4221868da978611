package conformance

import (
	"fmt"
	"maps"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

// units are what a call consumed: of the table, of the index, and together.
type units struct{ table, index, total float64 }

func unitsOf(c *types.ConsumedCapacity) units {
	var u units
	if c == nil {
		return u
	}
	if c.CapacityUnits != nil {
		u.total = *c.CapacityUnits
	}
	if c.Table != nil && c.Table.CapacityUnits != nil {
		u.table = *c.Table.CapacityUnits
	}
	if i, ok := c.GlobalSecondaryIndexes["GSI1"]; ok && i.CapacityUnits != nil {
		u.index = *i.CapacityUnits
	}
	return u
}

// sized is an item that makes up so many bytes, names and values, beside the
// attributes given.
func (t *trial) sized(sk string, bytes int, more item) item {
	it := t.with(sk, more)
	size := len("PK"+t.unique+"SK"+sk) + len("b")
	for name, v := range more {
		size += len(name) + len(v.(*types.AttributeValueMemberS).Value)
	}
	it["b"] = str(strings.Repeat("x", bytes-size))
	return it
}

const indexes = types.ReturnConsumedCapacityIndexes

func (t *trial) putUnits(it item) units {
	out, err := t.db.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: it, ReturnConsumedCapacity: indexes})
	require.NoError(t, err)
	return unitsOf(out.ConsumedCapacity)
}

func (t *trial) updateUnits(sk, expression string, values item) units {
	out, err := t.update(t.key(sk), expression, values, func(in *dynamodb.UpdateItemInput) { in.ReturnConsumedCapacity = indexes })
	require.NoError(t, err)
	return unitsOf(out.ConsumedCapacity)
}

func (t *trial) deleteUnits(sk string) units {
	out, err := t.db.DeleteItem(t.ctx, &dynamodb.DeleteItemInput{TableName: &t.table, Key: t.key(sk), ReturnConsumedCapacity: indexes})
	require.NoError(t, err)
	return unitsOf(out.ConsumedCapacity)
}

func (t *trial) getUnits(sk string, consistent bool) units {
	out, err := t.db.GetItem(t.ctx, &dynamodb.GetItemInput{TableName: &t.table, Key: t.key(sk), ConsistentRead: &consistent, ReturnConsumedCapacity: indexes})
	require.NoError(t, err)
	return unitsOf(out.ConsumedCapacity)
}

// adds is a transaction's update that counts up.
func (t *trial) adds(sk string) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &t.table, Key: t.key(sk), UpdateExpression: ptr("ADD v :one"), ExpressionAttributeValues: item{":one": num(1)},
	}}
}

func (t *trial) transactUnits(writes ...types.TransactWriteItem) units {
	out, err := t.db.TransactWriteItems(t.ctx, &dynamodb.TransactWriteItemsInput{ReturnConsumedCapacity: indexes, TransactItems: writes})
	require.NoError(t, err)
	require.Len(t, out.ConsumedCapacity, 1)
	return unitsOf(&out.ConsumedCapacity[0])
}

func (t *trial) queryUnits(in *dynamodb.QueryInput) units {
	in.ReturnConsumedCapacity = indexes
	out, err := t.db.Query(t.ctx, in)
	require.NoError(t, err)
	return unitsOf(out.ConsumedCapacity)
}

// tableOnly are units of the table alone.
func tableOnly(n float64) units { return units{table: n, total: n} }

// uncounted is what DynamoDB Local, and LocalStack, which has it inside, does
// instead of counting everything.
func uncounted(instead, shows string) []exception {
	return []exception{
		{target: dynamodbLocal, instead: instead, source: dynamodbLocalNotes, shows: shows},
		{target: localStack, instead: instead + ": it has DynamoDB Local inside", source: localStackDynamoDB + "server.py", shows: shows},
	}
}

func capacityChecks() []check {
	const pages = dynamodbGuide + "read-write-operations.html"
	return []check{
		{
			on: onDynamoDB, name: "a put consumes a unit for each KB begun of the larger of the item that was and the one that is", source: pages,
			run: func(t *trial) {
				require.Equal(t, tableOnly(1), t.putUnits(t.sized("x", 1024, nil)))
				require.Equal(t, tableOnly(2), t.putUnits(t.sized("x", 1025, nil)))
				require.Equal(t, tableOnly(10), t.putUnits(t.sized("x", 10*1024, nil)))
				require.Equal(t, tableOnly(10), t.putUnits(t.key("x")), "the one that was")
				require.Equal(t, tableOnly(1), t.putUnits(t.key("x")))
			},
		},
		{
			on: onDynamoDB, name: "an update consumes for the whole item, and a delete for the item that was", source: pages,
			run: func(t *trial) {
				require.Equal(t, tableOnly(1), t.updateUnits("x", "ADD v :one", item{":one": num(1)}))
				require.Equal(t, tableOnly(3), t.updateUnits("x", "SET b = :b", item{":b": large(2 * 1024)}))
				require.Equal(t, tableOnly(3), t.updateUnits("x", "ADD v :one", item{":one": num(1)}))
				require.Equal(t, tableOnly(3), t.deleteUnits("x"))
				require.Equal(t, tableOnly(1), t.deleteUnits("x"), "nothing")
			},
		},
		{
			on: onDynamoDB, name: "a write consumes of the index where an item enters, moves in or leaves it, and not otherwise", source: dynamodbGuide + "GSI.html",
			run: func(t *trial) {
				enter := t.sized("x", 500, t.in("#RETRYING", "1"))
				require.Equal(t, units{1, 1, 2}, t.putUnits(enter), "it enters")
				enter["other"] = str("y")
				require.Equal(t, units{1, 0, 1}, t.putUnits(enter), "it stays where it is")
				maps.Copy(enter, t.in("#DEAD", "1"))
				require.Equal(t, units{1, 2, 3}, t.putUnits(enter), "it moves")
				require.Equal(t, units{1, 1, 2}, t.putUnits(t.key("x")), "it leaves")
				require.Equal(t, units{1, 0, 1}, t.putUnits(t.key("x")), "it was not there")
				t.putUnits(enter)
				require.Equal(t, units{1, 1, 2}, t.deleteUnits("x"), "it is deleted")
			},
		},
		{
			on: onDynamoDB, name: "a read consumes a unit for each 4 KB begun, half of it where it need not be consistent", source: pages,
			run: func(t *trial) {
				t.put(t.sized("x", 4096, nil))
				require.Equal(t, tableOnly(1), t.getUnits("x", true))
				require.Equal(t, tableOnly(0.5), t.getUnits("x", false))
				t.put(t.sized("x", 4097, nil))
				require.Equal(t, tableOnly(2), t.getUnits("x", true))
				require.Equal(t, tableOnly(1), t.getUnits("x", false))
				require.Equal(t, tableOnly(1), t.getUnits("none", true))
				require.Equal(t, tableOnly(0.5), t.getUnits("none", false))
			},
		},
		{
			on: onDynamoDB, name: "a query consumes for what it looks at together, whatever the filter lets through", source: pages,
			run: func(t *trial) {
				for i := range 8 {
					t.put(t.sized(fmt.Sprint(i), 1000, nil))
				}
				require.Equal(t, tableOnly(2), t.queryUnits(t.between("0", "9")))
				eventually := func(in *dynamodb.QueryInput) { in.ConsistentRead = ptr(false) }
				require.Equal(t, tableOnly(1), t.queryUnits(t.between("0", "9", eventually)))
				require.Equal(t, tableOnly(0.5), t.queryUnits(t.between("0", "9", eventually, limited(1))))
				require.Equal(t, tableOnly(2), t.queryUnits(t.between("0", "9", func(in *dynamodb.QueryInput) { in.FilterExpression = ptr("attribute_exists(nothing)") })))
				require.Equal(t, tableOnly(2), t.queryUnits(t.between("0", "9", func(in *dynamodb.QueryInput) { in.Select = types.SelectCount })))
			},
		},
		{
			on: onDynamoDB, name: "a query that finds nothing consumes the least that there is", source: dynamodbAPI + "Query.html",
			run: func(t *trial) {
				require.Equal(t, 1.0, t.queryUnits(t.between("x", "y")).total)
				require.Equal(t, 0.5, t.queryUnits(t.ofState("#NONE")).total)
			},
			exceptions: uncounted("it counts nothing", "actual  : 0"),
		},
		{
			on: onDynamoDB, name: "a query of the index consumes of the index alone, for the keys in it", source: dynamodbGuide + "GSI.html",
			run: func(t *trial) {
				for i := range 4 {
					t.put(t.sized(fmt.Sprint(i), 4000, t.in("#DEAD", fmt.Sprint(i))))
				}
				t.untilIndexed("#DEAD", "0", "1", "2", "3")
				require.Equal(t, units{0, 0.5, 0.5}, t.queryUnits(t.ofState("#DEAD")))
			},
		},
		{
			on: onDynamoDB, name: "a batch consumes for each of its items by itself", source: pages,
			run: func(t *trial) {
				written, err := t.db.BatchWriteItem(t.ctx, &dynamodb.BatchWriteItemInput{ReturnConsumedCapacity: indexes, RequestItems: map[string][]types.WriteRequest{
					t.table: {putOf(t.sized("a", 500, nil)), putOf(t.sized("b", 1500, nil)), putOf(t.sized("c", 500, t.in("#DEAD", "1")))},
				}})
				require.NoError(t, err)
				require.Len(t, written.ConsumedCapacity, 1)
				require.Equal(t, units{4, 1, 5}, unitsOf(&written.ConsumedCapacity[0]))
				read, err := t.db.BatchGetItem(t.ctx, &dynamodb.BatchGetItemInput{ReturnConsumedCapacity: indexes, RequestItems: map[string]types.KeysAndAttributes{
					t.table: {ConsistentRead: ptr(true), Keys: []item{t.key("a"), t.key("b")}},
				}})
				require.NoError(t, err)
				require.Len(t, read.ConsumedCapacity, 1)
				require.Equal(t, tableOnly(2), unitsOf(&read.ConsumedCapacity[0]))
			},
		},
		{
			on: onDynamoDB, name: "a key of a batch at which there is nothing consumes the least that there is", source: dynamodbAPI + "BatchGetItem.html",
			run: func(t *trial) {
				t.put(t.key("a"))
				read, err := t.db.BatchGetItem(t.ctx, &dynamodb.BatchGetItemInput{ReturnConsumedCapacity: indexes, RequestItems: map[string]types.KeysAndAttributes{
					t.table: {ConsistentRead: ptr(true), Keys: []item{t.key("a"), t.key("none")}},
				}})
				require.NoError(t, err)
				require.Equal(t, 2.0, unitsOf(&read.ConsumedCapacity[0]).total)
			},
			exceptions: uncounted("it counts what is there", "actual  : 1"),
		},
		{
			on: onDynamoDB, name: "a transaction consumes twice what its puts and deletes would", source: dynamodbGuide + "transaction-apis.html",
			run: func(t *trial) {
				require.Equal(t, tableOnly(6), t.transactUnits(t.puts(t.sized("a", 500, nil), ""), t.puts(t.sized("b", 1500, nil), "")))
				require.Equal(t, units{2, 2, 4}, t.transactUnits(t.puts(t.sized("c", 500, t.in("#DEAD", "1")), "")))
				require.Equal(t, tableOnly(4), t.transactUnits(types.TransactWriteItem{Delete: &types.Delete{TableName: &t.table, Key: t.key("b")}}))
			},
		},
		{
			on: onDynamoDB, name: "a transaction consumes twice what its updates would", source: dynamodbGuide + "transaction-apis.html",
			run: func(t *trial) {
				t.put(t.sized("there", 1500, nil))
				require.Equal(t, 6.0, t.transactUnits(t.adds("new"), t.adds("there")).total)
			},
		},
		{
			on: onDynamoDB, name: "a transaction of several kinds of writes consumes for all of them, and for what it only checks", source: dynamodbGuide + "transaction-apis.html",
			run: func(t *trial) {
				t.put(t.key("check"))
				require.Equal(t, 6.0, t.transactUnits(t.puts(t.key("put"), ""), t.adds("add"), types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
					TableName: &t.table, Key: t.key("check"), ConditionExpression: ptr("attribute_exists(PK)"),
				}}).total)
			},
			exceptions: uncounted("it counts one kind alone", "actual  : 2"),
		},
		{
			on: onDynamoDB, name: "capacity is answered only when it is asked for", source: dynamodbAPI + "PutItem.html",
			run: func(t *trial) {
				out, err := t.db.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: t.key("x")})
				require.NoError(t, err)
				require.Nil(t, out.ConsumedCapacity)
				total, err := t.db.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: t.key("x"), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
				require.NoError(t, err)
				require.Equal(t, units{total: 1}, unitsOf(total.ConsumedCapacity))
			},
		},
	}
}
