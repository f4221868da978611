package httpapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestABatchAnswersForEachOfItsEventsInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.register(t, anyEndpoint)
	events := make([]string, 100)
	for i := range events {
		events[i] = fmt.Sprintf(`{"event_type":"order.created","payload":{"n":%d}}`, i)
	}
	events[7] = `{"event_type":"no type","payload":{}}`
	events[30] = `{"event_type":"order.created"}`
	events[99] = `"text"`
	v := requireJSON(t, w.do("POST", "/api/v1/events/batch", `{"events":[`+strings.Join(events, ",")+`]}`), http.StatusAccepted)
	data := v["data"].([]any)
	require.Len(t, data, 100)
	for i, d := range data {
		one := d.(map[string]any)
		switch i {
		case 7:
			require.Equal(t, "invalid_event_type", one["code"])
			require.Equal(t, "events[7].event_type", one["field"])
		case 30:
			require.Equal(t, "missing_field", one["code"])
			require.Equal(t, "events[30].payload", one["field"])
		case 99:
			require.Equal(t, "wrong_type", one["code"])
			require.Equal(t, "events[99]", one["field"])
			require.Equal(t, 400.0, one["status"])
		default:
			require.Equal(t, 1.0, one["deliveries_total"])
			require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, i), string(w.events[one["id"].(string)].Payload()))
		}
	}
	require.Len(t, w.events, 97)
	require.Len(t, w.sent, 97)
}

func TestKeysInABatch(t *testing.T) {
	t.Parallel()
	w := newWorld()
	one := `{"event_type":"a","payload":{"n":1},"id":"k1"}`
	data := requireJSON(t, w.do("POST", "/api/v1/events/batch", `{"events":[`+one+`,`+one+`,{"event_type":"a","payload":{"n":2},"id":"k1"},{"event_type":"a","payload":{},"id":""}]}`), http.StatusAccepted)["data"].([]any)
	require.Equal(t, data[0], data[1], "the same event")
	require.Equal(t, "idempotency_key_reused", data[2].(map[string]any)["code"])
	require.Equal(t, "events[2]", data[2].(map[string]any)["field"])
	require.Equal(t, "invalid_idempotency_key", data[3].(map[string]any)["code"])
	require.Equal(t, "events[3].id", data[3].(map[string]any)["field"])
	require.Len(t, w.events, 1)
	requireProblem(t, w.do("POST", "/api/v1/events/batch", `{"events":[`+one+`]}`, "Idempotency-Key", "k"), 400, "invalid_idempotency_key", "Idempotency-Key")
}

func TestABatchThatIsNoneIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	many := strings.Repeat(`{"event_type":"a","payload":{}},`, 101)
	for body, want := range map[string][3]any{
		``:              {400, "invalid_json", ""},
		`{}`:            {400, "invalid_events", "events"},
		`{"events":[]}`: {400, "invalid_events", "events"},
		`{"events":{}}`: {400, "wrong_type", "events"},
		`{"events":[` + many[:len(many)-1] + `]}`: {400, "invalid_events", "events"},
		`{"events":[{}],"x":1}`:                   {400, "unknown_field", "x"},
		`{"events":[{},]}`:                        {400, "invalid_json", ""},
		`{"events":[{}`:                           {400, "invalid_json", ""},
		`[]`:                                      {400, "wrong_type", ""},
		`{"events":[` + strings.Repeat(" ", 4<<20) + `]}`: {413, "body_too_large", ""},
	} {
		w := newWorld()
		if body == `{"events":[{}],"x":1}` {
			w.register(t, anyEndpoint)
		}
		requireProblem(t, w.do("POST", "/api/v1/events/batch", body, "Content-Type", "application/json"), want[0].(int), want[1].(string), want[2].(string))
		require.Empty(t, w.events)
	}
	w := newWorld()
	requireProblem(t, w.do("POST", "/api/v1/events/batch", `{"events":[]}`, "Content-Type", "text/plain"), 415, "unsupported_media_type", "")
}

func TestABodyThatIsTooLargeIsToldItsOwnLimit(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/api/v1/events": "The body is over 1 MB.", "/api/v1/events/batch": "The body is over 4 MB."} {
		v := requireProblem(t, newWorld().do("POST", path, strings.Repeat(" ", 4<<20+1)), 413, "body_too_large", "")
		require.Equal(t, want, v["detail"], path)
	}
}

// A batch of which nothing could be taken for reasons that may pass is one
// failure, so that it is tried again; otherwise each event answers for itself.
func TestABatchThatFailsAsAWholeIsAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.register(t, anyEndpoint)
	good := `{"event_type":"a","payload":{}}`
	w.faults["endpoint set"] = failed
	requireProblem(t, w.do("POST", "/api/v1/events/batch", `{"events":[`+good+`,`+good+`]}`), 503, "unavailable", "")
	w.depths.Ready = 1000
	w.sleep(2 * time.Second)
	rec := w.do("POST", "/api/v1/events/batch", `{"events":[`+good+`]}`)
	requireProblem(t, rec, 429, "queue_full", "")
	require.Equal(t, "5", rec.Header().Get("Retry-After"))
	w.depths.Ready = 0
	w.sleep(2 * time.Second)

	w.faults["endpoint set"] = failed
	data := requireJSON(t, w.do("POST", "/api/v1/events/batch", `{"events":[`+good+`,{}]}`), http.StatusAccepted)["data"].([]any)
	require.Equal(t, 503.0, data[0].(map[string]any)["status"], "a bad one beside it will not get better")
	require.Equal(t, "events[0]", data[0].(map[string]any)["field"])
	require.Contains(t, w.log.String(), "injected fault", "what failed is in the log")

	w.faults["put"] = failed
	data = requireJSON(t, w.do("POST", "/api/v1/events/batch", `{"events":[`+good+`,{"event_type":"a","payload":{},"id":"stored by itself"}]}`), http.StatusAccepted)["data"].([]any)
	statuses := []any{data[0].(map[string]any)["status"], data[1].(map[string]any)["status"]}
	require.ElementsMatch(t, []any{503.0, nil}, statuses, "the other one is accepted")
}

func TestBatchesAreWithinTheSizeOfAnAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for range 100 {
		w.register(t, anyEndpoint)
	}
	big := `{"event_type":"a","payload":{"s":"` + strings.Repeat("x", 30<<10) + `"}}`
	rec := w.do("POST", "/api/v1/events/batch", `{"events":[`+strings.Repeat(big+",", 99)+big+`]}`)
	require.Equal(t, http.StatusAccepted, rec.Code)
	require.Less(t, rec.Body.Len(), maxAnswer)
}
