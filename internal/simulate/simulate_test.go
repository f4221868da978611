package simulate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/cost"
	"posthorn/internal/deliver/breaker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run simulates and returns the minutes.
func run(t *testing.T, change func(*Options)) []Sample {
	t.Helper()
	o := Day()
	o.Duration = time.Hour
	change(&o)
	var all []Sample
	require.NoError(t, Run(o, func(s Sample) { all = append(all, s) }))
	require.Len(t, all, int(o.Duration.Minutes()))
	return all
}

func last(all []Sample) Sample { return all[len(all)-1] }

func TestWhereNobodyHangsEverythingIsDeliveredAtOnce(t *testing.T) {
	t.Parallel()
	end := last(run(t, func(o *Options) { o.Hanging = 0 }))
	require.Zero(t, end.Ready)
	require.Less(t, end.LagP99, time.Second)
	require.InDelta(t, 10_000, end.Delivered, 100)
	require.Zero(t, end.Open)
}

// What docs/scale.md says: with a breaker that asks for 20 attempts in a minute, a
// tenth of receivers that hang takes all environments, and each of them fails too
// seldom for its breaker to open.
func TestReceiversThatHangTakeAllEnvironments(t *testing.T) {
	t.Parallel()
	end := last(run(t, func(o *Options) { o.Breaker = Strict() }))
	require.Greater(t, end.Ready, 30e6)
	require.Greater(t, end.LagP50, 50*time.Minute)
	require.Zero(t, end.Open)
}

// And what helps: any of these, after the backlog of the first minutes.
func TestTheOthersAreSparedOnceTheBreakersOpen(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"as shipped":        func(*Options) {},
		"a shorter timeout": func(o *Options) { o.Breaker, o.Timeout = Strict(), 5*time.Second },
		"more environments": func(o *Options) { o.Breaker, o.Most = Strict(), 5000 },
		"a shorter timeout, at a tenth the scale": func(o *Options) { o.Scale, o.Timeout, o.Duration = 10, 5*time.Second, 20*time.Minute },
	} {
		end := last(run(t, change))
		require.Zero(t, end.Ready, name)
		require.Less(t, end.LagP99, time.Second, name)
		require.InDelta(t, 9000, end.Delivered, 200, name)
		require.InDelta(t, 1000, end.Open, 1, name)
		require.Greater(t, end.Delayed, 0.9*1000*(end.At-5*time.Minute).Seconds(), "%s: nothing is dropped: what hangs waits", name)
	}
}

// Why it is ten attempts that a breaker asks for: an endpoint that works, and
// fails now and then, is hardly ever left alone, and no more than by a breaker that
// asks for 20 in a minute.
func TestEndpointsThatFailNowAndThenAreNotLeftAlone(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{0.02, 0.1, 1, 10} {
		for _, failing := range []float64{0.01, 0.05, 0.1} {
			opens, waiting := Flaky(breaker.Default(), failing, rate, 500, 1)
			require.Less(t, opens, 0.05, "%g at %g/s", failing, rate)
			require.Less(t, waiting, 0.0005, "%g at %g/s", failing, rate)
		}
	}
	opens, _ := Flaky(breaker.Default(), 0.3, 1, 500, 1)
	strict, _ := Flaky(Strict(), 0.3, 1, 500, 1)
	require.Less(t, opens, strict)
	eager, _ := Flaky(Eager(), 0.1, 1, 500, 1)
	require.Greater(t, eager, 0.1, "five attempts are chance too often")
	all, waiting := Flaky(breaker.Default(), 1, 1, 10, 1)
	require.Greater(t, all, 10.0)
	require.Greater(t, waiting, 0.95, "one that does not work is")
}

func TestOneSeedIsOneDay(t *testing.T) {
	t.Parallel()
	change := func(o *Options) { o.Duration, o.Timeout = 10*time.Minute, 5*time.Second }
	require.Equal(t, run(t, change), run(t, change))
	require.NotEqual(t, run(t, change), run(t, func(o *Options) { change(o); o.Seed = 2 }))
}

// Scaling down changes the figures little.
func TestTheScaleMattersLittle(t *testing.T) {
	t.Parallel()
	at := func(scale int) Sample {
		return last(run(t, func(o *Options) { o.Scale, o.Timeout, o.Duration = scale, 5*time.Second, 20*time.Minute }))
	}
	small, large := at(100), at(20)
	require.InEpsilon(t, large.Delivered, small.Delivered, 0.02)
	require.InEpsilon(t, large.Delayed, small.Delayed, 0.05)
	require.InEpsilon(t, large.Open, small.Open, 0.01)
}

func TestOptionsThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	for wrong, change := range map[string]func(*Options){
		"scale":        func(o *Options) { o.Scale = 5000 },
		"rate":         func(o *Options) { o.Rate = 0 },
		"duration":     func(o *Options) { o.Duration = time.Second },
		"timeout":      func(o *Options) { o.Timeout = time.Hour },
		"environments": func(o *Options) { o.Most = 1 },
	} {
		o := Day()
		change(&o)
		require.ErrorContains(t, Run(o, func(Sample) {}), wrong)
	}
}

func TestAnHourCostsWhatItTakes(t *testing.T) {
	t.Parallel()
	p, err := cost.Load()
	require.NoError(t, err)
	quiet := DollarsPerHour(Sample{Attempts: 10_000, Delivered: 10_000, Batches: 1000, Busy: 130}, 10_000, p)
	require.InDelta(t, 36*1.9, quiet, 36*0.4, "about what make cost says of 36 million deliveries")
	busy := DollarsPerHour(Sample{Attempts: 10_000, Delivered: 10_000, Batches: 3000, Busy: 500, Copies: 20_000}, 10_000, p)
	require.Greater(t, busy, quiet)
}
