package conformance

import (
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

// getMany reads items strongly consistently, by their sort keys.
func (t *trial) getMany(keys ...item) (*dynamodb.BatchGetItemOutput, error) {
	return t.db.BatchGetItem(t.ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{t.table: {Keys: keys, ConsistentRead: ptr(true)}}})
}

func (t *trial) writeMany(writes ...types.WriteRequest) (*dynamodb.BatchWriteItemOutput, error) {
	return t.db.BatchWriteItem(t.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{t.table: writes}})
}

func putOf(it item) types.WriteRequest {
	return types.WriteRequest{PutRequest: &types.PutRequest{Item: it}}
}

func batchChecks() []check {
	return []check{
		{
			on: onDynamoDB, name: "BatchGetItem reads 100 keys, and leaves out what is not there", source: dynamodbAPI + "BatchGetItem.html",
			run: func(t *trial) {
				var keys []item
				for i := range 100 {
					keys = append(keys, t.key(fmt.Sprintf("%03d", i)))
				}
				for i := 0; i < 100; i += 25 {
					t.put(keys[i])
				}
				out, err := t.getMany(keys...)
				require.NoError(t, err)
				require.Empty(t, out.UnprocessedKeys)
				require.ElementsMatch(t, []item{keys[0], keys[25], keys[50], keys[75]}, out.Responses[t.table])
			},
		},
		{
			on: onDynamoDB, name: "BatchGetItem refuses 101 keys, the same key twice, and none", source: dynamodbAPI + "BatchGetItem.html",
			run: func(t *trial) {
				var keys []item
				for i := range 101 {
					keys = append(keys, t.key(fmt.Sprint(i)))
				}
				_, err := t.getMany(keys...)
				t.invalid(err, "101")
				_, err = t.getMany(keys[0], keys[0])
				t.invalid(err, "twice")
				_, err = t.getMany(item{"PK": str("x")})
				t.invalid(err, "half a key")
			},
		},
		{
			on: onDynamoDB, name: "BatchGetItem answers with 16 MB at most, and names the keys that are left", source: dynamodbAPI + "BatchGetItem.html",
			run: func(t *trial) {
				const items = 44
				var keys []item
				for i := range items {
					it := t.put(t.with(fmt.Sprintf("%03d", i), item{"b": large(399 << 10)}))
					keys = append(keys, item{"PK": it["PK"], "SK": it["SK"]})
				}
				found := map[string]bool{}
				todo := map[string]types.KeysAndAttributes{t.table: {Keys: keys, ConsistentRead: ptr(true)}}
				calls := 0
				for ; len(todo) > 0; calls++ {
					require.Less(t, calls, 10, "it does not end")
					out, err := t.db.BatchGetItem(t.ctx, &dynamodb.BatchGetItemInput{RequestItems: todo})
					require.NoError(t, err)
					for _, it := range out.Responses[t.table] {
						require.False(t, found[text(it, "SK")], "twice")
						found[text(it, "SK")] = true
					}
					todo = out.UnprocessedKeys
					for _, left := range todo {
						require.Equal(t, ptr(true), left.ConsistentRead, "they are asked for as they were")
					}
				}
				require.Len(t, found, items)
				require.GreaterOrEqual(t, calls, 2)
			},
		},
		{
			on: onDynamoDB, name: "BatchWriteItem makes 25 puts and deletes, and leaves nothing unprocessed", source: dynamodbAPI + "BatchWriteItem.html",
			run: func(t *trial) {
				t.put(t.key("gone"))
				writes := []types.WriteRequest{{DeleteRequest: &types.DeleteRequest{Key: t.key("gone")}}}
				var keys []item
				for i := range 24 {
					keys = append(keys, t.key(fmt.Sprintf("%03d", i)))
					writes = append(writes, putOf(t.with(fmt.Sprintf("%03d", i), item{"a": num(i)})))
				}
				out, err := t.writeMany(writes...)
				require.NoError(t, err)
				require.Empty(t, out.UnprocessedItems)
				got, err := t.getMany(append(keys, t.key("gone"))...)
				require.NoError(t, err)
				require.Len(t, got.Responses[t.table], 24)
			},
		},
		{
			on: onDynamoDB, name: "BatchWriteItem refuses 26 writes, and two of the same item", source: dynamodbAPI + "BatchWriteItem.html",
			run: func(t *trial) {
				var writes []types.WriteRequest
				for i := range 26 {
					writes = append(writes, putOf(t.key(fmt.Sprint(i))))
				}
				_, err := t.writeMany(writes...)
				t.invalid(err, "26")
				_, err = t.writeMany(writes[0], writes[0])
				t.invalid(err, "twice")
				require.Nil(t, t.get(t.key("0")))
			},
		},
		{
			on: onDynamoDB, name: "a BatchWriteItem with one write that is at fault is refused, and does nothing", source: dynamodbAPI + "BatchWriteItem.html",
			run: func(t *trial) {
				for name, bad := range map[string]item{
					"too large": t.with("bad", item{"b": large(400 << 10)}),
					"no key":    {"PK": str(t.unique)},
					"empty key": {"PK": str(t.unique), "SK": str("")},
				} {
					for _, writes := range [][]types.WriteRequest{{putOf(t.key("good")), putOf(bad)}, {putOf(bad), putOf(t.key("good"))}} {
						_, err := t.writeMany(slices.Clone(writes)...)
						t.invalid(err, name)
						require.Nil(t, t.get(t.key("good")), name)
					}
				}
			},
		},
	}
}
