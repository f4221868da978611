package docstest

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// ulid is what changes in an id from one run to the next.
var ulid = regexp.MustCompile(`[0-7][0-9A-HJKMNP-TV-Z]{25}`)

// keySecret is the end of an API key, which no two keys share.
var keySecret = regexp.MustCompile(`^(ph_[0-9A-Z]{26}_)[0-9a-f]{64}$`)

// bindings say which ULID of this run stands for which printed one.
type bindings map[string]string

// apply puts this run's ULIDs in the place of the printed ones.
func (b bindings) apply(printed string) string {
	return ulid.ReplaceAllStringFunc(printed, func(u string) string {
		if actual, ok := b[u]; ok {
			return actual
		}
		return u
	})
}

// text compares a printed string with a real one: ULIDs stand for each other,
// always the same one, and moments are moments.
func (b bindings) text(path, printed, actual string) error {
	if _, err := time.Parse(time.RFC3339, printed); err == nil {
		if _, err := time.Parse(time.RFC3339, actual); err != nil {
			return fmt.Errorf("%s: printed a time, is %q", path, actual)
		}
		return nil
	}
	if strings.HasPrefix(printed, "whsec_") && strings.HasPrefix(actual, "whsec_") && len(printed) == len(actual) {
		return nil
	}
	printed, actual = keySecret.ReplaceAllString(printed, "${1}"), keySecret.ReplaceAllString(actual, "${1}")
	if ulid.ReplaceAllString(printed, "*") != ulid.ReplaceAllString(actual, "*") {
		return fmt.Errorf("%s: printed %q, is %q", path, printed, actual)
	}
	found := ulid.FindAllString(actual, -1)
	for i, u := range ulid.FindAllString(printed, -1) {
		if known, ok := b[u]; ok && known != found[i] {
			return fmt.Errorf("%s: printed %q, is %q, where %q stood for it before", path, printed, actual, known)
		}
		b[u] = found[i]
	}
	return nil
}

// varying are the numbers that no two runs share.
var varying = map[string]bool{"duration_ms": true, "lag_seconds": true}

// value compares a printed value with a real one.
func (b bindings) value(path string, printed, actual any) error {
	switch p := printed.(type) {
	case map[string]any:
		a, ok := actual.(map[string]any)
		if !ok || !slices.Equal(slices.Sorted(maps.Keys(p)), slices.Sorted(maps.Keys(a))) {
			return fmt.Errorf("%s: printed the fields %v, is %v", path, slices.Sorted(maps.Keys(p)), actual)
		}
		for _, name := range slices.Sorted(maps.Keys(p)) {
			if _, number := a[name].(float64); number && varying[name] {
				continue
			}
			if err := b.value(path+"."+name, p[name], a[name]); err != nil {
				return err
			}
		}
		return nil
	case []any:
		a, ok := actual.([]any)
		if !ok || len(p) != len(a) {
			return fmt.Errorf("%s: printed %d items, is %v", path, len(p), actual)
		}
		for i := range p {
			if err := b.value(fmt.Sprintf("%s[%d]", path, i), p[i], a[i]); err != nil {
				return err
			}
		}
		return nil
	case string:
		if a, ok := actual.(string); ok {
			return b.text(path, p, a)
		}
	default:
		if printed == actual {
			return nil
		}
	}
	return fmt.Errorf("%s: printed %v, is %v", path, printed, actual)
}

// answer compares a printed answer with a real one, and learns which ULIDs
// stand for which when they agree.
func (b bindings) answer(printed, actual string) error {
	var p, a any
	if err := json.Unmarshal([]byte(printed), &p); err != nil {
		return fmt.Errorf("printed answer: %w", err)
	}
	if err := json.Unmarshal([]byte(actual), &a); err != nil {
		return fmt.Errorf("real answer %q: %w", actual, err)
	}
	learnt := maps.Clone(b)
	if err := learnt.value("answer", p, a); err != nil {
		return err
	}
	maps.Copy(b, learnt)
	return nil
}

func TestAnswersAgreeWhenTheySayTheSame(t *testing.T) {
	t.Parallel()
	const one, two, three = "01M85VJ6TCJCQC9NFG2HVKQM0M", "01M85VJ6V0QTTG23C7JX29QM9C", "01M85VJ7WKMGN81RW08P2FV06F"
	b := bindings{}
	require.NoError(t, b.answer(`{"id":"ep_`+one+`","at":"2026-11-24T04:03:30.252Z","n":1,"duration_ms":1,"s":[null,true]}`,
		`{"id":"ep_`+two+`","at":"2027-11-24T04:03:30Z","n":1,"duration_ms":2.5,"s":[null,true]}`))
	secret := strings.Repeat("0a", 32)
	require.NoError(t, b.answer(`{"key":"ph_`+one+`_`+secret+`"}`, `{"key":"ph_`+two+`_`+strings.Repeat("1", 64)+`"}`))
	require.Equal(t, "dlv_"+three+"_"+two, b.apply("dlv_"+three+"_"+one))
	require.NoError(t, b.answer(`{"id":"ep_`+one+`"}`, `{"id":"ep_`+two+`"}`))
	for _, c := range [][2]string{
		{`{"id":"ep_` + one + `"}`, `{"id":"ep_` + three + `"}`},
		{`{"id":"ep_` + three + `"}`, `{"id":"evt_` + three + `"}`},
		{`{"key":"ph_` + one + `_` + secret + `"}`, `{"key":"ph_` + two + `_` + secret[1:] + `"}`},
		{`{"key":"ph_` + one + `_` + secret + `"}`, `{"key":"ph_` + three + `_` + secret + `"}`},
		{`{"a":1}`, `{"a":2}`},
		{`{"a":1}`, `{"a":"1"}`},
		{`{"a":1}`, `{"b":1}`},
		{`{"a":1}`, `{"a":1,"b":1}`},
		{`{"a":[1]}`, `{"a":[1,1]}`},
		{`{"a":null}`, `{"a":""}`},
		{`{"a":"x"}`, `{"a":"y"}`},
		{`{"a":"2026-11-24T04:03:30Z"}`, `{"a":"soon"}`},
		{`{"duration_ms":1}`, `{"duration_ms":null}`},
		{`{"a":1}`, `nothing`},
	} {
		require.Error(t, b.answer(c[0], c[1]), "%s and %s", c[0], c[1])
	}
}
