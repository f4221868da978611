package ingest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

const tenant = "acme"

func request(eventType, payload, key string) Request {
	return Request{EventType: eventType, Payload: []byte(payload), ProducerID: key}
}

func TestAcceptStoresTheEventAndSendsEveryDelivery(t *testing.T) {
	t.Parallel()
	exact, prefix, all, other := endpoint(1, "order.created"), endpoint(2, "user.*", "order.*"), endpoint(3, "*"), endpoint(4, "user.created")
	prefix.Status = hook.EndpointPaused // held, not forgone
	w := newWorld(exact, prefix, all, other)

	a, err := w.ingester().Accept(t.Context(), tenant, request("order.created", `{ "n" : 1.50 }`, ""))
	require.NoError(t, err)
	require.Equal(t, []string{exact.ID, prefix.ID, all.ID}, a.Event.EndpointIDs)
	require.False(t, a.Replayed)

	e := w.events[a.Event.ID]
	require.Equal(t, a.Event, e)
	at := time.Date(2026, 3, 4, 5, 6, 7, 891_000_000, time.UTC)
	require.Equal(t, at, e.CreatedAt)
	require.Equal(t, hook.IDTime(e.ID), e.CreatedAt)
	require.Equal(t, at.Add(30*24*time.Hour), e.ExpiresAt)
	require.Equal(t, tenant, e.Tenant)
	require.Equal(t, `{"id":"`+e.ID+`","event":"order.created","timestamp":"2026-03-04T05:06:07.891Z","data":{"n":1.50}}`, string(e.Body))

	require.Len(t, w.sent, 3)
	for i, m := range w.sent {
		require.Equal(t, &hook.Message{Ref: e.Ref(a.Event.EndpointIDs[i]), EventType: "order.created", CreatedAt: at, Body: e.Body}, m)
	}
	require.Equal(t, []string{"order.created"}, w.counted)
}

func TestAcceptKeepsAnEventThatNobodyTakes(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "user.*"))
	a, err := w.ingester().Accept(t.Context(), tenant, request("order.created", `{}`, ""))
	require.NoError(t, err)
	require.Empty(t, a.Event.EndpointIDs)
	require.Contains(t, w.events, a.Event.ID)
	require.Zero(t, w.calls["send last"])
}

func TestAcceptSeesEveryChangeOfTheEndpoints(t *testing.T) {
	t.Parallel()
	w := newWorld()
	in := w.ingester()
	for n := range 5 {
		w.set = &hook.EndpointSet{Version: int64(n + 2), Endpoints: append(w.set.Endpoints[:n:n], endpoint(n, "a"))}
		for range 2 {
			a, err := in.Accept(t.Context(), tenant, request("a", `{}`, ""))
			require.NoError(t, err)
			require.Len(t, a.Event.EndpointIDs, n+1)
		}
	}
	a, err := in.Accept(t.Context(), "other", request("a", `{}`, ""))
	require.NoError(t, err)
	require.Len(t, a.Event.EndpointIDs, 5)
}

func TestMatchCacheIsBounded(t *testing.T) {
	t.Parallel()
	set := &hook.EndpointSet{Endpoints: []*hook.Endpoint{endpoint(1, "t.*")}}
	var c matchCache
	for n := range 2 * maxTypesMatched {
		require.Len(t, c.match("one", set, fmt.Sprint("t.", n)), 1)
		require.Len(t, c.match(fmt.Sprint("tenant", n), set, "t.x"), 1)
	}
	require.LessOrEqual(t, len(c.tenants), maxTenantsMatched)
	for _, m := range c.tenants {
		require.LessOrEqual(t, len(m.byType), maxTypesMatched)
	}
}

func TestAcceptSendsALargeBodyWithoutIt(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "*"))
	a, err := w.ingester().Accept(t.Context(), tenant, request("a", `{"s":"`+strings.Repeat("x", hook.MaxInlineBody)+`"}`, ""))
	require.NoError(t, err)
	require.Nil(t, w.sent[0].Body)
	require.Greater(t, len(a.Event.Body), hook.MaxInlineBody)
}

func TestAcceptCarriesAValidTraceOnly(t *testing.T) {
	t.Parallel()
	const valid = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for given, want := range map[string]string{
		valid:                         valid,
		"":                            "",
		"x":                           "",
		valid + "-extra":              "",
		strings.ToUpper(valid):        "",
		"01" + valid[2:]:              "",
		valid[:35] + "_" + valid[36:]: "",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01":  "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01":  "",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0\n": "",
	} {
		w := newWorld(endpoint(1, "*"))
		_, err := w.ingester().Accept(t.Context(), tenant, Request{EventType: "a", Payload: []byte(`{}`), Trace: given})
		require.NoError(t, err)
		require.Equal(t, want, w.sent[0].Trace, "%q", given)
	}
}

func TestAcceptKeepsThePayloadByteForByte(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"\n{ }\t":             `{}`,
		`{"b":1,"a":2,"b":3}`: `{"b":1,"a":2,"b":3}`,
		`{"n":[1.0,1e2,1E+2,-0,12345678901234567890123]}`:         `{"n":[1.0,1e2,1E+2,-0,12345678901234567890123]}`,
		`{ "s" : " < & > \u003c \/ \ud83d\ude00 \ud800 \" \\ " }`: `{"s":" < & > \u003c \/ \ud83d\ude00 \ud800 \" \\ "}`,
		"{\"s\" :\"\u2028 \u2029 \u00e9 \U0001F600\"}":            "{\"s\":\"\u2028 \u2029 \u00e9 \U0001F600\"}",
		`{"a": [ ] , "b" : { "c" : null } , "" : true}`:           `{"a":[],"b":{"c":null},"":true}`,
	} {
		w := newWorld(endpoint(1, "*"))
		a, err := w.ingester().Accept(t.Context(), tenant, request("a", given, ""))
		require.NoError(t, err, given)
		require.Equal(t, want, string(a.Event.Payload()))
		require.Equal(t, a.Event.Body, w.sent[0].Body)
	}
}

func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth-1) + `{}` + strings.Repeat(`}`, depth-1)
}

func TestAcceptTakesWhatIsJustWithinTheLimits(t *testing.T) {
	t.Parallel()
	largest := `{"s":"` + strings.Repeat("x", MaxPayload-len(`{"s":""}`)) + `"}`
	for name, r := range map[string]Request{
		"longest type":         request(strings.Repeat("t", MaxEventType), `{}`, ""),
		"every character":      request("aZ09._-", `{}`, ""),
		"nearly reserved":      request("posthorn", `{}`, ""),
		"deepest":              request("a", nested(MaxDepth), ""),
		"brackets in a string": request("a", `{"s":"`+strings.Repeat(`[\"{`, 200)+`"}`, ""),
		"largest":              request("a", largest, ""),
		"largest, spaced":      request("a", " \n"+strings.Replace(largest, ":", strings.Repeat(" ", 1000)+":", 1), ""),
		"longest key":          request("a", `{}`, strings.Repeat("~", MaxProducerID)),
	} {
		w := newWorld(endpoint(1, "*"))
		a, err := w.ingester().Accept(t.Context(), tenant, r)
		require.NoError(t, err, name)
		w.requireDelivered(t, a)
	}
}

func TestAcceptRefusesBadRequests(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		req   Request
		field string
		code  string
	}{
		"no type":              {request("", `{}`, ""), "event_type", "invalid_event_type"},
		"long type":            {request(strings.Repeat("t", MaxEventType+1), `{}`, ""), "event_type", "invalid_event_type"},
		"space in type":        {request("a b", `{}`, ""), "event_type", "invalid_event_type"},
		"wildcard as type":     {request("a.*", `{}`, ""), "event_type", "invalid_event_type"},
		"letters beyond ASCII": {request("é", `{}`, ""), "event_type", "invalid_event_type"},
		"quote in type":        {request(`a"`, `{}`, ""), "event_type", "invalid_event_type"},
		"reserved type":        {request("posthorn.test", `{}`, ""), "event_type", "reserved_event_type"},
		"no payload":           {request("a", ``, ""), "payload", "invalid_payload"},
		"blank payload":        {request("a", ` `, ""), "payload", "invalid_payload"},
		"array":                {request("a", `[]`, ""), "payload", "invalid_payload"},
		"string":               {request("a", `"{}"`, ""), "payload", "invalid_payload"},
		"null":                 {request("a", `null`, ""), "payload", "invalid_payload"},
		"open":                 {request("a", `{"a":1`, ""), "payload", "invalid_json"},
		"bare word":            {request("a", `{"a":nul}`, ""), "payload", "invalid_json"},
		"trailing comma":       {request("a", `{"a":1,}`, ""), "payload", "invalid_json"},
		"something behind":     {request("a", `{}{}`, ""), "payload", "invalid_json"},
		"wrong bracket":        {request("a", `{"a":[}]`, ""), "payload", "invalid_json"},
		"leading zero":         {request("a", `{"a":01}`, ""), "payload", "invalid_json"},
		"raw control":          {request("a", "{\"a\":\"\n\"}", ""), "payload", "invalid_json"},
		"not UTF-8":            {request("a", "{\"a\":\"\xff\"}", ""), "payload", "invalid_payload"},
		"half a character":     {request("a", "{\"a\":\"\xc3\"}", ""), "payload", "invalid_payload"},
		"surrogate as UTF-8":   {request("a", "{\"a\":\"\xed\xa0\x80\"}", ""), "payload", "invalid_payload"},
		"byte order mark":      {request("a", "\xef\xbb\xbf{}", ""), "payload", "invalid_payload"},
		"too deep":             {request("a", nested(MaxDepth+1), ""), "payload", "payload_too_deep"},
		"far too deep":         {request("a", nested(200_000), ""), "payload", "payload_too_deep"},
		"too deep in arrays":   {request("a", `{"a":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+"}", ""), "payload", "payload_too_deep"},
		"long key":             {request("a", `{}`, strings.Repeat("k", MaxProducerID+1)), "id", "invalid_idempotency_key"},
		"control in key":       {request("a", `{}`, "a\tb"), "id", "invalid_idempotency_key"},
		"key beyond ASCII":     {request("a", `{}`, "é"), "id", "invalid_idempotency_key"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(endpoint(1, "*"))
			_, err := w.ingester().Accept(t.Context(), tenant, c.req)
			var invalid *hook.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, c.field, invalid.Field)
			require.Equal(t, c.code, invalid.Code)
			require.NotEmpty(t, invalid.Reason)
			require.Empty(t, w.calls, "nothing was asked, stored or sent")
			require.Empty(t, w.counted)
		})
	}
}

func TestAcceptRefusesAPayloadThatIsTooLarge(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "*"))
	_, err := w.ingester().Accept(t.Context(), tenant, request("a", `{"s":"`+strings.Repeat("x", MaxPayload+1-len(`{"s":""}`))+`"}`, ""))
	require.ErrorIs(t, err, ErrTooLarge)
	require.Empty(t, w.calls)
}

func TestRepeatWithTheSameKeyGetsTheSameAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "*"), endpoint(2, "*"))
	in := w.ingester()
	first, err := in.Accept(t.Context(), tenant, request("a", `{"n":1}`, "key"))
	require.NoError(t, err)
	require.True(t, w.keys[tenant+"/key"].Sent)
	require.Equal(t, first.Event.CreatedAt.Add(24*time.Hour), w.keys[tenant+"/key"].ExpiresAt)

	w.set = &hook.EndpointSet{Version: 2} // the answer is that of the first time
	again, err := in.Accept(t.Context(), tenant, request("a", ` { "n" : 1 } `, "key"))
	require.NoError(t, err)
	require.True(t, again.Replayed)
	require.Equal(t, first.Event, again.Event)
	require.Equal(t, first.Event.EndpointIDs, again.Event.EndpointIDs)
	require.Len(t, w.sent, 2, "nothing is sent twice")
	require.Len(t, w.events, 1)
	require.Equal(t, []string{"a"}, w.counted, "one event is counted once")

	for _, r := range []Request{request("a", `{"n":2}`, "key"), request("b", `{"n":1}`, "key"), request("a", `{"n":1.0}`, "key")} {
		_, err = in.Accept(t.Context(), tenant, r)
		require.ErrorIs(t, err, hook.ErrKeyReused)
	}
	require.Len(t, w.sent, 2)
	require.Len(t, w.events, 1)

	other, err := in.Accept(t.Context(), "other", request("b", `{}`, "key"))
	require.NoError(t, err)
	require.False(t, other.Replayed, "a key is its tenant's own")
}

func TestKeyOfAnEventThatNobodyTakesNeedsNoMark(t *testing.T) {
	t.Parallel()
	w := newWorld()
	in := w.ingester()
	for n := range 2 {
		a, err := in.Accept(t.Context(), tenant, request("a", `{}`, "key"))
		require.NoError(t, err)
		require.Equal(t, n == 1, a.Replayed)
	}
	require.Zero(t, w.calls["mark"])
	require.Equal(t, []string{"a"}, w.counted)
}

func TestKeyThatOutlivedItsEventIsAFaultOfOurs(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "*"))
	in := w.ingester()
	_, err := in.Accept(t.Context(), tenant, request("a", `{}`, "key"))
	require.NoError(t, err)
	clear(w.events)
	_, err = in.Accept(t.Context(), tenant, request("a", `{}`, "key"))
	require.Error(t, err)
	require.NotErrorIs(t, err, hook.ErrNotFound)
}

func TestFaultPairs(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", "key"} {
		for _, op := range []string{"endpoints", "put", "send", "send last", "mark"} {
			for _, f := range []fault{failed, lost} {
				if key == "" && op == "mark" {
					continue
				}
				t.Run(fmt.Sprintf("%s %d key=%q", op, f, key), func(t *testing.T) {
					t.Parallel()
					w := newWorld(endpoint(1, "*"), endpoint(2, "*"), endpoint(3, "*"))
					in := w.ingester()
					w.faults[op] = f
					a, err := in.Accept(t.Context(), tenant, request("a", `{}`, key))
					if op == "mark" {
						require.NoError(t, err, "everything was sent: the producer need not know")
						w.requireDelivered(t, a)
					} else {
						require.ErrorIs(t, err, errFault)
						require.Zero(t, a)
					}

					// The producer tries again.
					again, err := in.Accept(t.Context(), tenant, request("a", `{}`, key))
					require.NoError(t, err)
					w.requireDelivered(t, again)
					if key != "" {
						require.Len(t, w.events, 1, "one event, whatever happened")
						require.True(t, w.keys[tenant+"/key"].Sent)
						require.Len(t, again.Event.EndpointIDs, 3)
					}

					third, err := in.Accept(t.Context(), tenant, request("a", `{}`, key))
					require.NoError(t, err)
					w.requireDelivered(t, third)
					if key != "" {
						require.Equal(t, again.Event, third.Event)
						require.True(t, third.Replayed)
						once := 1
						if op == "put" && f == lost {
							once = 0 // nobody knows who stored it
						}
						require.Len(t, w.counted, once, "one event is counted once, however often it was posted")
					} else {
						require.Len(t, w.counted, 2, "each post that is accepted is an event of its own")
					}
				})
			}
		}
	}
}

func TestEventOfAKeyThatCannotBeReadIsTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "*"))
	in := w.ingester()
	w.faults["send last"] = failed
	_, err := in.Accept(t.Context(), tenant, request("a", `{}`, "key"))
	require.Error(t, err)
	w.faults["event"] = failed
	_, err = in.Accept(t.Context(), tenant, request("a", `{}`, "key"))
	require.Error(t, err)
	a, err := in.Accept(t.Context(), tenant, request("a", `{}`, "key"))
	require.NoError(t, err)
	require.True(t, a.Replayed)
	w.requireDelivered(t, a)
}

// Faults of the producer, and a full queue, are no faults of ours.
func TestEventsThatCouldNotBeTakenAreCounted(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "*"))
	in := w.ingester(func(o *Options) { o.MaxQueueSize = 10 })
	batch := func(reqs ...Request) { in.AcceptBatch(t.Context(), tenant, reqs) }
	batch(request("a", `{}`, ""), request("not a type", `{}`, ""), request("a", `[]`, ""))
	require.Zero(t, w.acceptErrors)
	w.faults["put"] = failed
	batch(request("a", `{}`, ""))
	require.Equal(t, 1, w.acceptErrors)
	w.faults["endpoints"] = failed
	batch(request("a", `{}`, ""), request("a", `[]`, ""))
	require.Equal(t, 2, w.acceptErrors)
	w.ready = 10
	w.sleep(time.Minute)
	batch(request("a", `{}`, ""))
	require.Equal(t, 2, w.acceptErrors)
}

func TestQueueLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "*"))
	in := w.ingester(func(o *Options) { o.MaxQueueSize = 10 })
	accept := func() error {
		_, err := in.Accept(t.Context(), tenant, request("a", `{}`, ""))
		return err
	}
	w.ready = 9
	require.NoError(t, accept())
	w.ready = 10
	require.NoError(t, accept(), "the count is a second old at most")
	w.sleep(time.Second)
	require.ErrorIs(t, accept(), hook.ErrQueueFull)
	require.ErrorIs(t, accept(), hook.ErrQueueFull)
	require.Equal(t, 2, w.calls["depths"])
	require.Len(t, w.events, 2)

	w.sleep(time.Second)
	w.faults["depths"] = failed
	require.ErrorIs(t, accept(), hook.ErrQueueFull, "what is not known anew stays as it was")
	w.ready = 0
	w.sleep(time.Second)
	require.NoError(t, accept())

	w.ready = 1 << 30
	unlimited := w.ingester()
	before := w.calls["depths"]
	_, err := unlimited.Accept(t.Context(), tenant, request("a", `{}`, ""))
	require.NoError(t, err)
	require.Equal(t, before, w.calls["depths"])
}

func TestAcceptLogsOneLineWithoutThePayload(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "*"))
	var log bytes.Buffer
	in := w.ingester(func(o *Options) { o.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	a, err := in.Accept(t.Context(), tenant, request("a.b", `{"card":"4111"}`, "key"))
	require.NoError(t, err)
	require.NotContains(t, log.String(), "4111")
	var line map[string]any
	require.NoError(t, json.Unmarshal(log.Bytes(), &line), "one line: %s", log.String())
	delete(line, "time")
	require.Equal(t, map[string]any{
		"level": "INFO", "msg": "event accepted", "event_id": a.Event.ID, "event_type": "a.b", "tenant": tenant,
		"matched": 1.0, "bytes": 15.0, "replayed": false, "duration_ms": 0.0,
	}, line)
}

func TestRetentionIsSetByOption(t *testing.T) {
	t.Parallel()
	w := newWorld()
	a, err := w.ingester(func(o *Options) { o.Retention = time.Hour }).Accept(t.Context(), tenant, request("a", `{}`, "key"))
	require.NoError(t, err)
	require.Equal(t, a.Event.CreatedAt.Add(time.Hour), a.Event.ExpiresAt)
	require.Equal(t, a.Event.ExpiresAt, w.keys[tenant+"/key"].ExpiresAt, "a key does not outlive its event")
}

func TestAnswersThatAreMissingAreAnError(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "*"), endpoint(2, "*"))
	_, err := w.ingester(func(o *Options) { o.Queue = &mumblingQueue{w} }).Accept(t.Context(), tenant, request("a", `{}`, ""))
	require.ErrorContains(t, err, "1 answers to 2 messages")
}
