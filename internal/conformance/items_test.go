package conformance

import (
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
)

// item is an item, or a part of one.
type item = map[string]types.AttributeValue

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.Itoa(n)}
}

// key is the key of an item in the trial's own partition.
func (t *trial) key(sk string) item { return item{"PK": str(t.unique), "SK": str(sk)} }

// with returns an item in the trial's partition that has some attributes.
func (t *trial) with(sk string, attributes item) item {
	it := t.key(sk)
	maps.Copy(it, attributes)
	return it
}

// put stores an item and returns it.
func (t *trial) put(it item) item {
	_, err := t.db.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: it})
	require.NoError(t, err)
	return it
}

// remove removes an item, if there is one.
func (t *trial) remove(key item) {
	_, err := t.db.DeleteItem(t.ctx, &dynamodb.DeleteItemInput{TableName: &t.table, Key: key})
	require.NoError(t, err)
}

// get reads an item strongly consistently; nil when there is none.
func (t *trial) get(key item) item {
	out, err := t.db.GetItem(t.ctx, &dynamodb.GetItemInput{TableName: &t.table, Key: item{"PK": key["PK"], "SK": key["SK"]}, ConsistentRead: ptr(true)})
	require.NoError(t, err)
	return out.Item
}

// update makes an update of an item and returns what it answers with.
func (t *trial) update(key item, expression string, values item, edit ...func(*dynamodb.UpdateItemInput)) (*dynamodb.UpdateItemOutput, error) {
	in := &dynamodb.UpdateItemInput{TableName: &t.table, Key: key, UpdateExpression: &expression, ExpressionAttributeValues: values}
	for _, e := range edit {
		e(in)
	}
	return t.db.UpdateItem(t.ctx, in)
}

// invalid asks that an error be a ValidationException, which no SDK has a type
// for.
func (t *trial) invalid(err error, about ...any) {
	require.Equal(t, "ValidationException", code(err), "%s: %v", fmt.Sprint(about...), err)
}

func (t *trial) noTable(err error, about string) {
	var none *types.ResourceNotFoundException
	require.ErrorAs(t, err, &none, about)
}

func itemChecks() []check {
	return []check{
		{
			on: onDynamoDB, name: "the table is made, and made again, as Posthorn does it, with its index and its time to live", source: dynamodbAPI + "CreateTable.html",
			run: func(t *trial) {
				name := t.name()
				t.makeTable(name)
				require.NoError(t, dynamo.CreateTable(t.ctx, t.target.config, name))
				out, err := t.db.DescribeTable(t.ctx, &dynamodb.DescribeTableInput{TableName: &name})
				require.NoError(t, err)
				require.Equal(t, types.TableStatusActive, out.Table.TableStatus)
				require.Equal(t, types.BillingModePayPerRequest, out.Table.BillingModeSummary.BillingMode)
				require.Equal(t, dynamo.Definition(name).KeySchema, out.Table.KeySchema)
				require.Len(t, out.Table.GlobalSecondaryIndexes, 1)
				require.Equal(t, types.ProjectionTypeKeysOnly, out.Table.GlobalSecondaryIndexes[0].Projection.ProjectionType)
				ttl, err := t.db.DescribeTimeToLive(t.ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})
				require.NoError(t, err)
				require.Equal(t, types.TimeToLiveStatusEnabled, ttl.TimeToLiveDescription.TimeToLiveStatus)
				require.Equal(t, "expires_at", *ttl.TimeToLiveDescription.AttributeName)
			},
		},
		{
			on: onDynamoDB, name: "CreateTable refuses a name that is taken", source: dynamodbAPI + "CreateTable.html",
			run: func(t *trial) {
				_, err := t.db.CreateTable(t.ctx, dynamo.Definition(t.table))
				var taken *types.ResourceInUseException
				require.ErrorAs(t, err, &taken)
			},
		},
		{
			on: onDynamoDB, name: "a time to live that is set cannot be set again", source: dynamodbAPI + "UpdateTimeToLive.html",
			run: func(t *trial) {
				_, err := t.db.UpdateTimeToLive(t.ctx, &dynamodb.UpdateTimeToLiveInput{
					TableName: &t.table, TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: ptr("expires_at"), Enabled: ptr(true)},
				})
				t.invalid(err)
			},
			exceptions: []exception{{
				target: localStack, instead: "it is set again", source: localStackDynamoDB + "provider.py#L1553", shows: "actual  : \"\"",
			}},
		},
		{
			on: onDynamoDB, name: "every call to a table that is not there says so", source: dynamodbAPI + "GetItem.html",
			run: func(t *trial) {
				name := t.name()
				k := t.key("x")
				_, err := t.db.GetItem(t.ctx, &dynamodb.GetItemInput{TableName: &name, Key: k})
				t.noTable(err, "get")
				_, err = t.db.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &name, Item: k})
				t.noTable(err, "put")
				_, err = t.db.UpdateItem(t.ctx, &dynamodb.UpdateItemInput{TableName: &name, Key: k})
				t.noTable(err, "update")
				_, err = t.db.DeleteItem(t.ctx, &dynamodb.DeleteItemInput{TableName: &name, Key: k})
				t.noTable(err, "delete")
				_, err = t.db.Query(t.ctx, &dynamodb.QueryInput{TableName: &name, KeyConditionExpression: ptr("PK = :pk"), ExpressionAttributeValues: item{":pk": str("x")}})
				t.noTable(err, "query")
				_, err = t.db.BatchGetItem(t.ctx, &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{name: {Keys: []item{k}}}})
				t.noTable(err, "get many")
				_, err = t.db.BatchWriteItem(t.ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{name: {{PutRequest: &types.PutRequest{Item: k}}}}})
				t.noTable(err, "write many")
				_, err = t.db.TransactWriteItems(t.ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{{Put: &types.Put{TableName: &name, Item: k}}}})
				t.noTable(err, "transact")
				_, err = t.db.DescribeTable(t.ctx, &dynamodb.DescribeTableInput{TableName: &name})
				t.noTable(err, "describe")
				_, err = t.db.DescribeTimeToLive(t.ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})
				t.noTable(err, "describe the time to live")
			},
		},
		{
			on: onDynamoDB, name: "an item keeps every type of value that is stored", source: dynamodbGuide + "HowItWorks.NamingRulesDataTypes.html",
			run: func(t *trial) {
				it := t.put(t.with("x", item{
					"text": str("é\u0000€\U0001f4ef"), "none": str(""), "number": num(-12), "bytes": &types.AttributeValueMemberB{Value: []byte{0, 1, 255}},
					"yes": &types.AttributeValueMemberBOOL{Value: true}, "no": &types.AttributeValueMemberBOOL{Value: false}, "null": &types.AttributeValueMemberNULL{Value: true},
					"list":  &types.AttributeValueMemberL{Value: []types.AttributeValue{str("a"), num(1), &types.AttributeValueMemberM{Value: item{"v": str("b")}}}},
					"empty": &types.AttributeValueMemberL{Value: []types.AttributeValue{}}, "map": &types.AttributeValueMemberM{Value: item{"a": num(1), "b": &types.AttributeValueMemberM{Value: item{}}}},
				}))
				require.Equal(t, it, t.get(it))
				sets := t.put(t.with("y", item{"texts": &types.AttributeValueMemberSS{Value: []string{"b", "a"}}, "numbers": &types.AttributeValueMemberNS{Value: []string{"2", "-1"}}}))
				got := t.get(sets)
				require.ElementsMatch(t, []string{"a", "b"}, got["texts"].(*types.AttributeValueMemberSS).Value)
				require.ElementsMatch(t, []string{"-1", "2"}, got["numbers"].(*types.AttributeValueMemberNS).Value)
			},
		},
		{
			on: onDynamoDB, name: "a number keeps 38 digits, and loses only the zeros that say nothing", source: dynamodbGuide + "HowItWorks.NamingRulesDataTypes.html",
			run: func(t *trial) {
				for given, kept := range map[string]string{
					"0": "0", "-0": "0", "007": "7", "1.50": "1.5", "100": "100", "1e3": "1000", "0.10": "0.1", "1764000000000123": "1764000000000123",
					"12345678901234567890123456789012345678": "12345678901234567890123456789012345678", "-0.1": "-0.1",
				} {
					it := t.put(t.with("n", item{"n": &types.AttributeValueMemberN{Value: given}}))
					require.Equal(t, &types.AttributeValueMemberN{Value: kept}, t.get(it)["n"], given)
				}
				for _, bad := range []string{"1234567890123456789012345678901234567890", "one", "1e126", ""} {
					_, err := t.db.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: t.with("n", item{"n": &types.AttributeValueMemberN{Value: bad}})})
					t.invalid(err, bad)
				}
			},
		},
		{
			on: onDynamoDB, name: "an item that is put again is replaced whole", source: dynamodbAPI + "PutItem.html",
			run: func(t *trial) {
				t.put(t.with("x", item{"a": num(1), "b": num(2)}))
				it := t.put(t.with("x", item{"a": num(3)}))
				require.Equal(t, it, t.get(it))
			},
		},
		{
			on: onDynamoDB, name: "an item has both keys, as texts that are not empty, of 2,048 and 1,024 bytes at most", source: dynamodbGuide + "Constraints.html",
			run: func(t *trial) {
				long := strings.Repeat("x", 2049)
				for _, bad := range []item{
					{"PK": str("x")},
					{"PK": str("x"), "SK": num(1)},
					{"PK": str("x"), "SK": str("")},
					{"PK": str(""), "SK": str("x")},
					{"PK": str(long), "SK": str("x")},
					{"PK": str("x"), "SK": str(long[:1025])},
				} {
					_, err := t.db.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: bad})
					t.invalid(err)
					_, err = t.db.GetItem(t.ctx, &dynamodb.GetItemInput{TableName: &t.table, Key: bad})
					t.invalid(err)
				}
				longest := t.put(item{"PK": str((t.unique + long)[:2048]), "SK": str(long[:1024])})
				require.Equal(t, longest, t.get(longest))
			},
		},
		{
			on: onDynamoDB, name: "a key of the index is a text that is not empty", source: dynamodbGuide + "GSI.html",
			run: func(t *trial) {
				for _, bad := range []types.AttributeValue{num(1), str("")} {
					_, err := t.db.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: t.with("x", item{"GSI1PK": bad, "GSI1SK": str("s")})})
					t.invalid(err)
				}
				require.Nil(t, t.get(t.key("x")))
			},
		},
		{
			on: onDynamoDB, name: "an item has 400 KB at most, names included", source: dynamodbGuide + "Constraints.html",
			run: func(t *trial) {
				const limit = 400 << 10
				it := t.key("x")
				rest := limit - len("PK"+t.unique+"SK"+"x") - len("b")
				it["b"] = str(strings.Repeat("x", rest))
				t.put(it)
				_, err := t.db.PutItem(t.ctx, &dynamodb.PutItemInput{TableName: &t.table, Item: t.with("x", item{"b": str(strings.Repeat("x", rest+1))})})
				t.invalid(err)
				_, err = t.update(t.key("x"), "SET c = :c", item{":c": str("x")})
				t.invalid(err)
			},
		},
		{
			on: onDynamoDB, name: "what is not there is read as nothing, and deleted without an error", source: dynamodbAPI + "DeleteItem.html",
			run: func(t *trial) {
				require.Nil(t, t.get(t.key("x")))
				t.remove(t.key("x"))
				it := t.put(t.key("x"))
				t.remove(it)
				require.Nil(t, t.get(it))
			},
		},
		{
			on: onDynamoDB, name: "ADD makes an item, counts up and down, and joins sets", source: dynamodbGuide + "Expressions.UpdateExpressions.html",
			run: func(t *trial) {
				for range 2 {
					_, err := t.update(t.key("v"), "ADD v :one", item{":one": num(1)})
					require.NoError(t, err)
				}
				require.Equal(t, t.with("v", item{"v": num(2)}), t.get(t.key("v")))

				named := func(names map[string]string) func(*dynamodb.UpdateItemInput) {
					return func(in *dynamodb.UpdateItemInput) { in.ExpressionAttributeNames = names }
				}
				_, err := t.update(t.key("counts"), "ADD #active :active, #paused :paused", item{":active": num(-1), ":paused": num(1)}, named(map[string]string{"#active": "active", "#paused": "paused"}))
				require.NoError(t, err)
				require.Equal(t, t.with("counts", item{"active": num(-1), "paused": num(1)}), t.get(t.key("counts")))

				odd := map[string]string{"#0": "e#order.created", "#1": "l3", "#2": "l4"}
				for _, mark := range []string{"1000", "2000", "1000"} {
					_, err = t.update(t.key("odd"), "ADD #0 :0, #1 :1 REMOVE #2", item{":0": num(5), ":1": &types.AttributeValueMemberNS{Value: []string{mark}}}, named(odd))
					require.NoError(t, err)
				}
				got := t.get(t.key("odd"))
				require.Equal(t, num(15), got["e#order.created"])
				require.ElementsMatch(t, []string{"1000", "2000"}, got["l3"].(*types.AttributeValueMemberNS).Value)

				for _, list := range [][]string{{"b", "a"}, {"c", "a"}} {
					_, err = t.update(t.key("set"), "SET #1 = :1 ADD #0 :0", item{":0": &types.AttributeValueMemberSS{Value: list}, ":1": num(now)}, named(map[string]string{"#0": "r", "#1": "expires_at"}))
					require.NoError(t, err)
				}
				require.ElementsMatch(t, []string{"a", "b", "c"}, t.get(t.key("set"))["r"].(*types.AttributeValueMemberSS).Value)
			},
		},
		{
			on: onDynamoDB, name: "ADD answers UPDATED_NEW with what it has made of its attribute, and no others", source: dynamodbAPI + "UpdateItem.html",
			run: func(t *trial) {
				t.put(t.with("x", item{"other": num(1), "n": num(4)}))
				out, err := t.update(t.key("x"), "ADD n :n SET expires_at = :until", item{":n": num(3), ":until": num(now)}, func(in *dynamodb.UpdateItemInput) { in.ReturnValues = types.ReturnValueUpdatedNew })
				require.NoError(t, err)
				require.Equal(t, item{"n": num(7), "expires_at": num(now)}, out.Attributes)
			},
		},
		{
			on: onDynamoDB, name: "SET computes from the item as it was, and is refused where there is nothing to compute from", source: dynamodbGuide + "Expressions.UpdateExpressions.html",
			run: func(t *trial) {
				t.put(t.with("x", item{"rl": num(1_000_000)}))
				out, err := t.update(t.key("x"), "SET rl = rl + :n", item{":n": num(2_000_000)}, func(in *dynamodb.UpdateItemInput) { in.ReturnValues = types.ReturnValueUpdatedNew })
				require.NoError(t, err)
				require.Equal(t, item{"rl": num(3_000_000)}, out.Attributes)
				_, err = t.update(t.key("none"), "SET rl = rl + :n", item{":n": num(1)})
				t.invalid(err)
				require.Nil(t, t.get(t.key("none")))
			},
		},
		{
			on: onDynamoDB, name: "SET, ADD and REMOVE work in one expression, each once", source: dynamodbGuide + "Expressions.UpdateExpressions.html",
			run: func(t *trial) {
				t.put(t.with("x", item{"hd": num(1), "expires_at": num(now), "keep": num(1)}))
				_, err := t.update(t.key("x"), "ADD hd :one REMOVE expires_at", item{":one": num(1)})
				require.NoError(t, err)
				require.Equal(t, t.with("x", item{"hd": num(2), "keep": num(1)}), t.get(t.key("x")))
				_, err = t.update(t.key("x"), "SET expires_at = :until REMOVE hd", item{":until": num(now + 7)})
				require.NoError(t, err)
				require.Equal(t, t.with("x", item{"expires_at": num(now + 7), "keep": num(1)}), t.get(t.key("x")))
				_, err = t.update(t.key("x"), "REMOVE nothing, expires_at", nil)
				require.NoError(t, err)
				require.Equal(t, t.with("x", item{"keep": num(1)}), t.get(t.key("x")))
				_, err = t.update(t.key("x"), "SET a = :n SET b = :n", item{":n": num(1)})
				t.invalid(err)
			},
		},
		{
			on: onDynamoDB, name: "an update makes the item that it does not find", source: dynamodbAPI + "UpdateItem.html",
			run: func(t *trial) {
				_, err := t.update(t.key("x"), "SET a = :a REMOVE b", item{":a": str("x")})
				require.NoError(t, err)
				require.Equal(t, t.with("x", item{"a": str("x")}), t.get(t.key("x")))
			},
		},
		{
			on: onDynamoDB, name: "an expression that has a placeholder too many or too few, a reserved word, or a mistake is refused", source: dynamodbGuide + "Expressions.ExpressionAttributeNames.html",
			run: func(t *trial) {
				t.put(t.key("x"))
				for _, bad := range []struct {
					expression string
					values     item
				}{
					{"SET a = :a", nil},
					{"SET a = :a", item{":a": num(1), ":b": num(1)}},
					{"SET status = :a", item{":a": num(1)}},
					{"SET a = ", nil},
					{"SET SK = :a", item{":a": str("y")}},
					{"SET a = :a, a = :a", item{":a": num(1)}},
					{"ADD a :a", item{":a": str("x")}},
				} {
					_, err := t.update(t.key("x"), bad.expression, bad.values)
					t.invalid(err, bad.expression)
				}
				_, err := t.update(t.key("x"), "SET a = :a", item{":a": num(1)}, func(in *dynamodb.UpdateItemInput) { in.ExpressionAttributeNames = map[string]string{"#a": "a"} })
				t.invalid(err, "a name that is not used")
				require.Equal(t, t.key("x"), t.get(t.key("x")))
			},
		},
	}
}
