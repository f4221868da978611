package lifetest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/deadletter"
	"posthorn/internal/deliver/post"
	policy "posthorn/internal/deliver/retry"
	"posthorn/internal/dynamo"
	"posthorn/internal/hook"
	"posthorn/internal/id"
	"posthorn/internal/localaws/dynamodb"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/localaws/store"
)

const tenant = "default"

// world is a table, a queue, two endpoints, an event for both of them, and the
// processes that are at work.
type world struct {
	service   *dynamodb.Server
	table     *dynamo.Table // past the gates
	endpoints []string
	event     *hook.Event
	policy    policy.Policy
	tries     int // of the SDK's for a call
	// minAttempts is how few attempts open a breaker.
	minAttempts int

	note func(format string, args ...any)

	mu      sync.Mutex
	waiting []*call
	made    int // ids
	slept   time.Duration

	queue     []*queued
	messages  int
	processes []*process
	spawned   int

	// What the model knows.
	lives       map[hook.Ref]*life
	stored      map[string]*hook.Endpoint // as the table has them; nil: deleted
	deleted     map[string]bool
	inactive    map[string]inactivity // what was answered of endpoints
	resumes     map[string]int
	owed        map[string]int // resumes that were asked for and not answered
	disturbed   int            // what went wrong so far
	answersLost int
	violations  []string
}

// newWorld makes a world whose event has just been accepted. Where it is calm,
// its messages have had no hard life.
func newWorld(t *rapid.T, calm bool) *world {
	w := &world{
		note:  t.Logf,
		lives: map[hook.Ref]*life{}, stored: map[string]*hook.Endpoint{}, deleted: map[string]bool{}, inactive: map[string]inactivity{}, owed: map[string]int{}, resumes: map[string]int{},
		tries:       rapid.SampledFrom([]int{1, 3}).Draw(t, "tries of the SDK"),
		minAttempts: rapid.SampledFrom([]int{2, 100}).Draw(t, "attempts that open a breaker"),
		policy:      policy.Policy{InitialDelay: 20 * time.Second, MaxDelay: 20 * time.Minute, Multiplier: 3, MaxAttempts: 3},
	}
	db, err := store.OpenMemory()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	w.service, err = dynamodb.New(dynamodb.Options{Store: db})
	require.NoError(t, err)
	straight := config(inproc.Client(w.service), 1)
	ctx := context.Background()
	require.NoError(t, dynamo.CreateTable(ctx, straight, tableName))
	w.table = dynamo.New(straight, tableName, dynamo.Options{EventRetention: retention, DeadLetterRetention: deadTime})

	now := time.Now().UTC()
	w.event = &hook.Event{ID: id.FromParts(hook.EventPrefix, now, []byte("event....!")), Tenant: tenant, Type: "order.created", CreatedAt: now, ExpiresAt: now.Add(retention)}
	w.event.Body = hook.NewBody(w.event.ID, w.event.Type, now, []byte(`{}`))
	for i, letter := range []string{"A", "B"} {
		e := &hook.Endpoint{
			ID: id.FromParts(hook.EndpointPrefix, now, []byte("endpoint."+letter)), Tenant: tenant, URL: "https://example.com/" + letter, Filters: []string{"*"},
			Secrets: []hook.SealedSecret{{Sealed: []byte("secret")}}, Timeout: 10 * time.Second, Status: hook.EndpointActive, CreatedAt: now, UpdatedAt: now,
		}
		allowed := w.policy.MaxAttempts
		if i == 1 {
			retries := rapid.SampledFrom([]int{0, 1, 5}).Draw(t, "retries of B")
			allowed, e.MaxRetries = retries+1, &retries
			e.RateLimit = rapid.SampledFrom([]float64{0, 0.1}).Draw(t, "rate of B")
		}
		require.NoError(t, w.table.CreateEndpoint(ctx, e))
		w.endpoints = append(w.endpoints, e.ID)
		w.stored[e.ID] = e
		ref := w.event.Ref(e.ID)
		w.lives[ref] = &life{w: w, ref: ref, posts: map[string]*posted{}, allowed: allowed}
	}
	w.event.EndpointIDs, w.event.Targets = w.endpoints, len(w.endpoints)
	require.NoError(t, w.table.PutEvent(ctx, w.event))
	for _, ref := range w.refs() {
		w.produce(t, ref, !calm)
	}
	return w
}

// inactivity is why nothing is posted to an endpoint any more.
type inactivity int

const (
	none inactivity = iota
	paused
	gone
)

// mayBeActive learns that somebody is about to make an endpoint active again:
// whoever is at work may see that, or not yet.
func (w *world) mayBeActive(e string) {
	for _, m := range append([]map[string]inactivity{w.inactive}, w.sights()...) {
		if m[e] == paused {
			m[e] = none
		}
	}
}

func (w *world) sights() (all []map[string]inactivity) {
	for _, p := range w.processes {
		all = append(all, p.inactive)
	}
	return all
}

// refs are the deliveries, in an order that stays.
func (w *world) refs() []hook.Ref {
	return slices.SortedFunc(maps.Keys(w.lives), func(a, b hook.Ref) int {
		if a.EndpointID < b.EndpointID {
			return -1
		}
		return 1
	})
}

// letter is what a delivery is called in the log.
func (w *world) letter(ref hook.Ref) string {
	return string(rune('A' + slices.Index(w.endpoints, ref.EndpointID)))
}

// produce sends a delivery's message as the event's POST does; where it is
// to be hard, it may have come back already.
func (w *world) produce(t *rapid.T, ref hook.Ref, hard bool) {
	m := &hook.Message{Ref: ref, EventType: w.event.Type, CreatedAt: w.event.CreatedAt}
	if rapid.Bool().Draw(t, "body in the message") {
		m.Body = w.event.Body
	}
	receives := 0
	if hard {
		m.Returns = []int{0, 0, deadletter.MaxReturns}[pick(t, "returns", 3)]
		receives = []int{0, 0, maxReceives - 1}[pick(t, "receives", 3)]
	}
	raw, err := hook.EncodeMessage(m)
	require.NoError(t, err)
	q := w.put(string(raw), 0, false)
	q.receives = receives
	w.disturbed += m.Returns + q.receives
}

// close ends what is still under way.
func (w *world) close() {
	w.mu.Lock()
	for _, p := range w.processes {
		p.dead = true
		p.cancel()
	}
	w.mu.Unlock()
	w.settle(func(*call) bool { return true })
	for _, p := range w.processes {
		<-p.over
	}
	synctest.Wait()
}

// running returns the processes that are at work.
func (w *world) running() []*process {
	synctest.Wait()
	w.processes = slices.DeleteFunc(w.processes, func(p *process) bool {
		select {
		case <-p.over:
			return true
		default:
			return false
		}
	})
	return slices.DeleteFunc(slices.Clone(w.processes), func(p *process) bool { return p.dead })
}

// finish has a process make all its calls, to its end. answer is what the
// endpoints answer.
func (w *world) finish(t *rapid.T, p *process, answer func() post.Result) {
	for range 10_000 {
		calls := slices.DeleteFunc(w.calls(), func(c *call) bool { return c.p != p })
		select {
		case <-p.over:
			return
		default:
		}
		if len(calls) == 0 {
			w.sleep(50 * time.Millisecond) // it waits for a moment
			continue
		}
		if calls[0].post {
			calls[0].answer = answer()
		}
		w.decide(t, calls[0], made)
	}
	require.Fail(t, "a process does not end", p.what)
}

// look has the model look at what has changed in the table.
func (w *world) look(t *rapid.T, endpoints, rows bool) {
	require.Empty(t, w.violations)
	ctx := context.Background()
	if endpoints {
		set, err := w.table.EndpointSet(ctx, tenant)
		require.NoError(t, err)
		for _, e := range w.endpoints {
			w.stored[e] = set.ByID(e)
			w.deleted[e] = w.stored[e] == nil
		}
	}
	if rows {
		w.lookAtRows(ctx, t)
	}
}

func (w *world) lookAtRows(ctx context.Context, t *rapid.T) {
	refs := w.refs()
	rows, err := w.table.Deliveries(ctx, refs)
	require.NoError(t, err)
	moved := false
	for i, ref := range refs {
		l, next := w.lives[ref], rows[i]
		if l.row == nil && next == nil || l.row != nil && next != nil && l.row.Rev == next.Rev {
			continue
		}
		moved = true
		var newest *hook.Attempt
		if next != nil && next.Attempts > 1 {
			later, err := w.table.Attempts(ctx, ref, 1)
			require.NoError(t, err)
			require.NotEmpty(t, later)
			newest = &later[0]
		} else if next != nil {
			newest = &next.First
		}
		l.moves(t, next, newest)
		l.row = next
	}
	if moved {
		w.lookAround(ctx, t)
	}
}

// lookAround checks what is written together with the rows.
func (w *world) lookAround(ctx context.Context, t *rapid.T) {
	named, held := []string{}, false
	for _, ref := range w.refs() {
		if row := w.lives[ref].row; row != nil {
			held = held || row.Status == hook.Held
			if row.DeadLetterID != "" {
				named = append(named, row.DeadLetterID)
			}
		}
	}
	entries, _, err := w.table.ListDeadLetters(ctx, hook.DeadLetterFilter{Tenant: tenant}, hook.Page{Limit: 100})
	require.NoError(t, err)
	found := []string{}
	for _, e := range entries {
		found = append(found, e.ID)
	}
	require.ElementsMatch(t, named, found, "each entry is that of a row, and each row's entry is there")
	event, err := w.table.Event(ctx, tenant, w.event.ID)
	if err == nil {
		require.Equal(t, held, event.ExpiresAt.IsZero(), "the event stays as long as a delivery of it is held")
	} else {
		require.ErrorIs(t, err, hook.ErrNotFound)
		require.False(t, held, "the event of what is held is gone")
	}
}

func (w *world) eventGone() bool {
	_, err := w.table.Event(context.Background(), tenant, w.event.ID)
	return err != nil
}

// next is when the next message can be received; zero: there is none.
func (w *world) next() (at time.Time) {
	for _, q := range w.queue {
		if !q.gone && (at.IsZero() || q.visible.Before(at)) {
			at = q.visible
		}
	}
	return at
}

func (q *queued) String() string {
	return fmt.Sprintf("%s dead %v receives %d: %s", q.id, q.dead, q.receives, q.raw)
}

// sleep lets time pass, and whatever is due then happen: who wakes meanwhile
// sees, by the lock, what was done before.
func (w *world) sleep(d time.Duration) {
	w.mu.Lock()
	w.slept += d
	w.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
}
