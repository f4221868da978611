package reconcile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/bulk"
	"posthorn/internal/hook"
	"posthorn/internal/id"
	"posthorn/internal/reconcile"
	"posthorn/internal/redrive"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant = "default"
	day    = 24 * time.Hour
)

var (
	noon     = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	errFault = errors.New("fault")
)

// half is a half of a fault.
type half int

const (
	never  half = iota
	before      // the call was not made
	after       // it was made, and its answer lost
)

// world is the store and the queue, in memory, with the real redriver and jobs
// on them. A process that dies at a chosen call makes no call after it.
type world struct {
	t  *testing.T
	mu sync.Mutex

	now       time.Time
	keys      []string // tenants that have API keys
	endpoints []*hook.Endpoint
	states    map[string]hook.EndpointState
	events    []*hook.Event
	rows      map[hook.Ref]*hook.Delivery
	jobs      []*hook.Job
	ready     int

	deliveries []*hook.Message
	controls   []*hook.Control

	calls   int
	dieAt   int
	how     half
	dead    bool
	refuses func(operation, id string) error // before every call
	log     bytes.Buffer
	ids     *id.Source
	r       *reconcile.Reconciler
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, now: noon, states: map[string]hook.EndpointState{}, rows: map[hook.Ref]*hook.Delivery{}, ids: id.NewSource(),
		refuses: func(string, string) error { return nil },
	}
	clock := func() time.Time { return w.now }
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{Level: slog.LevelWarn}))
	w.r = &reconcile.Reconciler{
		Store:    w,
		Redriver: &redrive.Redriver{Store: w, Queue: w, Retention: 30 * day, DeadLetters: 7 * day, Now: clock, Log: log},
		Jobs:     &bulk.Jobs{Queue: w, Now: clock, Log: log},
		Queue:    w, DefaultTenant: tenant, Retention: 30 * day, DeadLetters: 7 * day, Now: clock, Log: log,
	}
	return w
}

// call makes a call, unless it is refused, or the process is dead or dies here.
func (w *world) call(operation, id string, do func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errFault
	}
	if err := w.refuses(operation, id); err != nil {
		return err
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

func (w *world) KeyTenants(context.Context) (tenants []string, err error) {
	return w.keys, w.call("tenants", "", func() {})
}

func (w *world) EndpointSet(_ context.Context, of string) (*hook.EndpointSet, error) {
	set := &hook.EndpointSet{}
	return set, w.call("endpoints", of, func() {
		for _, e := range w.endpoints {
			if e.Tenant == of {
				set.Endpoints = append(set.Endpoints, e)
			}
		}
	})
}

func (w *world) EndpointState(_ context.Context, _, id string) (s hook.EndpointState, err error) {
	return s, w.call("state", id, func() { s = w.states[id] })
}

func (w *world) ListJobs(_ context.Context, of string, p hook.Page) (jobs []*hook.Job, next string, err error) {
	err = w.call("jobs", of, func() {
		for _, j := range slices.Backward(w.jobs) {
			if j.Tenant == of && (p.After == "" || j.ID < p.After) {
				c := *j
				jobs = append(jobs, &c)
			}
		}
		if len(jobs) > p.Limit {
			jobs, next = jobs[:p.Limit], jobs[p.Limit-1].ID
		}
	})
	return jobs, next, err
}

func (w *world) ByState(_ context.Context, q hook.StateQuery) (refs []hook.Ref, next string, err error) {
	err = w.call("by state", q.EndpointID, func() {
		for ref, d := range w.rows {
			if ref.Tenant == q.Tenant && ref.EndpointID == q.EndpointID && d.Status == q.Status && ref.EventID > q.After && !d.CompletedAt.Before(q.Since) {
				refs = append(refs, ref)
			}
		}
		slices.SortFunc(refs, func(a, b hook.Ref) int { return strings.Compare(a.EventID, b.EventID) })
		if len(refs) > q.Limit {
			refs, next = refs[:q.Limit], refs[q.Limit-1].EventID
		}
	})
	return refs, next, err
}

func (w *world) ListEvents(_ context.Context, f hook.EventFilter, p hook.Page) (events []*hook.Event, next string, err error) {
	err = w.call("events", f.Tenant, func() {
		for _, e := range slices.Backward(w.events) {
			if e.Tenant == f.Tenant && !e.CreatedAt.Before(f.Since) && e.CreatedAt.Before(f.Until) && (p.After == "" || e.ID < p.After) {
				shown := *e
				shown.EndpointIDs = e.EndpointIDs[:min(len(e.EndpointIDs), hook.MaxInlineTargets)]
				events = append(events, &shown)
			}
		}
		if len(events) > p.Limit {
			events, next = events[:p.Limit], events[p.Limit-1].ID
		}
	})
	return events, next, err
}

func (w *world) AllTargets(_ context.Context, e *hook.Event) (ids []string, err error) {
	return ids, w.call("targets", e.ID, func() {
		at := slices.IndexFunc(w.events, func(o *hook.Event) bool { return o.ID == e.ID })
		ids = w.events[at].EndpointIDs
	})
}

func (w *world) Deliveries(_ context.Context, refs []hook.Ref) ([]*hook.Delivery, error) {
	require.LessOrEqual(w.t, len(refs), 100)
	rows := make([]*hook.Delivery, len(refs))
	return rows, w.call("rows", "", func() {
		for i, ref := range refs {
			rows[i] = copyOf(w.rows[ref])
		}
	})
}

func copyOf(d *hook.Delivery) *hook.Delivery {
	if d == nil {
		return nil
	}
	c := *d
	return &c
}

func (w *world) SaveDelivery(_ context.Context, write hook.DeliveryWrite) error {
	conflict := false
	err := w.call("save", write.Delivery.ID(), func() {
		d, rev := write.Delivery, int64(0)
		if now := w.rows[d.Ref]; now != nil {
			rev = now.Rev
		}
		if conflict = d.Rev != rev+1; !conflict {
			w.rows[d.Ref] = copyOf(d)
		}
	})
	if err == nil && conflict {
		return hook.ErrConflict
	}
	return err
}

func (w *world) Ready(context.Context) (n int, err error) {
	return w.ready, w.call("ready", "", func() {})
}

func (w *world) Send(_ context.Context, out []hook.Outgoing) []hook.Sent {
	sent := make([]hook.Sent, len(out))
	for i, o := range out {
		var what string
		if o.Message != nil {
			what = o.Message.ID()
		} else {
			what = o.Control.JobID
		}
		sent[i].Err = w.call("send", what, func() {
			if o.Message != nil {
				w.deliveries = append(w.deliveries, o.Message)
			} else {
				w.controls = append(w.controls, o.Control)
			}
			sent[i].MessageID = fmt.Sprintf("again-%d", len(w.deliveries)+len(w.controls))
		})
	}
	return sent
}

// These are asked for by other ways of sending again.

func (w *world) Event(context.Context, string, string) (*hook.Event, error) {
	return nil, hook.ErrNotFound
}

func (w *world) Recipients(context.Context, *hook.Event) ([]string, error) { return nil, nil }

func (w *world) AddRecipients(context.Context, *hook.Event, []string, time.Time) error { return nil }

func (w *world) ExtendEvent(context.Context, string, string, time.Time) error { return nil }

func (w *world) DeadLetter(context.Context, string, string) (*hook.DeadLetter, error) {
	return nil, hook.ErrNotFound
}

func (w *world) DeleteDeadLetter(context.Context, string, string) error { return nil }

// endpoint makes an endpoint that has been what it is for a day.
func (w *world) endpoint(status hook.EndpointStatus) *hook.Endpoint {
	e := &hook.Endpoint{ID: w.ids.New(hook.EndpointPrefix, noon.Add(-60*day)), Tenant: tenant, Status: status, Epoch: 2, UpdatedAt: noon.Add(-day)}
	w.endpoints = append(w.endpoints, e)
	slices.SortFunc(w.endpoints, func(a, b *hook.Endpoint) int { return strings.Compare(a.ID, b.ID) })
	return e
}

// gone makes an endpoint that was deleted, which a job has seen to.
func (w *world) gone() *hook.Endpoint {
	e := &hook.Endpoint{ID: w.ids.New(hook.EndpointPrefix, noon.Add(-60*day)), Tenant: tenant}
	w.job(hook.Job{Kind: hook.JobCancel, Status: hook.JobDone, EndpointID: e.ID}, day)
	return e
}

// event makes an event of so long ago.
func (w *world) event(ago time.Duration, endpoints ...*hook.Endpoint) *hook.Event {
	at := noon.Add(-ago)
	e := &hook.Event{
		ID: w.ids.New(hook.EventPrefix, at), Tenant: tenant, Type: "order.created", CreatedAt: at, Body: []byte(`{"data":{}}`), ExpiresAt: at.Add(30 * day),
	}
	for _, to := range endpoints {
		e.EndpointIDs = append(e.EndpointIDs, to.ID)
	}
	e.Targets = len(e.EndpointIDs)
	w.events = append(w.events, e)
	slices.SortFunc(w.events, func(a, b *hook.Event) int { return strings.Compare(a.ID, b.ID) })
	return e
}

// row makes the row of a delivery of an event of so long ago, which was sent to
// the endpoint although it did not match, as a resend does.
func (w *world) row(ago time.Duration, to *hook.Endpoint, d hook.Delivery) hook.Ref {
	e := w.event(ago)
	d.Ref, d.EventType, d.CreatedAt, d.Rev, d.MessageID = e.Ref(to.ID), e.Type, e.CreatedAt, 3, "lost"
	d.ExpiresAt = e.ExpiresAt
	w.rows[d.Ref] = &d
	return d.Ref
}

// job makes a job that has made its last step so long ago.
func (w *world) job(j hook.Job, ago time.Duration) *hook.Job {
	j.ID, j.Tenant, j.UpdatedAt = w.ids.New(hook.JobPrefix, noon.Add(-ago-time.Minute)), tenant, noon.Add(-ago)
	j.CreatedAt = hook.IDTime(j.ID)
	w.jobs = append(w.jobs, &j)
	slices.SortFunc(w.jobs, func(a, b *hook.Job) int { return strings.Compare(a.ID, b.ID) })
	return &j
}

// run runs with an hour.
func (w *world) run(change ...func(*reconcile.Options)) (reconcile.Result, error) {
	w.t.Helper()
	o := reconcile.Options{OlderThan: time.Hour}
	for _, c := range change {
		c(&o)
	}
	return w.r.Run(w.t.Context(), o)
}

func (w *world) runs(change ...func(*reconcile.Options)) reconcile.Result {
	w.t.Helper()
	got, err := w.run(change...)
	require.NoError(w.t, err)
	return got
}

// sent are the ids of the deliveries that were sent, in order.
func (w *world) sent() []string {
	ids := make([]string, len(w.deliveries))
	for i, m := range w.deliveries {
		ids[i] = m.ID()
	}
	slices.Sort(ids)
	return ids
}

// shown is the log so far.
func (w *world) shown() string { return w.log.String() }
