package dynamodb

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzExpressions feeds texts to the expression parser: it must answer every
// one, and what it takes must bind and evaluate without a panic.
func FuzzExpressions(f *testing.F) {
	for _, r := range []string{
		"a = :v", "NOT (a.b[1].#c <> size(d)) OR e IN (:v, f) AND g BETWEEN :v AND :w", "begins_with(a, :v) and attribute_type(b, :w)",
		"SET a = if_not_exists(b, :v) + :w, c[1] = list_append(d, :v) REMOVE e ADD f :v DELETE g :w", "a, b.c, #d[3]", "PK = :v AND SK >= :w", "((((", "a = :v AND", "#", "SET a = (b + :v)",
	} {
		f.Add(r)
	}
	kinds := []value{{kind: kindN, text: "1"}, {kind: kindS, text: "S"}, {kind: kindSS, list: []value{{kind: kindS, text: "x"}}}, {kind: kindL}}
	target := item{{"a", kinds[0]}, {"b", kinds[1]}, {"c", value{kind: kindL, list: kinds}}, {"d", value{kind: kindM, attrs: item{{"a", kinds[2]}}}}}
	f.Fuzz(func(t *testing.T, text string) {
		for k := exprCondition; k <= exprProjection; k++ {
			e, err := parseExpression(k, text)
			if err != nil {
				continue
			}
			for shift := range kinds {
				var names []nameDef
				var values item
				for i, n := range e.names {
					names = append(names, nameDef{n, string(rune('a' + (i+shift)%4))})
				}
				for i, v := range e.values {
					values = append(values, attribute{v, kinds[(i+shift)%len(kinds)]})
				}
				sc, err := newScope(names, normalise(values))
				require.NoError(t, err)
				b, err := sc.bind(e)
				if err != nil {
					continue
				}
				require.NoError(t, sc.done(true))
				switch k {
				case exprUpdate:
					if it, err := b.apply(target); err == nil {
						requireRoundTrip(t, it)
					}
				case exprProjection:
					requireRoundTrip(t, b.tree(b.projection).of(target))
				default:
					b.condition.holds(b, target)
				}
			}
		}
	})
}

func requireRoundTrip(t *testing.T, it item) {
	t.Helper()
	size := it.size()
	got, n, err := decodeRecord(appendRecord(nil, it, size))
	require.NoError(t, err)
	require.Equal(t, size, n)
	require.True(t, equalItems(it, got))
}

// FuzzValues feeds texts to the value decoder: what it takes must come back
// from its JSON and from its stored form.
func FuzzValues(f *testing.F) {
	for _, s := range []string{
		`{"a":{"S":"x"}}`, `{"a":{"N":"-1.5e3"},"b":{"B":"AAE="}}`, `{"a":{"L":[{"M":{"x":{"NULL":true}}},{"BOOL":false}]}}`, `{"a":{"SS":["b","a"]},"b":{"NS":["2","10"]},"c":{"BS":["AA=="]}}`,
		`{"a":{"S":"\u00e9\ud83d\ude00\ud800\n\\\""}}`, ` { } `, `{"a":`, `{"a":{"S":"x"},"a":{"S":"y"}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		d := &decoder{s: text}
		it, err := d.item(1, 2)
		if err = finish(d, err); err != nil {
			return
		}
		requireRoundTrip(t, it)
		out := appendItem(nil, it)
		require.True(t, json.Valid(out), string(out))
		again, err := (&decoder{s: string(out)}).item(1, 2)
		require.NoError(t, err)
		require.True(t, equalItems(it, again), "%s became %s", text, out)
	})
}

// FuzzRecords feeds bytes to the reader of stored items.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendRecord(nil, item{{"a", value{kind: kindL, list: []value{{kind: kindBool, truth: true}, {kind: kindNull, truth: true}}}}}, 9))
	f.Fuzz(func(t *testing.T, b []byte) {
		it, _, err := decodeRecord(b)
		if err == nil {
			require.NotNil(t, it)
		}
	})
}
