package ingest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// together notes which events are stored by one call.
type together struct {
	*world
	stored [][]string // their types
}

func (s *together) PutEvent(ctx context.Context, events ...*hook.Event) error {
	var types []string
	for _, e := range events {
		types = append(types, e.Type)
	}
	s.mu.Lock()
	s.stored = append(s.stored, types)
	s.mu.Unlock()
	return s.world.PutEvent(ctx, events...)
}

func TestTheEventsOfAPostAreStoredTogether(t *testing.T) {
	t.Parallel()
	request := func(n, bytes int, key string) Request {
		return Request{EventType: fmt.Sprintf("e%d", n), Payload: []byte(`{"a":"` + strings.Repeat("x", bytes) + `"}`), ProducerID: key}
	}
	for _, c := range []struct {
		name string
		reqs []Request
		want [][]string
	}{
		{"small ones", []Request{request(0, 1, ""), request(1, 1, ""), request(2, 1, "")}, [][]string{{"e0", "e1", "e2"}}},
		{"one with a key is stored with that", []Request{request(0, 1, ""), request(1, 1, "k"), request(2, 1, "")}, [][]string{{"e0"}, {"e2"}}},
		{"no more than can be paid for again", []Request{request(0, 20<<10, ""), request(1, 20<<10, ""), request(2, 1<<10, "")}, [][]string{{"e0"}, {"e1", "e2"}}},
		{"a large one", []Request{request(0, 1, ""), request(1, 100<<10, ""), request(2, 1, "")}, [][]string{{"e0"}, {"e1"}, {"e2"}}},
	} {
		w := newWorld(endpoint(1, "*"))
		s := &together{world: w}
		in := w.ingester(func(o *Options) { o.Store = s })
		var ids []string
		for _, r := range in.AcceptBatch(t.Context(), "acme", c.reqs) {
			require.NoError(t, r.Err, c.name)
			ids = append(ids, r.Event.ID)
		}
		require.True(t, slices.IsSorted(ids), "%s: ids are in the order of the requests", c.name)
		require.ElementsMatch(t, c.want, s.stored, c.name)
		require.Len(t, w.sent, len(c.reqs), c.name)
	}
}

// What is stored together fails together, and nothing else does.
func TestEventsThatCouldNotBeStoredTogetherFailTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(endpoint(1, "*"))
	small := Request{EventType: "a", Payload: []byte(`{}`)}
	large := Request{EventType: "b", Payload: []byte(`{"a":"` + strings.Repeat("x", 40<<10) + `"}`)}
	s := &failing{world: w}
	got := w.ingester(func(o *Options) { o.Store = s }).AcceptBatch(t.Context(), "acme", []Request{small, small, large})
	require.ErrorIs(t, got[0].Err, errFault)
	require.ErrorIs(t, got[1].Err, errFault)
	require.NoError(t, got[2].Err)
	require.Len(t, w.sent, 1)
}

// failing fails to store more than one event at a time.
type failing struct{ *world }

func (s *failing) PutEvent(ctx context.Context, events ...*hook.Event) error {
	if len(events) > 1 {
		return errFault
	}
	return s.world.PutEvent(ctx, events...)
}
