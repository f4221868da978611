package metrics

import (
	"context"
	"fmt"
	"sync"
	"time"

	"posthorn/internal/hook"
)

// Store sums what recorders count.
type Store interface {
	// AddCounters adds a Delta. After an error it may have been added or not.
	AddCounters(ctx context.Context, d *Delta) error
}

// Recorder collects what an invocation or a process counts. It is safe for
// concurrent use.
type Recorder struct {
	// Failed is told when a Flush by Run fails; nil: nobody is. It is set
	// before Run is called.
	Failed func(error)
	// Emit is given what each Flush found counted, before it is stored; nil:
	// nobody is. It is set before anything is counted.
	Emit func(*Delta)

	store Store

	mu    sync.Mutex
	delta Delta
}

// NewRecorder returns a Recorder that hands what it collects to store.
func NewRecorder(store Store) *Recorder { return &Recorder{store: store} }

// EventAccepted counts an event that was accepted.
func (r *Recorder) EventAccepted(eventType string) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	count(&r.delta.Events, eventType)
	r.delta.AcceptedAt = now
}

// Accept counts a POST of events that took d, and those of them that could not
// be taken through no fault of their producer.
func (r *Recorder) Accept(d time.Duration, failed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delta.AcceptErrors += int64(failed)
	sample(&r.delta.AcceptTimes, d)
}

// Attempt counts an attempt that took d.
func (r *Recorder) Attempt(outcome hook.Outcome, d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	count(&r.delta.Attempts, outcome)
	r.delta.Durations.Observe(attemptBounds, d)
	sample(&r.delta.AttemptTimes, d)
}

// EndToEnd notes how long after its event's acceptance a delivery was made.
func (r *Recorder) EndToEnd(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delta.EndToEnd.Observe(endToEndBounds, d)
	sample(&r.delta.EndToEndTimes, d)
}

// Throttled counts a delivery that did not get its turn.
func (r *Recorder) Throttled(t hook.Throttle) {
	r.mu.Lock()
	defer r.mu.Unlock()
	count(&r.delta.Throttled, t)
}

// Taken notes that messages are taken up now.
func (r *Recorder) Taken() {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delta.TakenAt = now
}

// Waiting notes how long the oldest delivery has waited.
func (r *Recorder) Waiting(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delta.Waiting = max(r.delta.Waiting, d)
}

// Ended counts a delivery that ended, or that is held.
func (r *Recorder) Ended(status hook.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	count(&r.delta.Deliveries, status)
}

// Lag notes the age of a delivery that is taken up now.
func (r *Recorder) Lag(d time.Duration) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delta.Lag = max(r.delta.Lag, d)
	r.delta.LagAt = now
}

func count[K comparable](m *map[K]int64, k K) {
	if *m == nil {
		*m = make(map[K]int64)
	}
	(*m)[k]++
}

// sample keeps d where there is room. A negative one (clocks) counts as 0.
func sample(to *[]time.Duration, d time.Duration) {
	if len(*to) < MaxSamples {
		*to = append(*to, max(d, 0))
	}
}

// Flush hands over what was counted since the last Flush. It is not tried
// again when it fails: the store may have added it already, and a count too
// low is better than one too high.
func (r *Recorder) Flush(ctx context.Context) error {
	r.mu.Lock()
	d := r.delta
	r.delta = Delta{}
	r.mu.Unlock()
	if r.Emit != nil {
		r.Emit(&d)
	}
	if d.Empty() {
		return nil
	}
	if err := r.store.AddCounters(ctx, &d); err != nil {
		return fmt.Errorf("store counts: %w", err)
	}
	return nil
}

// lastFlush bounds the flush with which Run ends.
const lastFlush = 5 * time.Second

// Run flushes every so often until ctx ends, and then once more. A Flush that
// fails is passed over: the next one hands over what was counted since.
func (r *Recorder) Run(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			r.flush(ctx)
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
			defer cancel()
			r.flush(last)
			return
		}
	}
}

func (r *Recorder) flush(ctx context.Context) {
	if err := r.Flush(ctx); err != nil && r.Failed != nil {
		r.Failed(err)
	}
}
