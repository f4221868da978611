package httpapi

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestPageHoldsAsMuchAsItMay(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for n := range 201 {
		id := testID(hook.EndpointPrefix, start, n)
		w.eps[id] = &hook.Endpoint{ID: id, Tenant: DefaultTenant, URL: "https://example.com", Filters: []string{"*"}, Status: hook.EndpointActive, CreatedAt: start, UpdatedAt: start}
	}
	for _, c := range []struct {
		query string
		items int
		more  bool
	}{{"", defaultLimit, true}, {"limit=1", 1, true}, {"limit=49", 49, true}, {"limit=51", 51, true}, {"limit=70", 70, true}, {"limit=200", 200, true}} {
		items, cursor := requireData(t, w.do("GET", "/api/v1/webhooks?"+c.query, ""))
		require.Len(t, items, c.items, c.query)
		require.Equal(t, c.more, cursor != "", c.query)
	}
	delete(w.eps, testID(hook.EndpointPrefix, start, 0))
	items, cursor := requireData(t, w.do("GET", "/api/v1/webhooks?limit=200", ""))
	require.Len(t, items, 200)
	require.Empty(t, cursor, "the last page says so")
}

// sparse is a list of which a filter lets one item through in every so many reads.
func sparse(every, reads int) source[string] {
	read := 0
	return source[string]{
		fetch: func(context.Context, hook.Page) (items []string, next string, err error) {
			read++
			if read%every == 0 {
				items = []string{fmt.Sprint(read)}
			}
			if read < reads {
				next = fmt.Sprint("after", read)
			}
			return items, next, nil
		},
		id:     func(s string) string { return s },
		encode: encodeEach(func(s string) any { return s }),
	}
}

func TestPageReadsOnWhereAFilterLetsLittleThrough(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		every, reads, limit int
		after               string
		count               int
	}{
		{1, 5, 1, "after1", 1},
		{1, 3, 10, "", 3},
		{1, 5, 10, fmt.Sprint("after", maxShort), maxShort},
		{2, 7, 1, "after2", 1},
		{3, 3, 10, "", 1},
		{100, 1000, 10, fmt.Sprint("after", maxShort), 0}, // so long for one page
	} {
		var l list
		after, err := fill(t.Context(), &l, hook.Page{Limit: c.limit}, sparse(c.every, c.reads))
		require.NoError(t, err)
		require.Equal(t, c.after, after)
		require.Equal(t, c.count, l.count)
	}
}

// A page that asks for little must not read little of what a filter passes over.
func TestDeliveriesOfAnEventAreFilteredManyAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld()
	e := &hook.Event{ID: testID(hook.EventPrefix, start, 1), Tenant: DefaultTenant, Type: "a", CreatedAt: start}
	for n := range 120 {
		e.EndpointIDs = append(e.EndpointIDs, testID(hook.EndpointPrefix, start, n))
	}
	w.events[e.ID] = e
	want := make([]string, 0, 2)
	for _, n := range []int{75, 4} { // the newest endpoint comes first
		ref := e.Ref(e.EndpointIDs[n])
		w.rows[ref] = &hook.Delivery{Ref: ref, EventType: "a", Status: hook.Dead, CreatedAt: start}
		want = append(want, ref.ID())
	}
	ids, pages := w.pages(t, "/api/v1/deliveries?status=dead&limit=1&event_id="+e.ID)
	require.Equal(t, want, ids)
	require.LessOrEqual(t, pages, 3)
}
