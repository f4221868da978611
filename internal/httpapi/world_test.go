package httpapi

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"posthorn/internal/hook"
	"posthorn/internal/ingest"
	"posthorn/internal/sign"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(held{m}) }

// errFault stands for a store's failure; its text must never reach a caller.
var errFault = errors.New("injected fault at arn:aws:dynamodb:secret-table")

// fault is what happens to a call of the world: it fails, or it is applied and
// its answer is lost.
type fault int

const (
	failed fault = iota + 1
	lost
)

// world is all that an API stands on, in memory. A fault hits the next call of
// its operation, once.
type world struct {
	mu      sync.Mutex
	eps     map[string]*hook.Endpoint // by id; tenants are told apart by their field
	version int64
	events  map[string]*hook.Event
	keys    map[string]hook.IdempotencyKey
	rows    map[hook.Ref]*hook.Delivery
	later   map[hook.Ref][]hook.Attempt // number 2 and on, oldest first
	dead    map[string]*hook.DeadLetter
	apiKeys map[string]*hook.APIKey
	texts   map[caller]string // of the keys that requests are made with
	lookups int               // of keys
	sent    []*hook.Message
	jobs    map[string]*hook.Job
	resent  []string // endpoints
	retried []hook.Ref
	states  map[string]hook.EndpointState
	depths  hook.QueueDepths
	counts  Counts
	faults  map[string]fault
	calls   map[string]int
	panics  string // the operation that panics
	now     time.Time
	ids     int
	log     bytes.Buffer

	reading, mostReading int // events read at the same time

	api *API
}

var start = time.Date(2026, 3, 4, 5, 6, 7, 891_000_000, time.UTC)

func newWorld(change ...func(*Options)) *world {
	w := &world{
		eps: map[string]*hook.Endpoint{}, events: map[string]*hook.Event{}, keys: map[string]hook.IdempotencyKey{},
		rows: map[hook.Ref]*hook.Delivery{}, later: map[hook.Ref][]hook.Attempt{}, dead: map[string]*hook.DeadLetter{},
		jobs: map[string]*hook.Job{}, states: map[string]hook.EndpointState{}, apiKeys: map[string]*hook.APIKey{}, texts: map[caller]string{},
		faults: map[string]fault{}, calls: map[string]int{}, now: start,
		counts: Counts{OldestAge: func(int) time.Duration { return 0 }},
	}
	log := slog.New(slog.NewJSONHandler(&w.log, nil))
	o := Options{
		Ingest:    ingest.New(ingest.Options{Store: w, Queue: w, Jobs: w, Now: w.clock, NewIDs: w.newIDs, MaxQueueSize: 1000}),
		Endpoints: w, Events: w, Deliveries: w, DeadLetters: w, Redriver: w, Jobs: w, Sealer: w, Queue: w, Counters: w, Metrics: w,
		Ready: []Check{{"dynamodb", w.askStore}, {"sqs", w.askQueue}},
		Now:   w.clock, NewID: w.newID,
		NewSecret:     func() (string, error) { return "whsec_made", w.call("secret", func() {}) },
		CheckURL:      checkURL,
		RetryPolicies: []string{"default", "critical"},
		EventTypes:    []EventType{{"user.created", "A user was created."}, {"order.created", "An order was placed."}},
		Version:       "1.2.3",
		Keys:          w, Rand: rand.Reader,
		TestReceiver: true,
		Verify: func(h http.Header, body []byte, secrets []string, now time.Time) bool {
			return sign.Verify(h, body, secrets, now).Valid()
		},
		Log: log,
	}
	for _, c := range change {
		c(&o)
	}
	w.api = New(o)
	return w
}

func checkURL(url string) error {
	if !strings.HasPrefix(url, "https://") {
		return &hook.InvalidError{Field: "url", Code: "invalid_url", Reason: "must begin with https://"}
	}
	return nil
}

func (w *world) call(op string, apply func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls[op]++
	if w.panics == op {
		panic("panic with a secret: hunter2")
	}
	f := w.faults[op]
	delete(w.faults, op)
	if f == failed {
		return errFault
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

func (w *world) newID(prefix string, at time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids++
	return testID(prefix, at, w.ids)
}

func (w *world) newIDs(prefix string, at time.Time, n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = w.newID(prefix, at)
	}
	return ids
}

// testID makes the n-th id of a moment.
func testID(prefix string, at time.Time, n int) string {
	const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	b := fmt.Appendf(nil, "%026d", n)
	ms := at.UnixMilli()
	for i := 9; i >= 0; i-- {
		b[i] = crockford[ms&31]
		ms >>= 5
	}
	return prefix + string(b)
}

// pageOf cuts a page out of what is there, newest first.
func pageOf[T any](all []T, id func(T) string, p hook.Page) (page []T, next string) {
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(id(b), id(a)) })
	if p.After != "" {
		all = slices.DeleteFunc(all, func(t T) bool { return id(t) >= p.After })
	}
	if len(all) > p.Limit {
		return all[:p.Limit], id(all[p.Limit-1])
	}
	return all, ""
}

func inSpan(t, since, until time.Time) bool {
	return !(!since.IsZero() && t.Before(since)) && !(!until.IsZero() && !t.Before(until))
}
