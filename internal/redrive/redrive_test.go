package redrive_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
	"posthorn/internal/redrive"
)

const (
	eventID    = "evt_01JCXZ5T5V8Q0R9A1B2C3D4E5F"
	endpointID = "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G"
	otherID    = "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5H"
	entryID    = "dlq_01JCXZ5T5V8Q0R9A1B2C3D4E5J"
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

// world is the store and the queue, in memory, with faults on order.
type world struct {
	t         *testing.T
	rows      map[hook.Ref]*hook.Delivery
	entries   map[string]*hook.DeadLetter
	endpoints []*hook.Endpoint
	event     *hook.Event
	targets   []string
	until     time.Time // of the last recipients that were added
	holds     int
	sent      []*hook.Message
	extended  time.Time // how long the event lives now, where that was asked for
	faults    map[string]fault
	meanwhile func() // happens before the next save
	r         *redrive.Redriver
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, rows: map[hook.Ref]*hook.Delivery{}, entries: map[string]*hook.DeadLetter{}, faults: map[string]fault{},
		endpoints: []*hook.Endpoint{{ID: endpointID, Tenant: "acme"}, {ID: otherID, Tenant: "acme"}},
		event: &hook.Event{
			ID: eventID, Tenant: "acme", Type: "order.created", CreatedAt: noon.Add(-time.Hour), Body: []byte(`{"data":{}}`), EndpointIDs: []string{endpointID}, Targets: 1,
		},
		targets: []string{endpointID},
	}
	w.r = &redrive.Redriver{Store: w, Queue: w, Retention: 30 * day, DeadLetters: 7 * day, Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler)}
	return w
}

// dead puts a dead delivery and its entry into the world.
func (w *world) dead() {
	w.rows[ref] = &hook.Delivery{
		Ref: ref, EventType: "order.created", Status: hook.Dead, Gen: 0, Hop: 3, MessageID: "m", Rev: 5, Attempts: 5, GenAttempts: 5,
		CreatedAt: noon.Add(-time.Hour), CompletedAt: noon.Add(-time.Minute), DeadLetterID: entryID, ExpiresAt: noon.Add(29 * day),
	}
	w.entries[entryID] = &hook.DeadLetter{ID: entryID, Ref: ref, EventType: "order.created", Attempts: 5}
}

func (w *world) held(attempts int) *hook.Delivery {
	w.rows[ref] = &hook.Delivery{Ref: ref, EventType: "order.created", Status: hook.Held, Hop: 2, MessageID: "m", Rev: 3, Attempts: attempts, GenAttempts: attempts, CreatedAt: noon.Add(-60 * day)}
	w.holds = 1
	return w.copyOf(ref)
}

func (w *world) copyOf(r hook.Ref) *hook.Delivery {
	if w.rows[r] == nil {
		return nil
	}
	c := *w.rows[r]
	return &c
}

// trip returns the fault ordered for the next call of op, once.
func (w *world) trip(op string) fault {
	f := w.faults[op]
	delete(w.faults, op)
	return f
}

func (w *world) EndpointSet(context.Context, string) (*hook.EndpointSet, error) {
	if w.trip("endpoints") != 0 {
		return nil, errFault
	}
	return &hook.EndpointSet{Endpoints: w.endpoints}, nil
}

func (w *world) Event(context.Context, string, string) (*hook.Event, error) {
	if w.trip("event") != 0 {
		return nil, errFault
	}
	if w.event == nil {
		return nil, hook.ErrNotFound
	}
	return w.event, nil
}

func (w *world) Recipients(context.Context, *hook.Event) ([]string, error) {
	if w.trip("recipients") != 0 {
		return nil, errFault
	}
	return w.targets, nil
}

func (w *world) AddRecipients(_ context.Context, _ *hook.Event, ids []string, until time.Time) error {
	f := w.trip("add recipients")
	if f != fails {
		w.targets, w.until = append(w.targets, ids...), until
	}
	if f != 0 {
		return errFault
	}
	return nil
}

func (w *world) ExtendEvent(_ context.Context, _, _ string, until time.Time) error {
	f := w.trip("extend")
	if f != fails {
		w.extended = until
	}
	if f != 0 {
		return errFault
	}
	return nil
}

// resend sends the event again, and returns why it could not, of any endpoint.
func (w *world) resend(since time.Time, ids ...string) error {
	failed, err := w.r.Resend(w.t.Context(), w.event, ids, since)
	if err != nil {
		return err
	}
	return errors.Join(slices.Collect(maps.Values(failed))...)
}

func (w *world) Deliveries(_ context.Context, refs []hook.Ref) ([]*hook.Delivery, error) {
	if w.trip("read") != 0 {
		return nil, errFault
	}
	rows := make([]*hook.Delivery, len(refs))
	for i, r := range refs {
		rows[i] = w.copyOf(r)
	}
	return rows, nil
}

func (w *world) SaveDelivery(_ context.Context, write hook.DeliveryWrite) error {
	if m := w.meanwhile; m != nil {
		w.meanwhile = nil
		m()
	}
	f := w.trip("save")
	if f == fails {
		return errFault
	}
	d, rev := write.Delivery, int64(0)
	if w.rows[d.Ref] != nil {
		rev = w.rows[d.Ref].Rev
	}
	if d.Rev != rev+1 {
		return hook.ErrConflict
	}
	c := *d
	w.rows[d.Ref] = &c
	delete(w.entries, write.DropDeadLetter)
	if write.Unhold {
		w.holds--
	}
	if f == answerLost {
		return errFault
	}
	return nil
}

func (w *world) DeadLetter(_ context.Context, _, id string) (*hook.DeadLetter, error) {
	if e := w.entries[id]; e != nil {
		return e, nil
	}
	return nil, hook.ErrNotFound
}

func (w *world) DeleteDeadLetter(_ context.Context, _, id string) error {
	if w.entries[id] == nil {
		return hook.ErrNotFound
	}
	delete(w.entries, id)
	return nil
}

func (w *world) Send(_ context.Context, out []hook.Outgoing) []hook.Sent {
	f := w.trip("send")
	if f != fails {
		w.sent = append(w.sent, out[0].Message)
	}
	if f != 0 {
		return []hook.Sent{{Err: errFault}}
	}
	return []hook.Sent{{MessageID: fmt.Sprintf("sent-%d", len(w.sent))}}
}

func TestReplaySendsAFreshBudgetAndRemovesTheEntry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dead()
	id, err := w.r.Replay(t.Context(), "acme", entryID)
	require.NoError(t, err)
	require.Equal(t, ref.ID(), id)
	require.Empty(t, w.entries)
	require.Len(t, w.sent, 1)
	require.Equal(t, 1, w.sent[0].Gen)
	require.Zero(t, w.sent[0].Hop)
	row := w.rows[ref]
	require.Equal(t, hook.Queued, row.Status)
	require.Equal(t, 1, row.Gen)
	require.Zero(t, row.Hop)
	require.Equal(t, "sent-1", row.MessageID)
	require.Equal(t, noon, row.RequeuedAt)
	require.Equal(t, 5, row.Attempts, "attempts go on counting")
	require.Zero(t, row.GenAttempts)
	require.Empty(t, row.DeadLetterID)
	require.Zero(t, row.CompletedAt)
}

func TestReplayOfWhatIsOnItsWayOnlyClearsTheEntry(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*hook.Delivery){
		"replayed":       func(d *hook.Delivery) { d.Status, d.Gen = hook.Queued, 1 },
		"delivered late": func(d *hook.Delivery) { d.Status = hook.Delivered },
	} {
		w := newWorld(t)
		w.dead()
		change(w.rows[ref])
		id, err := w.r.Replay(t.Context(), "acme", entryID)
		require.NoError(t, err, name)
		require.Equal(t, ref.ID(), id)
		require.Empty(t, w.sent, name)
		require.Empty(t, w.entries, name)
	}
}

func TestReplayFaultPairs(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"read", "save", "send", "endpoints", "event"} {
		for _, f := range []fault{fails, answerLost} {
			t.Run(fmt.Sprintf("%s/%d", op, f), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.dead()
				w.faults[op] = f
				_, err := w.r.Replay(t.Context(), "acme", entryID)
				if op == "save" { // the message is on its way, and its record clears up
					require.NoError(t, err)
				} else {
					require.ErrorIs(t, err, errFault)
				}
				if op == "send" && f == fails {
					require.Equal(t, hook.Dead, w.rows[ref].Status, "nothing sent, nothing touched")
				}
				// The caller tries again; the entry may be gone already.
				if _, err := w.r.Replay(t.Context(), "acme", entryID); err != nil {
					require.ErrorIs(t, err, hook.ErrNotFound)
				}
				require.Empty(t, w.entries)
				require.NotEmpty(t, w.sent)
				require.Equal(t, 1, w.rows[ref].Gen)
			})
		}
	}
}

func TestWhatCannotBeDeliveredIsRefusedAndNothingTouched(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breakIt func(*world)
		want    error
	}{
		"no such entry":    {func(w *world) { clear(w.entries) }, hook.ErrNotFound},
		"endpoint deleted": {func(w *world) { w.endpoints = nil }, hook.ErrNotReplayable},
		"event expired":    {func(w *world) { w.event = nil }, hook.ErrNotReplayable},
		"undecodable":      {func(w *world) { w.entries[entryID] = &hook.DeadLetter{ID: entryID, RawBody: "?"} }, hook.ErrNotReplayable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.dead()
			c.breakIt(w)
			_, err := w.r.Replay(t.Context(), "acme", entryID)
			require.ErrorIs(t, err, c.want)
			require.Empty(t, w.sent)
			require.Equal(t, hook.Dead, w.rows[ref].Status)
		})
	}
}

// A replay's message may be faster than the replay itself: its record moves
// the row on, and the replay finds the work done.
func TestReplayOvertakenByItsOwnMessage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dead()
	w.meanwhile = func() {
		next := w.copyOf(ref)
		next.Rev++
		next.Gen, next.Status, next.DeadLetterID = 1, hook.Delivered, ""
		w.rows[ref] = next
		delete(w.entries, entryID)
	}
	_, err := w.r.Replay(t.Context(), "acme", entryID)
	require.NoError(t, err)
	require.Equal(t, hook.Delivered, w.rows[ref].Status)
}

func TestRetrySendsADeliveryAgainWhateverItsState(t *testing.T) {
	t.Parallel()
	for _, status := range []hook.Status{hook.Queued, hook.Retrying, hook.Delivered, hook.Dead, hook.Held, hook.Cancelled} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.dead()
			w.rows[ref].Status = status
			if status == hook.Held {
				w.holds, w.rows[ref].ExpiresAt = 1, time.Time{}
			}
			require.NoError(t, w.r.Retry(t.Context(), ref))
			row := w.rows[ref]
			require.Equal(t, hook.Queued, row.Status)
			require.Equal(t, 1, row.Gen)
			require.Equal(t, 5, row.Attempts)
			require.Zero(t, row.GenAttempts)
			require.Equal(t, "sent-1", row.MessageID)
			require.Len(t, w.sent, 1)
			require.Equal(t, 1, w.sent[0].Gen)
			require.Empty(t, w.entries, "an entry of the old budget goes")
			require.Zero(t, w.holds)
			require.True(t, row.ExpiresAt.After(noon))
		})
	}
}

func TestRetryOfADeliveryOfWhichNothingIsRecorded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.r.Retry(t.Context(), ref))
	row := w.rows[ref]
	require.Equal(t, hook.Queued, row.Status)
	require.Equal(t, 1, row.Gen, "the message that is in the queue counts no more")
	require.Equal(t, int64(1), row.Rev)
	require.Equal(t, w.event.CreatedAt, row.CreatedAt)
	require.Equal(t, "order.created", row.EventType)

	require.ErrorIs(t, w.r.Retry(t.Context(), hook.Ref{Tenant: "acme", EventID: eventID, EndpointID: otherID}), hook.ErrNotFound, "the event was not for that one")
	w.event = nil
	require.ErrorIs(t, w.r.Retry(t.Context(), hook.Ref{Tenant: "acme", EventID: eventID, EndpointID: otherID}), hook.ErrNotFound)
}

func TestRetryFaultPairs(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"read", "save", "send", "endpoints", "event"} {
		for _, f := range []fault{fails, answerLost} {
			w := newWorld(t)
			w.dead()
			w.faults[op] = f
			if err := w.r.Retry(t.Context(), ref); op != "save" {
				require.ErrorIs(t, err, errFault, op)
				require.NoError(t, w.r.Retry(t.Context(), ref), op)
			}
			require.NotEmpty(t, w.sent)
			if op == "save" && f == fails {
				require.Equal(t, 0, w.rows[ref].Gen, "its message moves the row, by its first record")
				continue
			}
			require.Positive(t, w.rows[ref].Gen, op)
		}
	}
}

func TestTwoRetriesAtOnceLeaveOneCarrier(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dead()
	w.meanwhile = func() { require.NoError(t, w.r.Retry(t.Context(), ref)) }
	require.NoError(t, w.r.Retry(t.Context(), ref))
	require.Len(t, w.sent, 2)
	require.Equal(t, 1, w.sent[0].Gen)
	require.Equal(t, 1, w.sent[1].Gen, "both of one generation, of which the row names one message")
	require.Equal(t, "sent-2", w.rows[ref].MessageID)
}

func TestResendGoesToEachEndpointWithAFreshBudget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dead()
	w.rows[ref].Status, w.rows[ref].DeadLetterID = hook.Delivered, ""
	gone := "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5K"
	require.NoError(t, w.resend(time.Time{}, endpointID, otherID, gone))
	require.Len(t, w.sent, 2, "one is deleted")
	require.Equal(t, 1, w.rows[ref].Gen)
	other := w.rows[w.event.Ref(otherID)]
	require.Equal(t, hook.Queued, other.Status, "shown although the event was not for it at first")
	require.Equal(t, 1, other.Gen)
	require.Zero(t, other.Attempts)
	require.Equal(t, []string{endpointID, otherID}, w.targets, "among the event's recipients")
	require.Equal(t, w.event.CreatedAt.Add(30*day), w.until)
	require.NoError(t, w.resend(time.Time{}, otherID))
	require.Equal(t, []string{endpointID, otherID}, w.targets, "once")
}

// A step of a job that resends may be made twice, with its rows moved, or moved
// only by what the first messages recorded: each delivery is sent once.
func TestAResendThatIsRepeatedSendsOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.dead()
	began := noon.Add(-time.Minute)
	w.rows[ref].RequeuedAt = began.Add(-time.Millisecond) // by an earlier retry
	for range 2 {
		require.NoError(t, w.resend(began, endpointID, otherID))
		require.Len(t, w.sent, 2)
	}
	require.NoError(t, w.resend(time.Time{}, endpointID), "a caller's own is one more")
	require.Len(t, w.sent, 3)
}

func TestAResendGoesOnPastWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.faults["send"] = fails
	failed, err := w.r.Resend(t.Context(), w.event, []string{endpointID, otherID}, time.Time{})
	require.NoError(t, err)
	require.Len(t, failed, 1)
	require.ErrorIs(t, failed[endpointID], errFault)
	require.Len(t, w.sent, 1)
	require.Equal(t, otherID, w.sent[0].EndpointID)
}

// What is sent again of an old event finds its payload at its last attempt.
func TestAnEventLivesAsLongAsWhatIsSentAgainOfIt(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]func(w *world) error{
		"retry":   func(w *world) error { return w.r.Retry(w.t.Context(), ref) },
		"recover": func(w *world) error { return w.r.Again(w.t.Context(), ref, w.copyOf(ref)) },
		"replay": func(w *world) error {
			_, err := w.r.Replay(w.t.Context(), "acme", entryID)
			return err
		},
		"resend":         func(w *world) error { return w.resend(time.Time{}, endpointID) },
		"sent once more": func(w *world) error { return w.r.SendUnrecorded(w.t.Context(), w.event, endpointID) },
		"sent on":        func(w *world) error { return w.r.SendOn(w.t.Context(), w.copyOf(ref)) },
	} {
		w := newWorld(t)
		w.dead()
		require.NoError(t, again(w), name)
		require.Zero(t, w.extended, "%s: it lives that long by itself", name)

		for _, f := range []fault{0, fails, answerLost} {
			w = newWorld(t)
			w.dead()
			w.event.CreatedAt = noon.Add(-29 * day)
			w.rows[ref].CreatedAt = w.event.CreatedAt
			if f != 0 {
				w.faults["extend"] = f
				require.ErrorIs(t, again(w), errFault, name)
				require.Empty(t, w.sent, "%s: nothing is sent before", name)
			}
			require.NoError(t, again(w), name)
			require.Len(t, w.sent, 1, name)
			require.Equal(t, noon.Add(7*day), w.extended, name)
		}
	}
}

func TestNothingIsResentToWhoIsNotNotedAsRecipient(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"endpoints", "recipients", "add recipients", "read"} {
		for _, f := range []fault{fails, answerLost} {
			w := newWorld(t)
			w.faults[op] = f
			require.Error(t, w.resend(time.Time{}, otherID), op)
			require.Empty(t, w.sent, op)
			require.NoError(t, w.resend(time.Time{}, otherID), op)
			require.Len(t, w.sent, 1, op)
			require.Equal(t, []string{endpointID, otherID}, w.targets, op)
		}
	}
}

func TestReleaseGoesOnWithinTheBudget(t *testing.T) {
	t.Parallel()
	for attempts, want := range map[int]hook.Status{0: hook.Queued, 2: hook.Retrying} {
		w := newWorld(t)
		row := w.held(attempts)
		require.NoError(t, w.r.Release(t.Context(), row))
		require.Len(t, w.sent, 1)
		require.Equal(t, 3, w.sent[0].Hop)
		require.Zero(t, w.sent[0].Gen)
		require.Nil(t, w.sent[0].Body, "read from the event by who posts it")
		now := w.rows[ref]
		require.Equal(t, want, now.Status)
		require.Equal(t, 3, now.Hop)
		require.Equal(t, "sent-1", now.MessageID)
		require.Equal(t, attempts, now.GenAttempts)
		require.Equal(t, noon, now.RequeuedAt)
		require.Equal(t, noon.Add(7*day), now.ExpiresAt, "accepted 60 days ago: it may be looked at for a week yet")
		require.Zero(t, w.holds)
		require.NoError(t, w.r.Release(t.Context(), now), "what is not held stays")
		require.Len(t, w.sent, 1)
	}
}

func TestReleaseFaultPairs(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"send", "save"} {
		for _, f := range []fault{fails, answerLost} {
			w := newWorld(t)
			row := w.held(0)
			w.faults[op] = f
			require.ErrorIs(t, w.r.Release(t.Context(), row), errFault)
			require.NoError(t, w.r.Release(t.Context(), row), "the next pass does it again")
			require.Equal(t, hook.Queued, w.rows[ref].Status)
			require.NotEmpty(t, w.sent)
			require.Zero(t, w.holds, "%s %d: released once", op, f)
		}
	}
}

func TestCancelEndsWhatIsHeld(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{0, fails, answerLost} {
		w := newWorld(t)
		row := w.held(1)
		w.faults["save"] = f
		cancelled, err := w.r.Cancel(t.Context(), row)
		if f != 0 {
			require.ErrorIs(t, err, errFault)
			_, err = w.r.Cancel(t.Context(), row)
		} else {
			require.True(t, cancelled)
		}
		require.NoError(t, err)
		require.Equal(t, hook.Cancelled, w.rows[ref].Status)
		require.Equal(t, "endpoint deleted", w.rows[ref].FailureReason)
		require.Zero(t, w.holds)
		require.Empty(t, w.sent)
	}
}
