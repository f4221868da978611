package httpapi

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// FuzzEndpoint registers and changes an endpoint with any body: what is refused
// has done nothing and says what is wrong, and what is accepted shows, and is
// accepted again as it is shown.
func FuzzEndpoint(f *testing.F) {
	for _, body := range []string{
		anyEndpoint, `{}`, `[]`, `null`,
		`{"url":"https://example.com","events":["user.created","order.*"],"secret":"test-secret","max_retries":0,"timeout":1,"retry_policy":"critical","description":"ü","headers":{"X-Team":"a","x-other":"***"},"rate_limit":0.5,"metadata":{"a":"b"}}`,
		`{"url":null,"events":null,"secret":null,"max_retries":null,"timeout":null,"retry_policy":null,"description":null,"headers":null,"rate_limit":null,"metadata":null}`,
		`{"rate_limit":1e400,"max_retries":1.0,"timeout":3e1}`, `{"events":["` + strings.Repeat("a", 129) + `"]}`, `{"secret":"whsec_AAAA"}`, `{"status":"active"}`,
	} {
		f.Add([]byte(body))
	}
	w := newWorld()
	f.Fuzz(func(t *testing.T, body []byte) {
		w.eps, w.calls = map[string]*hook.Endpoint{}, map[string]int{}
		w.log.Reset()
		rec := w.fuzzed(t, "POST", "/api/v1/webhooks", body)
		if rec.Code != http.StatusCreated {
			w.requireUntouched(t)
			w.eps["ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G"] = &hook.Endpoint{
				ID: "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G", Tenant: DefaultTenant, URL: "https://example.com", Filters: []string{"*"}, Timeout: defaultTimeout, Status: hook.EndpointActive, CreatedAt: start, UpdatedAt: start,
			}
		}
		require.Len(t, w.eps, 1)
		path := "/api/v1/webhooks/" + slices.Collect(maps.Keys(w.eps))[0]
		before := w.fuzzed(t, "GET", path, nil).Body.String()
		if rec.Code == http.StatusCreated {
			var made, shown map[string]any
			require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &made))
			require.NoError(t, json.Unmarshal([]byte(before), &shown))
			require.NotEmpty(t, made["secret"])
			delete(made, "secret")
			require.Equal(t, made, shown)
		}

		if rec = w.fuzzed(t, "PATCH", path, body); rec.Code != http.StatusOK {
			require.Equal(t, before, w.fuzzed(t, "GET", path, nil).Body.String(), "what is refused changes nothing")
			return
		}
		changed := rec.Body.String()
		require.Equal(t, changed, w.fuzzed(t, "GET", path, nil).Body.String())
		var fields map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(changed), &fields))
		for _, name := range []string{"id", "status", "status_reason", "left_alone_until", "created_at", "updated_at"} {
			delete(fields, name)
		}
		again, err := json.Marshal(fields)
		require.NoError(t, err)
		rec = w.fuzzed(t, "PATCH", path, again)
		require.Equal(t, http.StatusOK, rec.Code, rec.Body.String())
		require.Equal(t, changed, rec.Body.String())
	})
}

// FuzzRequests asks for anything in any way: no request is answered with a
// failure of ours or in a form that is not documented.
func FuzzRequests(f *testing.F) {
	const event, endpoint = "01JCXZ5T5V8Q0R9A1B2C3D4E5F", "01JCXZ5T5V8Q0R9A1B2C3D4E5G"
	methods := []string{"GET", "POST", "PATCH", "DELETE", "HEAD", "PUT"}
	names := []string{"", "Idempotency-Key", "Traceparent", "Content-Type", "Authorization", "X-API-Key", "Webhook-Signature", "X-Webhook-Signature"}
	for _, seed := range []struct {
		method             uint8
		path, query        string
		name               uint8
		value, requestBody string
	}{
		{0, "/api/v1/events", "event_type=a&since=2026-03-04T05:06:07Z&until=2026-03-05T05:06:07.5%2B01:00&limit=2&cursor=AQ", 0, "", ""},
		{0, "/api/v1/deliveries", "endpoint_id=ep_" + endpoint + "&status=dead&event_type=a", 0, "", ""},
		{0, "/api/v1/deliveries", "event_id=evt_" + event + "&limit=200", 0, "", ""},
		{0, "/api/v1/deliveries/dlv_" + event + "_" + endpoint, "", 4, "Bearer ph_" + event + "_" + strings.Repeat("a", 64), ""},
		{0, "/api/v1/dlq", "limit=0&a;b=%zz", 5, "ph_x", ""},
		{1, "/api/v1/events", "", 1, "key", `{"event_type":"a","payload":{"a":[1]},"id":"key"}`},
		{1, "/api/v1/events", "", 2, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", `{"event_type":"a","payload":{}}`},
		{1, "/api/v1/events", "", 3, "application/json; charset=latin1", `{"event_type":"a","payload":{}}`},
		{1, "/api/v1/events/batch", "", 0, "", `{"events":[{"event_type":"a","payload":{}},{"event_type":"a","payload":{},"id":""},1,{"x":1}]}`},
		{1, "/api/v1/events/evt_" + event + "/resend", "", 0, "", `{"endpoint_id":"ep_` + endpoint + `"}`},
		{1, "/api/v1/webhooks/ep_" + endpoint + "/rotate-secret", "", 0, "", `{"secret":"new-secret","overlap":60}`},
		{1, "/api/v1/webhooks/ep_" + endpoint + "/recover", "", 0, "", `{"since":"2026-03-04T05:06:07Z"}`},
		{1, "/api/v1/dlq/replay", "", 0, "", `{"filter":{"failure_reason":"HTTP 503","since":"2026-01-01T00:00:00Z"},"dry_run":true,"limit":1,"rate":0.5}`},
		{1, "/api/v1/keys", "", 0, "", `{"role":"viewer","tenant":"acme","description":"d"}`},
		{1, "/test/webhook", "secret=a", 6, "v1,AAAA", `{}`},
		{1, "/test/webhook", "secret=a", 7, "sha256=00", `{}`},
		{3, "/api/v1/webhooks/ep_" + endpoint, "", 0, "", ""},
		{4, "/metrics", "", 0, "", ""},
		{5, "/api/v1//webhooks/../x", "", 0, "", ""},
	} {
		f.Add(seed.method, seed.path, seed.query, seed.name, seed.value, []byte(seed.requestBody))
	}
	f.Fuzz(func(t *testing.T, method uint8, path, query string, name uint8, value string, body []byte) {
		w := newWorld()
		w.eps["ep_"+endpoint] = &hook.Endpoint{ID: "ep_" + endpoint, Tenant: DefaultTenant, URL: "https://example.com", Filters: []string{"*"}, Status: hook.EndpointActive, CreatedAt: start, UpdatedAt: start}
		w.events["evt_"+event] = &hook.Event{ID: "evt_" + event, Tenant: DefaultTenant, Type: "a", Body: hook.NewBody("evt_"+event, "a", start, []byte(`{}`)), CreatedAt: start, Targets: 1, EndpointIDs: []string{"ep_" + endpoint}}
		r := httptest.NewRequest(methods[int(method)%len(methods)], "/", bytes.NewReader(body))
		r.URL.Path, r.URL.RawQuery = path, query
		r.Header.Set("Content-Type", "application/json")
		w.admit(r, DefaultTenant)
		if header := names[int(name)%len(names)]; header != "" {
			r.Header[http.CanonicalHeaderKey(header)] = []string{value}
		}
		w.requireFit(t, r.Method, w.serve(r))
	})
}

// fuzzed sends a JSON body as an admin.
func (w *world) fuzzed(t *testing.T, method, path string, body []byte) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w.admit(r, DefaultTenant)
	rec := w.serve(r)
	w.requireFit(t, method, rec)
	return rec
}

// requireFit checks that an answer is of a documented form, and not of a
// failure of ours.
func (w *world) requireFit(t *testing.T, method string, rec *httptest.ResponseRecorder) {
	t.Helper()
	require.Less(t, rec.Code, http.StatusInternalServerError, w.log.String())
	require.GreaterOrEqual(t, rec.Code, http.StatusOK)
	media := rec.Header().Get("Content-Type")
	switch {
	case rec.Code >= http.StatusBadRequest:
		require.Equal(t, "application/problem+json", media)
	case rec.Code >= http.StatusMultipleChoices:
		return // of the mux, to the clean form of a path
	}
	if method != http.MethodHead && strings.HasSuffix(media, "json") {
		require.True(t, json.Valid(rec.Body.Bytes()), rec.Body.String())
	}
}
