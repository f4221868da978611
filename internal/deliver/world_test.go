package deliver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/deliver"
	"posthorn/internal/deliver/breaker"
	"posthorn/internal/deliver/post"
	"posthorn/internal/deliver/retry"
	"posthorn/internal/hook"
)

const (
	eventID    = "evt_01JCXZ5T5V8Q0R9A1B2C3D4E5F"
	endpointID = "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G"
)

var ref = hook.Ref{Tenant: "acme", EventID: eventID, EndpointID: endpointID}

// errFault is what a call answers that was made to fail.
var errFault = errors.New("fault")

// fault says how the n-th call of an operation goes wrong.
type fault int

const (
	fails      fault = iota + 1 // nothing was done
	answerLost                  // it was done, and the caller is told that it failed
	hangs                       // nothing is done until the caller gives up
	panics                      // it panics
)

// world is everything around a Deliverer: rows, endpoints, both queues and the
// receiver, in memory, with faults on order. Its time is the bubble's.
type world struct {
	t  *testing.T
	mu sync.Mutex

	rows      map[hook.Ref]*hook.Delivery
	attempts  []hook.Attempt
	endpoint  *hook.Endpoint
	event     *hook.Event
	entries   map[string]bool
	answers   []post.Result // to the posts, in order; the last one repeats
	posts     []post.Request
	postTimes []time.Time

	copies  []hook.Outgoing
	dead    []string
	release map[string]time.Duration // by receipt handle

	state    hook.EndpointState
	slotsEnd map[string]time.Time // by endpoint; "": everybody's
	disabled string               // why the endpoint was disabled
	notices  []hook.Notice
	steps    []hook.Control
	holds    int // of the event

	faults    map[string]map[int]fault // operation, n-th call from 0
	calls     map[string]int
	ended     map[hook.Status]int
	throttled map[hook.Throttle]int
	endToEnd  []time.Duration
	onCall    map[string]func() // happens at each call of an operation, before it
	// meanwhile happens once, right before the next save.
	meanwhile func()

	d *deliver.Deliverer
}

func newWorld(t *testing.T, answers ...post.Result) *world {
	w := &world{
		t: t, rows: map[hook.Ref]*hook.Delivery{}, entries: map[string]bool{}, answers: answers,
		endpoint: &hook.Endpoint{ID: endpointID, Tenant: "acme", URL: "https://example.com/hook", Timeout: 30 * time.Second, Secrets: []hook.SealedSecret{{Sealed: []byte("sealed:test-secret")}}, Status: hook.EndpointActive},
		event:    &hook.Event{ID: eventID, Tenant: "acme", Type: "order.created", CreatedAt: time.Now().UTC().Truncate(time.Millisecond), Body: []byte(`{"id":"stored"}`), ExpiresAt: time.Now().Add(keep.Retention)},
		release:  map[string]time.Duration{}, slotsEnd: map[string]time.Time{}, faults: map[string]map[int]fault{}, calls: map[string]int{}, ended: map[hook.Status]int{}, throttled: map[hook.Throttle]int{},
	}
	var made atomic.Int64
	w.d = &deliver.Deliverer{
		Rows: w, Endpoints: w, Events: w, Unsealer: w, Queue: w, Poster: w, Meter: w, Jobs: w, Notifier: w, Breaker: breaker.Default(),
		Sign: func(h http.Header, secrets []hook.Secret, _ string, _ time.Time, _ []byte) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.call("sign")
			h.Set("X-Webhook-Signature", "signed with "+secrets[0].Value)
		},
		Policies: &retry.Policies{Default: retry.Default()}, Shares: deliver.NewShares(5, time.Now),
		Keep: keep, MaxReceives: 5, UserAgent: "Posthorn/test",
		NewID: func() string { return fmt.Sprintf("att_%d", made.Add(1)) },
		Rand:  func() float64 { return 0.5 }, Now: time.Now,
		Log: slog.New(slog.DiscardHandler),
	}
	return w
}

func (w *world) fault(op string, n int, f fault) {
	if w.faults[op] == nil {
		w.faults[op] = map[int]fault{}
	}
	w.faults[op][n] = f
}

// call counts a call and returns the fault ordered for it. w.mu is held.
func (w *world) call(op string) fault {
	n := w.calls[op]
	w.calls[op]++
	if f := w.onCall[op]; f != nil {
		f()
	}
	if w.faults[op][n] == panics {
		panic("on order: " + op)
	}
	return w.faults[op][n]
}

// message is the queue message that carries the delivery at first.
func (w *world) message() *hook.Message {
	return &hook.Message{Ref: ref, EventType: "order.created", CreatedAt: w.event.CreatedAt, Body: []byte(`{"id":"inline"}`)}
}

func (w *world) receive(m *hook.Message, id string, count int) hook.Received {
	raw, err := hook.EncodeMessage(m)
	require.NoError(w.t, err)
	return hook.Received{MessageID: id, ReceiptHandle: "rh-" + id, ReceiveCount: count, SentAt: m.CreatedAt, Raw: string(raw)}
}

// deliver takes one message through and says whether it stays in the queue.
func (w *world) deliver(m *hook.Message, id string, count int) (stays bool) {
	failed := w.d.Deliver(w.t.Context(), []hook.Received{w.receive(m, id, count)})
	if len(failed) == 0 {
		return false
	}
	require.Equal(w.t, []string{id}, failed)
	return true
}

func (w *world) row() *hook.Delivery { return w.rows[ref] }

func (w *world) Deliveries(_ context.Context, refs []hook.Ref) ([]*hook.Delivery, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.call("read") != 0 {
		return nil, errFault
	}
	rows := make([]*hook.Delivery, len(refs))
	for i, r := range refs {
		if d := w.rows[r]; d != nil {
			c := *d
			rows[i] = &c
		}
	}
	return rows, nil
}

func (w *world) DeliveriesAndStates(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, []hook.EndpointState, error) {
	rows, err := w.Deliveries(ctx, refs)
	if err != nil {
		return nil, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	states := make([]hook.EndpointState, len(refs))
	for i := range states {
		states[i] = w.state
	}
	return rows, states, nil
}

func (w *world) EndpointState(context.Context, string, string) (hook.EndpointState, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.call("state") != 0 {
		return hook.EndpointState{}, errFault
	}
	return w.state, nil
}

func (w *world) SaveEndpointState(_ context.Context, _, _ string, s hook.EndpointState) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.call("save state")
	if f == fails {
		return errFault
	}
	if s.Rev != w.state.Rev+1 {
		return fmt.Errorf("save state: %w", hook.ErrConflict)
	}
	s.NextSlot = w.state.NextSlot
	w.state = s
	if f == answerLost {
		return errFault
	}
	return nil
}

func (w *world) ReserveSlots(_ context.Context, _, id string, n int, interval time.Duration, now time.Time) (time.Time, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.call("reserve")
	if f == fails {
		return time.Time{}, errFault
	}
	begin := w.slotsEnd[id]
	if begin.Before(now) {
		begin = now
	}
	w.slotsEnd[id] = begin.Add(time.Duration(n) * interval)
	if f == answerLost {
		return time.Time{}, errFault
	}
	return begin, nil
}

func (w *world) DisableEndpoint(_ context.Context, seen *hook.Endpoint, reason string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.call("disable")
	if f == fails {
		return false, errFault
	}
	changed := w.endpoint != nil && w.endpoint.Status == hook.EndpointActive && w.endpoint.Rev == seen.Rev
	if changed {
		e := *w.endpoint
		e.Rev++
		e.SetStatus(hook.EndpointDisabled, reason)
		w.endpoint, w.disabled = &e, reason
	}
	if f == answerLost {
		return false, errFault
	}
	return changed, nil
}

func (w *world) Open(_ context.Context, _, _ string, sealed []byte) ([]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.call("open") != 0 {
		return nil, errFault
	}
	plain, ok := bytes.CutPrefix(sealed, []byte("sealed:"))
	if !ok {
		return nil, fmt.Errorf("open: %w", hook.ErrSealed)
	}
	return plain, nil
}

func (w *world) Step(_ context.Context, c *hook.Control, _ string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps = append(w.steps, *c)
	return w.call("step") == 0
}

func (w *world) Notify(_ context.Context, n hook.Notice) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.call("notify") != 0 {
		return errFault
	}
	w.notices = append(w.notices, n)
	return nil
}

func (w *world) SaveDelivery(ctx context.Context, write hook.DeliveryWrite) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.call("save")
	if w.meanwhile != nil {
		w.meanwhile()
		w.meanwhile = nil
	}
	if f == hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if f == fails {
		return errFault
	}
	d, rev := write.Delivery, int64(0)
	if cur := w.rows[d.Ref]; cur != nil {
		if cur.Rev == d.Rev && cur.LastAttemptID == d.LastAttemptID {
			return nil
		}
		rev = cur.Rev
	}
	if d.Rev != rev+1 {
		return fmt.Errorf("save: %w", hook.ErrConflict)
	}
	switch {
	case write.Hold != nil && (w.endpoint == nil || w.endpoint.Status == hook.EndpointActive || w.endpoint.Epoch != write.Hold.Epoch):
		return fmt.Errorf("save: %w", hook.ErrNotHeld)
	case write.Hold != nil && w.event == nil:
		return fmt.Errorf("save: %w", hook.ErrEventGone)
	case write.Hold != nil && !write.Hold.Again:
		w.holds++
	case write.Unhold:
		w.holds--
	}
	c := *d
	w.rows[d.Ref] = &c
	if write.Attempt != nil {
		w.attempts = append(w.attempts, *write.Attempt)
	}
	if f == answerLost {
		return errFault
	}
	return nil
}

func (w *world) EndpointSet(context.Context, string) (*hook.EndpointSet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.call("endpoints") != 0 {
		return nil, errFault
	}
	set := &hook.EndpointSet{Version: 1}
	if w.endpoint != nil {
		set.Endpoints = []*hook.Endpoint{w.endpoint}
	}
	return set, nil
}

func (w *world) Event(context.Context, string, string) (*hook.Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.call("event") != 0 {
		return nil, errFault
	}
	if w.event == nil {
		return nil, hook.ErrNotFound
	}
	return w.event, nil
}

func (w *world) ExtendEvent(_ context.Context, _, _ string, until time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.call("extend") == fails {
		return errFault
	}
	if w.event != nil && until.After(w.event.ExpiresAt) {
		w.event.ExpiresAt = until
	}
	return nil
}

func (w *world) Send(ctx context.Context, out []hook.Outgoing) []hook.Sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := make([]hook.Sent, len(out))
	for i, o := range out {
		f := w.call("send")
		if ctx.Err() != nil {
			f = fails
		}
		if f != fails {
			w.copies = append(w.copies, o)
			sent[i].MessageID = fmt.Sprintf("copy-%d", len(w.copies))
		}
		if f != 0 {
			sent[i] = hook.Sent{Err: errFault}
		}
	}
	return sent
}

func (w *world) SendDead(_ context.Context, raw string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.call("dead")
	if f != fails {
		w.dead = append(w.dead, raw)
	}
	if f != 0 {
		return errFault
	}
	return nil
}

func (w *world) Release(_ context.Context, rs []hook.Release) []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	errs := make([]error, len(rs))
	for i, r := range rs {
		f := w.call("release")
		if f != fails {
			w.release[r.ReceiptHandle] = r.After
		}
		if f != 0 {
			errs[i] = errFault
		}
	}
	return errs
}

func (w *world) Post(_ context.Context, r post.Request) post.Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.call("post")
	a := w.answers[min(len(w.posts), len(w.answers)-1)]
	w.posts = append(w.posts, r)
	w.postTimes = append(w.postTimes, time.Now())
	return a
}

func (w *world) Attempt(hook.Outcome, time.Duration) {}
func (w *world) Lag(time.Duration)                   {}
func (w *world) Taken()                              {}

func (w *world) EndToEnd(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.endToEnd = append(w.endToEnd, d)
}

func (w *world) Throttled(t hook.Throttle) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.throttled[t]++
}

func (w *world) Ended(s hook.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[s]++
}

var (
	ok200    = post.Result{StatusCode: 200, Outcome: hook.OutcomeSuccess}
	fails503 = post.Result{StatusCode: 503, Outcome: hook.OutcomeHTTPError, Reason: "HTTP 503: Service Unavailable"}
)
