package dynamo_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

// list reads a whole list of events.
func (w *world) list(f hook.EventFilter, limit int) []*hook.Event {
	w.t.Helper()
	got, _ := collect(w.t, limit, func(p hook.Page) ([]*hook.Event, string, error) { return w.ListEvents(w.ctx(), f, p) })
	return got
}

func eventIDs(events []*hook.Event) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = e.ID
	}
	return out
}

func TestEventsListNewestFirstOverDaysAndShards(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var all []*hook.Event
	for i, gap := range []time.Duration{0, 0, 0, time.Millisecond, time.Hour, time.Hour, time.Minute, 26 * time.Hour, 0, 9 * 24 * time.Hour, time.Second, time.Hour} {
		w.advance(gap)
		e := w.event([]string{"order.created", "user.created"}[i%2], `{}`, w.endpointID())
		w.put(e)
		all = append(all, e)
	}
	other := w.event("a", `{}`)
	other.Tenant = "other"
	w.put(other)
	slices.Reverse(all)
	for _, limit := range []int{1, 2, 5, 12, 200} {
		require.Equal(t, eventIDs(all), eventIDs(w.list(hook.EventFilter{Tenant: tenant}, limit)), "pages of %d", limit)
	}
	whole := *all[0]
	whole.ExpiresAt = whole.ExpiresAt.Add(time.Second).Truncate(time.Second) // kept in whole seconds, never sooner
	require.Equal(t, &whole, w.list(hook.EventFilter{Tenant: tenant}, 5)[0])
	_, pages := collect(t, 6, func(p hook.Page) ([]*hook.Event, string, error) {
		return w.ListEvents(w.ctx(), hook.EventFilter{Tenant: tenant, Since: epoch}, p)
	})
	require.Equal(t, 2, pages, "no empty page at the end")

	for name, f := range map[string]hook.EventFilter{
		"by type":            {Type: "user.created"},
		"of no such type":    {Type: "nothing"},
		"since":              {Since: all[6].CreatedAt},
		"until":              {Until: all[6].CreatedAt},
		"since and until":    {Since: all[8].CreatedAt, Until: all[2].CreatedAt},
		"all three":          {Type: "user.created", Since: all[8].CreatedAt, Until: all[2].CreatedAt},
		"an empty span":      {Since: all[6].CreatedAt, Until: all[6].CreatedAt},
		"a fraction since":   {Since: all[6].CreatedAt.Add(time.Microsecond)},
		"a fraction until":   {Until: all[6].CreatedAt.Add(time.Microsecond)},
		"the future":         {Since: w.clock().Add(time.Hour)},
		"long ago":           {Until: epoch.Add(-time.Hour)},
		"far beyond all":     {Since: epoch.AddDate(-50, 0, 0), Until: epoch.AddDate(50, 0, 0)},
		"another tenant's":   {Tenant: "nobody"},
		"a span across days": {Since: epoch, Until: epoch.Add(4 * time.Hour)},
	} {
		want := []string{}
		for _, e := range all {
			if f.Tenant == "" && (f.Type == "" || f.Type == e.Type) && (f.Since.IsZero() || !e.CreatedAt.Before(f.Since)) && (f.Until.IsZero() || e.CreatedAt.Before(f.Until)) {
				want = append(want, e.ID)
			}
		}
		if f.Tenant == "" {
			f.Tenant = tenant
		}
		for _, limit := range []int{1, 3, 50} {
			require.Equal(t, want, eventIDs(w.list(f, limit)), "%s in pages of %d", name, limit)
		}
	}
}

func TestExpiredEventsAreNotListed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var kept []string
	for i := range 90 {
		e := w.event("a", `{}`)
		if i%30 == 0 {
			kept = append(kept, e.ID)
		} else {
			e.ExpiresAt = w.clock().Add(time.Minute)
		}
		w.put(e)
	}
	w.advance(time.Hour)
	slices.Reverse(kept)
	for _, limit := range []int{1, 2, 50} {
		require.Equal(t, kept, eventIDs(w.list(hook.EventFilter{Tenant: tenant}, limit)))
	}
}

func TestAPageOfLargeEventsEndsEarly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var want []string
	for i := range 40 {
		if i == 20 {
			w.advance(24 * time.Hour)
		}
		e := w.event("a", `{"a":"`+noise(200_000)+`"}`)
		w.put(e)
		want = append(want, e.ID)
	}
	slices.Reverse(want)
	var got []string
	collect(t, 50, func(p hook.Page) ([]*hook.Event, string, error) {
		events, next, err := w.ListEvents(w.ctx(), hook.EventFilter{Tenant: tenant, Since: epoch}, p)
		bytes := 0
		for _, e := range events {
			bytes += len(e.Body)
		}
		require.Less(t, bytes, 4<<20)
		require.Greater(t, len(events), 5)
		got = append(got, eventIDs(events)...)
		return events, next, err
	})
	require.Equal(t, want, got)
}

// A filter that lets little through does not make a page look at everything.
func TestAPageLooksAtABoundedNumberOfEvents(t *testing.T) {
	t.Parallel()
	w := setup(t)
	// Some of the rare ones are in shards where they are soon found, older than
	// the one that is not: they have to wait for it.
	var rare []string
	for range 20 {
		e := w.event("rare", `{}`)
		w.put(e)
		rare = append(rare, e.ID)
	}
	w.advance(time.Second)
	large := `{"a":"` + noise(250_000) + `"}`
	for n := 0; n < 40; {
		e := w.event("common", large)
		if e.ID[27] != 'G' { // keeps to one of the shards
			continue
		}
		if n == 0 {
			e.Type = "rare"
			rare = append(rare, e.ID)
		}
		w.put(e)
		n++
	}
	f := hook.EventFilter{Tenant: tenant, Type: "rare"}
	before := w.faults.Calls("Query")
	got, next, err := w.ListEvents(w.ctx(), f, hook.Page{Limit: 50})
	require.NoError(t, err)
	require.Empty(t, got)
	require.NotEmpty(t, next)
	require.LessOrEqual(t, w.faults.Calls("Query")-before, 7, "one of each shard, and no more than 4 of any")
	slices.Sort(rare)
	slices.Reverse(rare)
	require.Equal(t, rare, eventIDs(w.list(f, 50)), "but all pages together lose none")
}

// However long events are kept, a page does not look at all of it.
func TestAPageLooksAtABoundedNumberOfDays(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const year = 365 * 24 * time.Hour
	keeper := dynamo.New(w.config, tableName, dynamo.Options{EventRetention: year, Now: w.clock})
	w.now.Store(epoch.Truncate(24 * time.Hour).UnixMilli())
	var want []string
	for _, gap := range []time.Duration{0, 23 * 24 * time.Hour, time.Millisecond, 300*24*time.Hour - time.Millisecond, 0, 24*time.Hour - time.Millisecond} {
		w.advance(gap)
		e := w.event("a", `{}`)
		e.ExpiresAt = w.clock().Add(year)
		w.put(e)
		want = append(want, e.ID)
	}
	slices.Reverse(want)
	w.advance(30 * 24 * time.Hour)
	for _, limit := range []int{1, 50} {
		got, _ := collect(t, limit, func(p hook.Page) ([]*hook.Event, string, error) {
			before := w.faults.Calls("Query")
			events, next, err := keeper.ListEvents(w.ctx(), hook.EventFilter{Tenant: tenant}, p)
			require.LessOrEqual(t, w.faults.Calls("Query")-before, 4*23)
			return events, next, err
		})
		require.Equal(t, want, eventIDs(got), "pages of %d", limit)
	}
	_, pages := collect(t, 50, func(p hook.Page) ([]*hook.Event, string, error) {
		return keeper.ListEvents(w.ctx(), hook.EventFilter{Tenant: tenant, Since: w.clock().AddDate(0, 0, -44)}, p)
	})
	require.Equal(t, 2, pages, "a page goes on where the one before stopped looking")
}

// A dead letter lets its event live on, however long ago that was accepted.
func TestAnEventThatLivesForItsDeadLetterIsListed(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const month = 30 * 24 * time.Hour
	keeper := dynamo.New(w.config, tableName, dynamo.Options{EventRetention: retention, DeadLetterRetention: 12 * month, Now: w.clock})
	e := w.event("a", `{}`)
	w.put(e)
	w.advance(month - time.Hour)
	require.NoError(t, keeper.ExtendEvent(w.ctx(), tenant, e.ID, w.clock().Add(12*month)))
	for range 12 {
		w.advance(month - time.Hour)
		got, _ := collect(t, 50, func(p hook.Page) ([]*hook.Event, string, error) {
			return keeper.ListEvents(w.ctx(), hook.EventFilter{Tenant: tenant}, p)
		})
		require.Equal(t, []string{e.ID}, eventIDs(got))
	}
}

// Lists are the costly reads, and who looks at one can do without the last
// moment; what decides anything is read strongly consistently.
func TestWhatIsReadStronglyConsistently(t *testing.T) {
	t.Parallel()
	endpoint := "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G"
	for _, c := range []struct {
		name       string
		read       func(w *world) error
		consistent bool
	}{
		{"list of events", func(w *world) error {
			_, _, err := w.ListEvents(w.ctx(), hook.EventFilter{Tenant: tenant}, hook.Page{Limit: 5})
			return err
		}, false},
		{"list of deliveries", func(w *world) error {
			_, _, err := w.ListDeliveries(w.ctx(), hook.DeliveryFilter{Tenant: tenant, EndpointID: endpoint}, hook.Page{Limit: 5})
			return err
		}, false},
		{"list of deliveries by status", func(w *world) error {
			_, _, err := w.ListDeliveries(w.ctx(), hook.DeliveryFilter{Tenant: tenant, EndpointID: endpoint, Status: hook.Held}, hook.Page{Limit: 5})
			return err
		}, false},
		{"list of dead letters", func(w *world) error {
			_, _, err := w.ListDeadLetters(w.ctx(), hook.DeadLetterFilter{Tenant: tenant}, hook.Page{Limit: 5})
			return err
		}, false},
		{"list of endpoints", func(w *world) error {
			_, _, err := w.ListEndpoints(w.ctx(), tenant, hook.Page{Limit: 5})
			return err
		}, true},
		{"list of API keys", func(w *world) error {
			_, _, err := w.ListAPIKeys(w.ctx(), tenant, hook.Page{Limit: 5})
			return err
		}, true},
		{"endpoint set", func(w *world) error {
			w.create(w.endpoint())
			_, err := w.EndpointSet(w.ctx(), tenant)
			return err
		}, true},
		{"attempts", func(w *world) error {
			_, err := w.Attempts(w.ctx(), w.ref(), 5)
			return err
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.faults.Add(faultwire.Fault{Operation: "Query", Match: func(body []byte) bool {
				if got := bytes.Contains(body, []byte(`"ConsistentRead":true`)); got != c.consistent {
					t.Errorf("%s", body)
				}
				return false
			}})
			require.NoError(t, c.read(w))
			require.Positive(t, w.faults.Calls("Query"))
		})
	}
}

func TestAnEmptySpanIsNotEvenAskedFor(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.put(w.event("a", `{}`))
	for _, f := range []hook.EventFilter{
		{Tenant: tenant, Since: w.clock(), Until: w.clock()},
		{Tenant: tenant, Since: w.clock().Add(time.Hour), Until: w.clock()},
	} {
		require.Empty(t, w.list(f, 10))
	}
	for _, f := range []hook.DeadLetterFilter{
		{Tenant: tenant, Since: w.clock(), Until: w.clock()},
		{Tenant: tenant, Since: w.clock().Add(time.Hour), Until: w.clock()},
	} {
		got, next, err := w.ListDeadLetters(w.ctx(), f, hook.Page{Limit: 10})
		require.NoError(t, err)
		require.Empty(t, got)
		require.Empty(t, next)
	}
	require.Zero(t, w.faults.Calls("Query"), "DynamoDB refuses bounds the wrong way round")
}
