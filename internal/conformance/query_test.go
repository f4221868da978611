package conformance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

func large(bytes int) types.AttributeValue { return str(strings.Repeat("x", bytes)) }

// text is a text attribute, "" when there is none.
func text(it item, name string) string {
	if s, ok := it[name].(*types.AttributeValueMemberS); ok {
		return s.Value
	}
	return ""
}

// between is the query that internal/dynamo makes of the trial's partition.
func (t *trial) between(from, below string, edit ...func(*dynamodb.QueryInput)) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{
		TableName: &t.table, KeyConditionExpression: ptr("PK = :pk AND SK BETWEEN :from AND :below"),
		ExpressionAttributeValues: item{":pk": str(t.unique), ":from": str(from), ":below": str(below)}, ConsistentRead: ptr(true),
	}
	for _, e := range edit {
		e(in)
	}
	return in
}

// pages makes a query to its end, and returns the sort keys found, page by
// page.
func (t *trial) pages(in *dynamodb.QueryInput) [][]string {
	name := "SK"
	if in.IndexName != nil {
		name = "GSI1SK"
	}
	var all [][]string
	for {
		out, err := t.db.Query(t.ctx, in)
		require.NoError(t, err)
		keys := []string{}
		for _, it := range out.Items {
			keys = append(keys, text(it, name))
		}
		require.EqualValues(t, len(out.Items), out.Count)
		all = append(all, keys)
		if out.LastEvaluatedKey == nil {
			return all
		}
		require.Less(t, len(all), 100, "it does not end")
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// fill puts items with these sort keys.
func (t *trial) fill(keys ...string) {
	for _, k := range keys {
		t.put(t.key(k))
	}
}

func backwards(in *dynamodb.QueryInput) { in.ScanIndexForward = ptr(false) }

func limited(n int32) func(*dynamodb.QueryInput) {
	return func(in *dynamodb.QueryInput) { in.Limit = &n }
}

// ofState is the query of the index that internal/dynamo makes.
func (t *trial) ofState(state string, edit ...func(*dynamodb.QueryInput)) *dynamodb.QueryInput {
	in := &dynamodb.QueryInput{
		TableName: &t.table, IndexName: ptr("GSI1"), KeyConditionExpression: ptr("GSI1PK = :pk AND GSI1SK BETWEEN :from AND :below"),
		ExpressionAttributeValues: item{":pk": str(t.unique + state), ":from": str("0"), ":below": str("~")},
	}
	for _, e := range edit {
		e(in)
	}
	return in
}

// in is what puts an item into the index.
func (t *trial) in(state, sk string) item {
	return item{"GSI1PK": str(t.unique + state), "GSI1SK": str(sk)}
}

// untilIndexed waits until the index shows these sort keys: it trails the table.
func (t *trial) untilIndexed(state string, want ...string) {
	t.until(fmt.Sprint("an index with ", want), func() bool { return slices.Equal(want, slices.Concat(t.pages(t.ofState(state))...)) })
}

func queryChecks() []check {
	return []check{
		{
			on: onDynamoDB, name: "BETWEEN includes both bounds, and sorts by the bytes of UTF-8", source: dynamodbGuide + "Query.KeyConditionExpressions.html",
			run: func(t *trial) {
				t.fill("é", "a", "DLV#2", "B", "~", "DLV#1", "DLV#", "DLV#10", "\U0001f4ef", "\uffee")
				for _, c := range []struct {
					from, below string
					want        []string
				}{
					{"DLV#1", "DLV#2", []string{"DLV#1", "DLV#10", "DLV#2"}},
					{"DLV#", "DLV#~", []string{"DLV#", "DLV#1", "DLV#10", "DLV#2"}},
					{"0", "\U0010ffff", []string{"B", "DLV#", "DLV#1", "DLV#10", "DLV#2", "a", "~", "é", "\uffee", "\U0001f4ef"}},
					{"x", "y", []string{}},
				} {
					require.Equal(t, [][]string{c.want}, t.pages(t.between(c.from, c.below)))
					slices.Reverse(c.want)
					require.Equal(t, [][]string{c.want}, t.pages(t.between(c.from, c.below, backwards)))
				}
			},
		},
		{
			on: onDynamoDB, name: "a query whose bounds are in the wrong order is refused", source: dynamodbGuide + "Query.KeyConditionExpressions.html",
			run: func(t *trial) {
				_, err := t.db.Query(t.ctx, t.between("b", "a"))
				t.invalid(err)
			},
		},
		{
			on: onDynamoDB, name: "begins_with and comparisons pick a part of a partition", source: dynamodbGuide + "Query.KeyConditionExpressions.html",
			run: func(t *trial) {
				t.fill("A#1", "B#", "B#1", "B#2", "C#1")
				for expression, want := range map[string][]string{
					"PK = :pk AND begins_with(SK, :sk)": {"B#", "B#1", "B#2"},
					"PK = :pk AND SK >= :sk":            {"B#", "B#1", "B#2", "C#1"},
					"PK = :pk AND SK > :sk":             {"B#1", "B#2", "C#1"},
					"PK = :pk AND SK < :sk":             {"A#1"},
					"PK = :pk AND SK <= :sk":            {"A#1", "B#"},
					"PK = :pk AND SK = :sk":             {"B#"},
				} {
					require.Equal(t, [][]string{want}, t.pages(&dynamodb.QueryInput{
						TableName: &t.table, KeyConditionExpression: &expression, ExpressionAttributeValues: item{":pk": str(t.unique), ":sk": str("B#")},
					}), expression)
				}
			},
		},
		{
			on: onDynamoDB, name: "a query that is limited goes on behind its last key, forwards and backwards, to the end", source: dynamodbGuide + "Query.Pagination.html",
			run: func(t *trial) {
				want := []string{"1", "2", "3", "4", "5", "6", "7"}
				t.fill(want...)
				t.fill("9")
				for range 2 {
					for limit := int32(1); limit <= 8; limit++ {
						got := t.pages(t.between("1", "8", limited(limit), func(in *dynamodb.QueryInput) { in.ScanIndexForward = ptr(want[0] == "1") }))
						require.Equal(t, want, slices.Concat(got...), "%d at a time", limit)
						for _, page := range got[:len(got)-1] {
							require.Len(t, page, int(limit))
						}
					}
					slices.Reverse(want)
				}
			},
		},
		{
			on: onDynamoDB, name: "a query may begin behind a key at which there is nothing", source: dynamodbGuide + "Query.Pagination.html",
			run: func(t *trial) {
				t.fill("1", "2", "4")
				require.Equal(t, [][]string{{"4"}}, t.pages(t.between("0", "9", func(in *dynamodb.QueryInput) { in.ExclusiveStartKey = t.key("3") })))
				require.Equal(t, [][]string{{"2", "1"}}, t.pages(t.between("0", "9", backwards, func(in *dynamodb.QueryInput) { in.ExclusiveStartKey = t.key("3") })))
			},
		},
		{
			on: onDynamoDB, name: "a limit counts what is looked at, before the filter", source: dynamodbAPI + "Query.html",
			run: func(t *trial) {
				for i := range 6 {
					t.put(t.with(fmt.Sprint(i), item{"st": str([]string{"dead", "delivered"}[i%2]), "et": str("order.created")}))
				}
				in := t.between("0", "9", limited(3), func(in *dynamodb.QueryInput) {
					in.FilterExpression = ptr("#st = :st AND #et = :et")
					in.ExpressionAttributeNames = map[string]string{"#st": "st", "#et": "et"}
					in.ExpressionAttributeValues[":st"], in.ExpressionAttributeValues[":et"] = str("dead"), str("order.created")
				})
				out, err := t.db.Query(t.ctx, in)
				require.NoError(t, err)
				require.EqualValues(t, []int32{2, 3}, []int32{out.Count, out.ScannedCount})
				require.Equal(t, t.key("2"), out.LastEvaluatedKey)
				require.Equal(t, []string{"0", "2", "4"}, slices.Concat(t.pages(in)...))
			},
		},
		{
			on: onDynamoDB, name: "a page can be empty and still not be the last", source: dynamodbGuide + "Query.Pagination.html",
			run: func(t *trial) {
				t.fill("1", "2")
				t.put(t.with("3", item{"t": str("x")}))
				in := t.between("0", "9", limited(2), func(in *dynamodb.QueryInput) {
					in.FilterExpression = ptr("#t = :t")
					in.ExpressionAttributeNames, in.ExpressionAttributeValues[":t"] = map[string]string{"#t": "t"}, str("x")
				})
				got := t.pages(in)
				require.Empty(t, got[0])
				require.Equal(t, []string{"3"}, slices.Concat(got...))
			},
		},
		{
			on: onDynamoDB, name: "a query looks at 1 MB at a time", source: dynamodbAPI + "Query.html",
			run: func(t *trial) {
				want := []string{"1", "2", "3", "4", "5", "6"}
				for _, sk := range want {
					t.put(t.with(sk, item{"b": large(300 << 10)}))
				}
				got := t.pages(t.between("0", "9"))
				require.Equal(t, want, slices.Concat(got...))
				require.GreaterOrEqual(t, len(got), 2)
				require.LessOrEqual(t, len(got[0]), 4)
				require.GreaterOrEqual(t, len(got[0]), 3)
				counting := t.between("0", "9", func(in *dynamodb.QueryInput) { in.Select = types.SelectCount })
				out, err := t.db.Query(t.ctx, counting)
				require.NoError(t, err)
				require.NotNil(t, out.LastEvaluatedKey, "what is counted is looked at too")
			},
		},
		{
			on: onDynamoDB, name: "COUNT counts what the filter lets through, and answers with no item", source: dynamodbAPI + "Query.html",
			run: func(t *trial) {
				t.fill("1", "2")
				t.put(t.with("3", item{"expires_at": num(now)}))
				t.put(t.with("4", item{"expires_at": num(now + 1)}))
				out, err := t.db.Query(t.ctx, t.between("0", "9", func(in *dynamodb.QueryInput) {
					in.Select = types.SelectCount
					in.FilterExpression = ptr("(attribute_not_exists(expires_at) OR expires_at > :now)")
					in.ExpressionAttributeValues[":now"] = num(now)
				}))
				require.NoError(t, err)
				require.EqualValues(t, []int32{3, 4}, []int32{out.Count, out.ScannedCount})
				require.Empty(t, out.Items)
			},
		},
		{
			on: onDynamoDB, name: "a query whose key condition or filter is none is refused", source: dynamodbAPI + "Query.html",
			run: func(t *trial) {
				for _, expression := range []string{"SK = :from", "PK > :pk", "PK = :pk OR SK = :from", "PK = :pk AND SK <> :from", "PK = :pk AND SK > :from AND SK < :below"} {
					in := t.between("a", "b", func(in *dynamodb.QueryInput) { in.KeyConditionExpression = &expression })
					for name := range in.ExpressionAttributeValues {
						if !strings.Contains(expression, name) {
							delete(in.ExpressionAttributeValues, name)
						}
					}
					_, err := t.db.Query(t.ctx, in)
					t.invalid(err, expression)
				}
				_, err := t.db.Query(t.ctx, t.between("a", "b", func(in *dynamodb.QueryInput) { in.FilterExpression = ptr("SK = :from") }))
				t.invalid(err, "a filter on a key")
				_, err = t.db.Query(t.ctx, t.between("a", "b", limited(0)))
				t.invalid(err, "a limit of nothing")
			},
		},
		{
			on: onDynamoDB, name: "the index holds keys, and only of items that have both of its own", source: dynamodbGuide + "GSI.html",
			run: func(t *trial) {
				t.put(t.with("a", t.in("#DEAD", "3")))
				half := t.with("b", t.in("#DEAD", "2"))
				delete(half, "GSI1PK")
				t.put(half)
				other := t.with("c", t.in("#DEAD", "1"))
				delete(other, "GSI1SK")
				t.put(other)
				full := t.with("d", t.in("#DEAD", "4"))
				full["st"] = str("dead")
				t.put(full)
				t.untilIndexed("#DEAD", "3", "4")
				out, err := t.db.Query(t.ctx, t.ofState("#DEAD"))
				require.NoError(t, err)
				delete(full, "st")
				require.Equal(t, full, out.Items[1])
			},
		},
		{
			on: onDynamoDB, name: "the index follows an item that moves in it, and one that leaves it", source: dynamodbGuide + "GSI.html",
			run: func(t *trial) {
				t.put(t.with("a", t.in("#RETRYING", "1")))
				t.put(t.with("b", t.in("#RETRYING", "2")))
				t.put(t.with("c", t.in("#RETRYING", "3")))
				t.untilIndexed("#RETRYING", "1", "2", "3")
				t.put(t.with("a", t.in("#DEAD", "9")))
				t.put(t.key("b"))
				_, err := t.update(t.key("c"), "SET GSI1SK = :sk", item{":sk": str("0")})
				require.NoError(t, err)
				t.untilIndexed("#RETRYING", "0")
				t.untilIndexed("#DEAD", "9")
				_, err = t.update(t.key("c"), "REMOVE GSI1PK, GSI1SK", nil)
				require.NoError(t, err)
				t.remove(t.key("a"))
				t.untilIndexed("#RETRYING")
				t.untilIndexed("#DEAD")
			},
		},
		{
			on: onDynamoDB, name: "a query of the index goes on behind the keys of both, also among equals", source: dynamodbGuide + "Query.Pagination.html",
			run: func(t *trial) {
				for _, sk := range []string{"a", "b", "c", "d", "e"} {
					t.put(t.with(sk, t.in("#HELD", "same")))
				}
				t.untilIndexed("#HELD", "same", "same", "same", "same", "same")
				in := t.ofState("#HELD", limited(2))
				seen := map[string]bool{}
				for {
					out, err := t.db.Query(t.ctx, in)
					require.NoError(t, err)
					for _, it := range out.Items {
						require.False(t, seen[text(it, "SK")], "twice")
						seen[text(it, "SK")] = true
					}
					if out.LastEvaluatedKey == nil {
						break
					}
					require.Len(t, out.LastEvaluatedKey, 4, "the keys of the index and of the table")
					in.ExclusiveStartKey = out.LastEvaluatedKey
				}
				require.Len(t, seen, 5)
			},
		},
		{
			on: onDynamoDB, name: "the index is queried by a bound, counted, and walked both ways", source: dynamodbGuide + "GSI.html",
			run: func(t *trial) {
				for _, sk := range []string{"1", "2", "3"} {
					t.put(t.with(sk, t.in("#DEAD", "2026-11-24T0"+sk)))
				}
				t.untilIndexed("#DEAD", "2026-11-24T01", "2026-11-24T02", "2026-11-24T03")
				out, err := t.db.Query(t.ctx, &dynamodb.QueryInput{
					TableName: &t.table, IndexName: ptr("GSI1"), KeyConditionExpression: ptr("GSI1PK = :pk AND GSI1SK >= :from"), Select: types.SelectCount,
					ExpressionAttributeValues: item{":pk": str(t.unique + "#DEAD"), ":from": str("2026-11-24T02")},
				})
				require.NoError(t, err)
				require.EqualValues(t, 2, out.Count)
				require.Equal(t, [][]string{{"2026-11-24T03", "2026-11-24T02", "2026-11-24T01"}}, t.pages(t.ofState("#DEAD", backwards)))
			},
		},
		{
			on: onDynamoDB, name: "the index has no strongly consistent reads, and shows nothing that it does not hold", source: dynamodbGuide + "GSI.html",
			run: func(t *trial) {
				_, err := t.db.Query(t.ctx, t.ofState("#DEAD", func(in *dynamodb.QueryInput) { in.ConsistentRead = ptr(true) }))
				t.invalid(err, "consistent")
				_, err = t.db.Query(t.ctx, t.ofState("#DEAD", func(in *dynamodb.QueryInput) { in.Select = types.SelectAllAttributes }))
				t.invalid(err, "all attributes")
			},
		},
		{
			on: onDynamoDB, name: "a scan finds everything once, in pages and in segments", source: dynamodbAPI + "Scan.html",
			run: func(t *trial) {
				// Items of one partition are in one segment, whichever it is.
				const segments = 3
				want, found := map[string]int{}, map[string]int{}
				for n := range 6 {
					it := t.put(item{"PK": str(fmt.Sprint(t.unique, "#", n)), "SK": str("s"), "a": str(t.unique)})
					want[text(it, "PK")] = 1
				}
				for segment := range int32(segments) {
					pages := dynamodb.NewScanPaginator(t.db, &dynamodb.ScanInput{
						TableName: &t.table, Segment: &segment, TotalSegments: ptr(int32(segments)), Limit: ptr(int32(100)), ConsistentRead: ptr(true),
						FilterExpression: ptr("#a = :a"), ExpressionAttributeNames: map[string]string{"#a": "a"}, ExpressionAttributeValues: item{":a": str(t.unique)},
					})
					for pages.HasMorePages() {
						page, err := pages.NextPage(t.ctx)
						require.NoError(t, err)
						for _, it := range page.Items {
							found[text(it, "PK")]++
						}
					}
				}
				require.Equal(t, want, found)
			},
		},
	}
}
