package dynamo_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

func (w *world) create(e *hook.Endpoint) {
	w.t.Helper()
	require.NoError(w.t, w.CreateEndpoint(w.ctx(), e))
}

func TestEndpointsComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	none, three := 0, 3
	full := w.endpoint()
	full.Filters = []string{"order.created", "user.*", "*"}
	full.Secrets = []hook.SealedSecret{{Sealed: []byte("new\x00")}, {Sealed: []byte("old"), ExpiresAt: epoch.Add(24 * time.Hour)}}
	full.Headers = []hook.SealedHeader{{Name: "Authorization", Sealed: []byte{1, 2, 3}}, {Name: "X-Team", Sealed: []byte{4}}}
	full.RateLimit, full.Epoch, full.Mended = 0.1, 7, 3
	full.MaxRetries, full.Timeout, full.RetryPolicy, full.Description = &three, 1500*time.Millisecond, "critical", "the shop's ☃"
	full.Metadata = map[string]string{"team": "shop", "empty": ""}
	full.Status, full.StatusReason, full.UpdatedAt = hook.EndpointDisabled, "410 Gone", epoch.Add(time.Hour)
	never := w.endpoint()
	never.MaxRetries = &none
	for _, e := range []*hook.Endpoint{w.endpoint(), full, never} {
		w.create(e)
		got, err := w.Endpoint(w.ctx(), tenant, e.ID)
		require.NoError(t, err)
		require.Equal(t, e, got)
	}
}

func TestAnEndpointOfAnotherTenantIsNotThere(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.endpoint()
	w.create(e)
	none := func(e *hook.Endpoint) error { return nil }
	for _, c := range []struct{ tenant, id string }{{"other", e.ID}, {tenant, w.endpointID()}, {tenant, "x"}} {
		_, err := w.Endpoint(w.ctx(), c.tenant, c.id)
		require.ErrorIs(t, err, hook.ErrNotFound)
		_, err = w.UpdateEndpoint(w.ctx(), c.tenant, c.id, none)
		require.ErrorIs(t, err, hook.ErrNotFound)
		require.ErrorIs(t, w.DeleteEndpoint(w.ctx(), c.tenant, c.id), hook.ErrNotFound)
	}
	require.ErrorIs(t, w.CreateEndpoint(w.ctx(), e), hook.ErrConflict, "the id is taken")
}

// counts compares the stored counts with those of the endpoints that are there.
func (w *world) counts(want hook.EndpointCounts) {
	w.t.Helper()
	got, err := w.EndpointCounts(w.ctx())
	require.NoError(w.t, err)
	require.Equal(w.t, want, got)
}

func TestEndpointsAreCountedByStatus(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.counts(hook.EndpointCounts{})
	a, b := w.endpoint(), w.endpoint()
	b.Tenant = "other"
	w.create(a)
	w.create(b)
	w.counts(hook.EndpointCounts{Active: 2})
	set := func(s hook.EndpointStatus) func(*hook.Endpoint) error {
		return func(e *hook.Endpoint) error { e.Status = s; return nil }
	}
	for _, step := range []struct {
		status hook.EndpointStatus
		want   hook.EndpointCounts
	}{
		{hook.EndpointPaused, hook.EndpointCounts{Active: 1, Paused: 1}},
		{hook.EndpointPaused, hook.EndpointCounts{Active: 1, Paused: 1}},
		{hook.EndpointDisabled, hook.EndpointCounts{Active: 1, Disabled: 1}},
	} {
		_, err := w.UpdateEndpoint(w.ctx(), tenant, a.ID, set(step.status))
		require.NoError(t, err)
		w.counts(step.want)
	}
	require.NoError(t, w.DeleteEndpoint(w.ctx(), tenant, a.ID))
	w.counts(hook.EndpointCounts{Active: 1})
	require.NoError(t, w.DeleteEndpoint(w.ctx(), "other", b.ID))
	w.counts(hook.EndpointCounts{})
}

func TestAChangeThatIsRefusedWritesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.endpoint()
	w.create(e)
	before := w.items()
	refusal := &hook.InvalidError{Field: "url", Reason: "no"}
	_, err := w.UpdateEndpoint(w.ctx(), tenant, e.ID, func(e *hook.Endpoint) error { e.URL = "x"; return refusal })
	require.ErrorIs(t, err, error(refusal))
	require.ElementsMatch(t, before, w.items())
}

func TestConcurrentChangesOfOneEndpointAllCount(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.endpoint()
	w.create(e)
	other := w.open()
	var wg sync.WaitGroup
	for i := range 6 {
		table := []*dynamo.Table{w.Table, other}[i%2]
		wg.Go(func() {
			if _, err := table.UpdateEndpoint(w.ctx(), tenant, e.ID, func(e *hook.Endpoint) error {
				e.Filters = append(e.Filters, fmt.Sprintf("type.%d", i))
				return nil
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := w.Endpoint(w.ctx(), tenant, e.ID)
	require.NoError(t, err)
	require.Len(t, got.Filters, 7)
	set, err := w.EndpointSet(w.ctx(), tenant)
	require.NoError(t, err)
	require.EqualValues(t, 2*7, set.Version, "each change moves it twice")
}

func TestEndpointsListNewestFirstInPages(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var all []*hook.Endpoint
	for range 7 {
		e := w.endpoint()
		w.create(e)
		all = append(all, e)
		w.advance(time.Millisecond)
	}
	other := w.endpoint()
	other.Tenant = "other"
	w.create(other)
	slices.Reverse(all)
	for _, limit := range []int{1, 3, 7, 200} {
		got, pages := collect(t, limit, func(p hook.Page) ([]*hook.Endpoint, string, error) { return w.ListEndpoints(w.ctx(), tenant, p) })
		require.Equal(t, all, got)
		require.Equal(t, (7+limit-1)/limit, pages, "no page more than needed")
	}
	got, _ := collect(t, 5, func(p hook.Page) ([]*hook.Endpoint, string, error) { return w.ListEndpoints(w.ctx(), "nobody", p) })
	require.Empty(t, got)
}

// collect reads a whole list, page by page.
func collect[T any](t *testing.T, limit int, list func(hook.Page) ([]T, string, error)) (all []T, pages int) {
	t.Helper()
	after := ""
	for {
		items, next, err := list(hook.Page{Limit: limit, After: after})
		require.NoError(t, err)
		require.LessOrEqual(t, len(items), limit)
		all = append(all, items...)
		pages++
		if next == "" {
			return all, pages
		}
		require.NotEqual(t, after, next, "the list does not move on")
		require.Less(t, pages, 10_000)
		after = next
	}
}

func (w *world) set() *hook.EndpointSet {
	w.t.Helper()
	set, err := w.EndpointSet(w.ctx(), tenant)
	require.NoError(w.t, err)
	return set
}

func TestTheEndpointSetIsAsNewAsTheCall(t *testing.T) {
	t.Parallel()
	w := setup(t)
	other := w.open() // changes come from another process
	require.Empty(t, w.set().Endpoints)
	require.Zero(t, w.set().Version)

	a, b := w.endpoint(), w.endpoint()
	require.NoError(t, other.CreateEndpoint(w.ctx(), a))
	require.Equal(t, []*hook.Endpoint{a}, w.set().Endpoints)
	require.NoError(t, other.CreateEndpoint(w.ctx(), b))
	require.Equal(t, []*hook.Endpoint{a, b}, w.set().Endpoints)
	require.Equal(t, b, w.set().ByID(b.ID))

	changed, err := other.UpdateEndpoint(w.ctx(), tenant, a.ID, func(e *hook.Endpoint) error { e.Status = hook.EndpointPaused; return nil })
	require.NoError(t, err)
	require.Equal(t, []*hook.Endpoint{changed, b}, w.set().Endpoints)
	require.NoError(t, other.DeleteEndpoint(w.ctx(), tenant, b.ID))
	require.Equal(t, []*hook.Endpoint{changed}, w.set().Endpoints)
	require.NoError(t, other.DeleteEndpoint(w.ctx(), tenant, a.ID))
	require.Empty(t, w.set().Endpoints)
}

func TestAPageOfLargeEndpointsEndsEarly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	filters := make([]string, 1500)
	for i := range filters {
		filters[i] = fmt.Sprintf("%04d.%s", i, strings.Repeat("x", 100))
	}
	for range 40 {
		e := w.endpoint()
		e.Filters = filters
		w.create(e)
	}
	all, _ := collect(t, 50, func(p hook.Page) ([]*hook.Endpoint, string, error) {
		page, next, err := w.ListEndpoints(w.ctx(), tenant, p)
		require.Less(t, len(page)*len(filters)*len(filters[0]), 4<<20)
		return page, next, err
	})
	require.Len(t, all, 40)
}

// DynamoDB lets a read during a transaction see some of its items as they will
// be and others as they were. Nobody may go on with such a set for long.
func TestASetThatCaughtAChangeHalfWayIsReadAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		crash   bool // of who makes the change, before it is answered
		forgive time.Duration
	}{
		{"as soon as the change is answered", false, 0},
		{"within a minute where it was never answered", true, time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			var before []byte // the answer to a Query as of before the change
			inner := w.straight.HTTPClient.(*http.Client).Transport
			reader := dynamo.New(config(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				answer, err := inner.RoundTrip(r)
				if err != nil || before == nil || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Query") {
					return answer, err
				}
				answer.Header.Del("X-Amz-Crc32")
				answer.Body, answer.ContentLength, before = io.NopCloser(bytes.NewReader(before)), int64(len(before)), nil
				return answer, nil
			})}), tableName, dynamo.Options{Now: w.clock})

			calls, meanwhile := 0, false
			w.faults.Add(faultwire.Fault{Operation: "TransactWriteItems", Times: 3, Match: func([]byte) bool {
				if calls++; calls == 1 {
					return false
				}
				// The first transaction is made; to this reader it is still under way.
				if !meanwhile {
					meanwhile = true
					before = []byte(`{"Count":0,"ScannedCount":0,"Items":[]}`)
					set, err := reader.EndpointSet(w.ctx(), tenant)
					if err != nil || len(set.Endpoints) > 0 {
						t.Errorf("the read saw all of it: %v, %v", set, err)
					}
				}
				return c.crash
			}})
			err := w.CreateEndpoint(w.ctx(), w.endpoint())
			require.Equal(t, c.crash, err != nil, "%v", err)
			require.True(t, meanwhile)
			w.advance(c.forgive)
			set, err := reader.EndpointSet(w.ctx(), tenant)
			require.NoError(t, err)
			require.Len(t, set.Endpoints, 1)
		})
	}
}

// The second move of the version is a write of its own.
func TestMovingTheVersionAgainUnderFaults(t *testing.T) {
	t.Parallel()
	for _, f := range faultPairs() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.faults.Add(faultwire.Fault{Operation: "TransactWriteItems", Call: 2, Times: f.times, Mode: f.mode})
			e := w.endpoint()
			err := w.CreateEndpoint(w.ctx(), e)
			require.Equal(t, f.fails, err != nil, "%v", err)
			require.NotErrorIs(t, err, hook.ErrConflict)
			require.Zero(t, w.faults.Pending(), "the fault did not strike")
			require.Equal(t, []*hook.Endpoint{e}, w.set().Endpoints)
			w.counts(hook.EndpointCounts{Active: 1})
			moved := "2"
			if f.fails && f.mode != faultwire.LoseAnswer {
				moved = "1"
			}
			for _, copied := range w.withPrefix("T#acme#VERSION") {
				require.Equal(t, moved, text(copied, "v"), "the copies are one")
			}
		})
	}
}

func TestTheSetIsReadAgainOnlyWhenTheVersionMoved(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for range 3 {
		w.set()
	}
	require.Zero(t, w.faults.Calls("Query"), "a tenant without endpoints")
	w.create(w.endpoint())
	first := w.set()
	queries := w.faults.Calls("Query")
	for range 20 { // from each of the copies of the version
		require.Same(t, first, w.set())
	}
	require.Equal(t, queries, w.faults.Calls("Query"))
	require.Len(t, w.withPrefix("T#acme#VERSION"), 8)
}

func TestConcurrentCallersShareReadsAndSeeWhatWasAnswered(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			own := fmt.Sprintf("tenant-%d", caller%3)
			for range 10 {
				e := w.endpoint()
				e.Tenant = own
				if err := w.CreateEndpoint(w.ctx(), e); err != nil {
					t.Error(err)
					return
				}
				set, err := w.EndpointSet(w.ctx(), own)
				if err != nil || set.ByID(e.ID) == nil {
					t.Errorf("%s is not in its tenant's set: %v", e.ID, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Somebody's read of a set that hangs holds up nobody for longer than they have
// time.
func TestACallerWaitsForAnothersReadNoLongerThanItsOwnTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := setup(t)
		w.create(w.endpoint())
		w.faults.Add(faultwire.Fault{Operation: "Query", Mode: faultwire.AnswerLate})
		long, endLong := context.WithTimeout(t.Context(), 30*time.Second)
		defer endLong()
		read := make(chan error)
		go func() {
			_, err := w.EndpointSet(long, tenant)
			read <- err
		}()
		synctest.Wait()
		began := time.Now()
		short, endShort := context.WithTimeout(t.Context(), 5*time.Second)
		defer endShort()
		_, err := w.EndpointSet(short, tenant)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 5*time.Second, time.Since(began))
		require.ErrorIs(t, <-read, context.DeadlineExceeded)
		_, err = w.EndpointSet(t.Context(), tenant)
		require.NoError(t, err, "the turn was given back")
	})
}

func TestTheCacheOfSetsIsBounded(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.create(w.endpoint())
	for i := range 1100 {
		_, err := w.EndpointSet(w.ctx(), fmt.Sprintf("tenant-%d", i))
		require.NoError(t, err)
	}
	require.Len(t, w.set().Endpoints, 1)
	require.LessOrEqual(t, w.CachedSets(), 1000)
}

func TestASetThatCannotBeReadIsAnErrorAndNotKept(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"GetItem", "Query"} {
		w := setup(t)
		w.create(w.endpoint())
		w.faults.Add(faultwire.Fault{Operation: operation, Times: 3})
		_, err := w.EndpointSet(w.ctx(), tenant)
		require.Error(t, err, operation)
		require.Len(t, w.set().Endpoints, 1, operation)
	}
}

func TestCreatingAnEndpointUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "TransactWriteItems", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		e := w.endpoint()
		return func() error {
				err := w.CreateEndpoint(w.ctx(), e)
				if errors.Is(err, hook.ErrConflict) { // the id is taken: by this very endpoint
					return nil
				}
				return err
			}, func(applied bool) {
				if !applied {
					require.Empty(t, w.items())
					return
				}
				require.Equal(t, []*hook.Endpoint{e}, w.set().Endpoints)
				w.counts(hook.EndpointCounts{Active: 1})
			}
	})
}

func TestChangingAnEndpointUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "TransactWriteItems", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		e := w.endpoint()
		w.create(e)
		return func() error {
				_, err := w.UpdateEndpoint(w.ctx(), tenant, e.ID, func(e *hook.Endpoint) error { e.Status = hook.EndpointPaused; return nil })
				return err
			}, func(applied bool) {
				if !applied {
					require.Equal(t, []*hook.Endpoint{e}, w.set().Endpoints)
					w.counts(hook.EndpointCounts{Active: 1})
					return
				}
				require.Equal(t, hook.EndpointPaused, w.set().Endpoints[0].Status)
				w.counts(hook.EndpointCounts{Paused: 1})
			}
	})
}

func TestDeletingAnEndpointUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "TransactWriteItems", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		e := w.endpoint()
		w.create(e)
		gone := false
		return func() error {
				err := w.DeleteEndpoint(w.ctx(), tenant, e.ID)
				if gone && errors.Is(err, hook.ErrNotFound) {
					return nil // it was deleted although the answer was lost
				}
				return err
			}, func(applied bool) {
				gone = applied
				if !applied {
					require.Equal(t, []*hook.Endpoint{e}, w.set().Endpoints)
					w.counts(hook.EndpointCounts{Active: 1})
					return
				}
				require.Empty(t, w.set().Endpoints)
				w.counts(hook.EndpointCounts{})
			}
	})
}

func TestDisablingAnEndpointThatIsActive(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.endpoint()
	w.create(e)
	changed, err := w.DisableEndpoint(w.ctx(), e, "HTTP 410: Gone")
	require.NoError(t, err)
	require.True(t, changed)
	got, err := w.Endpoint(w.ctx(), tenant, e.ID)
	require.NoError(t, err)
	require.Equal(t, hook.EndpointDisabled, got.Status)
	require.Equal(t, "HTTP 410: Gone", got.StatusReason)
	require.Equal(t, int64(1), got.Epoch)
	counts, err := w.EndpointCounts(w.ctx())
	require.NoError(t, err)
	require.Equal(t, hook.EndpointCounts{Disabled: 1}, counts)

	for _, status := range []hook.EndpointStatus{hook.EndpointDisabled, hook.EndpointPaused} {
		seen, err := w.UpdateEndpoint(w.ctx(), tenant, e.ID, func(e *hook.Endpoint) error { e.SetStatus(status, "before"); return nil })
		require.NoError(t, err)
		changed, err = w.DisableEndpoint(w.ctx(), seen, "again")
		require.NoError(t, err)
		require.False(t, changed)
	}
	got, err = w.Endpoint(w.ctx(), tenant, e.ID)
	require.NoError(t, err)
	require.Equal(t, "before", got.StatusReason, "one that is not active stays as it is")
	changed, err = w.DisableEndpoint(w.ctx(), w.endpoint(), "gone")
	require.NoError(t, err)
	require.False(t, changed)
}

// Whoever has seen a failure of an endpoint that its owner has changed since says
// nothing of what it is now.
func TestAnEndpointThatWasChangedMeanwhileIsNotDisabled(t *testing.T) {
	t.Parallel()
	for name, mend := range map[string]func(e *hook.Endpoint){
		"another URL": func(e *hook.Endpoint) { e.URL = "https://example.com/mended" },
		"paused and resumed": func(e *hook.Endpoint) {
			e.SetStatus(hook.EndpointPaused, "")
			e.SetStatus(hook.EndpointActive, "")
		},
	} {
		w := setup(t)
		e := w.endpoint()
		w.create(e)
		seen := w.set().Endpoints[0]
		mended, err := w.UpdateEndpoint(w.ctx(), tenant, e.ID, func(e *hook.Endpoint) error { mend(e); return nil })
		require.NoError(t, err, name)
		require.Equal(t, seen.Rev+1, mended.Rev, name)
		changed, err := w.DisableEndpoint(w.ctx(), seen, "HTTP 410: Gone")
		require.NoError(t, err, name)
		require.False(t, changed, name)
		changed, err = w.DisableEndpoint(w.ctx(), mended, "HTTP 410: Gone")
		require.NoError(t, err, name)
		require.True(t, changed, name)
	}
}
