package metrics_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/hook"
	"posthorn/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store keeps what it is handed.
type store struct {
	mu     sync.Mutex
	deltas []*metrics.Delta
	err    error
}

func (s *store) AddCounters(_ context.Context, d *metrics.Delta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deltas = append(s.deltas, d)
	return s.err
}

func TestFlushHandsOverWhatWasCountedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		r := metrics.NewRecorder(s)
		require.NoError(t, r.Flush(t.Context()))
		require.Empty(t, s.deltas, "nothing was counted")

		r.EventAccepted("order.created")
		r.EventAccepted("order.created")
		r.EventAccepted("user.created")
		r.Attempt(hook.OutcomeSuccess, 20*time.Millisecond)
		r.Attempt(hook.OutcomeTimeout, 40*time.Second)
		r.Ended(hook.Delivered)
		r.Ended(hook.Dead)
		r.Lag(3 * time.Second)
		r.Lag(time.Second)
		require.NoError(t, r.Flush(t.Context()))
		require.NoError(t, r.Flush(t.Context()))

		want := &metrics.Delta{
			Events:     map[string]int64{"order.created": 2, "user.created": 1},
			Deliveries: map[hook.Status]int64{hook.Delivered: 1, hook.Dead: 1},
			Attempts:   map[hook.Outcome]int64{hook.OutcomeSuccess: 1, hook.OutcomeTimeout: 1},
			Lag:        3 * time.Second, LagAt: time.Now(),
		}
		want.AttemptTimes = []time.Duration{20 * time.Millisecond, 40 * time.Second}
		want.AcceptedAt = time.Now()
		want.Durations.Buckets[2], want.Durations.Buckets[metrics.BucketCount-1] = 1, 1
		want.Durations.Sum, want.Durations.Count = 40*time.Second+20*time.Millisecond, 2
		require.Equal(t, []*metrics.Delta{want}, s.deltas)
	})
}

func TestALagOfNothingIsStillALag(t *testing.T) {
	t.Parallel()
	s := &store{}
	r := metrics.NewRecorder(s)
	r.Lag(0)
	require.NoError(t, r.Flush(t.Context()))
	require.Len(t, s.deltas, 1)
	require.False(t, s.deltas[0].LagAt.IsZero())
}

// The store may have added what it failed to confirm, so it is not handed over
// a second time.
func TestAFlushThatFailsIsNotRepeated(t *testing.T) {
	t.Parallel()
	s := &store{err: errors.New("no answer")}
	r := metrics.NewRecorder(s)
	r.EventAccepted("a")
	require.ErrorIs(t, r.Flush(t.Context()), s.err)
	s.err = nil
	require.NoError(t, r.Flush(t.Context()))
	require.Len(t, s.deltas, 1)
}

func TestRunFlushesEverySoOftenAndOnceMoreAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &store{}
		r := metrics.NewRecorder(s)
		var failed []error
		r.Failed = func(err error) { failed = append(failed, err) }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.Run(ctx, time.Second)
		}()
		r.EventAccepted("a")
		time.Sleep(1500 * time.Millisecond) // of the bubble's clock
		synctest.Wait()
		require.Len(t, s.deltas, 1)

		s.err = errors.New("no answer")
		r.EventAccepted("b")
		time.Sleep(time.Second)
		synctest.Wait()
		require.Len(t, failed, 1)
		require.ErrorIs(t, failed[0], s.err)

		s.err = nil
		r.EventAccepted("c")
		cancel()
		<-done
		require.Len(t, s.deltas, 3)
		require.Equal(t, map[string]int64{"c": 1}, s.deltas[2].Events)
		require.Len(t, failed, 1)
	})
}

func TestCountingFromManyGoroutinesLosesNothing(t *testing.T) {
	t.Parallel()
	s := &store{}
	r := metrics.NewRecorder(s)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 500 {
				r.EventAccepted("a")
				r.Attempt(hook.OutcomeSuccess, time.Millisecond)
				r.Ended(hook.Delivered)
				if i%100 == 0 {
					if err := r.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, r.Flush(t.Context()))
	var events, attempts, ended, observed int64
	for _, d := range s.deltas {
		events += d.Events["a"]
		attempts += d.Attempts[hook.OutcomeSuccess]
		ended += d.Deliveries[hook.Delivered]
		observed += d.Durations.Count
	}
	require.Equal(t, [4]int64{4000, 4000, 4000, 4000}, [4]int64{events, attempts, ended, observed})
}

func TestADurationFallsIntoTheBucketWhoseBoundItDoesNotPass(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int{
		-time.Second:              0,
		0:                         0,
		5 * time.Millisecond:      0,
		5*time.Millisecond + 1:    1,
		10 * time.Millisecond:     1,
		25 * time.Millisecond:     2,
		50 * time.Millisecond:     3,
		100 * time.Millisecond:    4,
		250 * time.Millisecond:    5,
		500 * time.Millisecond:    6,
		time.Second:               7,
		2500 * time.Millisecond:   8,
		5 * time.Second:           9,
		10 * time.Second:          10,
		30 * time.Second:          11,
		30*time.Second + 1:        12,
		10 * 365 * 24 * time.Hour: 12,
	} {
		var h metrics.Histogram
		h.Observe(metrics.AttemptBounds(), d)
		var buckets [metrics.BucketCount]int64
		buckets[want] = 1
		require.Equal(t, metrics.Histogram{Buckets: buckets, Sum: max(d, 0), Count: 1}, h, d)
	}
}

func snapshot() *metrics.Snapshot {
	s := &metrics.Snapshot{
		Totals: metrics.Totals{
			Events:     map[string]int64{"user.created": 3, "order.created": 12, metrics.OtherType: 1, `odd"one\`: 2},
			Deliveries: map[hook.Status]int64{hook.Delivered: 9, hook.Dead: 2, hook.Cancelled: 1},
			Attempts:   map[hook.Outcome]int64{hook.OutcomeSuccess: 9, hook.OutcomeTimeout: 4, hook.OutcomeHTTPError: 6},
			Throttled:  map[hook.Throttle]int64{hook.ThrottleBreaker: 8},
			RecentLag:  250 * time.Millisecond, LastTaken: noon.Add(-90 * time.Second), AcceptErrors: 3,
		},
		At:        noon,
		Queue:     hook.QueueDepths{Ready: 5, InFlight: 2, Delayed: 1, Dead: 4},
		Endpoints: hook.EndpointCounts{Active: 6, Paused: 2, Disabled: 1},
	}
	for _, d := range []time.Duration{3 * time.Millisecond, 20 * time.Millisecond, 20 * time.Millisecond, 700 * time.Millisecond, time.Minute} {
		s.Totals.Durations.Observe(metrics.AttemptBounds(), d)
	}
	for _, d := range []time.Duration{4 * time.Millisecond, 20 * time.Second, 2 * time.Hour} {
		s.Totals.EndToEnd.Observe(metrics.EndToEndBounds(), d)
	}
	return s
}

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func TestThePrometheusTextIsTheGoldenOne(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile(filepath.Join("testdata", "metrics.txt"))
	require.NoError(t, err)
	for range 10 { // maps are read in a different order each time
		var b bytes.Buffer
		metrics.Write(&b, snapshot())
		require.Equal(t, string(want), b.String())
	}
}

func TestThePrometheusTextOfNothingHasEveryFamily(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	metrics.Write(&b, &metrics.Snapshot{})
	for _, name := range []string{
		"webhook_events_total", "webhook_deliveries_total", "webhook_attempts_total", "webhook_delivery_duration_seconds",
		"webhook_queue_size", "webhook_dlq_size", "webhook_endpoints_total", "webhook_endpoints", "webhook_accept_errors_total",
		"webhook_throttled_total", "webhook_end_to_end_seconds", "webhook_lag_seconds", "webhook_queue_ready", "webhook_queue_in_flight", "webhook_queue_delayed",
	} {
		require.Equal(t, 1, strings.Count(b.String(), "# HELP "+name+" "), name)
		require.Equal(t, 1, strings.Count(b.String(), "# TYPE "+name+" "), name)
	}
	require.Contains(t, b.String(), "webhook_deliveries_total{status=\"failed\"} 0\n")
	require.Contains(t, b.String(), "webhook_attempts_total{outcome=\"tls\"} 0\n")
	require.True(t, strings.HasSuffix(b.String(), "\n"))
}

func TestAttemptsAreCountedOverAllOutcomes(t *testing.T) {
	t.Parallel()
	require.Equal(t, int64(19), snapshot().Totals.AttemptCount())
}
