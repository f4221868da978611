package schedule

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// starts runs fn every minute for the given time and returns when each run
// began, counted from the start of the schedule, and what was logged.
func starts(t *testing.T, length time.Duration, fn func(ctx context.Context, run int) error) (at []time.Duration, logged string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		var buf bytes.Buffer
		err := Schedule{
			Name: "sweep", Interval: time.Minute, Logger: slog.New(slog.NewTextHandler(&buf, nil)),
			Function: func(ctx context.Context) error {
				at = append(at, time.Since(begin))
				return fn(ctx, len(at))
			},
		}.Run(ctx)
		require.NoError(t, err)
		logged = buf.String()
	})
	return at, logged
}

func TestRunsEveryIntervalAfterTheFirst(t *testing.T) {
	at, logged := starts(t, 3*time.Minute+time.Second, func(context.Context, int) error { return nil })
	require.Equal(t, []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute}, at)
	require.Empty(t, logged)
}

func TestSkipsWhatFallsDueDuringARun(t *testing.T) {
	at, _ := starts(t, 6*time.Minute+time.Second, func(_ context.Context, run int) error {
		if run == 1 {
			time.Sleep(150 * time.Second) // until 3 m 30 s
		}
		return nil
	})
	require.Equal(t, []time.Duration{time.Minute, 4 * time.Minute, 5 * time.Minute, 6 * time.Minute}, at)
}

func TestARunThatEndsOnATickSkipsIt(t *testing.T) {
	at, _ := starts(t, 3*time.Minute+time.Second, func(_ context.Context, run int) error {
		if run == 1 {
			time.Sleep(time.Minute)
		}
		return nil
	})
	require.Equal(t, []time.Duration{time.Minute, 3 * time.Minute}, at)
}

func TestFailuresAreLoggedAndDoNotStopIt(t *testing.T) {
	at, logged := starts(t, 3*time.Minute+time.Second, func(_ context.Context, run int) error {
		switch run {
		case 1:
			return errors.New("table is away")
		case 2:
			panic("no such thing")
		}
		return nil
	})
	require.Len(t, at, 3)
	require.Contains(t, logged, "schedule=sweep")
	require.Contains(t, logged, "table is away")
	require.Contains(t, logged, "no such thing")
}

func TestStopsOnlyAfterTheRunInProgress(t *testing.T) {
	ended := false
	at, _ := starts(t, 61*time.Second, func(ctx context.Context, _ int) error {
		<-ctx.Done()
		time.Sleep(10 * time.Minute)
		ended = true
		return ctx.Err()
	})
	require.Len(t, at, 1)
	require.True(t, ended)
}

func TestStopsAtOnceWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		begin := time.Now()
		require.NoError(t, Schedule{Interval: time.Hour, Function: func(context.Context) error { return nil }}.Run(ctx))
		require.Zero(t, time.Since(begin))
	})
}

func TestRefusesAnIntervalThatIsNone(t *testing.T) {
	require.Error(t, Schedule{Interval: 0}.Run(t.Context()))
}
