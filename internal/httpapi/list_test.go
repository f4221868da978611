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
		w.eps[id] = &hook.Endpoint{ID: id, Tenant: DefaultTenant}
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
		{1, 5, 3, "after3", 3},
		{1, 5, 10, "", 5},
		{2, 7, 10, "", 3},
		{3, 19, 2, "after6", 2},
		{100, 1000, 10, fmt.Sprint("after", maxFetches), 0}, // so long for one page
	} {
		var l list
		after, err := fill(t.Context(), &l, hook.Page{Limit: c.limit}, sparse(c.every, c.reads))
		require.NoError(t, err)
		require.Equal(t, c.after, after)
		require.Equal(t, c.count, l.count)
	}
}
