package ratelimit

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// bucket is the store's part: the end of the slots that are taken.
type bucket struct{ end time.Time }

func (b *bucket) take(l Limit, n int, now time.Time) []time.Time {
	begin := b.end
	if begin.Before(now) {
		begin = now
	}
	b.end = begin.Add(time.Duration(n) * l.Interval())
	return l.Slots(begin, now, n)
}

func offsets(slots []time.Time) []time.Duration {
	var all []time.Duration
	for _, s := range slots {
		all = append(all, s.Sub(now))
	}
	return all
}

func TestASecondsWorthMayComeAtOnceAndTheRestInTurn(t *testing.T) {
	t.Parallel()
	var b bucket
	require.Equal(t, []time.Duration{0, 0, 0, 0, 250 * time.Millisecond, 500 * time.Millisecond}, offsets(b.take(PerSecond(4), 6, now)))
	require.Equal(t, []time.Duration{750 * time.Millisecond}, offsets(b.take(PerSecond(4), 1, now)), "others get others")
	later := now.Add(time.Hour)
	require.Equal(t, []time.Time{later, later}, b.take(PerSecond(4), 2, later), "what was not used is not saved up")
}

func TestARateBelowOneASecondHasNoBurst(t *testing.T) {
	t.Parallel()
	var b bucket
	require.Equal(t, []time.Duration{0, 10 * time.Second, 20 * time.Second}, offsets(b.take(PerSecond(0.1), 3, now)))
}

func TestRatesOfOneAndOfTenThousand(t *testing.T) {
	t.Parallel()
	var one, many bucket
	require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second}, offsets(one.take(PerSecond(1), 3, now)))
	slots := offsets(many.take(PerSecond(10_000), 10_002, now))
	require.Equal(t, time.Duration(0), slots[9_999])
	require.Equal(t, 100*time.Microsecond, slots[10_000])
}

// However slots are asked for, no span of time holds more than its rate allows
// and a burst, and none is before it was asked for.
func TestNoSpanHoldsMoreThanTheRateAndABurst(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.1, 200).Draw(t, "rate")
		l := PerSecond(rate)
		var b bucket
		var all []time.Time
		at := now
		for range rapid.IntRange(1, 20).Draw(t, "asks") {
			at = at.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			for _, s := range b.take(l, rapid.IntRange(1, 20).Draw(t, "n"), at) {
				require.False(t, s.Before(at))
				all = append(all, s)
			}
		}
		require.True(t, slices.IsSortedFunc(all, time.Time.Compare))
		burst := max(1, rate)
		for i := range all {
			for k := i; k < len(all); k++ {
				span := all[k].Sub(all[i]).Seconds()
				require.LessOrEqual(t, float64(k-i+1), burst+span*rate+0.01)
			}
		}
	})
}
