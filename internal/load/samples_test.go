package load

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPercentilesAreNearestRank(t *testing.T) {
	t.Parallel()
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	upTo := func(n int) []time.Duration {
		var all []time.Duration
		for _, i := range rand.Perm(n) {
			all = append(all, ms(i+1))
		}
		return all
	}
	for name, c := range map[string]struct {
		in   []time.Duration
		want Latency
	}{
		"none":             {nil, Latency{}},
		"one":              {[]time.Duration{ms(7)}, Latency{7, 7, 7, 7}},
		"two":              {[]time.Duration{ms(9), ms(1)}, Latency{1, 9, 9, 9}},
		"1 to 100":         {upTo(100), Latency{50, 95, 99, 100}},
		"1 to 1,000":       {upTo(1000), Latency{500, 950, 990, 1000}},
		"1 to 101":         {upTo(101), Latency{51, 96, 100, 101}},
		"microseconds":     {[]time.Duration{1999 * time.Nanosecond}, Latency{0.001, 0.001, 0.001, 0.001}},
		"before its time":  {[]time.Duration{-ms(5)}, Latency{}},
		"beyond the range": {[]time.Duration{3 * time.Hour}, Latency{4294967.295, 4294967.295, 4294967.295, 4294967.295}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s samples
			for _, d := range c.in {
				s.add(d)
			}
			require.Equal(t, c.want, s.summary())
		})
	}
}
