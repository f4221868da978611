package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/inproc"
)

func alikeChecks() []check {
	return []check{{
		on: onDynamoDB, name: "random calls are answered as the local default answers them", source: dynamodbGuide + "Expressions.html",
		run: func(t *trial) {
			seeds := *alikeSeeds
			if t.target.name == localDefault {
				seeds = 1 // it is asked whether it is like itself
			}
			for seed := range seeds {
				t.compare(*alikeFirst+seed, *alikeCalls)
			}
		},
	}}
}

// compare makes random calls of the target and of a local default of its own,
// and asks that they answer alike: so is found what nobody thought to ask.
func (t *trial) compare(seed uint64, calls int) {
	services, err := localaws.Open("")
	require.NoError(t, err)
	defer func() { require.NoError(t, services.Close()) }()
	config := aws.Config{
		Region: "us-east-1", BaseEndpoint: ptr("http://local"), HTTPClient: inproc.Client(services),
		Credentials: credentials.NewStaticCredentialsProvider("conformance", "conformance", ""),
	}
	require.NoError(t, dynamo.CreateTable(t.ctx, config, t.table))
	local := dynamodb.NewFromConfig(config)

	r := &random{Rand: rand.New(rand.NewPCG(seed, 0)), pk: fmt.Sprint(t.unique, "#", seed), table: &t.table}
	var told []string
	for range calls {
		name, in := r.call()
		told = append(told, name+" "+written(t, pruned(t, in)))
		want, got := answer(t, local, in), answer(t, t.db, in)
		require.Equal(t, want, got, "seed %d: the local default and this differ after\n%s", seed, strings.Join(told[max(0, len(told)-6):], "\n"))
	}
}

// written is a value as text.
func written(t *trial, v any) string {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return strings.NewReplacer("\\u003c", "<", "\\u003e", ">").Replace(string(text))
}

// pruned is a value without what says nothing in it, for people to read.
func pruned(t *trial, v any) any {
	var tree any
	require.NoError(t, json.Unmarshal([]byte(written(t, v)), &tree))
	var prune func(any) any
	prune = func(v any) any {
		switch v := v.(type) {
		case map[string]any:
			for name, e := range v {
				if e = prune(e); e == nil || e == "" || name == "TableName" || name == "PK" {
					delete(v, name)
				} else {
					v[name] = e
				}
			}
			if e, ok := v["Value"]; ok && len(v) == 1 {
				return e
			}
		case []any:
			for i := range v {
				v[i] = prune(v[i])
			}
		}
		return v
	}
	return prune(tree)
}

// answer makes a call, and says what its caller learns: of errors the code, the
// reasons and the items, and no text.
func answer(t *trial, db *dynamodb.Client, in any) string {
	var out map[string]any
	var err error
	switch in := in.(type) {
	case *dynamodb.PutItemInput:
		var o *dynamodb.PutItemOutput
		if o, err = db.PutItem(t.ctx, in); err == nil {
			out = map[string]any{"old": plain(o.Attributes), "units": fmt.Sprint(unitsOf(o.ConsumedCapacity))}
		}
	case *dynamodb.UpdateItemInput:
		var o *dynamodb.UpdateItemOutput
		if o, err = db.UpdateItem(t.ctx, in); err == nil {
			out = map[string]any{"attributes": plain(o.Attributes), "units": fmt.Sprint(unitsOf(o.ConsumedCapacity))}
		}
	case *dynamodb.DeleteItemInput:
		var o *dynamodb.DeleteItemOutput
		if o, err = db.DeleteItem(t.ctx, in); err == nil {
			out = map[string]any{"old": plain(o.Attributes), "units": fmt.Sprint(unitsOf(o.ConsumedCapacity))}
		}
	case *dynamodb.TransactWriteItemsInput:
		_, err = db.TransactWriteItems(t.ctx, in)
	case *dynamodb.BatchGetItemInput:
		var o *dynamodb.BatchGetItemOutput
		if o, err = db.BatchGetItem(t.ctx, in); err == nil {
			out = map[string]any{"items": sorted(t, o.Responses[t.table])}
		}
	case *dynamodb.BatchWriteItemInput:
		var o *dynamodb.BatchWriteItemOutput
		if o, err = db.BatchWriteItem(t.ctx, in); err == nil {
			out = map[string]any{"left": len(o.UnprocessedItems)}
		}
	case *dynamodb.QueryInput:
		var o *dynamodb.QueryOutput
		if o, err = db.Query(t.ctx, in); err == nil {
			items := []any{}
			for _, it := range o.Items {
				items = append(items, plain(it))
			}
			out = map[string]any{"items": items, "count": o.Count, "scanned": o.ScannedCount}
			if o.ScannedCount > 0 { // who counts nothing for a query that finds nothing is excepted elsewhere
				out["units"] = fmt.Sprint(unitsOf(o.ConsumedCapacity))
			}
			if in.Limit == nil || o.ScannedCount < *in.Limit { // at its limit a page may name a last key behind which there is nothing
				out["last"] = plain(o.LastEvaluatedKey)
			}
		}
	}
	if err != nil {
		require.NotEmpty(t, code(err), "%v", err)
		out = map[string]any{"code": code(err), "reasons": cancelled(err), "items": refusedItems(err)}
		// A transaction that cannot be done on its items is cancelled for it, or, by
		// some, refused.
		if slices.Contains(cancelled(err), "ValidationError") {
			out = map[string]any{"code": "ValidationException", "reasons": nil, "items": nil}
		}
	}
	return written(t, out)
}

// refusedItems are the items that a refused write answers with.
func refusedItems(err error) []any {
	var one *types.ConditionalCheckFailedException
	var many *types.TransactionCanceledException
	var items []any
	switch {
	case errors.As(err, &one):
		items = append(items, plain(one.Item))
	case errors.As(err, &many):
		for _, r := range many.CancellationReasons {
			items = append(items, plain(r.Item))
		}
	}
	return items
}

// sorted are items in an order of their own, where the service's is not told.
func sorted(t *trial, items []item) []string {
	var all []string
	for _, it := range items {
		all = append(all, written(t, plain(it)))
	}
	slices.Sort(all)
	return all
}

// plain is an item in which values that are the same look the same; nil when
// there is none.
func plain(it item) any {
	if len(it) == 0 {
		return nil
	}
	out := map[string]any{}
	for name, v := range it {
		out[name] = plainValue(v)
	}
	return out
}

func plainValue(v types.AttributeValue) any {
	switch v := v.(type) {
	case *types.AttributeValueMemberM:
		return map[string]any{"M": plain(v.Value)}
	case *types.AttributeValueMemberL:
		list := []any{}
		for _, e := range v.Value {
			list = append(list, plainValue(e))
		}
		return list
	case *types.AttributeValueMemberSS:
		return map[string]any{"SS": slices.Sorted(slices.Values(v.Value))}
	case *types.AttributeValueMemberNS:
		return map[string]any{"NS": slices.Sorted(slices.Values(v.Value))}
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return map[string]any{"N": v.Value}
	case *types.AttributeValueMemberBOOL:
		return v.Value
	default: // what random calls up has no others
		return nil
	}
}

// random makes calls up: about a few items with a few attributes, so that they
// meet.
type random struct {
	*rand.Rand
	pk    string
	table *string

	names  map[string]string // of the call that is being made up
	values item
}

func pick[T any](r *random, list ...T) T { return list[r.IntN(len(list))] }

// call makes a call up and names it.
func (r *random) call() (name string, in any) {
	r.names, r.values = nil, nil
	switch n := r.IntN(21); {
	case n < 4:
		condition := r.maybe(2, r.condition)
		return "PutItem", &dynamodb.PutItemInput{
			TableName: r.table, Item: r.item(), ConditionExpression: condition, ExpressionAttributeNames: r.names, ExpressionAttributeValues: r.values,
			ReturnValues:                        pick(r, types.ReturnValueNone, types.ReturnValueAllOld),
			ReturnValuesOnConditionCheckFailure: r.onFailure(), ReturnConsumedCapacity: indexes,
		}
	case n < 10:
		update, condition := r.maybe(20, r.update), r.maybe(3, r.condition)
		return "UpdateItem", &dynamodb.UpdateItemInput{
			TableName: r.table, Key: r.key(), UpdateExpression: update, ConditionExpression: condition,
			ExpressionAttributeNames: r.names, ExpressionAttributeValues: r.values, ReturnValues: r.returns(update),
			ReturnValuesOnConditionCheckFailure: r.onFailure(), ReturnConsumedCapacity: indexes,
		}
	case n < 12:
		condition := r.maybe(2, r.condition)
		return "DeleteItem", &dynamodb.DeleteItemInput{
			TableName: r.table, Key: r.key(), ConditionExpression: condition, ExpressionAttributeNames: r.names, ExpressionAttributeValues: r.values,
			ReturnValues:                        pick(r, types.ReturnValueNone, types.ReturnValueAllOld),
			ReturnValuesOnConditionCheckFailure: r.onFailure(), ReturnConsumedCapacity: indexes,
		}
	case n < 15:
		return "TransactWriteItems", r.transaction()
	case n < 16:
		keys := []item{}
		for _, sk := range r.some("a", "b", "c", "d") {
			keys = append(keys, item{"PK": str(r.pk), "SK": str(sk)})
		}
		return "BatchGetItem", &dynamodb.BatchGetItemInput{RequestItems: map[string]types.KeysAndAttributes{*r.table: {Keys: keys, ConsistentRead: ptr(true)}}}
	case n < 17:
		var writes []types.WriteRequest
		for _, sk := range r.some("a", "b", "c", "d") {
			it := r.item()
			it["SK"] = str(sk)
			w := putOf(it)
			if r.IntN(2) == 0 {
				w = types.WriteRequest{DeleteRequest: &types.DeleteRequest{Key: item{"PK": it["PK"], "SK": it["SK"]}}}
			}
			writes = append(writes, w)
		}
		return "BatchWriteItem", &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{*r.table: writes}}
	default:
		return "Query", r.query()
	}
}

// maybe makes an expression up, of so many times all but once.
func (r *random) maybe(of int, expression func() string) *string {
	if r.IntN(of) == 0 {
		return nil
	}
	return ptr(expression())
}

func (r *random) onFailure() types.ReturnValuesOnConditionCheckFailure {
	return pick(r, types.ReturnValuesOnConditionCheckFailureNone, types.ReturnValuesOnConditionCheckFailureAllOld)
}

// returns picks what an update answers with. What is updated inside of an
// attribute is told by some alone, and by some with the rest of it.
func (r *random) returns(update *string) types.ReturnValue {
	if update == nil || strings.ContainsAny(*update, ".[") {
		return pick(r, types.ReturnValueNone, types.ReturnValueAllOld, types.ReturnValueAllNew)
	}
	return pick(r, types.ReturnValueAllNew, types.ReturnValueUpdatedOld, types.ReturnValueUpdatedNew)
}

// some picks a part of a list, at least one.
func (r *random) some(list ...string) []string {
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list[:1+r.IntN(len(list))]
}

func (r *random) key() item { return item{"PK": str(r.pk), "SK": str(pick(r, "a", "b", "c", "d"))} }

func (r *random) item() item {
	it := r.key()
	for _, name := range r.some("a", "b", "l", "m", "s") {
		it[name] = r.valueOf(name)
	}
	if r.IntN(3) == 0 {
		maps.Copy(it, item{"GSI1PK": str(r.pk + "#DEAD"), "GSI1SK": str(r.indexSortKey())})
	}
	return it
}

// indexSortKey is one that no other item has: the order of equals is not told.
func (r *random) indexSortKey() string { return fmt.Sprint(1+r.IntN(3), "-", r.Uint64()) }

// valueOf makes a value up that goes with a name, most of the time.
func (r *random) valueOf(name string) types.AttributeValue {
	if r.IntN(8) == 0 {
		name = pick(r, "a", "b", "l", "m", "s")
	}
	switch name {
	case "a":
		return &types.AttributeValueMemberN{Value: pick(r, "0", "1", "2", "-1", "0.1", "1.5", "10", "100", "12345678901234567890.123456789012345678")}
	case "b":
		return str(pick(r, "", "a", "ab", "b", "B", "é", "📯", strings.Repeat("x", 700+r.IntN(2000))))
	case "l":
		list := []types.AttributeValue{}
		for range r.IntN(3) {
			list = append(list, r.valueOf(pick(r, "a", "b", "m")))
		}
		return &types.AttributeValueMemberL{Value: list}
	case "m":
		m := item{}
		for range r.IntN(3) {
			m[pick(r, "x", "y")] = r.valueOf(pick(r, "a", "b", "s"))
		}
		return &types.AttributeValueMemberM{Value: m}
	default:
		switch r.IntN(4) {
		case 0:
			return &types.AttributeValueMemberSS{Value: r.some("a", "b", "c")}
		case 1:
			return &types.AttributeValueMemberNS{Value: r.some("1", "2", "10")}
		case 2:
			return &types.AttributeValueMemberBOOL{Value: r.IntN(2) == 0}
		default:
			return &types.AttributeValueMemberNULL{Value: true}
		}
	}
}

// path makes a path up; name is the attribute it begins with.
func (r *random) path() (path, name string) {
	p := pick(r, "a", "b", "l", "m", "s", "a", "b", "m.x", "m.y", "l[0]", "l[1]", "#a", "none")
	if p == "#a" {
		if r.names == nil {
			r.names = map[string]string{}
		}
		r.names["#a"] = "a"
		return p, "a"
	}
	name = p[:1]
	switch p {
	case "m.x", "m.y", "l[0]", "l[1]":
		name = pick(r, "a", "b", "s")
	}
	return p, name
}

// literal names a value.
func (r *random) literal(v types.AttributeValue) string {
	if r.values == nil {
		r.values = item{}
	}
	name := fmt.Sprint(":", len(r.values))
	r.values[name] = v
	return name
}

func (r *random) condition() string {
	switch r.IntN(8) {
	case 0:
		return r.condition() + " AND " + r.condition()
	case 1:
		return r.condition() + " OR " + r.condition()
	case 2:
		return "NOT (" + r.condition() + ")"
	default:
		return r.leaf()
	}
}

func (r *random) leaf() string {
	p, name := r.path()
	value := func() string { return r.literal(r.valueOf(name)) }
	switch r.IntN(9) {
	case 0:
		return "attribute_exists(" + p + ")"
	case 1:
		return "attribute_not_exists(" + p + ")"
	case 2:
		return "attribute_type(" + p + ", " + r.literal(str(pick(r, "S", "N", "L", "M", "SS", "NS", "BOOL", "NULL"))) + ")"
	case 3:
		return "begins_with(" + p + ", " + value() + ")"
	case 4:
		return "contains(" + p + ", " + r.literal(r.valueOf(pick(r, "a", "b"))) + ")"
	case 5:
		return "size(" + p + ") " + pick(r, "=", "<", ">=") + " " + r.literal(num(r.IntN(3)))
	case 6:
		return p + " BETWEEN " + value() + " AND " + value()
	case 7:
		return p + " IN (" + value() + ", " + value() + ")"
	default:
		if other, _ := r.path(); r.IntN(4) == 0 {
			return p + " " + pick(r, "=", "<>", "<") + " " + other
		}
		return p + " " + pick(r, "=", "<>", "<", "<=", ">", ">=") + " " + value()
	}
}

func (r *random) update() string {
	var sections []string
	for _, section := range r.some("SET", "REMOVE", "ADD", "DELETE") {
		var actions []string
		for range 1 + r.IntN(2) {
			actions = append(actions, r.action(section))
		}
		sections = append(sections, section+" "+strings.Join(actions, ", "))
	}
	return strings.Join(sections, " ")
}

func (r *random) action(section string) string {
	p, name := r.path()
	other, _ := r.path()
	switch section {
	case "REMOVE":
		return pick(r, p, p, "GSI1SK")
	case "ADD":
		return p + " " + r.literal(r.valueOf(pick(r, "a", "s")))
	case "DELETE":
		return p + " " + r.literal(r.valueOf("s"))
	}
	switch r.IntN(6) {
	case 0:
		return p + " = " + other + pick(r, " + ", " - ") + r.literal(num(r.IntN(3)))
	case 1:
		return p + " = if_not_exists(" + other + ", " + r.literal(r.valueOf(name)) + ")"
	case 2:
		return p + " = list_append(" + other + ", " + r.literal(&types.AttributeValueMemberL{Value: []types.AttributeValue{num(r.IntN(3))}}) + ")"
	case 3:
		return p + " = " + other
	case 4:
		return pick(r, "GSI1PK = "+r.literal(str(r.pk+"#DEAD")), "GSI1SK = "+r.literal(str(r.indexSortKey())))
	default:
		return p + " = " + r.literal(r.valueOf(name))
	}
}

func (r *random) transaction() *dynamodb.TransactWriteItemsInput {
	in := &dynamodb.TransactWriteItemsInput{}
	for _, sk := range r.some("a", "b", "c", "d") {
		r.names, r.values = nil, nil
		key := item{"PK": str(r.pk), "SK": str(sk)}
		var w types.TransactWriteItem
		switch r.IntN(4) {
		case 0:
			it := r.item()
			it["SK"] = str(sk)
			condition := r.maybe(2, r.condition)
			w.Put = &types.Put{TableName: r.table, Item: it, ConditionExpression: condition, ExpressionAttributeNames: r.names, ExpressionAttributeValues: r.values, ReturnValuesOnConditionCheckFailure: r.onFailure()}
		case 1:
			update, condition := r.update(), r.maybe(2, r.condition)
			w.Update = &types.Update{TableName: r.table, Key: key, UpdateExpression: &update, ConditionExpression: condition, ExpressionAttributeNames: r.names, ExpressionAttributeValues: r.values, ReturnValuesOnConditionCheckFailure: r.onFailure()}
		case 2:
			condition := r.maybe(2, r.condition)
			w.Delete = &types.Delete{TableName: r.table, Key: key, ConditionExpression: condition, ExpressionAttributeNames: r.names, ExpressionAttributeValues: r.values, ReturnValuesOnConditionCheckFailure: r.onFailure()}
		default:
			condition := r.condition()
			w.ConditionCheck = &types.ConditionCheck{TableName: r.table, Key: key, ConditionExpression: &condition, ExpressionAttributeNames: r.names, ExpressionAttributeValues: r.values, ReturnValuesOnConditionCheckFailure: r.onFailure()}
		}
		in.TransactItems = append(in.TransactItems, w)
	}
	return in
}

func (r *random) query() *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{TableName: r.table, ScanIndexForward: ptr(r.IntN(2) == 0), ReturnConsumedCapacity: indexes}
	pk, sk, of, keys := "PK", "SK", r.pk, []string{"a", "b", "c", "d"}
	if r.IntN(3) == 0 {
		in.IndexName, pk, sk, of, keys = ptr("GSI1"), "GSI1PK", "GSI1SK", r.pk+"#DEAD", []string{"1", "2", "3"}
	}
	key := pk + " = " + r.literal(str(of))
	operand := func() string { return r.literal(str(pick(r, keys...))) }
	switch r.IntN(4) {
	case 0:
		key += " AND " + sk + " BETWEEN " + operand() + " AND " + operand()
	case 1:
		key += " AND " + sk + " " + pick(r, "=", "<", "<=", ">", ">=") + " " + operand()
	case 2:
		key += " AND begins_with(" + sk + ", " + operand() + ")"
	}
	in.KeyConditionExpression = &key
	if in.IndexName == nil {
		in.FilterExpression = r.maybe(2, r.condition)
	}
	if r.IntN(2) == 0 {
		in.Limit = ptr(int32(1 + r.IntN(3)))
	}
	if r.IntN(4) == 0 {
		in.Select = types.SelectCount
	}
	in.ExpressionAttributeNames, in.ExpressionAttributeValues = r.names, r.values
	return in
}
