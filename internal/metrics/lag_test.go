package metrics_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/metrics"
)

func TestTheOldestAge(t *testing.T) {
	t.Parallel()
	ago := func(d time.Duration) time.Time { return noon.Add(-d) }
	for name, c := range map[string]struct {
		totals metrics.Totals
		ready  int
		want   time.Duration
	}{
		"nothing ever happened":                                      {metrics.Totals{}, 0, 0},
		"nothing is ready":                                           {metrics.Totals{LastTaken: ago(time.Hour), RecentLag: time.Second}, 0, time.Second},
		"the queue is worked":                                        {metrics.Totals{LastTaken: ago(10 * time.Millisecond), RecentLag: 3 * time.Second}, 5, 3 * time.Second},
		"nobody takes what was accepted":                             {metrics.Totals{LastAccepted: ago(40 * time.Second)}, 5, 40 * time.Second},
		"nobody takes what was accepted after all was quiet":         {metrics.Totals{LastTaken: ago(72 * time.Hour), LastAccepted: ago(2 * time.Second)}, 1, 2 * time.Second},
		"nobody takes what was there before":                         {metrics.Totals{LastTaken: ago(20 * time.Minute), LastAccepted: ago(time.Hour)}, 5, 20 * time.Minute},
		"nobody takes anything, and events go on being accepted":     {metrics.Totals{LastTaken: ago(time.Hour), LastAccepted: ago(time.Millisecond), StalledSince: ago(50 * time.Minute)}, 5, 50 * time.Minute},
		"the standstill is over":                                     {metrics.Totals{LastTaken: ago(time.Second), LastAccepted: ago(0), StalledSince: ago(50 * time.Minute), RecentLag: time.Minute}, 5, time.Minute},
		"a standstill that ended by itself, since nothing was ready": {metrics.Totals{LastTaken: ago(time.Hour), StalledSince: ago(50 * time.Minute)}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, c.totals.OldestAge(c.ready, noon))
		})
	}
}

// watched are counters that remember how they were used.
type watched struct {
	totals        metrics.Totals
	reads, writes int
	err           error
}

func (w *watched) Activity(context.Context) (*metrics.Totals, error) {
	w.reads++
	t := w.totals
	return &t, w.err
}

func (w *watched) MarkStalled(_ context.Context, since time.Time) error {
	w.writes++
	w.totals.StalledSince = since
	return w.err
}

// backlog counts as it is told to.
type backlog func() (int, error)

func (b backlog) Ready(context.Context) (int, error) { return b() }

func TestAStandstillIsSeenAndNotedOnce(t *testing.T) {
	t.Parallel()
	now, ready := noon, 0
	counters := &watched{totals: metrics.Totals{LastTaken: noon.Add(-10 * time.Second)}}
	r := metrics.NewRecorder(&store{})
	var emitted []time.Duration
	r.Emit = func(d *metrics.Delta) { emitted = append(emitted, d.Waiting) }
	w := &metrics.Watch{
		Counters: counters, Backlog: backlog(func() (int, error) { return ready, nil }), Recorder: r, Now: func() time.Time { return now },
	}
	look := func() time.Duration {
		t.Helper()
		require.NoError(t, w.Look(t.Context()))
		require.NoError(t, r.Flush(t.Context()))
		return emitted[len(emitted)-1]
	}
	require.Zero(t, look())
	require.Zero(t, counters.reads, "nothing is read while nothing is ready")

	ready = 3
	require.Equal(t, 10*time.Second, look())
	require.Zero(t, counters.writes, "somebody took messages within the last minute")
	for range 5 {
		now = now.Add(time.Minute)
		counters.totals.LastAccepted = now
		look()
	}
	require.Equal(t, 1, counters.writes)
	require.Equal(t, 4*time.Minute, emitted[len(emitted)-1], "since it was seen")

	counters.totals.LastTaken = now.Add(time.Second)
	now = now.Add(2 * time.Second)
	require.Less(t, look(), 5*time.Second)
	now = now.Add(2 * time.Minute)
	look()
	require.Equal(t, 2, counters.writes, "another standstill")
}

func TestAWatchThatSeesNothingSaysSo(t *testing.T) {
	t.Parallel()
	failed := errors.New("no answer")
	counters := &watched{err: failed}
	w := &metrics.Watch{Counters: counters, Recorder: metrics.NewRecorder(&store{}), Now: time.Now}
	w.Backlog = backlog(func() (int, error) { return 0, failed })
	require.ErrorIs(t, w.Look(t.Context()), failed)
	w.Backlog = backlog(func() (int, error) { return 1, nil })
	require.ErrorIs(t, w.Look(t.Context()), failed)
}
