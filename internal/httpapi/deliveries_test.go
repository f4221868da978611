package httpapi

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// delivered is an event and its endpoint, and the row that a test records.
func (w *world) pending(t *testing.T) hook.Ref {
	t.Helper()
	endpoint := w.register(t, anyEndpoint)
	return hook.Ref{Tenant: DefaultTenant, EventID: w.post(t, `{"event_type":"a","payload":{}}`), EndpointID: endpoint}
}

func TestDeliveryWithoutARecordIsQueued(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ref := w.pending(t)
	require.Equal(t, map[string]any{
		"id": ref.ID(), "event_id": ref.EventID, "endpoint_id": ref.EndpointID, "event_type": "a", "status": "queued", "waiting_for": nil,
		"attempts": 0.0, "next_attempt_at": nil, "attempt_log": []any{}, "traceparent": nil, "created_at": "2026-03-04T05:06:07.891Z", "completed_at": nil,
	}, requireJSON(t, w.do("GET", "/api/v1/deliveries/"+ref.ID(), ""), http.StatusOK))
}

func TestDeliveryThatIsRetried(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ref := w.pending(t)
	w.rows[ref] = &hook.Delivery{
		Ref: ref, EventType: "a", Status: hook.Retrying, Attempts: 2, CreatedAt: start, NextAttemptAt: start.Add(2 * time.Second),
		First: hook.Attempt{Number: 1, At: start.Add(time.Second), Duration: 1500 * time.Microsecond, Outcome: hook.OutcomeHTTPError, StatusCode: 503, Error: "HTTP 503: Service Unavailable", ResponseBody: "<no>"},
	}
	w.later[ref] = []hook.Attempt{{Number: 2, At: start.Add(2 * time.Second), Duration: 30 * time.Second, Outcome: hook.OutcomeTimeout, Error: "timeout after 30s"}}
	v := requireJSON(t, w.do("GET", "/api/v1/deliveries/"+ref.ID(), ""), http.StatusOK)
	require.Equal(t, map[string]any{
		"id": ref.ID(), "event_id": ref.EventID, "endpoint_id": ref.EndpointID, "event_type": "a", "status": "retrying", "waiting_for": "backoff",
		"attempts": 2.0, "next_attempt_at": "2026-03-04T05:06:09.891Z", "traceparent": nil, "created_at": "2026-03-04T05:06:07.891Z", "completed_at": nil,
		"attempt_log": []any{
			map[string]any{"number": 1.0, "at": "2026-03-04T05:06:08.891Z", "duration_ms": 1.5, "status_code": 503.0, "error": "HTTP 503: Service Unavailable", "response_body": "<no>"},
			map[string]any{"number": 2.0, "at": "2026-03-04T05:06:09.891Z", "duration_ms": 30000.0, "status_code": nil, "error": "timeout after 30s", "response_body": nil},
		},
	}, v)

	w.sleep(2 * time.Second)
	v = requireJSON(t, w.do("GET", "/api/v1/deliveries/"+ref.ID(), ""), http.StatusOK)
	require.Nil(t, v["waiting_for"], "it is due")
	require.Equal(t, "2026-03-04T05:06:09.891Z", v["next_attempt_at"])
}

func TestDeliveryThatEnded(t *testing.T) {
	t.Parallel()
	for _, status := range []hook.Status{hook.Delivered, hook.Dead, hook.Cancelled} {
		w := newWorld()
		ref := w.pending(t)
		w.rows[ref] = &hook.Delivery{
			Ref: ref, EventType: "a", Status: status, Attempts: 1, CreatedAt: start, CompletedAt: start.Add(time.Second), NextAttemptAt: start.Add(time.Hour),
			First: hook.Attempt{Number: 1, At: start, Outcome: hook.OutcomeSuccess, StatusCode: 200},
		}
		delete(w.events, ref.EventID) // its record is enough
		v := requireJSON(t, w.do("GET", "/api/v1/deliveries/"+ref.ID(), ""), http.StatusOK)
		require.Equal(t, string(status), v["status"])
		require.Equal(t, "2026-03-04T05:06:08.891Z", v["completed_at"])
		require.Nil(t, v["next_attempt_at"])
		require.Nil(t, v["waiting_for"])
		require.Equal(t, "", v["attempt_log"].([]any)[0].(map[string]any)["response_body"], "an answer came, and it was empty")
		require.Zero(t, w.calls["attempts"], "one attempt is in the record")
	}
}

func TestDeliveryShowsTheTraceparentOfItsEvent(t *testing.T) {
	t.Parallel()
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	w := newWorld()
	endpoint := w.register(t, anyEndpoint)
	e := requireJSON(t, w.do("POST", "/api/v1/events", `{"event_type":"a","payload":{}}`, "Traceparent", trace), http.StatusAccepted)
	ref := hook.Ref{Tenant: DefaultTenant, EventID: e["id"].(string), EndpointID: endpoint}
	show := func() map[string]any {
		return requireJSON(t, w.do("GET", "/api/v1/deliveries/"+ref.ID(), ""), http.StatusOK)
	}
	require.Equal(t, trace, show()["traceparent"], "queued")
	w.rows[ref] = &hook.Delivery{Ref: ref, EventType: "a", Status: hook.Delivered, Attempts: 1, CreatedAt: start, First: hook.Attempt{Number: 1, At: start}}
	require.Equal(t, trace, show()["traceparent"], "on record")
	items, _ := requireData(t, w.do("GET", "/api/v1/deliveries?endpoint_id="+endpoint, ""))
	require.NotContains(t, items[0], "traceparent")
	w.faults["event"] = failed
	requireProblem(t, w.do("GET", "/api/v1/deliveries/"+ref.ID(), ""), 503, "unavailable", "")
	delete(w.faults, "event")
	delete(w.events, ref.EventID)
	require.Nil(t, show()["traceparent"], "the event is no longer stored")
}

func TestAttemptLogHoldsTheNewestTwentyInOrder(t *testing.T) {
	t.Parallel()
	for _, made := range []int{1, 2, 20, 21, 22, 50} {
		w := newWorld()
		ref := w.pending(t)
		w.rows[ref] = &hook.Delivery{Ref: ref, EventType: "a", Status: hook.Retrying, Attempts: made, First: hook.Attempt{Number: 1, At: start}, CreatedAt: start}
		for n := 2; n <= made; n++ {
			w.later[ref] = append(w.later[ref], hook.Attempt{Number: n, At: start})
		}
		var numbers []int
		for _, a := range requireJSON(t, w.do("GET", "/api/v1/deliveries/"+ref.ID(), ""), http.StatusOK)["attempt_log"].([]any) {
			numbers = append(numbers, int(a.(map[string]any)["number"].(float64)))
		}
		require.Len(t, numbers, min(made, 20))
		require.True(t, slices.IsSorted(numbers))
		require.Equal(t, made, numbers[len(numbers)-1])
		require.Equal(t, max(1, made-19), numbers[0])
	}
}

func TestDeliveryThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ref := w.pending(t)
	other := w.register(t, `{"url":"https://example.com","events":["b"]}`)
	for _, id := range []string{
		hook.Ref{EventID: ref.EventID, EndpointID: other}.ID(), // it did not match
		hook.Ref{EventID: testID(hook.EventPrefix, start, 99), EndpointID: ref.EndpointID}.ID(),
		"dlv_x", "dlv_", ref.EventID, strings.TrimPrefix(ref.ID(), "dlv_"), ref.ID() + "_x",
	} {
		requireProblem(t, w.do("GET", "/api/v1/deliveries/"+id, ""), 404, "not_found", "")
	}
	requireProblem(t, w.do("GET", "/api/v1/deliveries/"+ref.ID(), "", "X-Tenant", "other"), 404, "not_found", "")
	for _, op := range []string{"deliveries", "event"} {
		w.faults[op] = failed
		requireProblem(t, w.do("GET", "/api/v1/deliveries/"+ref.ID(), ""), 503, "unavailable", "")
	}
}

func TestListDeliveriesOfAnEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld()
	endpoint := w.register(t, anyEndpoint)
	var want []string
	for n, status := range []hook.Status{hook.Delivered, hook.Retrying, hook.Dead, hook.Held, hook.Delivered} {
		w.sleep(time.Second)
		eventType := []string{"a", "b"}[n%2]
		ref := hook.Ref{Tenant: DefaultTenant, EventID: w.post(t, `{"event_type":"`+eventType+`","payload":{}}`), EndpointID: endpoint}
		w.rows[ref] = &hook.Delivery{Ref: ref, EventType: eventType, Status: status, Attempts: 3, CreatedAt: w.now}
		want = append([]string{ref.ID()}, want...)
	}
	of := "endpoint_id=" + endpoint
	for query, ids := range map[string][]string{
		of:                       want,
		of + "&limit=2":          want,
		of + "&status=delivered": {want[0], want[4]},
		of + "&status=queued":    nil,
		of + "&event_type=b":     {want[1], want[3]},
		of + "&since=2026-03-04T05:06:10.891Z&until=2026-03-04T05:06:12.891Z": {want[1], want[2]},
		"endpoint_id=" + testID(hook.EndpointPrefix, start, 99):               nil,
	} {
		got, _ := w.pages(t, "/api/v1/deliveries?"+query)
		require.Equal(t, ids, got, query)
	}
	items, _ := requireData(t, w.do("GET", "/api/v1/deliveries?"+of, ""))
	require.NotContains(t, items[0], "attempt_log")
	require.Equal(t, 3.0, items[0]["attempts"])
}

func TestListDeliveriesOfAnEvent(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var endpoints []string
	for range 5 {
		endpoints = append(endpoints, w.register(t, anyEndpoint))
	}
	event := w.post(t, `{"event_type":"a","payload":{}}`)
	w.register(t, anyEndpoint)
	ref := func(n int) hook.Ref { return hook.Ref{Tenant: DefaultTenant, EventID: event, EndpointID: endpoints[n]} }
	w.rows[ref(1)] = &hook.Delivery{Ref: ref(1), EventType: "a", Status: hook.Delivered, CreatedAt: start}
	w.rows[ref(3)] = &hook.Delivery{Ref: ref(3), EventType: "a", Status: hook.Retrying, CreatedAt: start}
	var want []string
	for n := 4; n >= 0; n-- {
		want = append(want, ref(n).ID())
	}
	of := "event_id=" + event
	for query, ids := range map[string][]string{
		of:                                     want,
		of + "&limit=1":                        want,
		of + "&limit=2":                        want,
		of + "&limit=5":                        want,
		of + "&status=queued":                  {want[0], want[2], want[4]},
		of + "&status=queued&limit=1":          {want[0], want[2], want[4]},
		of + "&status=delivered":               {want[3]},
		of + "&status=dead":                    nil,
		of + "&event_type=a":                   want,
		of + "&event_type=b":                   nil,
		of + "&since=2026-03-04T05:06:07.891Z": want,
		of + "&until=2026-03-04T05:06:07.891Z": nil,
	} {
		got, _ := w.pages(t, "/api/v1/deliveries?"+query)
		require.Equal(t, ids, got, query)
	}
	requireProblem(t, w.do("GET", "/api/v1/deliveries?event_id="+testID(hook.EventPrefix, start, 99), ""), 404, "not_found", "event_id")
	requireProblem(t, w.do("GET", "/api/v1/deliveries?"+of, "", "X-Tenant", "other"), 404, "not_found", "event_id")
	w.faults["deliveries"] = failed
	requireProblem(t, w.do("GET", "/api/v1/deliveries?"+of, ""), 503, "unavailable", "")
}

func TestListDeliveriesNeedsOneOfEndpointAndEvent(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, query := range []string{
		"", "?status=dead",
		fmt.Sprintf("?endpoint_id=%s&event_id=%s", testID(hook.EndpointPrefix, start, 1), testID(hook.EventPrefix, start, 1)),
	} {
		p := requireProblem(t, w.do("GET", "/api/v1/deliveries"+query, ""), 400, "endpoint_or_event_required", "")
		require.Contains(t, p["detail"], "endpoint_id or event_id")
	}
}
