package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What is large or odd has its answer, and what is accepted arrives as it was
// given. docs/api.md says the same.
func TestLargeAndOddEvents(t *testing.T) {
	t.Parallel()
	const limit = 256 << 10
	ofSize := func(n int) string { return `{"a":"` + strings.Repeat("x", n-len(`{"a":""}`)) + `"}` }
	deep := func(n int) string { return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}` }
	for name, tc := range map[string]struct {
		payload string
		status  int
		code    string
	}{
		"the largest":            {ofSize(limit), http.StatusAccepted, ""},
		"one byte too large":     {ofSize(limit + 1), http.StatusRequestEntityTooLarge, "payload_too_large"},
		"far too large":          {ofSize(1 << 20), http.StatusRequestEntityTooLarge, "body_too_large"},
		"the deepest":            {deep(100), http.StatusAccepted, ""},
		"too deep":               {deep(101), http.StatusBadRequest, "payload_too_deep"},
		"far too deep":           {deep(100_000), http.StatusBadRequest, "payload_too_deep"},
		"a key twice":            {`{"a":1,"a":2,"b":{"c":3,"c":4}}`, http.StatusAccepted, ""},
		"numbers of any size":    {`{"a":1e999,"b":123456789012345678901234567890.10}`, http.StatusAccepted, ""},
		"control characters":     {`{"a":"\u0000\u001f\ud83d\ude00"}`, http.StatusAccepted, ""},
		"half a surrogate":       {`{"a":"\ud800"}`, http.StatusAccepted, ""},
		"invalid UTF-8":          {"{\"a\":\"\xff\"}", http.StatusBadRequest, "invalid_json"},
		"a key of invalid UTF-8": {"{\"\xc3\x28\":1}", http.StatusBadRequest, "invalid_json"},
		"not an object":          {`[1]`, http.StatusBadRequest, "wrong_type"},
		"no JSON":                {`{"a":}`, http.StatusBadRequest, "invalid_json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, s *system) {
				s.register(map[string]any{"secret": secret})
				a := s.call("POST", "/api/v1/events", `{"event_type":"odd.test","payload":`+tc.payload+`}`)
				require.Equal(t, tc.status, a.status, a.body)
				if tc.status != http.StatusAccepted {
					require.Equal(t, tc.code, a.body["code"], a.body)
					require.Empty(t, s.list("/api/v1/events"))
					return
				}
				s.until(a.body["deliveries"].([]any)[0].(map[string]any)["id"].(string), "delivered")
				require.Contains(t, s.receiver.received(t)[0].body, `"data":`+tc.payload+`}`)
			})
		})
	}
}

func TestAnEventThatNobodyTakesIsKept(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		event, deliveries := s.emit("nobody.cares", map[string]any{"n": 1})
		require.Empty(t, deliveries)
		shown := s.act("GET", "/api/v1/events/"+event, nil, http.StatusOK)
		require.InDelta(t, 0, shown["deliveries_total"], 0)
		require.Empty(t, s.list("/api/v1/deliveries?event_id="+event))
		// Whoever comes later can be sent it.
		s.register(map[string]any{"secret": secret})
		s.act("POST", "/api/v1/events/"+event+"/resend", nil, http.StatusAccepted)
		s.eventually("the resent", func() bool { return len(s.receiver.received(t)) == 1 })
	})
}
