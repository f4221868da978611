package retry

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func policies(t *rapid.T) Policy {
	return Policy{
		InitialDelay: time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "initial")),
		MaxDelay:     time.Duration(rapid.Int64Range(0, math.MaxInt64).Draw(t, "max")),
		Multiplier:   rapid.Float64Range(1, 1e6).Draw(t, "multiplier"),
		MaxAttempts:  rapid.IntRange(1, 1000).Draw(t, "attempts"),
		Jitter:       rapid.Float64Range(0, 1).Draw(t, "jitter"),
	}
}

func TestTheDefaultDelays(t *testing.T) {
	t.Parallel()
	const middle, least, most = 0.5, 0, 1 - 1e-12
	for failed, want := range map[int]time.Duration{
		0: time.Second, 1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 4: 8 * time.Second,
		9: 256 * time.Second, 10: 300 * time.Second, 5000: 300 * time.Second, math.MaxInt: 300 * time.Second,
	} {
		require.Equal(t, want, Delay(Default(), failed, middle), "after %d", failed)
		require.Equal(t, want*3/4, Delay(Default(), failed, least), "after %d", failed)
		require.InDelta(t, want*5/4, Delay(Default(), failed, most), 1000, "after %d", failed)
	}
	require.Equal(t, 5, Default().MaxAttempts)
}

func TestADelayStaysWithinItsJitter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, n := policies(t), rapid.IntRange(1, 5000).Draw(t, "failed")
		rnd := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "rnd")
		d, plain := float64(Delay(p, n, rnd)), p
		plain.Jitter = 0
		mean := float64(Delay(plain, n, rnd))
		slack := mean*1e-9 + 2
		require.GreaterOrEqual(t, d, 0.0)
		require.LessOrEqual(t, mean, float64(p.MaxDelay)+slack)
		require.GreaterOrEqual(t, d, math.Min(mean*(1-p.Jitter), math.MaxInt64)-slack)
		require.LessOrEqual(t, d, mean*(1+p.Jitter)+slack)
	})
}

func TestTheMeanDelayIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, n := policies(t), rapid.IntRange(1, 50).Draw(t, "failed")
		p.MaxDelay = min(p.MaxDelay, 1<<60) // where jitter cannot meet the end of the range
		// Mirrored draws cancel out, so the mean of each pair is the mean of all.
		rnd := rapid.Float64Range(0, 0.5).Draw(t, "rnd")
		plain := p
		plain.Jitter = 0
		mean := (float64(Delay(p, n, rnd)) + float64(Delay(p, n, 1-rnd))) / 2
		want := float64(Delay(plain, n, 0))
		require.InDelta(t, want, mean, want*1e-9+2)
	})
}

func TestDelaysNeverShrink(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, n := policies(t), rapid.IntRange(1, 5000).Draw(t, "failed")
		rnd := rapid.Float64Range(0, math.Nextafter(1, 0)).Draw(t, "rnd")
		require.LessOrEqual(t, Delay(p, n, rnd), Delay(p, n+1, rnd))
	})
}

func TestAMultiplierBelowOneCountsAsOne(t *testing.T) {
	t.Parallel()
	for _, m := range []float64{0, -3, 0.5, math.Inf(-1)} {
		p := Policy{InitialDelay: time.Second, MaxDelay: time.Minute, Multiplier: m}
		require.Equal(t, time.Second, Delay(p, 7, 0.5))
	}
}

func TestZeroDelaysStayZero(t *testing.T) {
	t.Parallel()
	require.Zero(t, Delay(Policy{MaxDelay: time.Hour, Multiplier: 10, Jitter: 1}, 100_000, 0.9))
}

func TestWholeSeconds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		d    time.Duration
		rnd  float64
		want time.Duration
	}{
		{0, 0, 0},
		{-time.Second, 0, 0},
		{time.Second, 0, time.Second},
		{500 * time.Millisecond, 0.49, time.Second},
		{500 * time.Millisecond, 0.5, 0},
		{1250 * time.Millisecond, 0.24, 2 * time.Second},
		{1250 * time.Millisecond, 0.25, time.Second},
		{math.MaxInt64, 0, (math.MaxInt64 / time.Second) * time.Second},
	} {
		require.Equal(t, tc.want, WholeSeconds(tc.d, tc.rnd), "%v at %v", tc.d, tc.rnd)
	}
}

func TestTheMeanOfWholeSecondsIsExact(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(30*time.Hour)).Draw(t, "d"))
		const steps = 1000
		var sum time.Duration
		for i := range steps {
			got := WholeSeconds(d, (float64(i)+0.5)/steps)
			require.Zero(t, got%time.Second)
			require.Less(t, (got - d).Abs(), time.Second)
			sum += got
		}
		require.InDelta(t, float64(d), float64(sum/steps), float64(time.Second)/steps)
	})
}

func TestWhichPolicyCounts(t *testing.T) {
	t.Parallel()
	named := Policy{InitialDelay: time.Minute, MaxAttempts: 8}
	byEvent := Policy{InitialDelay: time.Hour, MaxAttempts: 3}
	second := Policy{InitialDelay: 2 * time.Hour, MaxAttempts: 4}
	ps := &Policies{
		Default: Default(),
		Named:   map[string]Policy{"critical": named},
		ByEvent: []Rule{{Events: []string{"payment.failed", "order.*"}, Policy: byEvent}, {Events: []string{"order.created", "user.*"}, Policy: second}},
	}
	retries := func(n int) *int { return &n }
	with := func(p Policy, attempts int) Policy { p.MaxAttempts = attempts; return p }
	for name, tc := range map[string]struct {
		maxRetries *int
		policy     string
		event      string
		want       Policy
	}{
		"nothing said":                          {nil, "", "invoice.sent", Default()},
		"the event type's":                      {nil, "", "payment.failed", byEvent},
		"the first rule that matches":           {nil, "", "order.created", byEvent},
		"a later rule":                          {nil, "", "user.created", second},
		"the endpoint's name before the event":  {nil, "critical", "order.created", named},
		"a name that is gone":                   {nil, "gone", "order.created", byEvent},
		"a name that is gone, no rule":          {nil, "gone", "invoice.sent", Default()},
		"max_retries over the name":             {retries(2), "critical", "order.created", with(named, 3)},
		"max_retries over the event type's":     {retries(9), "", "order.created", with(byEvent, 10)},
		"max_retries over the default":          {retries(20), "", "invoice.sent", with(Default(), 21)},
		"no retries at all is one attempt":      {retries(0), "", "invoice.sent", with(Default(), 1)},
		"a test event does not fall under star": {nil, "", "posthorn.test", Default()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tc.want, ps.For(tc.maxRetries, tc.policy, tc.event))
		})
	}
	require.Equal(t, named, ps.Named["critical"], "the table itself stays as it is")
}
