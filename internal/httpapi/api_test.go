package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
	"posthorn/internal/ingest"
)

func TestUnknownPathsAreProblems(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, path := range []string{
		"/", "/api", "/api/v1", "/api/v1/", "/api/v2/events", "/api/v1/webhooks/", "/api/v1//webhooks", "/api/v1/./webhooks", "/api/v1/x/../webhooks",
		"//api/v1/webhooks", "/API/v1/webhooks", "/health/", "/api/v1/dlq/x/y/z", "/api/v1/job", "/api/v1/events/batch/x", "/%00",
	} {
		for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
			requireProblem(t, w.do(method, path, ""), 404, "not_found", "")
		}
	}
	for _, path := range []string{"*", ""} {
		r := httptest.NewRequest("OPTIONS", "/", nil)
		r.URL.Path = path
		rec := httptest.NewRecorder()
		w.api.ServeHTTP(rec, r)
		requireProblem(t, rec, 404, "not_found", "")
	}
}

// Programs are told that there is nothing, as under any other path.
func TestABrowserIsShownTheWayToAPage(t *testing.T) {
	t.Parallel()
	const html = "text/html,application/xhtml+xml;q=0.9"
	w := newWorld()
	w.api.o.Console = http.NotFoundHandler()
	for path, to := range map[string]string{"/": "console", "/console/": "../console", "/docs/": "../docs"} {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept", html)
		rec := httptest.NewRecorder()
		w.api.ServeHTTP(rec, r)
		require.Equal(t, http.StatusFound, rec.Code, path)
		require.Equal(t, to, rec.Header().Get("Location"))
		require.NotEqual(t, http.StatusFound, w.do("GET", path, "", "Accept", "*/*").Code)
		require.NotEqual(t, http.StatusFound, w.do("POST", path, "", "Accept", html).Code)
	}
	w.api.o.Console = nil
	requireProblem(t, w.do("GET", "/", "", "Accept", html), 404, "not_found", "")
}

func TestWrongMethodsAreProblems(t *testing.T) {
	t.Parallel()
	w := newWorld()
	all := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"}
	for path, allowed := range map[string]string{
		"/api/v1/webhooks":     "GET, HEAD, POST",
		"/api/v1/webhooks/x":   "DELETE, GET, HEAD, PATCH",
		"/api/v1/events":       "GET, HEAD, POST",
		"/api/v1/events/x":     "GET, HEAD",
		"/api/v1/event-types":  "GET, HEAD",
		"/api/v1/deliveries":   "GET, HEAD",
		"/api/v1/deliveries/x": "GET, HEAD",
		"/api/v1/dlq":          "GET, HEAD",
		"/api/v1/dlq/x":        "DELETE, GET, HEAD",
		"/api/v1/dlq/x/replay": "POST",
		"/api/v1/keys":         "GET, HEAD, POST",
		"/api/v1/keys/x":       "DELETE",
		"/api/v1/stats":        "GET, HEAD",
		"/health":              "GET, HEAD",
		"/ready":               "GET, HEAD",
		"/metrics":             "GET, HEAD",
		"/test/webhook":        "POST",
	} {
		for _, method := range all {
			rec := w.do(method, path, "")
			if strings.Contains(", "+allowed+",", ", "+method+",") {
				require.NotEqual(t, http.StatusMethodNotAllowed, rec.Code, "%s %s", method, path)
				continue
			}
			require.Equal(t, allowed, rec.Header().Get("Allow"))
			require.Equal(t, http.StatusMethodNotAllowed, rec.Code)
			if method != "HEAD" {
				requireProblem(t, rec, 405, "method_not_allowed", "")
			}
		}
	}
}

func TestHeadAnswersAsGetWithoutABody(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ref := w.pending(t)
	for _, path := range []string{
		"/api/v1/webhooks", "/api/v1/webhooks/" + ref.EndpointID, "/api/v1/events", "/api/v1/events/" + ref.EventID, "/api/v1/event-types",
		"/api/v1/deliveries/" + ref.ID(), "/api/v1/deliveries?event_id=" + ref.EventID, "/api/v1/dlq", "/api/v1/stats", "/health", "/ready", "/metrics",
		"/api/v1/events/none",
	} {
		get, head := w.do("GET", path, ""), w.do("HEAD", path, "")
		require.Equal(t, get.Code, head.Code, path)
		require.Empty(t, head.Body.Bytes(), path)
		require.Equal(t, get.Header(), head.Header(), path)
		require.Equal(t, fmt.Sprint(get.Body.Len()), head.Header().Get("Content-Length"))
	}
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, rec := range []*httptest.ResponseRecorder{
		w.do("GET", "/health", ""), w.do("GET", "/metrics", ""), w.do("POST", "/api/v1/webhooks", anyEndpoint),
		w.do("DELETE", "/api/v1/webhooks/"+w.register(t, anyEndpoint), ""), w.do("POST", "/api/v1/events", `{"event_type":"a","payload":{}}`),
	} {
		require.Less(t, rec.Code, 300)
		require.Equal(t, "nosniff", rec.Header().Get("X-Content-Type-Options"))
		require.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
	}
}

// failureLine returns the one line of the log that tells of a failed request.
func (w *world) failureLine(t *testing.T) map[string]any {
	t.Helper()
	var found map[string]any
	for line := range bytes.Lines(w.log.Bytes()) {
		var v map[string]any
		require.NoError(t, json.Unmarshal(line, &v))
		if v["msg"] == "request failed" {
			require.Nil(t, found, "one line alone")
			found = v
		}
	}
	require.NotNil(t, found)
	return found
}

func TestFailureOfOursIsLoggedAndKeptFromTheCaller(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.faults["list endpoints"] = failed
	rec := w.do("GET", "/api/v1/webhooks?limit=3", "")
	requireProblem(t, rec, 503, "unavailable", "")
	line := w.failureLine(t)
	require.Equal(t, rec.Header().Get("X-Request-Id"), line["request_id"])
	require.NotEmpty(t, line["request_id"])
	require.Equal(t, "GET", line["method"])
	require.Equal(t, "/api/v1/webhooks", line["path"])
	require.Equal(t, 503.0, line["status"])
	require.Equal(t, errFault.Error(), line["error"])
	require.Equal(t, "ERROR", line["level"])
}

func TestFaultOfTheCallerIsNotLogged(t *testing.T) {
	t.Parallel()
	w := newWorld()
	requireProblem(t, w.do("POST", "/api/v1/events", `{`), 400, "invalid_json", "")
	require.Empty(t, w.log.String())
}

func TestCallerThatHasGoneIsNoErrorOfOurs(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.faults["list endpoints"] = failed
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, "GET", "/api/v1/webhooks", nil)
	w.admit(r, DefaultTenant)
	rec := w.serve(r)
	requireProblem(t, rec, 503, "unavailable", "")
	require.Equal(t, "WARN", w.failureLine(t)["level"])
}

func TestRequestWithoutABodyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, path := range []string{"/api/v1/events", "/api/v1/webhooks"} {
		requireProblem(t, w.do("POST", path, ""), 415, "unsupported_media_type", "")
		requireProblem(t, w.do("POST", path, "", "Content-Type", "application/json"), 400, "invalid_json", "")
		r := &http.Request{Method: "POST", URL: &url.URL{Path: path}, Header: http.Header{"Content-Type": {"application/json"}}}
		w.admit(r, DefaultTenant)
		requireProblem(t, w.serve(r), 400, "invalid_json", "")
	}
}

func TestPanicBecomesAProblem(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.panics = "endpoint"
	id := testID(hook.EndpointPrefix, start, 1)
	rec := w.do("GET", "/api/v1/webhooks/"+id, "")
	requireProblem(t, rec, 500, "internal_error", "")
	require.NotContains(t, rec.Body.String(), "hunter2")
	require.Contains(t, w.failureLine(t)["error"], "panic with a secret")
}

// What a handler does at the same time as something else must not end the
// process either.
func TestAPanicBesideAHandlerBecomesAProblem(t *testing.T) {
	t.Parallel()
	for path, operation := range map[string]string{
		"/api/v1/stats": "counts", "/api/v1/dlq": "event", "/ready": "ask store",
	} {
		w := newWorld()
		w.bury(t, w.register(t, anyEndpoint), "a", `{}`)
		w.panics = operation
		rec := w.do("GET", path, "")
		if path == "/ready" {
			requireProblem(t, rec, 503, "not_ready", "")
		} else {
			requireProblem(t, rec, 500, "internal_error", "")
		}
		require.NotContains(t, rec.Body.String(), "hunter2")
		require.Contains(t, w.log.String(), "panic with a secret", path)
	}
}

func TestAbortedHandlerStaysAborted(t *testing.T) {
	t.Parallel()
	w := newWorld()
	h := w.api.handle(func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) })
	require.PanicsWithValue(t, http.ErrAbortHandler, func() { h(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) })
}

func TestKindsOfErrorBecomeStatuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{hook.ErrNotFound, 404, "not_found"},
		{hook.ErrConflict, 409, "conflict"},
		{hook.ErrKeyReused, 409, "idempotency_key_reused"},
		{hook.ErrNotReplayable, 409, "not_replayable"},
		{hook.ErrQueueFull, 429, "queue_full"},
		{ingest.ErrTooLarge, 413, "payload_too_large"},
		{bodyTooLarge(maxBody), 413, "body_too_large"},
		{errMediaType, 415, "unsupported_media_type"},
		{&hook.InvalidError{Reason: "r"}, 400, "invalid_request"},
		{&hook.InvalidError{Code: "c", Reason: "r"}, 400, "c"},
		{&panicError{}, 500, "internal_error"},
		{errors.New("anything"), 503, "unavailable"},
		{context.DeadlineExceeded, 503, "unavailable"},
		{context.Canceled, 503, "unavailable"},
	} {
		k, _, _ := kindOf(fmt.Errorf("while at it: %w", c.err))
		require.Equal(t, c.status, k.status, c.err)
		require.Equal(t, c.code, k.code, c.err)
	}
}

func TestTestReceiverIsMountedOnRequestAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(func(o *Options) { o.TestReceiver = false })
	requireProblem(t, w.do("POST", "/test/webhook", "{}"), 404, "not_found", "")
}
