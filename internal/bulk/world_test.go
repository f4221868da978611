package bulk_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/bulk"
	"posthorn/internal/hook"
)

const (
	tenant     = "acme"
	endpointID = "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G"
	eventID    = "evt_01JCXZ5T5V8Q0R9A1B2C3D4E5F"
)

var errFault = errors.New("fault")

// half is a half of a fault.
type half int

const (
	never  half = iota
	before      // the call was not made
	after       // it was made, and its answer lost
)

// queued is a control message in the queue.
type queued struct {
	c       hook.Control
	id      string
	visible time.Time
}

// world is the store, the redriver and the queue, in memory. A process that
// dies at a chosen call makes no call after it, until its message comes again.
type world struct {
	t  *testing.T
	mu sync.Mutex

	jobs      map[string]*hook.Job
	endpoint  *hook.Endpoint
	matching  []string // ids of further endpoints that match the event
	event     *hook.Event
	targets   []string
	rows      map[string]*hook.Delivery // by event id
	entries   []*hook.DeadLetter        // newest first
	queue     []*queued
	sent      map[string]int // deliveries by endpoint or event id
	resent    map[string]time.Time
	cancels   int
	stateGone bool

	// refused are the things that are refused for good, by the event or endpoint
	// they are of; down says that everything is, for so many calls.
	refused map[string]bool
	panics  string // what a call for it does, once
	down    int

	calls int
	dieAt int // the call at which a process dies; 0: none
	how   half
	dead  bool
	made  int // messages
	b     *bulk.Jobs
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, jobs: map[string]*hook.Job{}, rows: map[string]*hook.Delivery{}, sent: map[string]int{}, resent: map[string]time.Time{}}
	w.endpoint = &hook.Endpoint{ID: endpointID, Tenant: tenant, Status: hook.EndpointActive, Epoch: 2, Filters: []string{"*"}}
	w.event = &hook.Event{ID: eventID, Tenant: tenant, Type: "order.created", CreatedAt: time.Now(), Body: []byte(`{}`)}
	n := 0
	w.b = &bulk.Jobs{
		Store: w, Redriver: w, Queue: w, Meter: w, Retention: 30 * 24 * time.Hour,
		NewID: func(prefix string, _ time.Time) string {
			n++
			return fmt.Sprintf("%s01JCXZ5T5V8Q0R9A1B2C3D%04d", prefix, n)
		},
		Rand: func() float64 { return 0 }, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	return w
}

// callFor is call for something that may be refused.
func (w *world) callFor(id string, do func()) error {
	w.mu.Lock()
	refused := w.refused[id] || w.down > 0
	w.down = max(w.down-1, 0)
	panics := w.panics == id
	if panics {
		w.panics = ""
	}
	w.mu.Unlock()
	switch {
	case panics:
		panic("on order")
	case refused:
		return errFault
	default:
		return w.call(do)
	}
}

// call makes a call, unless the process is dead or dies here.
func (w *world) call(do func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errFault
	}
	w.calls++
	if w.dieAt == w.calls {
		w.dead = true
		if w.how == after {
			do()
		}
		return errFault
	}
	do()
	return nil
}

func (w *world) PutJob(_ context.Context, j *hook.Job) error {
	return w.call(func() { c := *j; w.jobs[j.ID] = &c })
}

func (w *world) Job(_ context.Context, _, id string) (j *hook.Job, err error) {
	if err := w.call(func() {
		if w.jobs[id] != nil {
			c := *w.jobs[id]
			j = &c
		}
	}); err != nil {
		return nil, err
	}
	if j == nil {
		return nil, hook.ErrNotFound
	}
	return j, nil
}

func (w *world) SaveJob(_ context.Context, j *hook.Job) error {
	conflict := false
	err := w.call(func() {
		if conflict = w.jobs[j.ID].Rev != j.Rev-1; !conflict {
			c := *j
			w.jobs[j.ID] = &c
		}
	})
	if err == nil && conflict {
		return hook.ErrConflict
	}
	return err
}

func (w *world) Event(context.Context, string, string) (e *hook.Event, err error) {
	if err := w.call(func() { e = w.event }); err != nil {
		return nil, err
	}
	if e == nil {
		return nil, hook.ErrNotFound
	}
	return e, nil
}

func (w *world) AllTargets(context.Context, *hook.Event) (ids []string, err error) {
	return w.targets, w.call(func() {})
}

func (w *world) EndpointSet(context.Context, string) (*hook.EndpointSet, error) {
	set := &hook.EndpointSet{}
	err := w.call(func() {
		if w.endpoint != nil {
			set.Endpoints = append(set.Endpoints, w.endpoint)
		}
		for _, id := range w.matching {
			set.Endpoints = append(set.Endpoints, &hook.Endpoint{ID: id, Tenant: tenant, Filters: []string{"order.*"}})
		}
	})
	slices.SortFunc(set.Endpoints, func(a, b *hook.Endpoint) int { return strings.Compare(a.ID, b.ID) })
	return set, err
}

func (w *world) DeleteEndpointState(context.Context, string, string) error {
	return w.call(func() { w.stateGone = true })
}

func (w *world) ByState(_ context.Context, q hook.StateQuery) (refs []hook.Ref, next string, err error) {
	err = w.call(func() {
		for _, id := range w.in(q) {
			if id > q.After {
				refs = append(refs, hook.Ref{Tenant: tenant, EventID: id, EndpointID: endpointID})
			}
		}
		if len(refs) > q.Limit {
			refs = refs[:q.Limit]
			next = refs[q.Limit-1].EventID
		}
	})
	return refs, next, err
}

// in are the events of the deliveries in a state.
func (w *world) in(q hook.StateQuery) []string {
	var ids []string
	for id, d := range w.rows {
		if d.Status == q.Status && !d.CompletedAt.Before(q.Since) {
			ids = append(ids, id)
		}
	}
	sort.Strings(ids)
	return ids
}

func (w *world) CountByState(_ context.Context, q hook.StateQuery) (n int, err error) {
	err = w.call(func() { n = len(w.in(q)) })
	return n, err
}

func (w *world) Deliveries(_ context.Context, refs []hook.Ref) (rows []*hook.Delivery, err error) {
	err = w.call(func() {
		for _, r := range refs {
			var c *hook.Delivery
			if d := w.rows[r.EventID]; d != nil {
				copied := *d
				c = &copied
			}
			rows = append(rows, c)
		}
	})
	return rows, err
}

func (w *world) ListDeadLetters(_ context.Context, f hook.DeadLetterFilter, p hook.Page) (entries []*hook.DeadLetter, next string, err error) {
	err = w.call(func() {
		for _, e := range w.entries {
			if (p.After == "" || e.ID < p.After) && (f.Reason == "" || e.FailureReason == f.Reason) {
				entries = append(entries, e)
			}
		}
		if len(entries) > p.Limit {
			entries = entries[:p.Limit:p.Limit]
			next = entries[p.Limit-1].ID
		}
	})
	return entries, next, err
}

func (w *world) CountDeadLetters(_ context.Context, f hook.DeadLetterFilter) (n int, err error) {
	err = w.call(func() {
		for _, e := range w.entries {
			if f.Reason == "" || e.FailureReason == f.Reason {
				n++
			}
		}
	})
	return n, err
}

func (w *world) Again(_ context.Context, ref hook.Ref, _ *hook.Delivery) error {
	return w.callFor(ref.EventID, func() { w.sent[ref.EventID]++; w.rows[ref.EventID].Status = hook.Queued })
}

func (w *world) Resend(_ context.Context, _ *hook.Event, ids []string, since time.Time) (failed map[string]error, err error) {
	failed = map[string]error{}
	for _, id := range ids {
		err := w.callFor(id, func() {
			if at := w.resent[id]; at.IsZero() || at.Before(since) {
				w.sent[id]++
				w.resent[id] = time.Now()
			}
		})
		if err != nil {
			failed[id] = err
		}
	}
	return failed, nil
}

func (w *world) DeadLetter(_ context.Context, _, id string) (e *hook.DeadLetter, err error) {
	err = w.call(func() {
		for _, o := range w.entries {
			if o.ID == id {
				e = o
			}
		}
	})
	if err == nil && e == nil {
		err = hook.ErrNotFound
	}
	return e, err
}

func (w *world) ReplayEntry(_ context.Context, e *hook.DeadLetter) (string, error) {
	if !e.Replayable() {
		return "", hook.ErrNotReplayable
	}
	return "", w.callFor(e.EventID, func() {
		w.sent[e.EventID]++
		w.entries = slices.DeleteFunc(slices.Clone(w.entries), func(o *hook.DeadLetter) bool { return o.ID == e.ID })
	})
}

func (w *world) Release(_ context.Context, row *hook.Delivery) error {
	return w.callFor(row.EventID, func() {
		if w.rows[row.EventID].Status == hook.Held {
			w.sent[row.EventID]++
			w.rows[row.EventID].Status = hook.Queued
		}
	})
}

func (w *world) Cancel(_ context.Context, row *hook.Delivery) (cancelled bool, err error) {
	err = w.callFor(row.EventID, func() {
		if cancelled = w.rows[row.EventID].Status == hook.Held; cancelled {
			w.rows[row.EventID].Status = hook.Cancelled
		}
	})
	return cancelled && err == nil, err
}

func (w *world) Send(_ context.Context, out []hook.Outgoing) []hook.Sent {
	sent := make([]hook.Sent, len(out))
	err := w.call(func() {
		for i, o := range out {
			w.made++
			sent[i].MessageID = fmt.Sprintf("m%d", w.made)
			switch {
			case o.Control != nil:
				w.queue = append(w.queue, &queued{c: *o.Control, id: sent[i].MessageID, visible: time.Now().Add(o.Delay)})
			case w.refused[o.Message.EndpointID]:
				sent[i] = hook.Sent{Err: errFault}
			default:
				w.sent[o.Message.EndpointID]++
			}
		}
	})
	if err != nil {
		for i := range sent {
			sent[i] = hook.Sent{Err: err}
		}
	}
	return sent
}

func (w *world) Ended(s hook.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s == hook.Cancelled {
		w.cancels++
	}
}

// run is the queue: it has every message stepped when it is visible, again when
// its process died or left it, until none is left.
func (w *world) run() {
	for rounds := 0; len(w.queue) > 0; rounds++ {
		require.Less(w.t, rounds, 500, "the job does not end")
		next := 0
		for i, q := range w.queue {
			if q.visible.Before(w.queue[next].visible) {
				next = i
			}
		}
		q := w.queue[next]
		time.Sleep(time.Until(q.visible)) // of the bubble's clock
		done := w.b.Step(w.t.Context(), &q.c, q.id)
		if w.dead {
			w.dead, done = false, false // a new process; the message was not acknowledged
		}
		if done {
			w.queue = slices.DeleteFunc(w.queue, func(o *queued) bool { return o == q })
		} else {
			q.visible = time.Now().Add(270 * time.Second)
		}
	}
}

func (w *world) job(id string) *hook.Job { return w.jobs[id] }

// ids makes n ids that sort in their order.
func ids(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s01JCXZ5T5V8Q0R9A1B2C3%05d", prefix, i)
	}
	return all
}
