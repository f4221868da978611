package dynamo_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/hook"
)

// block makes n events as one POST makes them.
func (w *world) block(n int, data func(i int) string, endpoints func(i int) []string) []*hook.Event {
	ids := w.ids.NewBatch(hook.EventPrefix, w.clock(), n)
	events := make([]*hook.Event, n)
	for i, id := range ids {
		e := w.event([]string{"order.created", "user.created"}[i%2], `{}`, endpoints(i)...)
		e.ID, e.Body = id, hook.NewBody(id, e.Type, e.CreatedAt, []byte(data(i)))
		events[i] = e
	}
	return events
}

func (w *world) putBlock(n int) []*hook.Event {
	to := []string{w.endpointID(), w.endpointID()}
	events := w.block(n, func(i int) string { return fmt.Sprintf(`{"n":%d,"name":"%s"}`, i, strings.Repeat("x", 300)) }, func(int) []string { return to })
	require.NoError(w.t, w.PutEvent(w.ctx(), events...))
	return events
}

func TestTheEventsOfAPostAreOneItemAndReadOneByOne(t *testing.T) {
	t.Parallel()
	w := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 100).Draw(rt, "events")
		targets := rapid.SliceOfN(rapid.IntRange(0, 103), n, n).Draw(rt, "targets")
		text := rapid.SliceOfN(rapid.StringMatching(`[a-z"\\{}é€ ]{0,40}`), n, n).Draw(rt, "text")
		types := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b"}), n, n).Draw(rt, "types")
		trace := rapid.SliceOfN(rapid.SampledFrom([]string{"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}), n, n).Draw(rt, "traces")
		all := make([]string, 104)
		for i := range all {
			all[i] = w.endpointID()
		}
		events := w.block(n, func(i int) string { return text[i] }, func(i int) []string { return all[:targets[i]] })
		expires := events[0].ExpiresAt.Add(time.Second).Truncate(time.Second) // whole seconds are kept
		for i, e := range events {
			e.Type, e.Trace, e.ExpiresAt = types[i], trace[i], expires
		}
		w.clear()
		require.NoError(rt, w.PutEvent(w.ctx(), events...))
		require.Len(rt, w.withPrefix("T#acme#EV#"), 1)
		for _, e := range events {
			want := *e
			want.EndpointIDs = slices.Clone(want.EndpointIDs[:min(len(want.EndpointIDs), hook.MaxInlineTargets)])
			got, err := w.Event(w.ctx(), tenant, e.ID)
			require.NoError(rt, err)
			if len(want.EndpointIDs) == 0 {
				want.EndpointIDs = got.EndpointIDs
			}
			require.Equal(rt, &want, got)
			whole, err := w.AllTargets(w.ctx(), got)
			require.NoError(rt, err)
			require.Equal(rt, len(e.EndpointIDs), len(whole))
		}
		_, err := w.Event(w.ctx(), tenant, events[0].ID[:len(events[0].ID)-2]+"3Z") // number 127
		require.ErrorIs(rt, err, hook.ErrNotFound)
	})
}

func TestAPageMayEndWithinABlock(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var all []*hook.Event
	for _, n := range []int{1, 7, 1, 1, 40, 2} {
		all = append(all, w.putBlock(n)...)
		w.advance(time.Duration(n%3) * time.Millisecond)
	}
	slices.Reverse(all)
	var users []*hook.Event
	for _, e := range all {
		if e.Type == "user.created" {
			users = append(users, e)
		}
	}
	for _, limit := range []int{1, 2, 3, 7, 39, 52, 53, 200} {
		require.Equal(t, eventIDs(all), eventIDs(w.list(hook.EventFilter{Tenant: tenant}, limit)), "pages of %d", limit)
		require.Equal(t, eventIDs(users), eventIDs(w.list(hook.EventFilter{Tenant: tenant, Type: "user.created"}, limit)), "of one type, pages of %d", limit)
		_, pages := collect(t, limit, func(p hook.Page) ([]*hook.Event, string, error) {
			return w.ListEvents(w.ctx(), hook.EventFilter{Tenant: tenant, Since: epoch}, p)
		})
		require.Equal(t, (len(all)+limit-1)/limit, pages, "no empty page at the end, and none that is not full, in pages of %d", limit)
	}
}

// The events of an item live as long as the one that lives longest, and none
// expires while a delivery of any is held.
func TestTheEventsOfAPostExpireTogether(t *testing.T) {
	t.Parallel()
	w := setup(t)
	events := w.putBlock(3)
	later := events[0].ExpiresAt.Add(time.Hour)
	require.NoError(t, w.ExtendEvent(w.ctx(), tenant, events[1].ID, later))
	w.advance(retention + time.Minute)
	for _, e := range events {
		got, err := w.Event(w.ctx(), tenant, e.ID)
		require.NoError(t, err)
		require.Equal(t, later, got.ExpiresAt)
		require.Equal(t, e.Body, got.Body)
	}
	w.advance(time.Hour)
	for _, e := range events {
		_, err := w.Event(w.ctx(), tenant, e.ID)
		require.ErrorIs(t, err, hook.ErrNotFound)
	}
}

// What it is for: ten similar events of 1 KB are far fewer write units than ten.
func TestTheEventsOfAPostShareWriteUnits(t *testing.T) {
	t.Parallel()
	w := setup(t)
	to := []string{w.endpointID()}
	events := w.block(10, func(i int) string {
		return fmt.Sprintf(`{"n":%d,"name":"%s","note":"%s"}`, i, strings.Repeat("x", 700), noise(100))
	}, func(int) []string { return to })
	require.NoError(t, w.PutEvent(w.ctx(), events...))
	items := w.withPrefix("T#acme#EV#")
	require.Len(t, items, 1)
	require.LessOrEqual(t, w.unitsOf(items[0]), 3.0)
}
