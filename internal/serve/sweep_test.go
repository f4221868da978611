package serve

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/localaws/schedule"
)

// lease is the item by which processes agree, as the table keeps it.
type lease struct {
	mu     sync.Mutex
	holder string
	until  time.Time
}

func (l *lease) TakeSweep(_ context.Context, holder string, now, until time.Time) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Before(l.until) {
		return false, nil
	}
	l.holder, l.until = holder, until
	return true, nil
}

func (l *lease) EndSweep(_ context.Context, holder string, next time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.holder == holder {
		l.until = next
	}
	return nil
}

// Five processes that were started one after the other sweep once an interval
// among them, and never two at once.
func TestOneOfManySweepsInEachInterval(t *testing.T) {
	t.Parallel()
	for _, interval := range []time.Duration{time.Minute, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			shared := &lease{}
			var mu sync.Mutex
			sweeps, atOnce := 0, 0
			sweep := func(context.Context) error {
				mu.Lock()
				sweeps++
				atOnce++
				require.Equal(t, 1, atOnce, "two sweep at once")
				mu.Unlock()
				time.Sleep(interval / 10)
				mu.Lock()
				atOnce--
				mu.Unlock()
				return nil
			}
			ctx, stop := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			for n := range 5 {
				s := &sweeper{sweep: sweep, leases: shared, name: fmt.Sprint(n), interval: interval, now: time.Now}
				wg.Go(func() {
					time.Sleep(time.Duration(n) * interval / 7)
					require.NoError(t, schedule.Schedule{Name: "sweep", Interval: interval, Function: s.run}.Run(ctx))
				})
			}
			time.Sleep(100*interval + interval/2)
			stop()
			wg.Wait()
			require.InDelta(t, 100, sweeps, 15)
		})
	}
}

// One process alone sweeps at each of its intervals.
func TestOneProcessSweepsEveryInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sweeps := 0
		s := &sweeper{sweep: func(context.Context) error { sweeps++; return nil }, leases: &lease{}, name: "a", interval: time.Minute, now: time.Now}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go func() { _ = schedule.Schedule{Name: "sweep", Interval: time.Minute, Function: s.run}.Run(ctx) }()
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		require.Equal(t, 60, sweeps)
	})
}

// A sweep that hangs ends before anybody else may begin one, and one whose
// process dies keeps the others waiting a minute at most.
func TestASweepEndsBeforeItsLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		shared := &lease{}
		s := &sweeper{leases: shared, name: "a", interval: time.Second, now: time.Now, sweep: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		began := time.Now()
		require.ErrorIs(t, s.run(t.Context()), context.DeadlineExceeded)
		require.Equal(t, sweepTime, time.Since(began))

		mine, err := shared.TakeSweep(t.Context(), "dies", time.Now(), time.Now().Add(sweepTime))
		require.NoError(t, err)
		require.True(t, mine)
		swept := false
		other := &sweeper{leases: shared, name: "b", interval: time.Second, now: time.Now, sweep: func(context.Context) error { swept = true; return nil }}
		require.NoError(t, other.run(t.Context()))
		require.False(t, swept)
		time.Sleep(sweepTime)
		require.NoError(t, other.run(t.Context()))
		require.True(t, swept)
	})
}

// failing is a table that cannot be asked.
type failing struct{ lease }

var errTable = errors.New("no table")

func (*failing) TakeSweep(context.Context, string, time.Time, time.Time) (bool, error) {
	return false, errTable
}

func TestWithoutALeaseNobodySweeps(t *testing.T) {
	t.Parallel()
	s := &sweeper{leases: &failing{}, now: time.Now, sweep: func(context.Context) error { t.Error("swept"); return nil }}
	require.ErrorIs(t, s.run(t.Context()), errTable)
}
