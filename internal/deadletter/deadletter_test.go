package deadletter_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"posthorn/internal/deadletter"
	"posthorn/internal/hook"
)

const (
	eventID    = "evt_01JCXZ5T5V8Q0R9A1B2C3D4E5F"
	endpointID = "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G"
	day        = 24 * time.Hour
)

var (
	ref      = hook.Ref{Tenant: "acme", EventID: eventID, EndpointID: endpointID}
	noon     = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	errFault = errors.New("fault")
)

type fault int

const (
	fails      fault = iota + 1 // nothing was done
	answerLost                  // done, but the caller is told that it failed
)

// world is the store and both queues, in memory, with faults on order.
type world struct {
	mu       sync.Mutex
	t        *testing.T
	row      *hook.Delivery
	entries  map[string]*hook.DeadLetter
	endpoint *hook.Endpoint
	event    *hook.Event
	extended time.Time
	dead     []hook.Received
	sent     []*hook.Message
	ended    map[hook.Status]int
	faults   map[string]fault
	hidden   map[string]bool // received in this sweep: in flight
	s        *deadletter.Sweeper
	r        *deadletter.Replayer
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, entries: map[string]*hook.DeadLetter{}, ended: map[hook.Status]int{}, faults: map[string]fault{}, hidden: map[string]bool{},
		endpoint: &hook.Endpoint{ID: endpointID, Tenant: "acme", URL: "https://example.com/hook"},
		event:    &hook.Event{ID: eventID, Tenant: "acme", Type: "order.created", CreatedAt: noon.Add(-time.Hour), Body: []byte(`{"data":{}}`)},
	}
	w.s = &deadletter.Sweeper{
		Rows: w, Entries: w, Events: w, Endpoints: w, Queues: w, Meter: w,
		Retention: 7 * day, EventRetention: 30 * day, OperatorTenant: "default",
		EntryID: func(at time.Time, digest [32]byte) string {
			return fmt.Sprintf("dlq_%d_%x", at.UnixMilli(), digest[:4])
		},
		Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler),
	}
	w.r = &deadletter.Replayer{Store: w, Queue: w, Log: slog.New(slog.DiscardHandler)}
	return w
}

// trip returns the fault ordered for the next call of op, once.
func (w *world) trip(op string) fault {
	f := w.faults[op]
	delete(w.faults, op)
	return f
}

func (w *world) bury(id string, m *hook.Message) {
	raw, err := hook.EncodeMessage(m)
	require.NoError(w.t, err)
	w.dead = append(w.dead, hook.Received{MessageID: id, ReceiptHandle: id, ReceiveCount: 1, SentAt: noon.Add(-time.Minute), Raw: string(raw)})
}

func (w *world) sweep() deadletter.Result {
	clear(w.hidden)
	r, err := w.s.Sweep(w.t.Context())
	require.NoError(w.t, err)
	return r
}

func message(gen, hop, returns int) *hook.Message {
	return &hook.Message{Ref: ref, EventType: "order.created", CreatedAt: noon.Add(-time.Hour), Gen: gen, Hop: hop, Returns: returns}
}

func row(status hook.Status, gen, hop int, messageID string) *hook.Delivery {
	d := &hook.Delivery{Ref: ref, EventType: "order.created", Status: status, Gen: gen, Hop: hop, MessageID: messageID, Rev: 5, Attempts: 5, CreatedAt: noon.Add(-time.Hour), FailureReason: "HTTP 503: Service Unavailable"}
	if status.Final() {
		d.CompletedAt = noon.Add(-time.Minute)
	}
	return d
}

func (w *world) Deliveries(context.Context, []hook.Ref) ([]*hook.Delivery, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trip("read") != 0 {
		return nil, errFault
	}
	if w.row == nil {
		return []*hook.Delivery{nil}, nil
	}
	c := *w.row
	return []*hook.Delivery{&c}, nil
}

func (w *world) SaveDelivery(_ context.Context, write hook.DeliveryWrite) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.trip("save")
	if f == fails {
		return errFault
	}
	var rev int64
	if w.row != nil {
		rev = w.row.Rev
	}
	if write.Delivery.Rev != rev+1 {
		return hook.ErrConflict
	}
	c := *write.Delivery
	w.row = &c
	delete(w.entries, write.DropDeadLetter)
	if e := write.AddDeadLetter; e != nil {
		w.entries[e.ID] = e
	}
	if f == answerLost {
		return errFault
	}
	return nil
}

func (w *world) PutDeadLetter(_ context.Context, e *hook.DeadLetter) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.trip("put")
	if f != fails {
		w.entries[e.ID] = e
	}
	if f != 0 {
		return errFault
	}
	return nil
}

func (w *world) DeadLetter(_ context.Context, _, id string) (*hook.DeadLetter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if e := w.entries[id]; e != nil {
		return e, nil
	}
	return nil, hook.ErrNotFound
}

func (w *world) DeleteDeadLetter(_ context.Context, _, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.entries[id] == nil {
		return hook.ErrNotFound
	}
	delete(w.entries, id)
	return nil
}

func (w *world) ExtendEvent(_ context.Context, _, _ string, until time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.trip("extend")
	if f != fails {
		w.extended = until
	}
	if f != 0 {
		return errFault
	}
	return nil
}

func (w *world) Endpoint(context.Context, string, string) (*hook.Endpoint, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.endpoint == nil {
		return nil, hook.ErrNotFound
	}
	return w.endpoint, nil
}

func (w *world) Event(context.Context, string, string) (*hook.Event, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.event == nil {
		return nil, hook.ErrNotFound
	}
	return w.event, nil
}

func (w *world) EndpointSet(context.Context, string) (*hook.EndpointSet, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	set := &hook.EndpointSet{}
	if w.endpoint != nil {
		set.Endpoints = []*hook.Endpoint{w.endpoint}
	}
	return set, nil
}

func (w *world) ReceiveDead(_ context.Context, limit int) ([]hook.Received, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var batch []hook.Received
	for _, r := range w.dead {
		if len(batch) < limit && !w.hidden[r.ReceiptHandle] {
			w.hidden[r.ReceiptHandle] = true
			batch = append(batch, r)
		}
	}
	return batch, nil
}

func (w *world) DeleteDead(_ context.Context, handles []string) []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.trip("delete")
	errs := make([]error, len(handles))
	for i, h := range handles {
		if f != 0 {
			errs[i] = errFault
		}
		if f == fails {
			continue
		}
		for n, r := range w.dead {
			if r.ReceiptHandle == h {
				w.dead = append(w.dead[:n:n], w.dead[n+1:]...)
				break
			}
		}
	}
	return errs
}

func (w *world) Send(_ context.Context, out []hook.Outgoing) []hook.Sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.trip("send")
	if f != fails {
		w.sent = append(w.sent, out[0].Message)
	}
	if f != 0 {
		return []hook.Sent{{Err: errFault}}
	}
	return []hook.Sent{{MessageID: fmt.Sprintf("sent-%d", len(w.sent))}}
}

func (w *world) Ended(s hook.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[s]++
}

func TestJudge(t *testing.T) {
	t.Parallel()
	marked := row(hook.Dead, 0, 0, "m")
	marked.DeadLetterID = "dlq"
	for name, c := range map[string]struct {
		row  *hook.Delivery
		m    *hook.Message
		want deadletter.Judgement
	}{
		"no row":                              {nil, message(0, 0, 0), deadletter.SendBack},
		"no row, returned twice":              {nil, message(0, 2, 2), deadletter.SendBack},
		"no row, returned three times":        {nil, message(0, 3, 3), deadletter.GiveUp},
		"dead":                                {row(hook.Dead, 0, 0, "m"), message(0, 0, 0), deadletter.Bury},
		"dead, sent by hand":                  {row(hook.Dead, 0, 0, "x"), message(0, 0, 0), deadletter.Bury},
		"dead and marked":                     {marked, message(0, 0, 0), deadletter.Discard},
		"dead in an earlier generation":       {row(hook.Dead, 0, 0, "m"), message(1, 0, 0), deadletter.SendBack},
		"replayed meanwhile":                  {row(hook.Queued, 1, 0, "x"), message(0, 0, 0), deadletter.Discard},
		"delivered":                           {row(hook.Delivered, 0, 0, "m"), message(0, 0, 0), deadletter.Discard},
		"cancelled":                           {row(hook.Cancelled, 0, 0, "m"), message(0, 0, 0), deadletter.Discard},
		"held":                                {row(hook.Held, 0, 0, "m"), message(0, 0, 0), deadletter.Discard},
		"retrying, crashes took the receives": {row(hook.Retrying, 0, 0, "m"), message(0, 0, 0), deadletter.SendBack},
		"retrying, a copy carries it":         {row(hook.Retrying, 0, 1, "x"), message(0, 0, 0), deadletter.Discard},
		"retrying, another of this hop":       {row(hook.Retrying, 0, 0, "x"), message(0, 0, 0), deadletter.Discard},
		"retrying, given up":                  {row(hook.Retrying, 0, 0, "m"), message(0, 3, 3), deadletter.GiveUp},
	} {
		require.Equal(t, c.want.String(), deadletter.Judge(c.row, c.m, "m").String(), name)
	}
}

func TestADeadDeliveryGetsOneEntryAndAMark(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.row = row(hook.Dead, 0, 0, "m")
	w.bury("m", message(0, 0, 0))
	w.bury("again", message(0, 0, 0))
	require.Equal(t, deadletter.Result{Buried: 1, Discarded: 1}, w.sweep())
	require.Empty(t, w.dead)
	require.Len(t, w.entries, 1)
	e := w.entries[w.row.DeadLetterID]
	require.NotNil(t, e)
	require.Equal(t, ref, e.Ref)
	require.Equal(t, "HTTP 503: Service Unavailable", e.FailureReason)
	require.Equal(t, "https://example.com/hook", e.EndpointURL)
	require.Equal(t, 5, e.Attempts)
	require.Equal(t, noon.Add(-time.Minute), e.CreatedAt)
	require.Equal(t, noon.Add(-time.Minute).Add(7*day), e.ExpiresAt)
	require.Zero(t, w.extended, "the event outlives the entry anyway")
}

func TestADeathExtendsAnEventThatWouldExpireFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.row = row(hook.Dead, 0, 0, "m")
	w.row.CreatedAt = noon.Add(-29 * day)
	w.bury("m", message(0, 0, 0))
	w.sweep()
	require.Equal(t, noon.Add(-time.Minute).Add(7*day), w.extended)
}

func TestAnUndecidedDeliveryGoesBackThreeTimesThenEndsDead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := message(0, 0, 0)
	for n := range deadletter.MaxReturns {
		w.bury(fmt.Sprintf("m%d", n), m)
		require.Equal(t, deadletter.Result{SentBack: 1}, w.sweep())
		m = w.sent[n]
		require.Equal(t, n+1, m.Hop)
		require.Equal(t, n+1, m.Returns)
	}
	w.bury("last", m)
	require.Equal(t, deadletter.Result{Buried: 1}, w.sweep())
	require.Equal(t, hook.Dead, w.row.Status)
	require.Equal(t, "no outcome could be recorded in 4 rounds through the queue", w.entries[w.row.DeadLetterID].FailureReason)
	require.Equal(t, 1, w.ended[hook.Dead])
	require.Equal(t, "last", w.row.MessageID)
}

func TestAnUndecodableMessageBecomesAnEntryOfTheOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dead = []hook.Received{{MessageID: "m", ReceiptHandle: "m", SentAt: noon, Raw: "hello"}, {MessageID: "n", ReceiptHandle: "n", SentAt: noon, Raw: strings.Repeat("ä", 300<<10)}}
	require.Equal(t, deadletter.Result{Buried: 2}, w.sweep())
	require.Len(t, w.entries, 2)
	for id, e := range w.entries {
		require.Equal(t, "default", e.Tenant)
		require.Contains(t, e.FailureReason, "decode message")
		require.LessOrEqual(t, len(e.RawBody), 256<<10)
		require.False(t, e.Replayable())
		_, err := w.r.Replay(t.Context(), "default", id)
		require.ErrorIs(t, err, hook.ErrNotReplayable)
	}
}

func TestAnUndecodableMessageOfAnyLengthIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dead = []hook.Received{{MessageID: "m", ReceiptHandle: "m", SentAt: noon, Raw: `{"v":1,"` + strings.Repeat("ä", 500<<10) + `":1}`}}
	require.Equal(t, deadletter.Result{Buried: 1}, w.sweep())
	for _, e := range w.entries {
		require.Less(t, len(e.FailureReason)+len(e.RawBody), 300<<10)
		require.True(t, utf8.ValidString(e.FailureReason))
		require.LessOrEqual(t, len(e.FailureReason), 512)
	}
}

// Each write of the sweep, failing and with its answer lost: the next sweep
// finishes the work, and there is one entry.
func TestSweepFaultPairs(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"read", "save", "send", "put", "extend", "delete"} {
		for _, f := range []fault{fails, answerLost} {
			t.Run(fmt.Sprintf("%s/%d", op, f), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.row = row(hook.Dead, 0, 0, "m")
				w.row.CreatedAt = noon.Add(-29 * day)
				w.faults[op] = f
				w.bury("m", message(0, 0, 0))
				w.dead = append(w.dead, hook.Received{MessageID: "n", ReceiptHandle: "n", SentAt: noon, Raw: "hello"})
				w.sweep()
				w.sweep()
				require.Empty(t, w.dead)
				require.Len(t, w.entries, 2)
				require.NotNil(t, w.entries[w.row.DeadLetterID])
			})
			t.Run(fmt.Sprintf("undecided/%s/%d", op, f), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.faults[op] = f
				w.bury("m", message(0, 0, 0))
				w.sweep()
				w.sweep()
				require.Empty(t, w.dead)
				require.NotEmpty(t, w.sent, "it is back in the queue")
			})
		}
	}
}

func TestReplaySendsAFreshBudgetAndRemovesTheEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.row = row(hook.Dead, 0, 3, "m")
	w.bury("m", message(0, 3, 0))
	w.sweep()
	id, err := w.r.Replay(t.Context(), "acme", w.row.DeadLetterID)
	require.NoError(t, err)
	require.Equal(t, ref.ID(), id)
	require.Empty(t, w.entries)
	require.Len(t, w.sent, 1)
	require.Equal(t, 1, w.sent[0].Gen)
	require.Zero(t, w.sent[0].Hop)
	require.Equal(t, hook.Queued, w.row.Status)
	require.Equal(t, 1, w.row.Gen)
	require.Equal(t, "sent-1", w.row.MessageID)
	require.Equal(t, 5, w.row.Attempts, "attempts go on counting")
	require.Zero(t, w.row.GenAttempts)
	require.Empty(t, w.row.DeadLetterID)
}

func TestReplayOfWhatIsOnItsWayOnlyClearsTheEntry(t *testing.T) {
	t.Parallel()
	for name, now := range map[string]*hook.Delivery{"replayed": row(hook.Queued, 1, 0, "x"), "delivered late": row(hook.Delivered, 0, 0, "m")} {
		w := newWorld(t)
		w.row = row(hook.Dead, 0, 0, "m")
		w.bury("m", message(0, 0, 0))
		w.sweep()
		entry := w.row.DeadLetterID
		w.row = now
		id, err := w.r.Replay(t.Context(), "acme", entry)
		require.NoError(t, err, name)
		require.Equal(t, ref.ID(), id)
		require.Empty(t, w.sent, name)
		require.Empty(t, w.entries, name)
	}
}

func TestReplayFaultPairs(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"read", "save", "send"} {
		for _, f := range []fault{fails, answerLost} {
			t.Run(fmt.Sprintf("%s/%d", op, f), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.row = row(hook.Dead, 0, 0, "m")
				w.bury("m", message(0, 0, 0))
				w.sweep()
				entry := w.row.DeadLetterID
				w.faults[op] = f
				_, err := w.r.Replay(t.Context(), "acme", entry)
				if op == "save" { // the message is on its way, and its record clears up
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, errFault)
				}
				if op == "send" && f == fails {
					require.Equal(t, hook.Dead, w.row.Status, "nothing sent, nothing touched")
				}
				// The caller tries again; the entry may be gone already.
				if _, err := w.r.Replay(t.Context(), "acme", entry); err != nil {
					require.ErrorIs(t, err, hook.ErrNotFound)
				}
				require.Empty(t, w.entries)
				require.NotEmpty(t, w.sent)
				require.Equal(t, 1, w.row.Gen)
			})
		}
	}
}

func TestReplayRefusesWhatCannotBeDelivered(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breakIt func(*world)
		want    error
	}{
		"no such entry":    {func(w *world) { clear(w.entries) }, hook.ErrNotFound},
		"endpoint deleted": {func(w *world) { w.endpoint = nil }, hook.ErrNotReplayable},
		"event expired":    {func(w *world) { w.event = nil }, hook.ErrNotReplayable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.row = row(hook.Dead, 0, 0, "m")
			w.bury("m", message(0, 0, 0))
			w.sweep()
			entry := w.row.DeadLetterID
			c.breakIt(w)
			_, err := w.r.Replay(t.Context(), "acme", entry)
			require.ErrorIs(t, err, c.want)
			require.Empty(t, w.sent)
			require.Equal(t, hook.Dead, w.row.Status)
		})
	}
}

// A replay's message may be faster than the replay itself: its record moves
// the row on, and the replay finds the work done.
func TestReplayOvertakenByItsOwnMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.row = row(hook.Dead, 0, 0, "m")
	w.bury("m", message(0, 0, 0))
	w.sweep()
	entry := w.row.DeadLetterID
	stale := *w.row
	overtaken := &overtaking{world: w, meanwhile: func() {
		next := stale
		next.Rev++
		next.Gen, next.Status, next.DeadLetterID = 1, hook.Delivered, ""
		w.row = &next
		delete(w.entries, entry)
	}}
	w.r.Store = overtaken
	_, err := w.r.Replay(t.Context(), "acme", entry)
	require.NoError(t, err)
	require.Equal(t, hook.Delivered, w.row.Status)
}

// overtaking changes the row before the first write reaches it.
type overtaking struct {
	*world
	meanwhile func()
}

func (o *overtaking) SaveDelivery(ctx context.Context, w hook.DeliveryWrite) error {
	if o.meanwhile != nil {
		o.meanwhile()
		o.meanwhile = nil
	}
	return o.world.SaveDelivery(ctx, w)
}
