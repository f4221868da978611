package dynamodb

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/localaws/store"
)

// row is an item of the model: its counter, and its place in the index, where
// it has one.
type row struct {
	N  int
	gs string
}

type rowKey struct{ pk, sk string }

// TestTheServerAgreesWithAMap does random operations on a server and on a map.
func TestTheServerAgreesWithAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		db, err := store.OpenMemory()
		require.NoError(t, err)
		defer func() { require.NoError(t, db.Close()) }()
		s, err := New(Options{Store: db})
		require.NoError(t, err)
		h := &caller{server: s}
		h.call(t, "CreateTable", benchTable)
		model := map[rowKey]row{}
		pks := rapid.SampledFrom([]string{"p", "q"})
		sks := rapid.SampledFrom([]string{"a", "ab", "b", "\x00", "b\x00", "ß"})
		keyJSON := func(k rowKey) string {
			return fmt.Sprintf(`"PK":{"S":%s},"SK":{"S":%s}`, appendText(nil, k.pk), appendText(nil, k.sk))
		}
		draw := func(t *rapid.T) rowKey { return rowKey{pks.Draw(t, "pk"), sks.Draw(t, "sk")} }
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				k, r := draw(t), row{rapid.IntRange(-5, 5).Draw(t, "n"), rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "gs")}
				index := ""
				if r.gs != "" {
					index = `,"GSI1PK":{"S":"g"},"GSI1SK":{"S":"` + r.gs + `"}`
				}
				h.call(t, "PutItem", fmt.Sprintf(`{"TableName":"bench","Item":{%s,"N":{"N":"%d"}%s}}`, keyJSON(k), r.N, index))
				model[k] = r
			},
			"count up if there": func(t *rapid.T) {
				k := draw(t)
				_, code, _ := send(t, s, "UpdateItem", `{"TableName":"bench","Key":{`+keyJSON(k)+`},"UpdateExpression":"SET N = N + :1","ConditionExpression":"attribute_exists(PK)","ExpressionAttributeValues":{":1":{"N":"1"}}}`)
				r, ok := model[k]
				require.Equal(t, ok, code == "")
				if ok {
					model[k] = row{r.N + 1, r.gs}
				}
			},
			"leave the index": func(t *rapid.T) {
				k := draw(t)
				h.call(t, "UpdateItem", `{"TableName":"bench","Key":{`+keyJSON(k)+`},"UpdateExpression":"REMOVE GSI1SK ADD N :0","ExpressionAttributeValues":{":0":{"N":"0"}}}`)
				model[k] = row{model[k].N, ""}
			},
			"delete": func(t *rapid.T) {
				k := draw(t)
				h.call(t, "DeleteItem", `{"TableName":"bench","Key":{`+keyJSON(k)+`}}`)
				delete(model, k)
			},
			"both or none": func(t *rapid.T) {
				k, other, r := draw(t), draw(t), row{rapid.IntRange(-5, 5).Draw(t, "n"), ""}
				if k == other {
					t.Skip("an item is in a transaction once")
				}
				_, code, _ := send(t, s, "TransactWriteItems", fmt.Sprintf(
					`{"TransactItems":[{"Put":{"TableName":"bench","Item":{%s,"N":{"N":"%d"}}}},{"Update":{"TableName":"bench","Key":{%s},"UpdateExpression":"ADD N :1","ConditionExpression":"N > :0","ExpressionAttributeValues":{":1":{"N":"1"},":0":{"N":"0"}}}}]}`,
					keyJSON(k), r.N, keyJSON(other)))
				o := model[other]
				require.Equal(t, o.N > 0, code == "", code)
				if code == "" {
					model[k], model[other] = r, row{o.N + 1, o.gs}
				} else {
					require.Equal(t, "TransactionCanceledException", code)
				}
			},
			"query a part": func(t *rapid.T) {
				pk, a, b := pks.Draw(t, "pk"), sks.Draw(t, "from"), sks.Draw(t, "to")
				if a > b {
					a, b = b, a
				}
				type span struct {
					condition string
					has       func(sk string) bool
				}
				q := rapid.SampledFrom([]span{
					{"SK = :a", func(sk string) bool { return sk == a }},
					{"SK < :a", func(sk string) bool { return sk < a }},
					{"SK <= :a", func(sk string) bool { return sk <= a }},
					{"SK > :a", func(sk string) bool { return sk > a }},
					{"SK >= :a", func(sk string) bool { return sk >= a }},
					{"begins_with(SK, :a)", func(sk string) bool { return strings.HasPrefix(sk, a) }},
					{"SK BETWEEN :a AND :b", func(sk string) bool { return sk >= a && sk <= b }},
				}).Draw(t, "condition")
				backwards, limit := rapid.Bool().Draw(t, "backwards"), rapid.IntRange(1, 4).Draw(t, "limit")
				var want []string
				for _, k := range sortedRows(model) {
					if k.pk == pk && q.has(k.sk) {
						want = append(want, fmt.Sprint(k.sk, model[k].N))
					}
				}
				if backwards {
					slices.Reverse(want)
				}
				values := fmt.Sprintf(`":p":{"S":"%s"},":a":{"S":%s}`, pk, appendText(nil, a))
				if strings.Contains(q.condition, ":b") {
					values += fmt.Sprintf(`,":b":{"S":%s}`, appendText(nil, b))
				}
				query := fmt.Sprintf(`"KeyConditionExpression":"PK = :p AND %s","ExpressionAttributeValues":{%s},"ScanIndexForward":%v,"Limit":%d`, q.condition, values, !backwards, limit)
				require.Equal(t, want, pagedRows(t, s, query, limit))
			},
			"": func(t *rapid.T) { // what the table and the index show
				for _, pk := range []string{"p", "q"} {
					var want []string
					for _, k := range sortedRows(model) {
						if k.pk == pk {
							want = append(want, fmt.Sprint(k.sk, model[k].N))
						}
					}
					require.Equal(t, want, queryRows(t, s, `"KeyConditionExpression":"PK = :p","ExpressionAttributeValues":{":p":{"S":"`+pk+`"}}`))
				}
				var want []string
				rows := sortedRows(model)
				slices.SortStableFunc(rows, func(a, b rowKey) int { return cmp.Compare(model[a].gs, model[b].gs) })
				for _, k := range rows {
					if model[k].gs != "" {
						want = append(want, k.sk+"0") // the counter is not projected
					}
				}
				got := queryRows(t, s, `"IndexName":"GSI1","KeyConditionExpression":"GSI1PK = :p","ExpressionAttributeValues":{":p":{"S":"g"}}`)
				require.ElementsMatch(t, want, got)
			},
		})
	})
}

func sortedRows(model map[rowKey]row) []rowKey {
	return slices.SortedFunc(maps.Keys(model), func(a, b rowKey) int { return cmp.Or(cmp.Compare(a.pk, b.pk), cmp.Compare(a.sk, b.sk)) })
}

func queryRows(t *rapid.T, s *Server, query string) []string {
	return pagedRows(t, s, query, math.MaxInt)
}

// pagedRows queries page after page, of at most so many rows each.
func pagedRows(t *rapid.T, s *Server, query string, limit int) []string {
	var rows []string
	start := ""
	for {
		var out struct {
			Items []struct {
				SK struct{ S string }
				N  counter
			}
			LastEvaluatedKey json.RawMessage
		}
		do(t, s, "Query", `{"TableName":"bench",`+query+start+`}`, &out)
		require.LessOrEqual(t, len(out.Items), limit)
		for _, it := range out.Items {
			rows = append(rows, fmt.Sprint(it.SK.S, it.N.value(t)))
		}
		if out.LastEvaluatedKey == nil {
			return rows
		}
		start = `,"ExclusiveStartKey":` + string(out.LastEvaluatedKey)
	}
}
