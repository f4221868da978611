package conformance

import (
	"maps"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

// condition is one that Posthorn writes under, with items that fulfil it and
// items that do not; nil stands for no item.
type condition struct {
	expression string
	names      map[string]string
	values     item
	holds      []item
	fails      []item
}

// now stands for the present in conditions on times. It is so far ahead that no
// target removes what has expired then.
const now = 4_000_000_000

// conditions are all that internal/dynamo has.
var conditions = []condition{
	{
		expression: "attribute_not_exists(PK)",
		holds:      []item{nil}, fails: []item{{}, {"a": num(1)}},
	},
	{
		expression: "attribute_exists(PK)",
		holds:      []item{{}}, fails: []item{nil},
	},
	{
		expression: "attribute_not_exists(PK) OR expires_at <= :now", values: item{":now": num(now)},
		holds: []item{nil, {"expires_at": num(now)}, {"expires_at": num(now - 1)}},
		fails: []item{{}, {"expires_at": num(now + 1)}, {"expires_at": str("0")}},
	},
	{
		expression: "attribute_exists(PK) AND (attribute_not_exists(expires_at) OR expires_at > :now)", values: item{":now": num(now)},
		holds: []item{{}, {"expires_at": num(now + 1)}},
		fails: []item{nil, {"expires_at": num(now)}, {"expires_at": str("x")}},
	},
	{
		expression: "r = :rev", values: item{":rev": num(9)},
		holds: []item{{"r": num(9)}, {"r": &types.AttributeValueMemberN{Value: "9.0"}}},
		fails: []item{nil, {}, {"r": num(8)}, {"r": num(10)}, {"r": str("9")}},
	},
	{
		expression: "attribute_not_exists(#2)", names: map[string]string{"#2": "r"},
		holds: []item{nil, {}, {"rl": num(1)}}, fails: []item{{"r": num(1)}},
	},
	{
		expression: "#2 = :3", names: map[string]string{"#2": "r"}, values: item{":3": num(1)},
		holds: []item{{"r": num(1)}}, fails: []item{nil, {}, {"r": num(2)}},
	},
	{
		expression: "#t = :tenant", names: map[string]string{"#t": "t"}, values: item{":tenant": str("acme")},
		holds: []item{{"t": str("acme")}}, fails: []item{nil, {}, {"t": str("acm")}, {"t": str("acme2")}},
	},
	{
		expression: "e = :epoch AND st <> :active", values: item{":epoch": num(2), ":active": str("active")},
		holds: []item{{"e": num(2), "st": str("paused")}, {"e": num(2)}},
		fails: []item{nil, {"e": num(2), "st": str("active")}, {"e": num(3), "st": str("paused")}, {"st": str("paused")}},
	},
	{
		expression: "hd = :holds", values: item{":holds": num(1)},
		holds: []item{{"hd": num(1)}}, fails: []item{nil, {}, {"hd": num(2)}},
	},
	{
		expression: "expires_at < :until AND expires_at > :now", values: item{":until": num(now + 9), ":now": num(now)},
		holds: []item{{"expires_at": num(now + 1)}, {"expires_at": num(now + 8)}},
		fails: []item{nil, {}, {"expires_at": num(now)}, {"expires_at": num(now + 9)}},
	},
	{
		expression: "e = :event", values: item{":event": str("evt_1")},
		holds: []item{{"e": str("evt_1")}}, fails: []item{nil, {}, {"e": str("evt_2")}},
	},
	{
		expression: "rl >= :now", values: item{":now": num(now)},
		holds: []item{{"rl": num(now)}, {"rl": num(now + 1)}}, fails: []item{nil, {}, {"rl": num(now - 1)}},
	},
	{
		expression: "attribute_not_exists(rl) OR rl < :now", values: item{":now": num(now)},
		holds: []item{nil, {}, {"rl": num(now - 1)}}, fails: []item{{"rl": num(now)}},
	},
}

// guarded is a kind of write that takes a condition. was is the item before it,
// nil for none.
type guarded struct {
	name  string
	write func(t *trial, key item, c *condition) error
	left  func(was, key item) item // what is there afterwards
}

// changed is the item that the writes of the conditions' checks put.
func changed(key item) item {
	it := maps.Clone(key)
	it["changed"] = num(1)
	return it
}

func (c *condition) valuesWith(more item) item {
	values := maps.Clone(more)
	maps.Copy(values, c.values)
	if len(values) == 0 {
		return nil
	}
	return values
}

var guardedWrites = []guarded{
	{
		name: "PutItem",
		write: func(t *trial, key item, c *condition) error {
			_, err := t.db.PutItem(t.ctx, &dynamodb.PutItemInput{
				TableName: &t.table, Item: changed(key), ConditionExpression: &c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
			})
			return err
		},
		left: func(_, key item) item { return changed(key) },
	},
	{
		name: "UpdateItem",
		write: func(t *trial, key item, c *condition) error {
			_, err := t.db.UpdateItem(t.ctx, &dynamodb.UpdateItemInput{
				TableName: &t.table, Key: key, UpdateExpression: ptr("SET changed = :one"), ConditionExpression: &c.expression,
				ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.valuesWith(item{":one": num(1)}),
			})
			return err
		},
		left: func(was, key item) item {
			it := changed(key)
			maps.Copy(it, was)
			return it
		},
	},
	{
		name: "DeleteItem",
		write: func(t *trial, key item, c *condition) error {
			_, err := t.db.DeleteItem(t.ctx, &dynamodb.DeleteItemInput{
				TableName: &t.table, Key: key, ConditionExpression: &c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
			})
			return err
		},
		left: func(_, _ item) item { return nil },
	},
	{
		name: "a transaction's Put",
		write: func(t *trial, key item, c *condition) error {
			return t.transact(types.TransactWriteItem{Put: &types.Put{
				TableName: &t.table, Item: changed(key), ConditionExpression: &c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
			}})
		},
		left: func(_, key item) item { return changed(key) },
	},
	{
		name: "a transaction's Delete",
		write: func(t *trial, key item, c *condition) error {
			return t.transact(types.TransactWriteItem{Delete: &types.Delete{
				TableName: &t.table, Key: key, ConditionExpression: &c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
			}})
		},
		left: func(_, _ item) item { return nil },
	},
	{
		name: "a transaction's ConditionCheck",
		write: func(t *trial, key item, c *condition) error {
			return t.transact(types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
				TableName: &t.table, Key: key, ConditionExpression: &c.expression, ExpressionAttributeNames: c.names, ExpressionAttributeValues: c.values,
			}})
		},
		left: func(was, _ item) item { return was },
	},
}

// refused says whether a write failed its condition; any other error fails the
// trial.
func (t *trial) refused(err error) bool {
	if err == nil {
		return false
	}
	if list := cancelled(err); list != nil {
		require.Equal(t, []string{"ConditionalCheckFailed"}, list, "%v", err)
		return true
	}
	var failed *types.ConditionalCheckFailedException
	require.ErrorAs(t, err, &failed)
	return true
}

// hold makes each kind of write on each item of a condition.
func (t *trial) hold(c *condition) {
	for _, w := range guardedWrites {
		try := func(was item, holds bool) {
			k := t.key("x")
			t.remove(k)
			if was != nil {
				was = t.put(t.with("x", was))
			}
			require.Equal(t, !holds, t.refused(w.write(t, k, c)), "%s on %v", w.name, was)
			want := was
			if holds {
				want = w.left(was, k)
			}
			require.Equal(t, normal(want), normal(t.get(k)), "%s on %v leaves", w.name, was)
		}
		for _, was := range c.holds {
			try(was, true)
		}
		for _, was := range c.fails {
			try(was, false)
		}
	}
}

// normal is an item with numbers as the service writes them, as far as the
// conditions' items need it.
func normal(it item) item {
	out := maps.Clone(it)
	for name, v := range out {
		if n, ok := v.(*types.AttributeValueMemberN); ok && n.Value == "9.0" {
			out[name] = num(9)
		}
	}
	return out
}

func conditionChecks() []check {
	checks := make([]check, 0, len(conditions)+4)
	for i := range conditions {
		checks = append(checks, check{
			on: onDynamoDB, name: "writes where, and only where, " + conditions[i].expression, source: dynamodbGuide + "Expressions.OperatorsAndFunctions.html",
			run: func(t *trial) { t.hold(&conditions[i]) },
		})
	}
	return append(checks,
		check{
			on: onDynamoDB, name: "a write that is refused answers with the item, if it is asked to and there is one", source: dynamodbAPI + "PutItem.html",
			run: func(t *trial) {
				try := func(sk, expression string, values item, returns types.ReturnValuesOnConditionCheckFailure) item {
					_, err := t.db.PutItem(t.ctx, &dynamodb.PutItemInput{
						TableName: &t.table, Item: t.key(sk), ConditionExpression: &expression, ExpressionAttributeValues: values, ReturnValuesOnConditionCheckFailure: returns,
					})
					var failed *types.ConditionalCheckFailedException
					require.ErrorAs(t, err, &failed)
					return failed.Item
				}
				it := t.put(t.with("x", item{"r": num(2), "list": &types.AttributeValueMemberL{Value: []types.AttributeValue{str("a")}}}))
				require.Equal(t, it, try("x", "attribute_not_exists(PK)", nil, types.ReturnValuesOnConditionCheckFailureAllOld))
				require.Empty(t, try("x", "attribute_not_exists(PK)", nil, types.ReturnValuesOnConditionCheckFailureNone))
				require.Empty(t, try("x", "attribute_not_exists(PK)", nil, ""))
				require.Empty(t, try("none", "r = :rev", item{":rev": num(1)}, types.ReturnValuesOnConditionCheckFailureAllOld))
			},
		},
		check{
			on: onDynamoDB, name: "an update that is refused changes nothing and answers with the item, if it is asked to", source: dynamodbAPI + "UpdateItem.html",
			run: func(t *trial) {
				it := t.put(t.with("x", item{"rl": num(5)}))
				_, err := t.update(t.key("x"), "SET rl = rl + :n", item{":n": num(1), ":now": num(9)}, func(in *dynamodb.UpdateItemInput) {
					in.ConditionExpression = ptr("rl >= :now")
					in.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
				})
				var failed *types.ConditionalCheckFailedException
				require.ErrorAs(t, err, &failed)
				require.Equal(t, it, failed.Item)
				require.Equal(t, it, t.get(it))
			},
		},
		check{
			on: onDynamoDB, name: "a condition is looked at before the update is computed", source: dynamodbGuide + "Expressions.ConditionExpressions.html",
			run: func(t *trial) {
				_, err := t.update(t.key("none"), "SET rl = rl + :n", item{":n": num(1), ":now": num(9)}, func(in *dynamodb.UpdateItemInput) { in.ConditionExpression = ptr("rl >= :now") })
				require.True(t, t.refused(err))
			},
		},
		check{
			on: onDynamoDB, name: "of writers that all find nothing there one wins", source: dynamodbGuide + "Expressions.ConditionExpressions.html",
			run: func(t *trial) {
				const writers = 8
				errs := make(chan error, writers)
				for range writers {
					go func() {
						_, err := t.db.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: t.key("x"), ConditionExpression: ptr("attribute_not_exists(PK)")})
						errs <- err
					}()
				}
				won := 0
				for range writers {
					if !t.refused(<-errs) {
						won++
					}
				}
				require.Equal(t, 1, won)
			},
		},
	)
}
