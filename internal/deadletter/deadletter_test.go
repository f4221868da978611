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
	panics                      // it panics
)

// world is the store and both queues, in memory, with faults on order.
type world struct {
	mu       sync.Mutex
	t        *testing.T
	row      *hook.Delivery
	entries  map[string]*hook.DeadLetter
	endpoint *hook.Endpoint
	extended time.Time
	dead     []hook.Received
	sent     []*hook.Message
	ended    map[hook.Status]int
	faults   map[string]fault
	hidden   map[string]bool // received in this sweep: in flight
	s        *deadletter.Sweeper
	job      *hook.Job
	controls []*hook.Control
	grown    int
	notices  []hook.Notice
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, entries: map[string]*hook.DeadLetter{}, ended: map[hook.Status]int{}, faults: map[string]fault{}, hidden: map[string]bool{},
		endpoint: &hook.Endpoint{ID: endpointID, Tenant: "acme", URL: "https://example.com/hook"},
	}
	w.s = &deadletter.Sweeper{
		Rows: w, Entries: w, Events: w, Endpoints: w, Queues: w, Jobs: w, Growth: w, Notifier: w, Meter: w, GrowthNotice: 3,
		Retention: 7 * day, EventRetention: 30 * day, OperatorTenant: "default",
		EntryID: func(at time.Time, digest [32]byte) string {
			return fmt.Sprintf("dlq_%d_%x", at.UnixMilli(), digest[:4])
		},
		Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler),
	}
	return w
}

// trip returns the fault ordered for the next call of op, once.
func (w *world) trip(op string) fault {
	f := w.faults[op]
	delete(w.faults, op)
	if f == panics {
		panic("on order: " + op)
	}
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
	switch {
	case f == fails:
	case out[0].Control != nil:
		w.controls = append(w.controls, out[0].Control)
	default:
		w.sent = append(w.sent, out[0].Message)
	}
	if f != 0 {
		return []hook.Sent{{Err: errFault}}
	}
	return []hook.Sent{{MessageID: fmt.Sprintf("sent-%d", len(w.sent))}}
}

func (w *world) Job(context.Context, string, string) (*hook.Job, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.trip("job") != 0 {
		return nil, errFault
	}
	if w.job == nil {
		return nil, hook.ErrNotFound
	}
	return w.job, nil
}

func (w *world) GrowDeadLetters(_ context.Context, _ string, hour time.Time, n int) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Equal(w.t, noon, hour)
	if w.trip("grow") != 0 {
		return 0, errFault
	}
	w.grown += n
	return w.grown, nil
}

func (w *world) Notify(_ context.Context, n hook.Notice) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.trip("notify")
	if f != fails {
		w.notices = append(w.notices, n)
	}
	if f != 0 {
		return errFault
	}
	return nil
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
		"held, by a later hop":                {row(hook.Held, 0, 1, "x"), message(0, 0, 0), deadletter.Discard},
		"held, released by this message":      {row(hook.Held, 0, 0, "x"), message(0, 1, 0), deadletter.SendBack},
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
	for _, e := range w.entries {
		require.Equal(t, "default", e.Tenant)
		require.Contains(t, e.FailureReason, "decode message")
		require.LessOrEqual(t, len(e.RawBody), 256<<10)
		require.False(t, e.Replayable())
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
	for _, op := range []string{"read", "save", "send", "put", "extend", "delete", "notify"} {
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

func TestADeathIsToldOfBeforeItsEntryIsMadeAndUnderTheEntrysKey(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{0, fails, answerLost} {
		w := newWorld(t)
		w.row = row(hook.Dead, 0, 0, "m")
		w.bury("m", message(0, 0, 0))
		w.faults["notify"] = f
		w.sweep()
		w.sweep()
		require.Len(t, w.entries, 1)
		require.NotEmpty(t, w.notices, f)
		for _, n := range w.notices {
			require.Equal(t, hook.NoticeDead, n.Type)
			require.Equal(t, endpointID, n.EndpointID)
			require.Equal(t, w.row.DeadLetterID, n.Key, "a repeat is the same notice")
			require.Equal(t, ref.ID(), n.Fields["delivery_id"])
			require.Equal(t, "HTTP 503: Service Unavailable", n.Fields["failure_reason"])
		}
	}
}

func TestDeathsOfOwnEventsAreNotToldOf(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.row = row(hook.Dead, 0, 0, "m")
	w.row.EventType = hook.NoticeDead
	w.bury("m", message(0, 0, 0))
	w.sweep()
	require.Len(t, w.entries, 1)
	require.Empty(t, w.notices)
}

func TestManyNewEntriesWithinAnHourAreToldOf(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		filters []string
		entries int
		want    int
	}{
		"nobody wants to know": {[]string{"*"}, 5, 0},
		"too few":              {[]string{hook.NoticeGrowing}, 2, 0},
		"many":                 {[]string{hook.NoticeGrowing}, 3, 1},
	} {
		w := newWorld(t)
		w.s.OperatorTenant = "acme"
		w.endpoint.Filters = c.filters
		for i := range c.entries {
			w.dead = append(w.dead, hook.Received{MessageID: fmt.Sprint(i), ReceiptHandle: fmt.Sprint(i), SentAt: noon, Raw: "?"})
		}
		w.sweep()
		require.Len(t, w.notices, c.want, name)
		for _, n := range w.notices {
			require.Equal(t, hook.NoticeGrowing, n.Type)
			require.Equal(t, "2026-11-24T12:00:00.000Z", n.Key, "once an hour")
			require.Equal(t, c.entries, n.Fields["entries"])
		}
		if c.want == 0 && c.entries == 5 {
			require.Zero(t, w.grown, "nothing is counted for nobody")
		}
	}
}

func TestAMessageOfAJobGoesBackHoweverOften(t *testing.T) {
	t.Parallel()
	running := &hook.Job{Status: hook.JobRunning, Hop: 7}
	for name, c := range map[string]struct {
		job  *hook.Job
		hop  int
		sent time.Time
		want deadletter.Result
	}{
		"running":                      {running, 7, noon.Add(-13 * day), deadletter.Result{SentBack: 1}},
		"a later hop than is recorded": {running, 9, noon, deadletter.Result{SentBack: 1}},
		"carried by a later message":   {running, 6, noon, deadletter.Result{Discarded: 1}},
		"done":                         {&hook.Job{Status: hook.JobDone}, 7, noon, deadletter.Result{Discarded: 1}},
		"cancelled":                    {&hook.Job{Status: hook.JobCancelled}, 7, noon, deadletter.Result{Discarded: 1}},
		"not stored yet":               {nil, 0, noon.Add(-time.Minute), deadletter.Result{SentBack: 1}},
		"never stored":                 {nil, 0, noon.Add(-11 * time.Minute), deadletter.Result{Discarded: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.job = c.job
			raw, err := hook.EncodeControl(&hook.Control{Tenant: "acme", JobID: "job_01JCXZ5T5V8Q0R9A1B2C3D4E5H", Hop: c.hop, SentAt: c.sent})
			require.NoError(t, err)
			w.dead = []hook.Received{{MessageID: "c", ReceiptHandle: "c", SentAt: noon, Raw: string(raw)}}
			require.Equal(t, c.want, w.sweep())
			require.Empty(t, w.dead)
			require.Len(t, w.controls, c.want.SentBack)
			for _, next := range w.controls {
				require.Equal(t, c.hop+1, next.Hop)
				require.Equal(t, c.sent, next.SentAt)
			}
		})
	}
}

func TestAMessageOfAJobIsNotLostToAFault(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"job", "send", "delete"} {
		for _, f := range []fault{fails, answerLost} {
			w := newWorld(t)
			w.job = &hook.Job{Status: hook.JobRunning}
			w.faults[op] = f
			raw, err := hook.EncodeControl(&hook.Control{Tenant: "acme", JobID: "job_01JCXZ5T5V8Q0R9A1B2C3D4E5H", SentAt: noon})
			require.NoError(t, err)
			w.dead = []hook.Received{{MessageID: "c", ReceiptHandle: "c", SentAt: noon, Raw: string(raw)}}
			w.sweep()
			w.sweep()
			require.NotEmpty(t, w.controls, "%s %d", op, f)
			require.Empty(t, w.dead)
		}
	}
}

// A panic over one message is a failure of that one: the others are swept, and it
// is with the next sweep.
func TestAPanicOverOneMessageLeavesTheOthersToBeSwept(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"read", "extend", "save", "send"} {
		w := newWorld(t)
		w.row = row(hook.Dead, 0, 0, "m")
		w.row.CreatedAt = noon.Add(-40 * day)
		m := message(0, 0, 0)
		if op == "send" { // undecided: it goes back
			w.row = row(hook.Retrying, 0, 0, "m")
		}
		w.bury("m", m)
		w.dead = append(w.dead, hook.Received{MessageID: "bad", ReceiptHandle: "bad", SentAt: noon, Raw: "hello"})
		w.faults[op] = panics
		got := w.sweep()
		require.Equal(t, 1, got.Failed, op)
		require.Equal(t, 1, got.Buried, op)
		require.Len(t, w.dead, 1, op)
		got = w.sweep()
		require.Equal(t, 1, got.Buried+got.SentBack, op)
		require.Empty(t, w.dead, op)
	}
}
