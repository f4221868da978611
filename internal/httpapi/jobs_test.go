package httpapi

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestJobsAreShown(t *testing.T) {
	t.Parallel()
	w := newWorld()
	endpoint := w.register(t, anyEndpoint)
	j := &hook.Job{Tenant: DefaultTenant, Kind: hook.JobRecover, EndpointID: endpoint, Done: 3, Total: 10, Error: "a step failed and is tried again"}
	require.NoError(t, w.Start(t.Context(), j))
	want := map[string]any{
		"id": j.ID, "kind": "recover", "status": "running", "endpoint_id": endpoint, "event_id": nil, "done": 3.0, "total": 10.0,
		"error": "a step failed and is tried again", "created_at": hook.FormatTime(start), "updated_at": hook.FormatTime(start),
	}
	require.Equal(t, want, requireJSON(t, w.do("GET", "/api/v1/jobs/"+j.ID, ""), http.StatusOK))
	data, _ := requireData(t, w.do("GET", "/api/v1/jobs", ""))
	require.Equal(t, []map[string]any{want}, data)
	requireProblem(t, w.do("GET", "/api/v1/jobs/job_x", ""), 404, "not_found", "")
	for _, kind := range []hook.JobKind{hook.JobFanOut, hook.JobCancel} {
		j := &hook.Job{Tenant: DefaultTenant, Kind: kind}
		require.NoError(t, w.Start(t.Context(), j))
		requireProblem(t, w.do("POST", "/api/v1/jobs/"+j.ID+"/cancel", ""), 409, "not_cancellable", "")
	}
}

// dead puts n dead letters into the world, by turns of two reasons.
func (w *world) deadLetters(t *testing.T, n int) (endpoint string) {
	endpoint = w.register(t, anyEndpoint)
	for i := range n {
		id := testID(hook.DeadLetterPrefix, start, 500+i)
		w.dead[id] = &hook.DeadLetter{
			ID: id, Ref: hook.Ref{Tenant: DefaultTenant, EventID: testID(hook.EventPrefix, start, i), EndpointID: endpoint}, EventType: "order.created",
			FailureReason: []string{"HTTP 503: Service Unavailable", "timeout after 30s"}[i%2], CreatedAt: start, ExpiresAt: start.Add(time.Hour),
		}
	}
	return endpoint
}

func TestADryRunCountsAndSendsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld()
	endpoint := w.deadLetters(t, 5)
	for filter, want := range map[string]float64{
		`{}`: 5, `{"failure_reason":"timeout after 30s"}`: 2, `{"event_type":"order.created"}`: 5, `{"event_type":"a"}`: 0,
		fmt.Sprintf(`{"endpoint_id":%q}`, endpoint): 5, `{"since":"2027-01-01T00:00:00Z"}`: 0, `{"until":"2027-01-01T00:00:00Z"}`: 5,
		`{"since":"2026-01-02T00:00:00Z","until":"2026-01-02T00:00:00Z"}`: 0, // as in a list
	} {
		v := requireJSON(t, w.do("POST", "/api/v1/dlq/replay", `{"filter":`+filter+`,"dry_run":true}`), http.StatusOK)
		require.Equal(t, map[string]any{"matched": want}, v, filter)
	}
	v := requireJSON(t, w.do("POST", "/api/v1/dlq/replay", `{"filter":{},"dry_run":true,"limit":3}`), http.StatusOK)
	require.Equal(t, 3.0, v["matched"])
	require.Empty(t, w.jobs)
	require.Len(t, w.dead, 5)
	requireJSON(t, w.do("POST", "/api/v1/dlq/replay", `{"filter":{},"dry_run":null,"limit":null,"rate":null}`), http.StatusAccepted)
	require.Len(t, w.jobs, 1, "null stands for what is so anyway")
}

func TestReplayOfManyIsAJob(t *testing.T) {
	t.Parallel()
	w := newWorld()
	endpoint := w.deadLetters(t, 1)
	body := fmt.Sprintf(`{"filter":{"endpoint_id":%q,"event_type":"order.created","failure_reason":"timeout after 30s","since":"2026-01-01T00:00:00Z","until":"2026-02-01T00:00:00Z"},"limit":7,"rate":2.5}`, endpoint)
	v := requireJSON(t, w.do("POST", "/api/v1/dlq/replay", body), http.StatusAccepted)
	j := w.jobs[v["job"].(map[string]any)["id"].(string)]
	require.Equal(t, hook.JobReplay, j.Kind)
	require.Equal(t, hook.DeadLetterFilter{
		Tenant: DefaultTenant, EndpointID: endpoint, EventType: "order.created", Reason: "timeout after 30s",
		Since: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Until: time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC),
	}, j.Filter)
	require.Equal(t, 7, j.Limit)
	require.Equal(t, 2.5, j.Rate)
}

func TestReplayOfManyRefusesBadInput(t *testing.T) {
	t.Parallel()
	for body, want := range map[string][2]string{
		`{}`:                               {"missing_field", "filter"},
		`{"dry_run":true}`:                 {"missing_field", "filter"},
		`{"filter":null}`:                  {"wrong_type", "filter"},
		`{"filter":{"endpoint":"x"}}`:      {"unknown_field", "filter.endpoint"},
		`{"filter":{"endpoint_id":"x"}}`:   {"invalid_id", "filter.endpoint_id"},
		`{"filter":{"event_type":"a b"}}`:  {"invalid_event_type", "filter.event_type"},
		`{"filter":{"failure_reason":""}}`: {"too_long", "filter.failure_reason"},
		`{"filter":{"since":"x"}}`:         {"invalid_time", "filter.since"},
		`{"filter":{"since":"2026-01-02T00:00:01Z","until":"2026-01-02T00:00:00Z"}}`: {"invalid_time", "filter.until"},
		`{"filter":{},"dry_run":"yes"}`:                                              {"wrong_type", "dry_run"},
		`{"filter":{},"limit":0}`:                                                    {"out_of_range", "limit"},
		`{"filter":{},"rate":0}`:                                                     {"out_of_range", "rate"},
		`{"filter":{},"rate":1001}`:                                                  {"out_of_range", "rate"},
		`{"filter":{},"speed":1}`:                                                    {"unknown_field", "speed"},
	} {
		w := newWorld()
		requireProblem(t, w.do("POST", "/api/v1/dlq/replay", body), 400, want[0], want[1])
		require.Empty(t, w.jobs, body)
	}
}

func TestRetryOfADelivery(t *testing.T) {
	t.Parallel()
	w := newWorld()
	theirs := w.furnish(t, DefaultTenant)
	v := requireJSON(t, w.do("POST", "/api/v1/deliveries/"+theirs["deliveries"]+"/retry", ""), http.StatusAccepted)
	require.Equal(t, map[string]any{"delivery_id": theirs["deliveries"]}, v)
	require.Len(t, w.retried, 1)
	delete(w.eps, theirs["webhooks"])
	requireProblem(t, w.do("POST", "/api/v1/deliveries/"+theirs["deliveries"]+"/retry", ""), 409, "not_replayable", "")
	requireProblem(t, w.do("POST", "/api/v1/deliveries/dlv_x/retry", ""), 404, "not_found", "")
}

func TestResendOfAnEvent(t *testing.T) {
	t.Parallel()
	w := newWorld()
	one := w.register(t, `{"url":"https://example.com","events":["order.*"]}`)
	event := w.post(t, `{"event_type":"order.created","payload":{}}`)
	later := w.register(t, anyEndpoint)
	w.register(t, `{"url":"https://example.com","events":["user.*"]}`)

	v := requireJSON(t, w.do("POST", "/api/v1/events/"+event+"/resend", `{"endpoint_id":"`+later+`"}`), http.StatusAccepted)
	require.Equal(t, 1.0, v["deliveries_total"])
	require.Equal(t, []string{later}, w.resent, "whether the event was for it or not")

	w.resent = nil
	v = requireJSON(t, w.do("POST", "/api/v1/events/"+event+"/resend", ""), http.StatusAccepted)
	require.Equal(t, event, v["id"])
	require.Equal(t, 2.0, v["deliveries_total"], "all that match now")
	require.Equal(t, []string{one, later}, w.resent)

	requireProblem(t, w.do("POST", "/api/v1/events/"+event+"/resend", `{"endpoint_id":"ep_x"}`), 404, "not_found", "endpoint_id")
	requireProblem(t, w.do("POST", "/api/v1/events/"+event+"/resend", `{"endpoint_id":"`+absentIDs["webhooks"]+`"}`), 404, "not_found", "endpoint_id")
	requireProblem(t, w.do("POST", "/api/v1/events/"+event+"/resend", `{"x":1}`), 400, "unknown_field", "x")
	for range 120 {
		w.register(t, anyEndpoint)
	}
	w.resent = nil
	v = requireJSON(t, w.do("POST", "/api/v1/events/"+event+"/resend", "{}"), http.StatusAccepted)
	require.Equal(t, 122.0, v["deliveries_total"])
	require.Len(t, w.resent, 100)
	require.Len(t, w.jobs, 1)
	for _, j := range w.jobs {
		require.True(t, j.Resend)
		require.Equal(t, w.resent[99], j.Cursor, "the rest is a job's, from there on")
		require.Equal(t, 22, j.Total)
	}
}

func TestAResendThatCannotGoToOneOfItsEndpointsSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.register(t, anyEndpoint)
	event := w.post(t, `{"event_type":"a","payload":{}}`)
	for _, op := range []string{"resend", "resend one"} {
		w.faults[op] = failed
		requireProblem(t, w.do("POST", "/api/v1/events/"+event+"/resend", ""), 503, "unavailable", "")
	}
}

func TestWhatADeliveryWaitsFor(t *testing.T) {
	t.Parallel()
	w := newWorld()
	endpoint := w.register(t, anyEndpoint)
	event := w.post(t, `{"event_type":"a","payload":{}}`)
	ref := hook.Ref{Tenant: DefaultTenant, EventID: event, EndpointID: endpoint}
	waits := func() any {
		return requireJSON(t, w.do("GET", "/api/v1/deliveries/"+ref.ID(), ""), http.StatusOK)["waiting_for"]
	}
	require.Nil(t, waits())
	w.states[endpoint] = hook.EndpointState{NextSlot: start.Add(900 * time.Millisecond)}
	require.Nil(t, waits(), "a second's worth may be taken at once")
	w.states[endpoint] = hook.EndpointState{NextSlot: start.Add(5 * time.Second)}
	require.Equal(t, "rate_limit", waits())
	w.rows[ref] = &hook.Delivery{Ref: ref, EventType: "a", Status: hook.Retrying, Attempts: 1, NextAttemptAt: start.Add(time.Minute), CreatedAt: start}
	require.Equal(t, "backoff", waits())
	w.states[endpoint] = hook.EndpointState{OpenUntil: start.Add(time.Second)}
	require.Equal(t, "breaker", waits())
	w.eps[endpoint].Epoch++
	require.Equal(t, "backoff", waits(), "the breaker was open before the endpoint was resumed")
	w.states[endpoint] = hook.EndpointState{OpenUntil: start.Add(time.Second), Epoch: 1}
	require.Equal(t, "breaker", waits())
	for again, how := range []func(){
		func() { w.do("POST", "/api/v1/webhooks/"+endpoint+"/resume", "") },
		func() { w.do("PATCH", "/api/v1/webhooks/"+endpoint, `{"url":"https://example.com/mended"}`) },
		func() { w.do("PATCH", "/api/v1/webhooks/"+endpoint, `{"headers":{"X-Key":"right"}}`) },
	} {
		how()
		require.Equal(t, "backoff", waits(), "the breaker was open before the endpoint was mended")
		w.states[endpoint] = hook.EndpointState{OpenUntil: start.Add(time.Second), Epoch: int64(again + 2)}
		require.Equal(t, "breaker", waits())
	}
	w.do("PATCH", "/api/v1/webhooks/"+endpoint, `{"url":"https://example.com/mended","description":"the same"}`)
	require.Equal(t, "breaker", waits(), "nothing of it is another")
	w.rows[ref].Status = hook.Held
	require.Nil(t, waits(), "what is held waits for its endpoint, which its status says")
	w.faults["state"] = failed
	w.rows[ref].Status = hook.Retrying
	requireProblem(t, w.do("GET", "/api/v1/deliveries/"+ref.ID(), ""), 503, "unavailable", "")
}
