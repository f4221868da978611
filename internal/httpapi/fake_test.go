package httpapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/contract"
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

// do sends a request of an admin of the default tenant, or of the one that the
// pair X-Tenant names; an Authorization of its own is left alone, an empty one
// too. Headers are pairs of name and value; a body is JSON unless they say
// otherwise.
func (w *world) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	tenant := DefaultTenant
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "X-Tenant" {
			tenant = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	if _, own := r.Header["Authorization"]; !own {
		w.admit(r, tenant)
	}
	return w.serve(r)
}

// serve answers a request, and holds both against the OpenAPI document.
func (w *world) serve(r *http.Request) *httptest.ResponseRecorder {
	var asked bytes.Buffer
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, &asked), r.Body}
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	hold(contract.Exchange{Request: r, RequestBody: asked.Bytes(), Status: rec.Code, Header: rec.Header(), Body: rec.Body.Bytes()})
	return rec
}

// admit gives a request the key of an admin.
func (w *world) admit(r *http.Request, tenant string) {
	r.Header.Set("Authorization", "Bearer "+w.key(tenant, hook.RoleAdmin))
}

// key returns the text of a key of that tenant and role, which it makes when it
// is first asked for.
func (w *world) key(tenant string, role hook.Role) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	who := caller{tenant: tenant, role: role}
	if w.texts[who] == "" {
		// Not of the counted ids: tests foresee those.
		k := &hook.APIKey{ID: testID("", start.Add(-time.Hour), len(w.texts)), Tenant: tenant, Role: role, CreatedAt: start.Add(-time.Hour)}
		text, err := k.NewSecret(rand.Reader)
		if err != nil {
			panic(err)
		}
		w.apiKeys[k.ID], w.texts[who] = k, text
	}
	return w.texts[who]
}

// requireJSON checks an answer's status and decodes it.
func requireJSON(t *testing.T, rec *httptest.ResponseRecorder, status int) map[string]any {
	t.Helper()
	require.Equal(t, status, rec.Code, rec.Body.String())
	require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
	var v map[string]any
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &v), rec.Body.String())
	return v
}

// requireProblem checks that an answer is a problem document of that kind.
func requireProblem(t *testing.T, rec *httptest.ResponseRecorder, status int, code, field string) map[string]any {
	t.Helper()
	require.Equal(t, status, rec.Code, rec.Body.String())
	require.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"))
	require.Equal(t, "nosniff", rec.Header().Get("X-Content-Type-Options"))
	require.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
	var v map[string]any
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &v), rec.Body.String())
	require.Equal(t, float64(status), v["status"])
	require.Equal(t, code, v["code"], rec.Body.String())
	require.Equal(t, "about:blank", v["type"])
	require.Equal(t, http.StatusText(status), v["title"])
	require.NotEmpty(t, v["detail"])
	if field == "" {
		require.NotContains(t, v, "field")
	} else {
		require.Equal(t, field, v["field"])
	}
	require.NotContains(t, rec.Body.String(), "arn:aws", "internals stay in the log")
	return v
}

// requireUntouched checks that nothing was created, changed or sent.
func (w *world) requireUntouched(t *testing.T) {
	t.Helper()
	for _, op := range []string{"create", "update", "delete", "put", "send", "mark", "delete dead", "replay", "create key", "delete key"} {
		require.Zero(t, w.calls[op], op)
	}
}

// requireData decodes a list's answer and returns its items and its cursor.
func requireData(t *testing.T, rec *httptest.ResponseRecorder) (items []map[string]any, cursor string) {
	t.Helper()
	v := requireJSON(t, rec, http.StatusOK)
	require.Contains(t, v, "next_cursor")
	require.NotNil(t, v["data"], "an empty list is [], not null")
	for _, item := range v["data"].([]any) {
		items = append(items, item.(map[string]any))
	}
	if v["next_cursor"] != nil {
		cursor = v["next_cursor"].(string)
	}
	return items, cursor
}

// pages follows a list's cursors to its end and returns the items' ids.
func (w *world) pages(t *testing.T, path string) (ids []string, pages int) {
	t.Helper()
	next := path
	for {
		items, cursor := requireData(t, w.do("GET", next, ""))
		pages++
		for _, item := range items {
			ids = append(ids, item["id"].(string))
		}
		if cursor == "" {
			return ids, pages
		}
		require.Less(t, pages, 1000)
		next = path + "&cursor=" + cursor
	}
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

// endpoints

func (w *world) EndpointSet(_ context.Context, tenant string) (set *hook.EndpointSet, err error) {
	err = w.call("endpoint set", func() {
		set = &hook.EndpointSet{Version: w.version}
		for _, id := range slices.Sorted(maps.Keys(w.eps)) {
			if w.eps[id].Tenant == tenant {
				set.Endpoints = append(set.Endpoints, w.eps[id])
			}
		}
	})
	return set, err
}

func (w *world) CreateEndpoint(_ context.Context, e *hook.Endpoint) error {
	return w.call("create", func() { w.eps[e.ID] = e; w.version++ })
}

func (w *world) Endpoint(_ context.Context, tenant, id string) (e *hook.Endpoint, err error) {
	if err = w.call("endpoint", func() { e = w.eps[id] }); err != nil {
		return nil, err
	}
	if e == nil || e.Tenant != tenant {
		return nil, hook.ErrNotFound
	}
	c := *e
	return &c, nil
}

// UpdateEndpoint meets a conflict each time: change is called twice.
func (w *world) UpdateEndpoint(ctx context.Context, tenant, id string, change func(*hook.Endpoint) error) (*hook.Endpoint, error) {
	for attempt := 1; ; attempt++ {
		e, err := w.Endpoint(ctx, tenant, id)
		if err != nil {
			return nil, err
		}
		if err := change(e); err != nil {
			return nil, err
		}
		if attempt == 1 {
			continue
		}
		if err := w.call("update", func() { w.eps[id] = e; w.version++ }); err != nil {
			return nil, err
		}
		return e, nil
	}
}

func (w *world) DeleteEndpoint(ctx context.Context, tenant, id string) error {
	if _, err := w.Endpoint(ctx, tenant, id); err != nil {
		return err
	}
	return w.call("delete", func() { delete(w.eps, id); w.version++ })
}

func (w *world) ListEndpoints(_ context.Context, tenant string, p hook.Page) (page []*hook.Endpoint, next string, err error) {
	err = w.call("list endpoints", func() {
		var all []*hook.Endpoint
		for _, e := range w.eps {
			if e.Tenant == tenant {
				all = append(all, e)
			}
		}
		page, next = pageOf(all, func(e *hook.Endpoint) string { return e.ID }, p)
	})
	return page, next, err
}

func (w *world) EndpointCounts(context.Context) (c hook.EndpointCounts, err error) {
	err = w.call("endpoint counts", func() { c = hook.EndpointCounts{Active: 3, Paused: 2, Disabled: 1} })
	return c, err
}

// events

func (w *world) PutEvent(_ context.Context, e *hook.Event) error {
	return w.call("put", func() { w.events[e.ID] = e })
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
		return nil, err
	}
	return existing, nil
}

func (w *world) MarkKeySent(_ context.Context, k *hook.IdempotencyKey) error {
	return w.call("mark", func() {
		old := w.keys[k.Tenant+"/"+k.Key]
		old.Sent = true
		w.keys[k.Tenant+"/"+k.Key] = old
	})
}

func (w *world) Event(_ context.Context, tenant, id string) (e *hook.Event, err error) {
	w.mu.Lock()
	w.reading++
	w.mostReading = max(w.mostReading, w.reading)
	w.mu.Unlock()
	err = w.call("event", func() { e = w.events[id] })
	w.mu.Lock()
	w.reading--
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if e == nil || e.Tenant != tenant {
		return nil, hook.ErrNotFound
	}
	return e, nil
}

func (w *world) ListEvents(_ context.Context, f hook.EventFilter, p hook.Page) (page []*hook.Event, next string, err error) {
	err = w.call("list events", func() {
		var all []*hook.Event
		for _, e := range w.events {
			if e.Tenant == f.Tenant && (f.Type == "" || f.Type == e.Type) && inSpan(e.CreatedAt, f.Since, f.Until) {
				all = append(all, e)
			}
		}
		page, next = pageOf(all, func(e *hook.Event) string { return e.ID }, p)
	})
	return page, next, err
}

// the queue

func (w *world) Send(_ context.Context, out []hook.Outgoing) []hook.Sent {
	sent := make([]hook.Sent, len(out))
	for i, o := range out {
		sent[i].Err = w.call("send", func() { w.sent = append(w.sent, o.Message) })
	}
	return sent
}

func (w *world) Depths(context.Context) (d hook.QueueDepths, err error) {
	err = w.call("depths", func() { d = w.depths })
	return d, err
}

// deliveries

func (w *world) Deliveries(_ context.Context, refs []hook.Ref) (rows []*hook.Delivery, err error) {
	err = w.call("deliveries", func() {
		for _, ref := range refs {
			rows = append(rows, w.rows[ref])
		}
	})
	return rows, err
}

func (w *world) Attempts(_ context.Context, ref hook.Ref, newest int) (attempts []hook.Attempt, err error) {
	err = w.call("attempts", func() {
		attempts = slices.Clone(w.later[ref])
		slices.Reverse(attempts)
		attempts = attempts[:min(len(attempts), newest)]
	})
	return attempts, err
}

func (w *world) ListDeliveries(_ context.Context, f hook.DeliveryFilter, p hook.Page) (page []*hook.Delivery, next string, err error) {
	err = w.call("list deliveries", func() {
		var all []*hook.Delivery
		for _, d := range w.rows {
			if d.Tenant == f.Tenant && d.EndpointID == f.EndpointID && (f.Status == "" || f.Status == d.Status) &&
				(f.EventType == "" || f.EventType == d.EventType) && inSpan(d.CreatedAt, f.Since, f.Until) {
				all = append(all, d)
			}
		}
		page, next = pageOf(all, func(d *hook.Delivery) string { return d.EventID }, p)
	})
	return page, next, err
}

// dead letters

func (w *world) DeadLetter(_ context.Context, tenant, id string) (d *hook.DeadLetter, err error) {
	if err = w.call("dead", func() { d = w.dead[id] }); err != nil {
		return nil, err
	}
	if d == nil || d.Tenant != tenant {
		return nil, hook.ErrNotFound
	}
	return d, nil
}

func (w *world) ListDeadLetters(_ context.Context, f hook.DeadLetterFilter, p hook.Page) (page []*hook.DeadLetter, next string, err error) {
	err = w.call("list dead", func() {
		var all []*hook.DeadLetter
		for _, d := range w.dead {
			if d.Tenant == f.Tenant && (f.EndpointID == "" || f.EndpointID == d.EndpointID) &&
				(f.EventType == "" || f.EventType == d.EventType) && inSpan(d.CreatedAt, f.Since, f.Until) {
				all = append(all, d)
			}
		}
		page, next = pageOf(all, func(d *hook.DeadLetter) string { return d.ID }, p)
	})
	return page, next, err
}

func (w *world) DeleteDeadLetter(ctx context.Context, tenant, id string) error {
	if _, err := w.DeadLetter(ctx, tenant, id); err != nil {
		return err
	}
	return w.call("delete dead", func() { delete(w.dead, id) })
}

func (w *world) CountDeadLetters(_ context.Context, f hook.DeadLetterFilter) (n int, err error) {
	err = w.call("count dead", func() {
		for _, d := range w.dead {
			if d.Tenant == f.Tenant && (f.EndpointID == "" || f.EndpointID == d.EndpointID) && (f.Reason == "" || f.Reason == d.FailureReason) &&
				(f.EventType == "" || f.EventType == d.EventType) && inSpan(d.CreatedAt, f.Since, f.Until) {
				n++
			}
		}
	})
	return n, err
}

func (w *world) Replay(ctx context.Context, tenant, id string) (string, error) {
	d, err := w.DeadLetter(ctx, tenant, id)
	if err != nil {
		return "", fmt.Errorf("replay %s: %w", id, err)
	}
	if !d.Replayable() {
		return "", fmt.Errorf("replay %s: %w", id, hook.ErrNotReplayable)
	}
	return d.Ref.ID(), w.call("replay", func() { delete(w.dead, id) })
}

// API keys

func (w *world) CreateAPIKey(_ context.Context, k *hook.APIKey) error {
	return w.call("create key", func() { w.apiKeys[k.ID] = k })
}

// APIKey is counted apart from the calls: most tests are about what follows.
func (w *world) APIKey(_ context.Context, id string) (*hook.APIKey, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups++
	if w.faults["key"] != 0 {
		delete(w.faults, "key")
		return nil, errFault
	}
	k := w.apiKeys[id]
	if k == nil {
		return nil, fmt.Errorf("API key %s: %w", id, hook.ErrNotFound)
	}
	return k, nil
}

func (w *world) ListAPIKeys(_ context.Context, tenant string, p hook.Page) (page []*hook.APIKey, next string, err error) {
	err = w.call("list keys", func() {
		var all []*hook.APIKey
		for _, k := range w.apiKeys {
			if tenant == "" || k.Tenant == tenant {
				all = append(all, k)
			}
		}
		page, next = pageOf(all, func(k *hook.APIKey) string { return k.ID }, p)
	})
	return page, next, err
}

func (w *world) DeleteAPIKey(_ context.Context, tenant, id string) (err error) {
	found := false
	err = w.call("delete key", func() {
		if k := w.apiKeys[id]; k != nil && (tenant == "" || k.Tenant == tenant) {
			found = true
			delete(w.apiKeys, id)
		}
	})
	if err == nil && !found {
		return fmt.Errorf("API key %s: %w", id, hook.ErrNotFound)
	}
	return err
}

// what is counted and asked

func (w *world) Counts(context.Context) (c Counts, err error) {
	err = w.call("counts", func() { c = w.counts })
	return c, err
}

func (w *world) WriteMetrics(_ context.Context, b *bytes.Buffer) error {
	return w.call("metrics", func() { b.WriteString("webhook_queue_size 7\n") })
}

func (w *world) askStore(context.Context) error { return w.call("ask store", func() {}) }
func (w *world) askQueue(context.Context) error { return w.call("ask queue", func() {}) }

func (w *world) Retry(_ context.Context, ref hook.Ref) error {
	d := w.rows[ref]
	if d == nil {
		return hook.ErrNotFound
	}
	if w.eps[ref.EndpointID] == nil {
		return hook.ErrNotReplayable
	}
	return w.call("retry", func() { w.retried = append(w.retried, ref) })
}

func (w *world) Resend(_ context.Context, _ *hook.Event, ids []string) error {
	return w.call("resend", func() { w.resent = append(w.resent, ids...) })
}

func (w *world) Recipients(_ context.Context, e *hook.Event) ([]string, error) {
	return e.EndpointIDs, w.call("targets", func() {})
}

func (w *world) EndpointState(_ context.Context, _, id string) (s hook.EndpointState, err error) {
	err = w.call("state", func() { s = w.states[id] })
	return s, err
}

// jobs

func (w *world) Start(_ context.Context, j *hook.Job) error {
	j.ID = w.newID(hook.JobPrefix, w.clock())
	j.Status, j.CreatedAt, j.UpdatedAt = hook.JobRunning, w.clock(), w.clock()
	return w.call("start", func() { w.jobs[j.ID] = j })
}

func (w *world) Job(_ context.Context, tenant, id string) (j *hook.Job, err error) {
	if err := w.call("job", func() { j = w.jobs[id] }); err != nil {
		return nil, err
	}
	if j == nil || j.Tenant != tenant {
		return nil, hook.ErrNotFound
	}
	return j, nil
}

func (w *world) ListJobs(_ context.Context, tenant string, p hook.Page) (page []*hook.Job, next string, err error) {
	err = w.call("list jobs", func() {
		var all []*hook.Job
		for _, j := range w.jobs {
			if j.Tenant == tenant {
				all = append(all, j)
			}
		}
		page, next = pageOf(all, func(j *hook.Job) string { return j.ID }, p)
	})
	return page, next, err
}

func (w *world) Cancel(ctx context.Context, tenant, id string) (*hook.Job, error) {
	j, err := w.Job(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	if !j.Kind.Cancellable() || j.Status == hook.JobDone {
		return nil, hook.ErrNotCancellable
	}
	return j, w.call("cancel", func() { j.Status = hook.JobCancelled })
}

// sealing

func (w *world) Seal(_ context.Context, tenant, endpointID string, plain []byte) (sealed []byte, err error) {
	err = w.call("seal", func() { sealed = fmt.Appendf(nil, "%s/%s/%s", tenant, endpointID, plain) })
	return sealed, err
}

func (w *world) Open(_ context.Context, tenant, endpointID string, sealed []byte) (plain []byte, err error) {
	err = w.call("open", func() { plain = bytes.TrimPrefix(sealed, fmt.Appendf(nil, "%s/%s/", tenant, endpointID)) })
	return plain, err
}

// sealedFor is what Seal makes of a secret.
func sealedFor(tenant, endpointID, plain string) []byte {
	return fmt.Appendf(nil, "%s/%s/%s", tenant, endpointID, plain)
}
