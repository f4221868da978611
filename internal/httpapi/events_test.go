package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// post accepts an event through the API and returns its id.
func (w *world) post(t *testing.T, body string, headers ...string) string {
	t.Helper()
	return requireJSON(t, w.do("POST", "/api/v1/events", body, headers...), http.StatusAccepted)["id"].(string)
}

func TestPostEvent(t *testing.T) {
	t.Parallel()
	w := newWorld()
	one, two := w.register(t, anyEndpoint), w.register(t, `{"url":"https://example.com","events":["order.*"]}`)
	w.register(t, `{"url":"https://example.com","events":["user.*"]}`)
	w.register(t, anyEndpoint, "X-Tenant", "other")

	rec := w.do("POST", "/api/v1/events", `{"event_type":"order.created","payload":{"b": 1.0, "a" :"<&>", "b":2}}`)
	v := requireJSON(t, rec, http.StatusAccepted)
	id := v["id"].(string)
	e := w.events[id]
	require.Equal(t, `{"b":1.0,"a":"<&>","b":2}`, string(e.Payload()))
	require.Equal(t, map[string]any{
		"id": id, "event_type": "order.created", "created_at": "2026-03-04T05:06:07.891Z", "deliveries_total": 2.0,
		"deliveries": []any{
			map[string]any{"id": e.Ref(one).ID(), "endpoint_id": one},
			map[string]any{"id": e.Ref(two).ID(), "endpoint_id": two},
		},
	}, v)
	require.Empty(t, rec.Header().Get("Idempotent-Replayed"))
	require.Len(t, w.sent, 2)
}

func TestPostEventThatNobodyTakes(t *testing.T) {
	t.Parallel()
	w := newWorld()
	v := requireJSON(t, w.do("POST", "/api/v1/events", `{"event_type":"a","payload":{},"id":null}`), http.StatusAccepted)
	require.Equal(t, []any{}, v["deliveries"])
	require.Equal(t, 0.0, v["deliveries_total"])
	require.Contains(t, w.events, v["id"])
}

func TestPostEventListsTheFirstHundredDeliveries(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for range 101 {
		w.register(t, anyEndpoint)
	}
	v := requireJSON(t, w.do("POST", "/api/v1/events", `{"event_type":"a","payload":{}}`), http.StatusAccepted)
	require.Len(t, v["deliveries"], 100)
	require.Equal(t, 101.0, v["deliveries_total"])
	require.Len(t, w.sent, 100)
	require.Len(t, w.jobs, 1, "the rest is a job's")
	ids, _ := w.pages(t, "/api/v1/deliveries?limit=40&event_id="+v["id"].(string))
	require.Len(t, ids, 101)
}

func TestPostEventRefusesBadInput(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string { return strings.Repeat(`{"a":`, depth-1) + `{}` + strings.Repeat(`}`, depth-1) }
	for name, c := range map[string]struct {
		body        string
		status      int
		code, field string
		headers     []string
	}{
		"not JSON":               {body: `{"event_type":"a"`, code: "invalid_json"},
		"no object":              {body: `[]`, code: "wrong_type"},
		"blank":                  {body: " ", code: "invalid_json"},
		"something follows":      {body: `{"event_type":"a","payload":{}} x`, code: "invalid_json"},
		"another follows":        {body: `{"event_type":"a","payload":{}}{}`, code: "invalid_json"},
		"no commas":              {body: `{"event_type":"a" "payload":{}}`, code: "invalid_json"},
		"leading comma":          {body: `{,"event_type":"a","payload":{}}`, code: "invalid_json"},
		"trailing comma":         {body: `{"event_type":"a","payload":{},}`, code: "invalid_json"},
		"no colon":               {body: `{"event_type" "a","payload":{}}`, code: "invalid_json"},
		"no value":               {body: `{"event_type":,"payload":{}}`, code: "invalid_json"},
		"name not quoted":        {body: `{event_type:"a","payload":{}}`, code: "invalid_json"},
		"name with bad escape":   {body: `{"event\_type":"a","payload":{}}`, code: "invalid_json"},
		"type with bad escape":   {body: `{"event_type":"\a","payload":{}}`, code: "invalid_json"},
		"not UTF-8":              {body: "{\"event_type\":\"a\",\"payload\":{\"s\":\"\xff\"}}", code: "invalid_json"},
		"byte order mark":        {body: "\ufeff{\"event_type\":\"a\",\"payload\":{}}", code: "invalid_json"},
		"unknown field":          {body: `{"event_type":"a","payload":{},"data":{}}`, code: "unknown_field", field: "data"},
		"misspelt field":         {body: `{"Event_Type":"a","payload":{}}`, code: "unknown_field", field: "Event_Type"},
		"type twice":             {body: `{"event_type":"a","event_type":"a","payload":{}}`, code: "duplicate_field", field: "event_type"},
		"payload twice":          {body: `{"event_type":"a","payload":{},"payload":{}}`, code: "duplicate_field", field: "payload"},
		"no type":                {body: `{"payload":{}}`, code: "missing_field", field: "event_type"},
		"no payload":             {body: `{"event_type":"a"}`, code: "missing_field", field: "payload"},
		"nothing":                {body: `{}`, code: "missing_field", field: "event_type"},
		"type null":              {body: `{"event_type":null,"payload":{}}`, code: "wrong_type", field: "event_type"},
		"type number":            {body: `{"event_type":1,"payload":{}}`, code: "wrong_type", field: "event_type"},
		"type empty":             {body: `{"event_type":"","payload":{}}`, code: "invalid_event_type", field: "event_type"},
		"type with space":        {body: `{"event_type":"a b","payload":{}}`, code: "invalid_event_type", field: "event_type"},
		"type 129":               {body: `{"event_type":"` + strings.Repeat("t", 129) + `","payload":{}}`, code: "invalid_event_type", field: "event_type"},
		"type reserved":          {body: `{"event_type":"posthorn.test","payload":{}}`, code: "reserved_event_type", field: "event_type"},
		"payload null":           {body: `{"event_type":"a","payload":null}`, code: "wrong_type", field: "payload"},
		"payload string":         {body: `{"event_type":"a","payload":"{}"}`, code: "wrong_type", field: "payload"},
		"payload array":          {body: `{"event_type":"a","payload":[{}]}`, code: "wrong_type", field: "payload"},
		"payload not JSON":       {body: `{"event_type":"a","payload":{"a":nul}}`, code: "invalid_json"},
		"payload wrong brackets": {body: `{"event_type":"a","payload":{"a":[[}}`, code: "invalid_json"},
		"payload wrong pair":     {body: `{"event_type":"a","payload":{"a":[}]}`, code: "invalid_json"},
		"payload far too deep":   {body: `{"event_type":"a","payload":` + nested(100_000) + `}`, code: "payload_too_deep", field: "payload"},
		"something far too deep": {body: `{"event_type":"a","payload":{},"x":` + nested(100_000) + `}`, code: "unknown_field", field: "x"},
		"payload too deep":       {body: `{"event_type":"a","payload":` + nested(101) + `}`, code: "payload_too_deep", field: "payload"},
		"payload too large":      {body: `{"event_type":"a","payload":{"s":"` + strings.Repeat("x", 256<<10) + `"}}`, status: 413, code: "payload_too_large", field: "payload"},
		"body too large":         {body: `{"event_type":"a","payload":{` + strings.Repeat(" ", 1<<20) + `}}`, status: 413, code: "body_too_large"},
		"id number":              {body: `{"event_type":"a","payload":{},"id":7}`, code: "wrong_type", field: "id"},
		"id empty":               {body: `{"event_type":"a","payload":{},"id":""}`, code: "invalid_idempotency_key", field: "id"},
		"id long":                {body: `{"event_type":"a","payload":{},"id":"` + strings.Repeat("k", 256) + `"}`, code: "invalid_idempotency_key", field: "id"},
		"id control":             {body: `{"event_type":"a","payload":{},"id":"a\u0007"}`, code: "invalid_idempotency_key", field: "id"},
		"id beyond ASCII":        {body: `{"event_type":"a","payload":{},"id":"é"}`, code: "invalid_idempotency_key", field: "id"},
		"key empty":              {body: `{"event_type":"a","payload":{}}`, code: "invalid_idempotency_key", field: "Idempotency-Key", headers: []string{"Idempotency-Key", ""}},
		"key long":               {body: `{"event_type":"a","payload":{}}`, code: "invalid_idempotency_key", field: "Idempotency-Key", headers: []string{"Idempotency-Key", strings.Repeat("k", 256)}},
		"key and id differ":      {body: `{"event_type":"a","payload":{},"id":"k"}`, code: "idempotency_key_mismatch", field: "id", headers: []string{"Idempotency-Key", "K"}},
		"no content type":        {body: `{"event_type":"a","payload":{}}`, status: 415, code: "unsupported_media_type", headers: []string{"Content-Type", ""}},
		"form":                   {body: `{"event_type":"a","payload":{}}`, status: 415, code: "unsupported_media_type", headers: []string{"Content-Type", "application/x-www-form-urlencoded"}},
		"text":                   {body: `{"event_type":"a","payload":{}}`, status: 415, code: "unsupported_media_type", headers: []string{"Content-Type", "text/json"}},
		"other charset":          {body: `{"event_type":"a","payload":{}}`, status: 415, code: "unsupported_media_type", headers: []string{"Content-Type", "application/json; charset=latin1"}},
		"compressed":             {body: `{"event_type":"a","payload":{}}`, status: 415, code: "unsupported_media_type", headers: []string{"Content-Encoding", "gzip"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			w.eps["ep"] = &hook.Endpoint{ID: testID(hook.EndpointPrefix, start, 1), Tenant: DefaultTenant, Filters: []string{"*"}}
			if c.status == 0 {
				c.status = 400
			}
			requireProblem(t, w.do("POST", "/api/v1/events", c.body, c.headers...), c.status, c.code, c.field)
			w.requireUntouched(t)
			require.Empty(t, w.events)
		})
	}
}

// A body that is not JSON is refused as a whole, whatever else is wrong with it,
// and the answer names the byte at which it ceases to be.
func TestABodyThatIsNotJSONIsRefusedByTheByte(t *testing.T) {
	t.Parallel()
	for body, at := range map[string]string{
		`{"event_type":"a","payload":{"a":nul}}`:      "at byte 37",
		`{"unknown":1,"payload":{"a":[}]}}`:           "at byte 30",
		`{"event_type":"a","payload":{"a":01}}`:       "at byte 35",
		`{"event_type":"a","payload":{}} x`:           "at byte 33",
		"{\"event_type\":\"a\nb\",\"payload\":{}}":    "at byte 17",
		`{"event_type":"a","payload":{"s":"\x"}}`:     "at byte 36",
		`{"event_type":"a","payload":{"a":"b"`:        "at byte 36",
		"\ufeff{\"event_type\":\"a\",\"payload\":{}}": "at byte 1",
	} {
		w := newWorld()
		v := requireProblem(t, w.do("POST", "/api/v1/events", body), 400, "invalid_json", "")
		require.Contains(t, v["detail"], at, body)
		v = requireProblem(t, w.do("POST", "/api/v1/events/batch", `{"events":[{"event_type":"b","payload":{}},`+body+`]}`), 400, "invalid_json", "")
		require.Contains(t, v["detail"], "at byte ", body)
		require.Empty(t, w.events, "nothing of it is taken")
	}
}

func TestPostEventTakesOtherSpellingsOfTheMediaType(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8", "application/json;"} {
		w := newWorld()
		w.post(t, "\t{ \"payload\" : { } , \"event\\u005ftype\" : \"a\\u0062\" }\r\n", "Content-Type", contentType, "Content-Encoding", "identity")
	}
}

// endless is a body of unknown length.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

// broken is a body whose connection ends.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestBodyThatDoesNotEndIsNotReadForEver(t *testing.T) {
	t.Parallel()
	w := newWorld()
	body := &endless{}
	r := httptest.NewRequest("POST", "/api/v1/events", body)
	r.Header.Set("Content-Type", "application/json")
	w.admit(r, DefaultTenant)
	requireProblem(t, w.serve(r), 413, "body_too_large", "")
	require.Less(t, body.read, 4*maxBody)

	r = httptest.NewRequest("POST", "/api/v1/events", broken{})
	r.Header.Set("Content-Type", "application/json")
	w.admit(r, DefaultTenant)
	requireProblem(t, w.serve(r), 400, "incomplete_body", "")
}

func TestRepeatedEventGetsTheSameAnswer(t *testing.T) {
	t.Parallel()
	const plain, withID = `{"event_type":"a","payload":{"n":1}}`, `{"id":"k 1","event_type":"a","payload":{ "n":1 }}`
	for name, calls := range map[string][2]func(*world) *httptest.ResponseRecorder{
		"id": {func(w *world) *httptest.ResponseRecorder { return w.do("POST", "/api/v1/events", withID) }, func(w *world) *httptest.ResponseRecorder { return w.do("POST", "/api/v1/events", withID) }},
		"header": {func(w *world) *httptest.ResponseRecorder {
			return w.do("POST", "/api/v1/events", plain, keyHeader, "k 1")
		}, func(w *world) *httptest.ResponseRecorder {
			return w.do("POST", "/api/v1/events", plain, keyHeader, "k 1")
		}},
		"id then header": {func(w *world) *httptest.ResponseRecorder { return w.do("POST", "/api/v1/events", withID) }, func(w *world) *httptest.ResponseRecorder {
			return w.do("POST", "/api/v1/events", plain, keyHeader, "k 1")
		}},
		"both": {func(w *world) *httptest.ResponseRecorder {
			return w.do("POST", "/api/v1/events", withID, keyHeader, "k 1")
		}, func(w *world) *httptest.ResponseRecorder { return w.do("POST", "/api/v1/events", withID) }},
	} {
		w := newWorld()
		w.register(t, anyEndpoint)
		first, second := calls[0](w), calls[1](w)
		requireJSON(t, first, http.StatusAccepted)
		require.Equal(t, http.StatusAccepted, second.Code, name)
		require.Equal(t, first.Body.String(), second.Body.String(), name)
		require.Empty(t, first.Header().Get("Idempotent-Replayed"))
		require.Equal(t, "true", second.Header().Get("Idempotent-Replayed"))
		require.Len(t, w.sent, 1)
		requireProblem(t, w.do("POST", "/api/v1/events", `{"event_type":"a","payload":{"n":2},"id":"k 1"}`), 409, "idempotency_key_reused", "")
		require.Len(t, w.events, 1)
	}
}

// A header that stands twice is one with a comma (RFC 9110, section 5.3), and
// API Gateway makes it that.
func TestKeyHeaderMayHaveCommas(t *testing.T) {
	t.Parallel()
	w := newWorld()
	send := func(id string, keys ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("POST", "/api/v1/events", strings.NewReader(`{"event_type":"a","payload":{}`+id+`}`))
		r.Header = http.Header{"Content-Type": {"application/json"}, keyHeader: keys}
		w.admit(r, DefaultTenant)
		return w.serve(r)
	}
	first := requireJSON(t, send("", "7,7"), http.StatusAccepted)
	require.Equal(t, first, requireJSON(t, send("", "7", "7"), http.StatusAccepted))
	require.Equal(t, first, requireJSON(t, send(`,"id":"7,7"`, "7,7"), http.StatusAccepted))
	require.NotEqual(t, first["id"], requireJSON(t, send("", "7"), http.StatusAccepted)["id"], "7 is another key")
	requireProblem(t, send(`,"id":"7"`, "7,7"), 400, "idempotency_key_mismatch", "id")
	require.Len(t, w.events, 2)
}

func TestFaultsOfEventWrites(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"endpoint set", "put", "send", "mark"} {
		for _, f := range []fault{failed, lost} {
			t.Run(fmt.Sprint(op, f), func(t *testing.T) {
				t.Parallel()
				w := newWorld()
				one, two := w.register(t, anyEndpoint), w.register(t, anyEndpoint)
				const body = `{"event_type":"a","payload":{},"id":"k"}`
				w.faults[op] = f
				if op == "mark" {
					w.post(t, body)
				} else {
					rec := w.do("POST", "/api/v1/events", body)
					requireProblem(t, rec, 503, "unavailable", "")
					require.Equal(t, "1", rec.Header().Get("Retry-After"))
				}
				id := w.post(t, body)
				require.Len(t, w.events, 1)
				for _, endpoint := range []string{one, two} {
					found := false
					for _, m := range w.sent {
						found = found || m.EventID == id && m.EndpointID == endpoint
					}
					require.True(t, found, "what was acknowledged was sent")
				}
			})
		}
	}
}

func TestQueueFull(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.depths.Ready = 1000
	rec := w.do("POST", "/api/v1/events", `{"event_type":"a","payload":{}}`)
	requireProblem(t, rec, 429, "queue_full", "")
	require.NotEmpty(t, rec.Header().Get("Retry-After"))
	w.requireUntouched(t)
}

func TestGetEvent(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.register(t, anyEndpoint)
	const payload = `{"b":1.0,"a":"<&>\u003c","b":[]}`
	rec := w.do("POST", "/api/v1/events", `{"event_type":"a","payload":`+payload+`}`)
	want := requireJSON(t, rec, http.StatusAccepted)
	id := want["id"].(string)
	got := w.do("GET", "/api/v1/events/"+id, "")
	require.Equal(t, strings.TrimSuffix(rec.Body.String(), "}")+`,"payload":`+payload+"}", got.Body.String())
	requireJSON(t, got, http.StatusOK)

	requireProblem(t, w.do("GET", "/api/v1/events/"+id, "", "X-Tenant", "other"), 404, "not_found", "")
	for _, none := range []string{testID(hook.EventPrefix, start, 77), testID(hook.EndpointPrefix, start, 1), "x", "evt_"} {
		requireProblem(t, w.do("GET", "/api/v1/events/"+none, ""), 404, "not_found", "")
	}
	w.faults["event"] = failed
	requireProblem(t, w.do("GET", "/api/v1/events/"+id, ""), 503, "unavailable", "")
}

func TestListEvents(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var a, b []string
	for n := range 6 {
		w.sleep(time.Second)
		if n%2 == 0 {
			a = append([]string{w.post(t, `{"event_type":"a","payload":{"n":1.0}}`)}, a...)
		} else {
			b = append([]string{w.post(t, `{"event_type":"b","payload":{}}`)}, b...)
		}
	}
	w.post(t, `{"event_type":"a","payload":{}}`, "X-Tenant", "other")
	all := []string{b[0], a[0], b[1], a[1], b[2], a[2]}
	for query, want := range map[string][]string{
		"":                               all,
		"event_type=a":                   a,
		"event_type=c":                   nil,
		"limit=1":                        all,
		"limit=200":                      all,
		"event_type=b&limit=2":           b,
		"since=2026-03-04T05:06:10.891Z": all[:4],
		"until=2026-03-04T05:06:10.891Z": all[4:],
		"since=2026-03-04T05:06:10.891Z&until=2026-03-04T05:06:12.891Z": all[2:4],
		"since=2026-03-04T07:06:10.891%2B02:00":                         all[:4],
		"since=2026-03-04T05:06:10.891Z&until=2026-03-04T05:06:10.891Z": nil,
	} {
		ids, _ := w.pages(t, "/api/v1/events?"+query)
		require.Equal(t, want, ids, query)
	}
	require.Contains(t, w.do("GET", "/api/v1/events?event_type=a", "").Body.String(), `"payload":{"n":1.0}`)
}

func TestLongListOfEventsStaysUnderFourMegabytes(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var want []string
	for range 60 {
		want = append([]string{w.post(t, `{"event_type":"a","payload":{"s":"`+strings.Repeat("x", 200_000)+`"}}`)}, want...)
	}
	ids, pages := w.pages(t, "/api/v1/events?limit=200")
	require.Equal(t, want, ids, "none is left out where a page ends early")
	require.Equal(t, 3, pages)
	require.LessOrEqual(t, w.do("GET", "/api/v1/events?limit=200", "").Body.Len(), maxAnswer)
}
