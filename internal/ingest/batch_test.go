package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// wide is a world of n endpoints that take every event.
func wide(n int) *world {
	endpoints := make([]*hook.Endpoint, n)
	for i := range endpoints {
		endpoints[i] = endpoint(i+1, "*")
	}
	return newWorld(endpoints...)
}

func TestEachEventOfABatchIsAcceptedOrNot(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "order.*"), endpoint(2, "*"))
	results := w.ingester().AcceptBatch(t.Context(), "acme", []Request{
		{EventType: "order.created", Payload: []byte(`{"n": 1}`)},
		{EventType: "no type", Payload: []byte(`{}`)},
		{EventType: "user.created", Payload: []byte(`{"n":3}`)},
		{EventType: "order.created", Payload: []byte(`[]`)},
		{EventType: "order.created", Payload: []byte(`{"s":"` + strings.Repeat("x", 256<<10) + `"}`)},
	})
	require.Len(t, results, 5)
	var invalid *hook.InvalidError
	require.ErrorAs(t, results[1].Err, &invalid)
	require.Equal(t, "event_type", invalid.Field)
	require.ErrorAs(t, results[3].Err, &invalid)
	require.ErrorIs(t, results[4].Err, ErrTooLarge)
	require.Equal(t, 2, results[0].Event.Targets)
	require.Equal(t, 1, results[2].Event.Targets)
	for _, i := range []int{0, 2} {
		require.NoError(t, results[i].Err)
		w.requireDelivered(t, results[i].Accepted)
	}
	require.Len(t, w.events, 2)
	require.Len(t, w.sent, 3)
	require.Equal(t, 1, w.calls["endpoints"], "the endpoints are read once")
	require.Equal(t, []string{"order.created", "user.created"}, w.counted)
	require.Less(t, results[0].Event.ID, results[2].Event.ID)
}

func TestABatchOfBadEventsTouchesNothing(t *testing.T) {
	t.Parallel()
	w := wide(1)
	results := w.ingester().AcceptBatch(t.Context(), "acme", []Request{{EventType: "a b"}, {EventType: "a"}})
	require.Error(t, results[0].Err)
	require.Error(t, results[1].Err)
	require.Empty(t, w.calls)
}

func TestAKeyCountsWithinABatchAsItDoesOutside(t *testing.T) {
	t.Parallel()
	w := wide(1)
	in := w.ingester()
	one := Request{EventType: "a", Payload: []byte(`{"n":1}`), ProducerID: "k"}
	other := one
	other.Payload = []byte(`{"n":2}`)
	results := in.AcceptBatch(t.Context(), "acme", []Request{one, one, other, {EventType: "b", Payload: []byte(`{}`), ProducerID: "l"}})
	require.NoError(t, results[0].Err)
	require.NoError(t, results[1].Err)
	require.True(t, results[1].Replayed)
	require.Equal(t, results[0].Event.ID, results[1].Event.ID)
	require.ErrorIs(t, results[2].Err, hook.ErrKeyReused)
	require.NoError(t, results[3].Err)
	require.Len(t, w.counted, 2)
	require.Len(t, w.events, 2)
	require.Len(t, w.sent, 2, "one message a delivery")
	require.True(t, w.keys["acme/k"].Sent)
}

// Of two that are one event, both are accepted or neither: what is not sent of
// one is not sent of the other, and the producer tries both again.
func TestARepeatWithinABatchSharesItsFirstsFate(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"send", "job"} {
		w := wide(150)
		w.faults[op] = failed
		in := w.ingester()
		one := Request{EventType: "a", Payload: []byte(`{"n":1}`), ProducerID: "k"}
		results := in.AcceptBatch(t.Context(), "acme", []Request{one, one})
		require.Error(t, results[0].Err, op)
		require.Error(t, results[1].Err, op)
		results = in.AcceptBatch(t.Context(), "acme", []Request{one, one})
		require.NoError(t, results[0].Err, op)
		require.NoError(t, results[1].Err, op)
		w.requireDelivered(t, results[1].Accepted)
		require.Len(t, w.jobs, 1, op)
	}
}

// What a POST sends itself is bounded; the rest is a job's.
func TestAWideFanOutIsAJobsBeyondTheFirstHundred(t *testing.T) {
	t.Parallel()
	w := wide(10_000)
	a, err := w.ingester().Accept(t.Context(), "acme", Request{EventType: "a", Payload: []byte(`{}`)})
	require.NoError(t, err)
	require.Equal(t, 10_000, a.Event.Targets)
	require.Len(t, w.sent, 100)
	require.Equal(t, []hook.Job{{Tenant: "acme", Kind: hook.JobFanOut, EventID: a.Event.ID, Cursor: "100", Total: 9_900}}, w.jobs)
	w.requireDelivered(t, a)
}

func TestABatchSendsAHundredMessagesItselfHoweverManyEvents(t *testing.T) {
	t.Parallel()
	w := wide(30)
	reqs := make([]Request, 5)
	for i := range reqs {
		reqs[i] = Request{EventType: "a", Payload: []byte(`{}`)}
	}
	results := w.ingester().AcceptBatch(t.Context(), "acme", reqs)
	require.Len(t, w.sent, 100)
	var rest []string
	for _, j := range w.jobs {
		rest = append(rest, fmt.Sprintf("%s+%d", j.Cursor, j.Total))
	}
	require.Equal(t, []string{"10+20", "0+30"}, rest)
	for _, r := range results {
		require.NoError(t, r.Err)
		w.requireDelivered(t, r.Accepted)
	}
}

// Each call of a batch, failing and with its answer lost: an event whose result
// is no error is delivered, and with its key the others can be handed in again.
func TestBatchFaultPairs(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"endpoints", "put", "send", "send last", "job", "mark"} {
		for _, f := range []fault{failed, lost} {
			w := wide(60)
			in := w.ingester()
			reqs := []Request{
				{EventType: "a", Payload: []byte(`{"n":1}`), ProducerID: "k1"}, {EventType: "b", Payload: []byte(`{"n":2}`), ProducerID: "k2"}, {EventType: "c", Payload: []byte(`{"n":3}`), ProducerID: "k3"},
			}
			w.faults[op] = f
			first := in.AcceptBatch(t.Context(), "acme", reqs)
			for _, r := range first {
				if r.Err == nil {
					w.requireDelivered(t, r.Accepted)
				}
			}
			if op == "endpoints" {
				require.Error(t, first[0].Err)
			}
			second := in.AcceptBatch(t.Context(), "acme", reqs)
			for i, r := range second {
				require.NoError(t, r.Err, "%s %d: %d", op, f, i)
				w.requireDelivered(t, r.Accepted)
			}
			require.LessOrEqual(t, len(w.counted), 3, "%s %d: counted once at most", op, f)
			require.Empty(t, w.faults, "%s was called", op)
		}
	}
}
