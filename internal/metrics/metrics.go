// Package metrics counts what happens: events accepted, attempts made,
// deliveries ended. What one invocation or process counts is collected in a
// Recorder, handed to a store that sums it over all of them, and read back as
// Totals, so that the figures are right whichever process answers.
//
//	metrics.go    what is counted
//	recorder.go   collecting, and handing over
//	lag.go        how old the oldest delivery is that waits
//	prom.go       the Prometheus text format
//	emf.go        the line from which CloudWatch takes an invocation's metrics
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
	Events       map[string]int64        // accepted, by event type
	AcceptErrors int64                   // events that could not be taken, through no fault of their producer
	Deliveries   map[hook.Status]int64   // by the status they ended in, or were held
	Attempts     map[hook.Outcome]int64  // made
	Throttled    map[hook.Throttle]int64 // turns that a delivery did not get, by what it waits for
	Durations    Histogram               // of attempts, by AttemptBounds
	EndToEnd     Histogram               // from acceptance to delivery, by EndToEndBounds
	Lag          time.Duration           // the greatest age of a delivery taken up; meaningful where LagAt is set
	LagAt        time.Time               // when the last delivery was taken up; zero: none was
	AcceptedAt   time.Time               // when the last event was accepted; zero: none was
	TakenAt      time.Time               // when the last batch of messages was taken up; zero: none was
	Waiting      time.Duration           // how long the oldest delivery has waited, as a sweep found it; see Totals.OldestAge

	// The first MaxSamples of each, as they were: for EMF, which takes values and
	// not histograms.
	AcceptTimes, AttemptTimes, EndToEndTimes []time.Duration
}

// MaxSamples is how many values EMF takes of a metric in one line ("Specification:
// embedded metric format", Amazon CloudWatch User Guide).
const MaxSamples = 100

// Empty says whether there is nothing to store. That messages were taken up is
// stored along with what came of them, and nothing else with it.
func (d *Delta) Empty() bool {
	return len(d.Events) == 0 && d.AcceptErrors == 0 && len(d.Deliveries) == 0 && len(d.Attempts) == 0 && len(d.Throttled) == 0 &&
		d.Durations.Count == 0 && d.EndToEnd.Count == 0 && d.LagAt.IsZero()
}

// Totals is everything that was ever counted, over all processes.
type Totals struct {
	Events       map[string]int64        // accepted, by event type; OtherType is the rest
	AcceptErrors int64                   // events that could not be taken, through no fault of their producer
	Deliveries   map[hook.Status]int64   // by the status they ended in, or were held
	Attempts     map[hook.Outcome]int64  // made
	Throttled    map[hook.Throttle]int64 // turns that a delivery did not get, by what it waits for
	Durations    Histogram               // of attempts, by AttemptBounds
	EndToEnd     Histogram               // from acceptance to delivery, by EndToEndBounds
	RecentLag    time.Duration           // greatest age of a delivery taken up in the last minute or two; 0: none was
	LastAccepted time.Time               // when the last event was accepted; zero: none was
	LastTaken    time.Time               // when messages were last taken up; zero: never
	StalledSince time.Time               // since when a sweep has found messages ready that nobody takes; zero: it has not
}

// NewTotals returns Totals of nothing.
func NewTotals() *Totals {
	return &Totals{
		Events: map[string]int64{}, Deliveries: map[hook.Status]int64{}, Attempts: map[hook.Outcome]int64{}, Throttled: map[hook.Throttle]int64{},
	}
}

// AttemptCount is how many attempts were made, whatever their outcome.
func (t *Totals) AttemptCount() int64 {
	var sum int64
	for _, n := range t.Attempts {
		sum += n
	}
	return sum
}

// Bounds are the upper bounds, inclusive, of a Histogram's buckets but the
// last, which has none.
type Bounds [BucketCount - 1]time.Duration

// BucketCount is how many buckets a Histogram has, the open one included.
const BucketCount = 13

// AttemptBounds are those of the durations of attempts, which end by themselves
// after 30 seconds.
func AttemptBounds() Bounds { return attemptBounds }

// EndToEndBounds are those of the time from acceptance to delivery, which may
// take in many attempts.
func EndToEndBounds() Bounds { return endToEndBounds }

var (
	attemptBounds = Bounds{
		5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
		100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
	}
	endToEndBounds = Bounds{
		5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
		100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
		time.Second, 5 * time.Second, 30 * time.Second, 5 * time.Minute, time.Hour,
	}
)

// Histogram counts durations by size.
type Histogram struct {
	Buckets [BucketCount]int64 // each counts its own alone
	Sum     time.Duration
	Count   int64
}

// Observe counts d by the bounds, which are the same for all that a Histogram
// counts. Negative durations count as 0.
func (h *Histogram) Observe(bounds Bounds, d time.Duration) {
	d = max(d, 0)
	i, _ := slices.BinarySearch(bounds[:], d)
	h.Buckets[i]++
	h.Sum += d
	h.Count++
}
