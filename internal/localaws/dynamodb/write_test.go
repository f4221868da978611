package dynamodb

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

func putRequest(it attrs) types.WriteRequest {
	return types.WriteRequest{PutRequest: &types.PutRequest{Item: it}}
}

func deleteRequest(k attrs) types.WriteRequest {
	return types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: k}}
}

func TestBatches(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	s.put(t, key("gone", "s"))
	w, err := s.BatchWriteItem(s.ctx, &sdk.BatchWriteItemInput{
		RequestItems:           map[string][]types.WriteRequest{tableName: {putRequest(thing("p", "1", attrs{"n": num("1")})), putRequest(key("p", "2")), deleteRequest(key("gone", "s")), deleteRequest(key("never", "s"))}},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	require.NoError(t, err)
	require.Empty(t, w.UnprocessedItems)
	require.InDelta(t, 4, *w.ConsumedCapacity[0].CapacityUnits, 0)
	r, err := s.BatchGetItem(s.ctx, &sdk.BatchGetItemInput{
		RequestItems: map[string]types.KeysAndAttributes{tableName: {
			Keys: []map[string]types.AttributeValue{key("p", "1"), key("gone", "s"), key("p", "2")}, ProjectionExpression: aws.String("SK, #n"), ExpressionAttributeNames: map[string]string{"#n": "n"}, ConsistentRead: aws.Bool(true),
		}},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	require.NoError(t, err)
	require.Empty(t, r.UnprocessedKeys)
	require.ElementsMatch(t, []attrs{{"SK": str("1"), "n": num("1")}, {"SK": str("2")}}, r.Responses[tableName])
	require.InDelta(t, 3, *r.ConsumedCapacity[0].CapacityUnits, 0)
}

func TestBatchGetStopsAtSixteenMegabytes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	ka := types.KeysAndAttributes{ConsistentRead: aws.Bool(true), ProjectionExpression: aws.String("#k"), ExpressionAttributeNames: map[string]string{"#k": "SK"}}
	for i := range 50 {
		s.put(t, thing("p", fmt.Sprint(i), attrs{"x": str(strings.Repeat("x", 399<<10))}))
		ka.Keys = append(ka.Keys, key("p", fmt.Sprint(i)))
	}
	seen := map[string]bool{}
	rounds := 0
	for asked := map[string]types.KeysAndAttributes{tableName: ka}; len(asked) > 0; rounds++ {
		out, err := s.BatchGetItem(s.ctx, &sdk.BatchGetItemInput{RequestItems: asked})
		require.NoError(t, err)
		require.NotEmpty(t, out.Responses[tableName])
		for _, sk := range sortKeys(out.Responses[tableName]) {
			seen[sk] = true
		}
		asked = out.UnprocessedKeys
	}
	require.Len(t, seen, 50)
	require.Equal(t, 2, rounds)
}

func TestTransactionsHappenAtOnceOrNotAtAll(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	s.put(t, thing("p", "counter", attrs{"n": num("1")}))
	s.put(t, key("p", "old"))
	tx := func(n string) *sdk.TransactWriteItemsInput {
		name := aws.String(tableName)
		return &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
			{Put: &types.Put{TableName: name, Item: key("p", "new"), ConditionExpression: aws.String("attribute_not_exists(PK)"), ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld}},
			{Update: &types.Update{TableName: name, Key: key("p", "counter"), UpdateExpression: aws.String("ADD n :one"), ConditionExpression: aws.String("n = :n"), ExpressionAttributeValues: attrs{":one": num("1"), ":n": num(n)}}},
			{Delete: &types.Delete{TableName: name, Key: key("p", "old")}},
			{ConditionCheck: &types.ConditionCheck{TableName: name, Key: key("p", "absent"), ConditionExpression: aws.String("attribute_not_exists(PK)")}},
		}}
	}
	_, err := s.TransactWriteItems(s.ctx, tx("7"))
	var cancelled *types.TransactionCanceledException
	require.ErrorAs(t, err, &cancelled)
	require.Contains(t, cancelled.ErrorMessage(), "[None, ConditionalCheckFailed, None, None]")
	require.Len(t, cancelled.CancellationReasons, 4)
	require.Equal(t, "None", *cancelled.CancellationReasons[0].Code)
	require.Equal(t, "ConditionalCheckFailed", *cancelled.CancellationReasons[1].Code)
	require.Equal(t, "The conditional request failed", *cancelled.CancellationReasons[1].Message)
	require.Nil(t, s.get(t, "p", "new"))
	require.NotNil(t, s.get(t, "p", "old"))
	require.Equal(t, num("1"), s.get(t, "p", "counter")["n"])

	in := tx("1")
	in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
	in.ClientRequestToken = aws.String("token-1")
	out, err := s.TransactWriteItems(s.ctx, in)
	require.NoError(t, err)
	require.InDelta(t, 8, *out.ConsumedCapacity[0].CapacityUnits, 0, "four writes, each twice")
	require.InDelta(t, 8, *out.ConsumedCapacity[0].WriteCapacityUnits, 0)
	require.NotNil(t, s.get(t, "p", "new"))
	require.Nil(t, s.get(t, "p", "old"))
	require.Equal(t, num("2"), s.get(t, "p", "counter")["n"])

	// The same token again: done, and not done twice.
	_, err = s.TransactWriteItems(s.ctx, in)
	require.NoError(t, err)
	require.Equal(t, num("2"), s.get(t, "p", "counter")["n"])
	other := tx("2")
	other.ClientRequestToken = in.ClientRequestToken
	_, err = s.TransactWriteItems(s.ctx, other)
	var mismatch *types.IdempotentParameterMismatchException
	require.ErrorAs(t, err, &mismatch)

	// Ten minutes later the token is forgotten.
	if s.server != nil {
		s.clock.at = s.clock.at.Add(11 * time.Minute)
		_, err = s.TransactWriteItems(s.ctx, in)
		require.ErrorAs(t, err, &cancelled)
		require.Equal(t, key("p", "new"), cancelled.CancellationReasons[0].Item)
		n, err := s.server.SweepExpired(s.ctx)
		require.NoError(t, err)
		require.Zero(t, n)
		_, ok, err := s.server.store.Get(tokenKey("token-1"))
		require.NoError(t, err)
		require.False(t, ok, "old tokens are swept")
	}
}

func TestTransactionWithAnImpossibleUpdate(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	s.put(t, thing("p", "text", attrs{"n": str("one")}))
	_, err := s.TransactWriteItems(s.ctx, &sdk.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
		{Put: &types.Put{TableName: aws.String(tableName), Item: key("p", "new")}},
		{Update: &types.Update{TableName: aws.String(tableName), Key: key("p", "text"), UpdateExpression: aws.String("ADD n :one"), ExpressionAttributeValues: attrs{":one": num("1")}}},
	}})
	var cancelled *types.TransactionCanceledException
	require.ErrorAs(t, err, &cancelled)
	require.Equal(t, "ValidationError", *cancelled.CancellationReasons[1].Code)
	require.Equal(t, "An operand in the update expression has an incorrect data type", *cancelled.CancellationReasons[1].Message)
	require.Nil(t, s.get(t, "p", "new"))
}

func TestTransactionsAreAtMostFourMegabytes(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	in := &sdk.TransactWriteItemsInput{}
	for i := range 11 {
		in.TransactItems = append(in.TransactItems, types.TransactWriteItem{Put: &types.Put{TableName: aws.String(tableName), Item: thing("p", fmt.Sprint(i), attrs{"x": str(strings.Repeat("x", 390<<10))})}})
	}
	_, err := s.TransactWriteItems(s.ctx, in)
	requireError(t, err, validation, "Transaction payload size cannot exceed 4MB. Payload Size: ")
	require.Nil(t, s.get(t, "p", "0"))
}

func TestTransactGet(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	s.put(t, thing("p", "1", attrs{"x": str(strings.Repeat("x", 5000))}))
	name := aws.String(tableName)
	out, err := s.TransactGetItems(s.ctx, &sdk.TransactGetItemsInput{
		TransactItems: []types.TransactGetItem{
			{Get: &types.Get{TableName: name, Key: key("p", "1"), ProjectionExpression: aws.String("SK")}},
			{Get: &types.Get{TableName: name, Key: key("p", "2")}},
		},
		ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal,
	})
	require.NoError(t, err)
	require.Len(t, out.Responses, 2)
	require.Equal(t, attrs{"SK": str("1")}, out.Responses[0].Item)
	require.Nil(t, out.Responses[1].Item)
	require.InDelta(t, 6, *out.ConsumedCapacity[0].CapacityUnits, 0)
}

func TestConsumedCapacity(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	put := func(it attrs) *types.ConsumedCapacity {
		out, err := s.PutItem(s.ctx, &sdk.PutItemInput{TableName: aws.String(tableName), Item: it, ReturnConsumedCapacity: types.ReturnConsumedCapacityIndexes})
		require.NoError(t, err)
		return out.ConsumedCapacity
	}
	units := func(c *types.ConsumedCapacity) map[string]float64 {
		out := map[string]float64{"": *c.CapacityUnits, "table": *c.Table.CapacityUnits}
		for name, g := range c.GlobalSecondaryIndexes {
			out[name] = *g.CapacityUnits
		}
		return out
	}
	big := str(strings.Repeat("x", 2100))
	steps := []struct {
		name string
		item attrs
		want map[string]float64
	}{
		{"no index", attrs{}, map[string]float64{"": 1, "table": 1}},
		{"enters all", attrs{"GPK": str("g"), "GSK": num("1")}, map[string]float64{"": 4, "table": 1, "KEYS": 1, "SOME": 1, "EVERY": 1}},
		{"same again", attrs{"GPK": str("g"), "GSK": num("1")}, map[string]float64{"": 1, "table": 1}},
		{"grows where projected", attrs{"GPK": str("g"), "GSK": num("1"), "c": big}, map[string]float64{"": 6, "table": 3, "EVERY": 3}},
		{"moves", attrs{"GPK": str("g"), "GSK": num("2"), "c": big}, map[string]float64{"": 11, "table": 3, "KEYS": 2, "EVERY": 6}},
		{"leaves, and shrinks", attrs{}, map[string]float64{"": 8, "table": 3, "KEYS": 1, "SOME": 1, "EVERY": 3}},
	}
	for _, step := range steps {
		require.Equal(t, step.want, units(put(thing("p", "s", step.item))), step.name)
	}

	s.put(t, thing("p", "big", attrs{"x": str(strings.Repeat("x", 9000))}))
	for consistent, want := range map[bool]float64{true: 3, false: 1.5} {
		out, err := s.GetItem(s.ctx, &sdk.GetItemInput{TableName: aws.String(tableName), Key: key("p", "big"), ConsistentRead: aws.Bool(consistent), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
		require.NoError(t, err)
		require.InDelta(t, want, *out.ConsumedCapacity.CapacityUnits, 0)
		q, err := s.Query(s.ctx, &sdk.QueryInput{TableName: aws.String(tableName), KeyConditionExpression: aws.String("PK = :p"), ExpressionAttributeValues: attrs{":p": str("p")}, ConsistentRead: aws.Bool(consistent), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
		require.NoError(t, err)
		require.InDelta(t, want, *q.ConsumedCapacity.CapacityUnits, 0)
	}
	out, err := s.GetItem(s.ctx, &sdk.GetItemInput{TableName: aws.String(tableName), Key: key("p", "none"), ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
	require.NoError(t, err)
	require.InDelta(t, 0.5, *out.ConsumedCapacity.CapacityUnits, 0)
	require.Nil(t, out.ConsumedCapacity.Table)
}

func TestExpiredItemsShowUntilTheyAreSwept(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	at := func(d time.Duration) types.AttributeValue { return num(fmt.Sprint(s.clock.at.Add(d).Unix())) }
	s.put(t, thing("p", "past", attrs{"expires_at": at(-time.Minute), "GPK": str("g"), "GSK": num("1")}))
	s.put(t, thing("p", "soon", attrs{"expires_at": at(time.Minute)}))
	s.put(t, thing("p", "extended", attrs{"expires_at": at(-time.Minute)}))
	s.put(t, thing("p", "extended", attrs{"expires_at": at(time.Hour)}))
	s.put(t, thing("p", "kept", attrs{"expires_at": at(-time.Minute)}))
	s.put(t, thing("p", "kept", nil))
	s.put(t, thing("p", "text", attrs{"expires_at": str("1")}))
	s.put(t, thing("p", "ancient", attrs{"expires_at": at(-6 * 365 * 24 * time.Hour)}))
	for i := range 200 {
		s.put(t, thing("many", fmt.Sprint(i), attrs{"expires_at": at(-time.Duration(i+1) * time.Second)}))
	}
	require.NotNil(t, s.get(t, "p", "past"))

	n, err := s.server.SweepExpired(s.ctx)
	require.NoError(t, err)
	require.Equal(t, 201, n)
	require.Nil(t, s.get(t, "p", "past"))
	for _, sk := range []string{"soon", "extended", "kept", "text", "ancient"} {
		require.NotNil(t, s.get(t, "p", sk), sk)
	}
	q, err := s.Query(s.ctx, &sdk.QueryInput{TableName: aws.String(tableName), IndexName: aws.String("KEYS"), KeyConditionExpression: aws.String("GPK = :g"), ExpressionAttributeValues: attrs{":g": str("g")}})
	require.NoError(t, err)
	require.Empty(t, q.Items, "index entries go with their items")

	s.clock.at = s.clock.at.Add(2 * time.Minute)
	n, err = s.server.SweepExpired(s.ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = s.server.SweepExpired(s.ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}
