package load

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// timerSleep is what a bubble's clock can follow.
func timerSleep(ctx context.Context, at time.Time) {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// newGenerator posts to a server that does the same with every event of a POST.
func newGenerator(o Options, post func(context.Context, []byte) string) *generator {
	events, length := o.limits()
	return &generator{
		ledger: newLedger(o), bodies: newBodies("x", o.Payload), sleepUntil: timerSleep,
		post: func(ctx context.Context, body []byte, events int) []string {
			if kind := post(ctx, body); kind != "" {
				return slices.Repeat([]string{kind}, events)
			}
			return nil
		},
		connections: o.Connections, rate: o.Rate, events: events, batch: o.Batch, length: length,
		giveUp: o.GiveUp, timeout: o.Timeout,
	}
}

func (g *generator) result() Result {
	var r Result
	g.ledger.fill(&r)
	return r
}

// takes is a server that accepts after a time.
func takes(d time.Duration) func(context.Context, []byte) string {
	return func(context.Context, []byte) string {
		time.Sleep(d)
		return ""
	}
}

func options(change func(*Options)) Options {
	o := Defaults()
	o.Duration = 0
	change(&o)
	return o
}

func TestOpenLoopChargesAStallToTheEventsThatWaited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var posts atomic.Int64
		// One connection, an event every millisecond; the first answer takes
		// 100 ms, each other none.
		g := newGenerator(options(func(o *Options) { o.Rate, o.Events, o.Connections = 1000, 200, 1 }),
			func(context.Context, []byte) string {
				if posts.Add(1) == 1 {
					time.Sleep(100 * time.Millisecond)
				}
				return ""
			})
		require.Equal(t, 200, g.run(t.Context()))
		r := g.result()
		// The k-th event (k < 100) waited 100-k ms: 100, 99, … 1, then zeros.
		require.Equal(t, Latency{P50: 0, P95: 90, P99: 98, Max: 100}, r.Accept)
		require.Equal(t, 99.0, r.BehindPlan.Max)
		require.Equal(t, 200, r.Accepted)
		require.InDelta(t, 200/0.199, r.AcceptedPerSecond, 1e-6)
	})
}

func TestOpenLoopKeepsItsRateWithSlowAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGenerator(options(func(o *Options) { o.Rate, o.Duration = 100, 2*time.Second }), takes(250*time.Millisecond))
		start := time.Now()
		require.Equal(t, 200, g.run(t.Context()))
		require.Equal(t, 1990*time.Millisecond+250*time.Millisecond, time.Since(start))
		r := g.result()
		require.Equal(t, 200, r.Posted)
		require.Equal(t, Latency{250, 250, 250, 250}, r.Accept)
		require.Zero(t, r.BehindPlan.Max)
	})
}

func TestOpenLoopEndsThoughTheServerIsTooSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := options(func(o *Options) {
			o.Rate, o.Duration, o.Connections, o.Timeout = 1000, time.Second, 1, 2*time.Second
		})
		g := newGenerator(o, takes(900*time.Millisecond))
		start := time.Now()
		require.Equal(t, 1000, g.run(t.Context()))
		require.LessOrEqual(t, time.Since(start), o.Duration+o.Timeout+time.Second)
		require.Equal(t, 4, g.result().Posted)
	})
}

func TestClosedLoopPostsExactlyTheEventsAskedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGenerator(options(func(o *Options) { o.Events, o.Connections = 101, 10 }), takes(10*time.Millisecond))
		start := time.Now()
		require.Equal(t, 101, g.run(t.Context()))
		require.Equal(t, 110*time.Millisecond, time.Since(start), "ten at a time")
		r := g.result()
		require.Equal(t, 101, r.Posted)
		require.Equal(t, 101, r.Accepted)
		require.Equal(t, Latency{10, 10, 10, 10}, r.Accept)
	})
}

func TestPostsOfSeveralCarryExactlyTheEventsAskedFor(t *testing.T) {
	t.Parallel()
	for name, rate := range map[string]float64{"closed": 0, "open": 1000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				g := newGenerator(options(func(o *Options) { o.Rate, o.Events, o.Batch, o.Connections = rate, 250, 100, 1 }), nil)
				var sizes []int
				g.post = func(_ context.Context, body []byte, events int) []string {
					if rate > 0 {
						require.Equal(t, time.Duration(100*len(sizes))*time.Millisecond, time.Since(start), "a POST is due with its first event")
					}
					sizes = append(sizes, events)
					var in struct {
						Events []struct {
							Payload json.RawMessage `json:"payload"`
						} `json:"events"`
					}
					require.NoError(t, json.Unmarshal(body, &in))
					require.Len(t, in.Events, events)
					for i, e := range in.Events {
						seq, ok := sequence(e.Payload)
						require.True(t, ok)
						require.Equal(t, 100*(len(sizes)-1)+i, seq)
					}
					if len(sizes) != 2 {
						return nil
					}
					kinds := make([]string, events)
					kinds[7] = "503"
					return kinds
				}
				require.Equal(t, 250, g.run(t.Context()))
				require.Equal(t, []int{100, 100, 50}, sizes)
				r := g.result()
				require.Equal(t, 250, r.Posted)
				require.Equal(t, 249, r.Accepted)
				require.Equal(t, map[string]int{"503": 1}, r.Errors)
			})
		})
	}
}

func TestClosedLoopFinishesWhatIsUnderWayAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGenerator(options(func(o *Options) { o.Duration, o.Connections = time.Second, 4 }), takes(300*time.Millisecond))
		start := time.Now()
		require.Equal(t, 16, g.run(t.Context()))
		require.Equal(t, 1200*time.Millisecond, time.Since(start))
		require.Equal(t, 16, g.result().Accepted)
	})
}

func TestClosedLoopDoesNotHammerAServerThatRefuses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGenerator(options(func(o *Options) { o.Duration, o.Connections = time.Second, 2 }),
			func(context.Context, []byte) string { return "429" })
		g.run(t.Context())
		require.Equal(t, map[string]int{"429": 20}, g.result().Errors)
		require.False(t, g.gaveUp.Load())
	})
}

func TestPostingStopsWhenNothingIsAccepted(t *testing.T) {
	t.Parallel()
	for name, rate := range map[string]float64{"closed": 0, "open": 50} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				good := time.Now().Add(2 * time.Second)
				g := newGenerator(options(func(o *Options) { o.Rate, o.Duration, o.GiveUp = rate, time.Hour, 5*time.Second }),
					func(context.Context, []byte) string {
						time.Sleep(10 * time.Millisecond)
						if time.Now().Before(good) {
							return ""
						}
						return "connection"
					})
				start := time.Now()
				g.run(t.Context())
				require.True(t, g.gaveUp.Load())
				require.WithinRange(t, time.Now(), start.Add(6900*time.Millisecond), start.Add(7200*time.Millisecond))
			})
		})
	}
}

func TestPostingStopsWhenInterrupted(t *testing.T) {
	t.Parallel()
	for name, rate := range map[string]float64{"closed": 0, "open": 50} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				g := newGenerator(options(func(o *Options) { o.Rate, o.Duration = rate, time.Hour }),
					func(ctx context.Context, _ []byte) string {
						time.Sleep(20 * time.Millisecond)
						if ctx.Err() != nil {
							return "cancelled"
						}
						return ""
					})
				start := time.Now()
				g.run(ctx)
				require.Less(t, time.Since(start), 1100*time.Millisecond)
				r := g.result()
				require.Equal(t, r.Posted, r.Accepted, "what was under way is finished, not cut off")
				require.Positive(t, r.Posted)
			})
		})
	}
}

func TestPreciseSleepIsNeverEarlyAndObeysItsContext(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(5 * time.Millisecond)
	preciseSleep(t.Context(), at)
	require.False(t, time.Now().Before(at))

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	preciseSleep(ctx, start.Add(time.Hour))
	require.Less(t, time.Since(start), time.Minute)
}
