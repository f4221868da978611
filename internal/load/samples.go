package load

import (
	"math"
	"slices"
	"time"
)

// samples are latencies, every one of them kept: four bytes each (microseconds,
// up to 71 minutes), less than the ledger keeps of a delivery anyway, and the
// percentiles are exact.
type samples struct {
	micros []uint32
}

func newSamples(expected int) samples {
	return samples{micros: make([]uint32, 0, expected)}
}

// add counts one latency. A negative one (clocks) counts as zero.
func (s *samples) add(d time.Duration) {
	us := max(d.Microseconds(), 0)
	s.micros = append(s.micros, uint32(min(us, math.MaxUint32)))
}

// Latency sums up latencies in milliseconds. A percentile is the smallest
// sample that at least that share of all samples does not exceed (nearest
// rank). All are zero when there were no samples.
type Latency struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// summary sorts the samples in place.
func (s *samples) summary() Latency {
	n := len(s.micros)
	if n == 0 {
		return Latency{}
	}
	slices.Sort(s.micros)
	at := func(percent int) float64 {
		rank := (percent*n + 99) / 100
		return float64(s.micros[max(rank, 1)-1]) / 1000
	}
	return Latency{P50: at(50), P95: at(95), P99: at(99), Max: at(100)}
}
