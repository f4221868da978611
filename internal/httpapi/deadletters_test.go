package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// bury makes a dead letter of a new event with that payload.
func (w *world) bury(t *testing.T, endpoint, eventType, payload string) *hook.DeadLetter {
	t.Helper()
	event := w.post(t, `{"event_type":"`+eventType+`","payload":`+payload+`}`)
	d := &hook.DeadLetter{
		ID: w.newID(hook.DeadLetterPrefix, w.now), Ref: hook.Ref{Tenant: DefaultTenant, EventID: event, EndpointID: endpoint},
		EventType: eventType, EndpointURL: "https://example.com/hook", FailureReason: "HTTP 503: Service Unavailable", Attempts: 5,
		CreatedAt: w.now, ExpiresAt: w.now.Add(7 * 24 * time.Hour),
	}
	w.dead[d.ID] = d
	return d
}

func TestDeadLetterShowsItsPayload(t *testing.T) {
	t.Parallel()
	w := newWorld()
	endpoint := w.register(t, anyEndpoint)
	d := w.bury(t, endpoint, "a", `{"n":1.0,"s":"<&>"}`)
	rec := w.do("GET", "/api/v1/dlq/"+d.ID, "")
	require.Contains(t, rec.Body.String(), `"payload":{"n":1.0,"s":"<&>"}`, "byte for byte")
	want := map[string]any{
		"id": d.ID, "delivery_id": d.Ref.ID(), "event_id": d.EventID, "endpoint_id": endpoint, "event_type": "a",
		"payload": map[string]any{"n": 1.0, "s": "<&>"}, "endpoint_url": "https://example.com/hook",
		"failure_reason": "HTTP 503: Service Unavailable", "attempts": 5.0,
		"created_at": "2026-03-04T05:06:07.891Z", "expires_at": "2026-03-11T05:06:07.891Z",
	}
	require.Equal(t, want, requireJSON(t, rec, http.StatusOK))
	items, cursor := requireData(t, w.do("GET", "/api/v1/dlq", ""))
	require.Equal(t, []map[string]any{want}, items)
	require.Empty(t, cursor)

	delete(w.events, d.EventID)
	want["payload"] = nil
	require.Equal(t, want, requireJSON(t, w.do("GET", "/api/v1/dlq/"+d.ID, ""), http.StatusOK))
}

func TestUndecodableMessageShowsItsBody(t *testing.T) {
	t.Parallel()
	w := newWorld()
	d := &hook.DeadLetter{
		ID: testID(hook.DeadLetterPrefix, start, 1), Ref: hook.Ref{Tenant: DefaultTenant}, FailureReason: "undecodable message",
		RawBody: "not { JSON", CreatedAt: start, ExpiresAt: start.Add(time.Hour),
	}
	w.dead[d.ID] = d
	require.Equal(t, map[string]any{
		"id": d.ID, "delivery_id": nil, "event_id": nil, "endpoint_id": nil, "event_type": nil, "payload": nil, "endpoint_url": nil,
		"failure_reason": "undecodable message", "attempts": 0.0, "raw_body": "not { JSON",
		"created_at": "2026-03-04T05:06:07.891Z", "expires_at": "2026-03-04T06:06:07.891Z",
	}, requireJSON(t, w.do("GET", "/api/v1/dlq/"+d.ID, ""), http.StatusOK))
	requireProblem(t, w.do("POST", "/api/v1/dlq/"+d.ID+"/replay", ""), 409, "not_replayable", "")
	w.requireUntouched(t)
}

func TestListDeadLetters(t *testing.T) {
	t.Parallel()
	w := newWorld()
	one, two := w.register(t, anyEndpoint), w.register(t, anyEndpoint)
	var want []string
	for n := range 6 {
		w.sleep(time.Second)
		d := w.bury(t, []string{one, two}[n%2], []string{"a", "b", "c"}[n%3], `{}`)
		want = append([]string{d.ID}, want...)
	}
	for query, ids := range map[string][]string{
		"":                                     want,
		"limit=1":                              want,
		"limit=4":                              want,
		"endpoint_id=" + one:                   {want[1], want[3], want[5]},
		"event_type=a":                         {want[2], want[5]},
		"endpoint_id=" + two + "&event_type=a": {want[2]},
		"since=2026-03-04T05:06:12.891Z":       want[:2],
		"until=2026-03-04T05:06:12.891Z":       want[2:],
	} {
		got, _ := w.pages(t, "/api/v1/dlq?"+query)
		require.Equal(t, ids, got, query)
	}
	require.LessOrEqual(t, w.mostReading, encodeSize)

	for _, op := range []string{"list dead", "event"} {
		w.faults[op] = failed
		requireProblem(t, w.do("GET", "/api/v1/dlq", ""), 503, "unavailable", "")
	}
}

func TestLongListOfDeadLettersStaysUnderFourMegabytes(t *testing.T) {
	t.Parallel()
	w := newWorld()
	endpoint := w.register(t, anyEndpoint)
	var want []string
	for range 60 {
		want = append([]string{w.bury(t, endpoint, "a", `{"s":"`+strings.Repeat("x", 200_000)+`"}`).ID}, want...)
	}
	got, pages := w.pages(t, "/api/v1/dlq?limit=200")
	require.Equal(t, want, got)
	require.Equal(t, 3, pages)
	require.LessOrEqual(t, w.do("GET", "/api/v1/dlq?limit=200", "").Body.Len(), maxAnswer)
}

func TestDeleteDeadLetter(t *testing.T) {
	t.Parallel()
	w := newWorld()
	d := w.bury(t, w.register(t, anyEndpoint), "a", `{}`)
	rec := w.do("DELETE", "/api/v1/dlq/"+d.ID, "")
	require.Equal(t, http.StatusNoContent, rec.Code)
	require.Empty(t, rec.Body.Bytes())
	require.Empty(t, w.dead)
	requireProblem(t, w.do("DELETE", "/api/v1/dlq/"+d.ID, ""), 404, "not_found", "")
}

func TestReplayDeadLetter(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"", "{}", " { } "} {
		w := newWorld()
		d := w.bury(t, w.register(t, anyEndpoint), "a", `{}`)
		v := requireJSON(t, w.do("POST", "/api/v1/dlq/"+d.ID+"/replay", body), http.StatusAccepted)
		require.Equal(t, map[string]any{"delivery_id": d.Ref.ID()}, v)
		requireProblem(t, w.do("GET", "/api/v1/dlq/"+d.ID, ""), 404, "not_found", "")
	}
	w := newWorld()
	d := w.bury(t, w.register(t, anyEndpoint), "a", `{}`)
	w.calls = map[string]int{}
	requireProblem(t, w.do("POST", "/api/v1/dlq/"+d.ID+"/replay", `{"rate":5}`), 400, "unknown_field", "rate")
	requireProblem(t, w.do("POST", "/api/v1/dlq/"+d.ID+"/replay", `[]`), 400, "wrong_type", "")
	requireProblem(t, w.do("POST", "/api/v1/dlq/"+d.ID+"/replay", `{}`, "Content-Type", "text/plain"), 415, "unsupported_media_type", "")
	w.requireUntouched(t)
}

func TestFaultsOfDeadLetterWrites(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ op, method, path string }{{"replay", "POST", "/replay"}, {"delete dead", "DELETE", ""}} {
		for _, f := range []fault{failed, lost} {
			w := newWorld()
			d := w.bury(t, w.register(t, anyEndpoint), "a", `{}`)
			w.faults[c.op] = f
			requireProblem(t, w.do(c.method, "/api/v1/dlq/"+d.ID+c.path, ""), 503, "unavailable", "")
			again := w.do(c.method, "/api/v1/dlq/"+d.ID+c.path, "")
			if f == failed {
				require.Less(t, again.Code, 300)
			} else {
				requireProblem(t, again, 404, "not_found", "")
			}
			require.Empty(t, w.dead)
		}
	}
}

func TestDeadLetterThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld()
	d := w.bury(t, w.register(t, anyEndpoint), "a", `{}`)
	w.calls = map[string]int{}
	for _, id := range []string{testID(hook.DeadLetterPrefix, start, 99), d.EventID, "x", "dlq_"} {
		requireProblem(t, w.do("GET", "/api/v1/dlq/"+id, ""), 404, "not_found", "")
		requireProblem(t, w.do("DELETE", "/api/v1/dlq/"+id, ""), 404, "not_found", "")
		requireProblem(t, w.do("POST", fmt.Sprintf("/api/v1/dlq/%s/replay", id), ""), 404, "not_found", "")
	}
	for _, method := range []string{"GET", "DELETE"} {
		requireProblem(t, w.do(method, "/api/v1/dlq/"+d.ID, "", "X-Tenant", "other"), 404, "not_found", "")
	}
	w.requireUntouched(t)
}
