package ingest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"posthorn/internal/hook"
)

var errFault = errors.New("injected fault")

// fault is what happens to a call of the world: it fails, or it is applied and
// its answer is lost.
type fault int

const (
	none fault = iota
	failed
	lost
	panics
)

// world is a store and a queue in memory. Faults hit the next call of an
// operation, once.
type world struct {
	mu           sync.Mutex
	set          *hook.EndpointSet
	events       map[string]*hook.Event
	keys         map[string]hook.IdempotencyKey // by tenant and key
	sent         []*hook.Message
	jobs         []hook.Job
	ready        int
	faults       map[string]fault
	calls        map[string]int
	counted      []string
	acceptErrors int
	now          time.Time
	ids          int
}

func newWorld(endpoints ...*hook.Endpoint) *world {
	return &world{
		set:    &hook.EndpointSet{Version: 1, Endpoints: endpoints},
		events: map[string]*hook.Event{}, keys: map[string]hook.IdempotencyKey{},
		faults: map[string]fault{}, calls: map[string]int{},
		now: time.Date(2026, 3, 4, 5, 6, 7, 891_234_567, time.UTC),
	}
}

func (w *world) ingester(change ...func(*Options)) *Ingester {
	o := Options{Store: w, Queue: w, Jobs: w, Recorder: w, Now: w.clock, NewIDs: w.newIDs}
	for _, c := range change {
		c(&o)
	}
	return New(o)
}

// call counts a call and runs apply as the operation's fault says.
func (w *world) call(op string, apply func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[op]++
	f := w.faults[op]
	delete(w.faults, op)
	switch f {
	case failed:
		return errFault
	case panics:
		panic("boom")
	case none, lost:
	}
	apply()
	if f == lost {
		return errFault
	}
	return nil
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) sleep(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func (w *world) newIDs(prefix string, at time.Time, n int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]string, n)
	for i := range ids {
		w.ids++
		ids[i] = testID(prefix, at, w.ids)
	}
	return ids
}

func (w *world) Start(_ context.Context, j *hook.Job) error {
	return w.call("job", func() { w.jobs = append(w.jobs, *j) })
}

// testID makes the n-th id of a moment.
func testID(prefix string, at time.Time, n int) string {
	const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	b := []byte(fmt.Sprintf("%026d", n))
	ms := at.UnixMilli()
	for i := 9; i >= 0; i-- {
		b[i] = crockford[ms&31]
		ms >>= 5
	}
	return prefix + string(b)
}

func endpoint(n int, filters ...string) *hook.Endpoint {
	return &hook.Endpoint{ID: testID(hook.EndpointPrefix, time.UnixMilli(0), n), Filters: filters, Status: hook.EndpointActive}
}

func (w *world) EndpointSet(context.Context, string) (set *hook.EndpointSet, err error) {
	err = w.call("endpoints", func() { set = w.set })
	return set, err
}

func (w *world) PutEvent(_ context.Context, events ...*hook.Event) error {
	return w.call("put", func() {
		for _, e := range events {
			w.events[e.ID] = e
		}
	})
}

func (w *world) PutEventWithKey(_ context.Context, e *hook.Event, k *hook.IdempotencyKey) (existing *hook.IdempotencyKey, err error) {
	err = w.call("put", func() {
		if old, ok := w.keys[k.Tenant+"/"+k.Key]; ok {
			existing = &old
			return
		}
		w.events[e.ID] = e
		w.keys[k.Tenant+"/"+k.Key] = *k
	})
	if err != nil {
		existing = nil
	}
	return existing, err
}

func (w *world) MarkKeySent(_ context.Context, k *hook.IdempotencyKey) error {
	return w.call("mark", func() {
		old := w.keys[k.Tenant+"/"+k.Key]
		old.Sent = true
		w.keys[k.Tenant+"/"+k.Key] = old
	})
}

func (w *world) Event(_ context.Context, tenant, id string) (e *hook.Event, err error) {
	if err = w.call("event", func() { e = w.events[id] }); err != nil {
		return nil, err
	}
	if e == nil || e.Tenant != tenant {
		return nil, hook.ErrNotFound
	}
	return e, nil
}

// Send applies its fault to the last message of the call alone.
func (w *world) Send(_ context.Context, out []hook.Outgoing) []hook.Sent {
	sent := make([]hook.Sent, len(out))
	for i, o := range out {
		op := "send"
		if i == len(out)-1 {
			op = "send last"
		}
		sent[i].Err = w.call(op, func() {
			w.sent = append(w.sent, o.Message)
			sent[i].MessageID = rand.Text()
		})
	}
	return sent
}

func (w *world) Depths(context.Context) (d hook.QueueDepths, err error) {
	err = w.call("depths", func() { d.Ready = w.ready })
	return d, err
}

func (w *world) Accept(_ time.Duration, failed int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acceptErrors += failed
}

func (w *world) EventAccepted(eventType string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counted = append(w.counted, eventType)
}

// requireDelivered checks the promise of an acknowledged event: it is stored
// and each of its deliveries was sent at least once, or will be by a job.
func (w *world) requireDelivered(t *testing.T, a Accepted) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.events[a.Event.ID] == nil {
		t.Fatalf("event %s was acknowledged and is not stored", a.Event.ID)
	}
	for i, id := range a.Event.EndpointIDs {
		found := false
		for _, j := range w.jobs {
			from, err := strconv.Atoi(j.Cursor)
			found = found || err == nil && j.Kind == hook.JobFanOut && j.EventID == a.Event.ID && from <= i
		}
		for _, m := range w.sent {
			found = found || m.EventID == a.Event.ID && m.EndpointID == id
		}
		if !found {
			t.Fatalf("the delivery of %s to %s was acknowledged and not sent", a.Event.ID, id)
		}
	}
}

// mumblingQueue answers for one message too few.
type mumblingQueue struct{ *world }

func (q *mumblingQueue) Send(ctx context.Context, out []hook.Outgoing) []hook.Sent {
	return q.world.Send(ctx, out)[1:]
}
