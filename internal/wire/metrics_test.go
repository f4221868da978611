package wire

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/hook"
)

// environments are n processes on the same services.
func environments(t testing.TB, n int, cfg *config.Config, client *http.Client) []*App {
	t.Helper()
	cfg.Seal.Key = make([]byte, 32)
	apps := make([]*App, n)
	for i := range apps {
		var err error
		apps[i], err = New(cfg, Local(client, "http://localhost:4566"), slog.New(slog.DiscardHandler))
		require.NoError(t, err)
	}
	return apps
}

// scrape is what /metrics of an environment says.
func scrape(t *testing.T, a *App) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, (&figures{table: a.table, queues: a.queues, now: time.Now}).WriteMetrics(t.Context(), &b))
	return b.String()
}

// Whichever environment is asked, it shows what all have stored, those that
// have died too.
func TestMetricsAreThoseOfAllTwentyEnvironmentsAndOfTheDead(t *testing.T) {
	t.Parallel()
	cfg, client := provisioned(t)
	apps := environments(t, 20, cfg, client)
	var wg sync.WaitGroup
	for i, a := range apps {
		wg.Go(func() {
			for range 10 { // invocations
				a.counts.EventAccepted("order.created")
				a.counts.Attempt(hook.OutcomeSuccess, 20*time.Millisecond)
				a.counts.Attempt(hook.OutcomeHTTPError, 20*time.Millisecond)
				a.counts.Ended(hook.Delivered)
				a.counts.EndToEnd(time.Second)
				a.counts.Throttled(hook.ThrottleBreaker)
				a.flush(t.Context())
			}
			if i%2 == 0 {
				apps[i] = nil // it dies
			}
		})
	}
	wg.Wait()
	late := environments(t, 1, cfg, client)[0]
	for _, a := range append(apps, late) {
		if a == nil {
			continue
		}
		text := scrape(t, a)
		for _, want := range []string{
			`webhook_events_total{event_type="order.created"} 200`, `webhook_deliveries_total{status="delivered"} 200`,
			`webhook_attempts_total{outcome="success"} 200`, `webhook_attempts_total{outcome="http_error"} 200`,
			`webhook_delivery_duration_seconds_count 400`, `webhook_end_to_end_seconds_bucket{le="1"} 200`, `webhook_end_to_end_seconds_sum 200`,
			`webhook_throttled_total{reason="breaker"} 200`,
		} {
			require.Contains(t, text, want+"\n")
		}
	}
}

func TestAScrapeReadsEveryCounterOnceAndNothingElse(t *testing.T) {
	t.Parallel()
	cfg, straight := provisioned(t)
	var mu sync.Mutex
	var calls []string
	client := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		mu.Lock()
		defer mu.Unlock()
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		calls = append(calls, operation+" "+string(body))
		return straight.Transport.RoundTrip(r)
	})}
	a := environments(t, 1, cfg, client)[0]
	for i := range 300 { // more event types than are counted by name, over all shards
		a.counts.EventAccepted(fmt.Sprintf("type.%d", i))
		a.counts.Ended(hook.Dead)
		a.flush(t.Context())
	}
	require.NotEmpty(t, scrape(t, a)) // looks up the queues
	calls = nil
	require.NotEmpty(t, scrape(t, a))
	read := map[string]int{}
	for _, c := range calls {
		if strings.HasPrefix(c, "GetQueueAttributes ") {
			read["queue"]++
			continue
		}
		require.Regexp(t, "^(BatchGetItem|GetItem) ", c, "nothing is written or searched")
		for _, key := range strings.Split(c, `"PK"`)[1:] {
			read[key]++
		}
	}
	require.Equal(t, 2, read["queue"])
	delete(read, "queue")
	require.Len(t, read, 4+4+1, "two items a shard, and the count of endpoints: %v", calls)
	for key, n := range read {
		require.Equal(t, 1, n, key)
	}
}

// A queue that nobody works is not one without lag.
func TestTheLagOfAQueueThatNobodyTakesFromGrows(t *testing.T) {
	t.Parallel()
	cfg, client := provisioned(t)
	a := environments(t, 1, cfg, client)[0]
	sent := a.queues.Send(t.Context(), []hook.Outgoing{{Message: &hook.Message{
		Ref:       hook.Ref{Tenant: "default", EventID: "evt_01M85VZD685G3RJHNP2PV5MMPE", EndpointID: "ep_01M85VZD5FXFFYTWSX4SS5W6D7"},
		EventType: "a", CreatedAt: time.Now(),
	}}})
	require.NoError(t, sent[0].Err)
	a.counts.EventAccepted("a")
	a.flush(t.Context())
	f := &figures{table: a.table, queues: a.queues}
	for _, after := range []time.Duration{time.Second, time.Minute, time.Hour} {
		f.now = func() time.Time { return time.Now().Add(after) }
		counts, err := f.Counts(t.Context())
		require.NoError(t, err)
		require.InDelta(t, after.Seconds(), counts.OldestAge(1).Seconds(), 0.9)
		var b bytes.Buffer
		require.NoError(t, f.WriteMetrics(t.Context(), &b))
		require.NotContains(t, b.String(), "webhook_lag_seconds 0\n")
	}
}

func TestAFunctionWritesItsMetricsIntoItsLogOnceAnInvocation(t *testing.T) {
	t.Parallel()
	cfg, client := provisioned(t)
	a := environments(t, 1, cfg, client)[0]
	var log bytes.Buffer
	a.emit(&log, "posthorn-ApiFunction-1")
	serve := a.APIFunction()
	for range 2 {
		resp, err := serve(t.Context(), request("POST", "/api/v1/events", `{"event_type":"a","payload":{}}`))
		require.NoError(t, err)
		require.NotEmpty(t, resp.Body)
	}
	_, err := serve(t.Context(), request("GET", "/health", ""))
	require.NoError(t, err)
	require.Equal(t, 2, strings.Count(log.String(), `"EventsAccepted":1`))
	require.Equal(t, 2, strings.Count(log.String(), "\n"), "none of an invocation that counted nothing")
}
