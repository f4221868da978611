package httpapi

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestStats(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.depths = hook.QueueDepths{Ready: 4, InFlight: 5, Delayed: 6, Dead: 7}
	w.counts = Counts{
		Events: map[string]int64{"a": 10, "b": 1}, Delivered: 20, Failed: 21, Held: 22, Cancelled: 23,
		AttemptsSucceeded: 30, AttemptsFailed: 31, OldestAge: func(ready int) time.Duration { return time.Duration(ready) * 375 * time.Millisecond },
	}
	w.bury(t, w.register(t, anyEndpoint), "a", `{}`)
	require.Equal(t, map[string]any{
		"queue":        map[string]any{"ready": 4.0, "in_flight": 5.0, "delayed": 6.0},
		"dlq":          map[string]any{"waiting": 7.0, "entries": 1.0},
		"endpoints":    map[string]any{"total": 6.0, "active": 3.0, "paused": 2.0, "disabled": 1.0},
		"events_total": 11.0,
		"deliveries":   map[string]any{"delivered": 20.0, "failed": 21.0, "held": 22.0, "cancelled": 23.0},
		"attempts":     map[string]any{"succeeded": 30.0, "failed": 31.0},
		"lag_seconds":  1.5,
	}, requireJSON(t, w.do("GET", "/api/v1/stats", ""), http.StatusOK))

	for _, op := range []string{"depths", "endpoint counts", "count dead", "counts"} {
		w.faults[op] = failed
		requireProblem(t, w.do("GET", "/api/v1/stats", ""), 503, "unavailable", "")
	}
	requireProblem(t, w.do("GET", "/api/v1/stats?x=1", ""), 400, "unknown_parameter", "x")
}

func TestEventTypes(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.counts.Events = map[string]int64{"z.custom": 3, "order.created": 5, "b.custom": 1}
	items, cursor := requireData(t, w.do("GET", "/api/v1/event-types", ""))
	require.Empty(t, cursor)
	require.Equal(t, []map[string]any{
		{"name": "user.created", "description": "A user was created.", "predefined": true, "events_total": 0.0},
		{"name": "order.created", "description": "An order was placed.", "predefined": true, "events_total": 5.0},
		{"name": "b.custom", "description": "", "predefined": false, "events_total": 1.0},
		{"name": "z.custom", "description": "", "predefined": false, "events_total": 3.0},
	}, items)
	w.faults["counts"] = failed
	requireProblem(t, w.do("GET", "/api/v1/event-types", ""), 503, "unavailable", "")

	none := newWorld(func(o *Options) { o.EventTypes = nil })
	items, _ = requireData(t, none.do("GET", "/api/v1/event-types", ""))
	require.Empty(t, items)
}

func TestHealthAsksNobody(t *testing.T) {
	t.Parallel()
	w := newWorld()
	require.Equal(t, map[string]any{"status": "ok", "version": "1.2.3"}, requireJSON(t, w.do("GET", "/health", ""), http.StatusOK))
	require.Empty(t, w.calls)
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld()
	rec := w.do("GET", "/metrics", "")
	require.Equal(t, http.StatusOK, rec.Code)
	require.Equal(t, "text/plain; version=0.0.4; charset=utf-8", rec.Header().Get("Content-Type"))
	require.Equal(t, "webhook_queue_size 7\n", rec.Body.String())
	w.faults["metrics"] = lost
	requireProblem(t, w.do("GET", "/metrics", ""), 503, "unavailable", "")
}

func TestReadyAsksTheStoresAndKeepsTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ready := func() { requireJSON(t, w.do("GET", "/ready", ""), http.StatusOK) }
	ready()
	w.faults["ask store"] = failed
	w.sleep(readyKept - time.Millisecond)
	ready()
	require.Equal(t, 1, w.calls["ask store"])
	require.Equal(t, 1, w.calls["ask queue"])

	w.sleep(time.Millisecond)
	for range 2 {
		rec := w.do("GET", "/ready", "")
		p := requireProblem(t, rec, 503, "not_ready", "")
		require.Contains(t, p["detail"], "dynamodb")
		require.NotContains(t, p["detail"], "sqs")
		require.Equal(t, "5", rec.Header().Get("Retry-After"))
	}
	require.Equal(t, 2, w.calls["ask store"])
	w.sleep(readyKept)
	ready()
}

func TestReadyDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(func(o *Options) {
			o.Now = time.Now
			o.Ready = append(o.Ready, Check{"slow", func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			}})
		})
		began := time.Now()
		p := requireProblem(t, w.do("GET", "/ready", ""), 503, "not_ready", "")
		require.Contains(t, p["detail"], "slow")
		require.Equal(t, readyTimeout, time.Since(began))
	})
}

func TestReadyDoesNotHangOnOneCaller(t *testing.T) {
	t.Parallel()
	w := newWorld(func(o *Options) {
		o.Ready = []Check{{"store", func(ctx context.Context) error { return ctx.Err() }}}
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.api.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/ready", nil))
	requireJSON(t, w.do("GET", "/ready", ""), http.StatusOK)
}
