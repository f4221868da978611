// Package metrics counts what happens: events accepted, attempts made,
// deliveries ended. What one invocation or process counts is collected in a
// Recorder, handed to a store that sums it over all of them, and read back as
// Totals, so that the figures are right whichever process answers.
//
//	metrics.go    what is counted
//	recorder.go   collecting, and handing over
//	prom.go       the Prometheus text format
package metrics

import (
	"slices"
	"time"

	"posthorn/internal/hook"
)

// OtherType stands for all event types beyond those that are counted by name.
const OtherType = "other"

// Delta is what was counted since the Delta before it.
type Delta struct {
	Events     map[string]int64       // accepted, by event type
	Deliveries map[hook.Status]int64  // by the status they ended in, or were held
	Attempts   map[hook.Outcome]int64 // made
	Durations  Histogram              // of attempts
	Lag        time.Duration          // the greatest age of a delivery taken up; meaningful where LagAt is set
	LagAt      time.Time              // when the last delivery was taken up; zero: none was
}

// Empty says whether nothing was counted.
func (d *Delta) Empty() bool {
	return len(d.Events) == 0 && len(d.Deliveries) == 0 && len(d.Attempts) == 0 && d.Durations.Count == 0 && d.LagAt.IsZero()
}

// Totals is everything that was ever counted, over all processes.
type Totals struct {
	Events     map[string]int64       // accepted, by event type; OtherType is the rest
	Deliveries map[hook.Status]int64  // by the status they ended in, or were held
	Attempts   map[hook.Outcome]int64 // made
	Durations  Histogram              // of attempts
	RecentLag  time.Duration          // greatest age of a delivery taken up in the last minute or two; 0: none was
}

// AttemptCount is how many attempts were made, whatever their outcome.
func (t *Totals) AttemptCount() int64 {
	var sum int64
	for _, n := range t.Attempts {
		sum += n
	}
	return sum
}

// buckets are the upper bounds, inclusive, of a Histogram's buckets but the
// last, which has none.
var buckets = [...]time.Duration{
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// BucketCount is how many buckets a Histogram has, the open one included.
const BucketCount = len(buckets) + 1

// Histogram counts durations by size.
type Histogram struct {
	Buckets [BucketCount]int64 // each counts its own alone
	Sum     time.Duration
	Count   int64
}

// Observe counts d. Negative durations count as 0.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	i, _ := slices.BinarySearch(buckets[:], d)
	h.Buckets[i]++
	h.Sum += d
	h.Count++
}

// Add adds what o counted.
func (h *Histogram) Add(o *Histogram) {
	for i, n := range o.Buckets {
		h.Buckets[i] += n
	}
	h.Sum += o.Sum
	h.Count += o.Count
}
