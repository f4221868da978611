package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"posthorn/internal/hook"
)

// Store keeps what is looked at.
type Store interface {
	// KeyTenants names the tenants that have API keys.
	KeyTenants(ctx context.Context) ([]string, error)
	EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error)
	// EndpointState reads what deliveries have shown of an endpoint; where id is
	// empty, when the slots of everybody's posts together end.
	EndpointState(ctx context.Context, tenant, id string) (hook.EndpointState, error)
	ListJobs(ctx context.Context, tenant string, p hook.Page) (jobs []*hook.Job, next string, err error)
	// ByState lists an endpoint's deliveries in one state. It may name what is in
	// that state no more.
	ByState(ctx context.Context, q hook.StateQuery) (refs []hook.Ref, next string, err error)
	ListEvents(ctx context.Context, f hook.EventFilter, p hook.Page) (events []*hook.Event, next string, err error)
	AllTargets(ctx context.Context, e *hook.Event) ([]string, error)
	// Deliveries reads rows strongly consistently, in the order of refs, nil
	// where there is none.
	Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error)
}

// Redriver sends deliveries again, within the budget they have left; see
// package redrive.
type Redriver interface {
	SendUnrecorded(ctx context.Context, event *hook.Event, endpointID string) error
	SendOn(ctx context.Context, row *hook.Delivery) error
	Release(ctx context.Context, row *hook.Delivery) error
}

// Jobs carries long work on; see package bulk.
type Jobs interface {
	Nudge(ctx context.Context, j *hook.Job) error
}

// Queue is the queue of deliveries.
type Queue interface {
	// Ready counts what can be received now, approximately.
	Ready(ctx context.Context) (int, error)
}

// Reconciler finds and sends again what the queue has lost. All fields are
// required.
type Reconciler struct {
	Store    Store
	Redriver Redriver
	Jobs     Jobs
	Queue    Queue
	// DefaultTenant is looked at whether it has API keys or not.
	DefaultTenant string
	// Retention is how long events are kept, DeadLetters how long dead letters
	// are.
	Retention   time.Duration
	DeadLetters time.Duration
	Now         func() time.Time
	Log         *slog.Logger
}

// MinOlderThan is the least time in which nothing has to have happened to what
// is sent again. A message is out of sight for at
// most 15 minutes at a time (DelaySeconds), and for a visibility timeout more
// when who received it has died. A delivery that waits for a breaker comes back
// 15 minutes after the breaker's own time at the latest.
const MinOlderThan = 30 * time.Minute

// Options say what a run looks at.
type Options struct {
	Tenant    string        // empty: the default one, and all that have API keys
	Since     time.Time     // events and jobs accepted at or after; zero: all that are kept
	Until     time.Time     // before; zero: all
	OlderThan time.Duration // how long nothing has happened, MinOlderThan or more
	DryRun    bool          // count, and send nothing
	// Progress is told how far the run has come, by one call after the other;
	// nil: nobody is.
	Progress func(Progress)
}

// Progress is how far a run has come.
type Progress struct {
	Tenant string
	Share  float64 // of the whole, 0 to 1, by the time that events span
	Result Result
}

// Result counts what a run saw and did.
type Result struct {
	Ready      int // messages that could be received when it began
	Tenants    int
	Jobs       int // that are running
	Recorded   int // deliveries on record that are queued, retrying, held or dead
	Events     int
	Deliveries int // of those events
	SentAgain  map[Reason]int
	Waiting    int // left alone: they may be waiting for a breaker or a rate limit
	Failed     int // could not be sent again
}

// Total is how much was sent again, or would be.
func (r Result) Total() int {
	total := 0
	for _, n := range r.SentAgain {
		total += n
	}
	return total
}

// Run looks at everything once. After an error the result says how far it came;
// what failed for itself alone is counted and logged, and is no error.
func (r *Reconciler) Run(ctx context.Context, o Options) (Result, error) {
	now := r.Now()
	u := &run{
		Reconciler: r, o: o, start: now, until: now.Add(-o.OlderThan), rowsLive: r.Retention, result: Result{SentAgain: map[Reason]int{}},
	}
	if !o.Until.IsZero() && o.Until.Before(u.until) {
		u.until = o.Until
	}
	err := u.all(ctx)
	return u.snapshot(), err
}

// run is one call of Run.
type run struct {
	*Reconciler
	o     Options
	start time.Time
	until time.Time // events before it are looked at
	// rowsLive is how long rows are kept at least, from the acceptance of their
	// event, as far as it has been seen.
	rowsLive time.Duration

	mu     sync.Mutex
	result Result
	inARow int // that could not be sent again, one after the other
}

func (r *run) all(ctx context.Context) error {
	if r.o.OlderThan < MinOlderThan {
		return fmt.Errorf("reconcile: what is younger than %s may be waiting", MinOlderThan)
	}
	ready, err := r.Queue.Ready(ctx)
	if err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	r.count(func(sum *Result) { sum.Ready = ready })
	tenants := []string{r.o.Tenant}
	if r.o.Tenant == "" {
		if tenants, err = r.Store.KeyTenants(ctx); err != nil {
			return fmt.Errorf("reconcile: %w", err)
		}
		if !slices.Contains(tenants, r.DefaultTenant) {
			tenants = append([]string{r.DefaultTenant}, tenants...)
		}
	}
	for i, tenant := range tenants {
		place := func(share float64) { r.tell(tenant, (float64(i)+share)/float64(len(tenants))) }
		place(0)
		if err := r.tenant(ctx, tenant, place); err != nil {
			return fmt.Errorf("reconcile tenant %s: %w", tenant, err)
		}
		r.count(func(sum *Result) { sum.Tenants++ })
		place(1)
	}
	return nil
}

// tenant looks at what is one tenant's. place is told what share of it is done.
func (r *run) tenant(ctx context.Context, tenant string, place func(share float64)) error {
	set, err := r.Store.EndpointSet(ctx, tenant)
	if err != nil {
		return fmt.Errorf("read endpoints: %w", err)
	}
	work, err := r.jobs(ctx, tenant, set)
	if err != nil {
		return err
	}
	if err := r.recorded(ctx, tenant, set, work); err != nil {
		return err
	}
	return r.events(ctx, tenant, work, place)
}

// tell says how far the run has come.
func (r *run) tell(tenant string, share float64) {
	if r.o.Progress != nil {
		r.o.Progress(Progress{Tenant: tenant, Share: share, Result: r.snapshot()})
	}
}

func (r *run) snapshot() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.result
	s.SentAgain = maps.Clone(s.SentAgain)
	return s
}

// count changes the result.
func (r *run) count(change func(*Result)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.result)
}

// within says whether a moment is one that the run looks at.
func (r *run) within(at time.Time) bool {
	return !at.Before(r.o.Since) && at.Before(r.until)
}

// hopeless is how many in a row cannot be sent again before a run ends: nothing
// works at the moment.
const hopeless = 10

// again sends one thing again, for a reason, unless the run is dry. Its error
// ends the run.
func (r *run) again(ctx context.Context, reason Reason, id string, send func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var err error
	if !r.o.DryRun {
		err = send()
	}
	if ctx.Err() != nil && err != nil {
		return ctx.Err()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.inARow = 0
		r.result.SentAgain[reason]++
		return nil
	}
	r.inARow++
	r.result.Failed++
	r.Log.WarnContext(ctx, "not sent again", "id", id, "reason", string(reason), "error", err)
	if r.inARow >= hopeless {
		return fmt.Errorf("%d in a row could not be sent again: %w", r.inARow, err)
	}
	return nil
}

// together is how many things are done at the same time.
const together = 10

// each calls do for every item, some at a time, until one returns an error.
func each[T any](items []T, do func(item T) error) error {
	var (
		mu    sync.Mutex
		first error
		wg    sync.WaitGroup
	)
	failed := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return first != nil
	}
	places := make(chan struct{}, together)
	for _, item := range items {
		places <- struct{}{}
		if failed() {
			break
		}
		wg.Go(func() {
			defer func() { <-places }()
			if err := do(item); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = err
				}
			}
		})
	}
	wg.Wait()
	return first
}
