package dynamo_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

func (w *world) deadLetter(ref hook.Ref) *hook.DeadLetter {
	entryID := w.ids.New(hook.DeadLetterPrefix, w.clock())
	return &hook.DeadLetter{
		ID: entryID, Ref: ref, Gen: 2, EventType: "order.created", EndpointURL: "https://example.com/hook",
		FailureReason: "HTTP 503: Service Unavailable", Attempts: 5, CreatedAt: hook.IDTime(entryID), ExpiresAt: hook.IDTime(entryID).Add(7 * 24 * time.Hour),
	}
}

func (w *world) ref() hook.Ref {
	return hook.Ref{Tenant: tenant, EventID: w.eventID(), EndpointID: w.endpointID()}
}

func (w *world) entry(e *hook.DeadLetter) *hook.DeadLetter {
	w.t.Helper()
	require.NoError(w.t, w.PutDeadLetter(w.ctx(), e))
	return e
}

func TestDeadLettersComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	raw := w.deadLetter(hook.Ref{Tenant: tenant})
	raw.Gen, raw.EventType, raw.EndpointURL, raw.Attempts = 0, "", "", 0
	raw.FailureReason, raw.RawBody = "decode message: unexpected EOF", strings.Repeat(`{"é`, 80_000)
	for _, e := range []*hook.DeadLetter{w.entry(w.deadLetter(w.ref())), w.entry(raw)} {
		got, err := w.DeadLetter(w.ctx(), tenant, e.ID)
		require.NoError(t, err)
		require.Equal(t, e, got)
	}
}

func TestTheSameEntryAgainChangesNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.entry(w.deadLetter(w.ref()))
	later := *e
	later.ExpiresAt = e.ExpiresAt.Add(time.Hour)
	w.entry(&later)
	got, err := w.DeadLetter(w.ctx(), tenant, e.ID)
	require.NoError(t, err)
	require.Equal(t, e, got)
	w.advance(8 * 24 * time.Hour)
	later.ExpiresAt = w.clock().Add(time.Hour)
	w.entry(&later)
	got, err = w.DeadLetter(w.ctx(), tenant, e.ID)
	require.NoError(t, err, "what has expired makes room")
	require.Equal(t, &later, got)
}

func TestAnEntryThatIsNotThereOrHasExpiredIsNotFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.entry(w.deadLetter(w.ref()))
	missing := func(tenant, id string) {
		t.Helper()
		_, err := w.DeadLetter(w.ctx(), tenant, id)
		require.ErrorIs(t, err, hook.ErrNotFound)
		require.ErrorIs(t, w.DeleteDeadLetter(w.ctx(), tenant, id), hook.ErrNotFound)
	}
	missing("other", e.ID)
	missing(tenant, w.ids.New(hook.DeadLetterPrefix, w.clock()))
	missing(tenant, "x")
	missing(tenant, "")
	w.advance(7 * 24 * time.Hour)
	missing(tenant, e.ID)
	n, err := w.CountDeadLetters(w.ctx(), hook.DeadLetterFilter{Tenant: tenant})
	require.NoError(t, err)
	require.Zero(t, n)
}

func TestADeletedEntryIsGone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.entry(w.deadLetter(w.ref()))
	require.NoError(t, w.DeleteDeadLetter(w.ctx(), tenant, e.ID))
	_, err := w.DeadLetter(w.ctx(), tenant, e.ID)
	require.ErrorIs(t, err, hook.ErrNotFound)
	require.ErrorIs(t, w.DeleteDeadLetter(w.ctx(), tenant, e.ID), hook.ErrNotFound)
}

func TestDeadLettersListNewestFirst(t *testing.T) {
	t.Parallel()
	w := setup(t)
	endpoints := []string{w.endpointID(), w.endpointID(), w.endpointID()}
	var all []*hook.DeadLetter
	for i := range 30 {
		if i%3 > 0 {
			w.advance(time.Hour)
		}
		ref := w.ref()
		ref.EndpointID = endpoints[i%3]
		e := w.deadLetter(ref)
		e.EventType = fmt.Sprintf("type.%d", i%5)
		if i == 11 {
			e.ExpiresAt = w.clock().Add(time.Minute)
		}
		w.entry(e)
		if i != 11 {
			all = append(all, e)
		}
	}
	other := w.deadLetter(hook.Ref{Tenant: "other"})
	w.entry(other)
	slices.Reverse(all)
	n, err := w.CountDeadLetters(w.ctx(), hook.DeadLetterFilter{Tenant: tenant})
	require.NoError(t, err)
	require.Equal(t, len(all), n)
	for _, f := range []hook.DeadLetterFilter{
		{},
		{EndpointID: endpoints[1]},
		{EventType: "type.2"},
		{EndpointID: endpoints[1], EventType: "type.2"},
		{EventType: "nothing"},
		{Since: all[9].CreatedAt},
		{Until: all[9].CreatedAt},
		{Since: all[20].CreatedAt, Until: all[5].CreatedAt, EndpointID: endpoints[0]},
		{Since: all[9].CreatedAt, Until: all[9].CreatedAt},
	} {
		want := []*hook.DeadLetter(nil)
		for _, e := range all {
			if (f.EndpointID == "" || f.EndpointID == e.EndpointID) && (f.EventType == "" || f.EventType == e.EventType) &&
				!e.CreatedAt.Before(f.Since) && (f.Until.IsZero() || e.CreatedAt.Before(f.Until)) {
				want = append(want, e)
			}
		}
		f.Tenant = tenant
		for _, limit := range []int{1, 4, 200} {
			got, _ := collect(t, limit, func(p hook.Page) ([]*hook.DeadLetter, string, error) { return w.ListDeadLetters(w.ctx(), f, p) })
			require.Equal(t, want, got, "%+v in pages of %d", f, limit)
		}
	}
}

func TestAPageOfLargeEntriesEndsEarly(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for range 25 {
		e := w.deadLetter(hook.Ref{Tenant: tenant})
		e.RawBody = strings.Repeat("x", 256<<10)
		w.entry(e)
	}
	total := 0
	collect(t, 200, func(p hook.Page) ([]*hook.DeadLetter, string, error) {
		entries, next, err := w.ListDeadLetters(w.ctx(), hook.DeadLetterFilter{Tenant: tenant}, p)
		require.LessOrEqual(t, len(entries), 15)
		total += len(entries)
		return entries, next, err
	})
	require.Equal(t, 25, total)
	n, err := w.CountDeadLetters(w.ctx(), hook.DeadLetterFilter{Tenant: tenant})
	require.NoError(t, err)
	require.Equal(t, 25, n, "counted over several calls")
}

// What one shard holds beyond a page's bytes is on the pages after it.
func TestAPageOfLargeEntriesOfOneShardSaysThatThereIsMore(t *testing.T) {
	t.Parallel()
	for _, entries := range []int{14, 15, 16, 17, 30} {
		t.Run(fmt.Sprint(entries), func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			var want []string
			for len(want) < entries {
				e := w.deadLetter(hook.Ref{Tenant: tenant})
				if e.ID[27] != '0' { // keeps to one of the shards
					continue
				}
				e.RawBody = strings.Repeat("x", 200<<10)
				w.entry(e)
				want = append(want, e.ID)
			}
			slices.Reverse(want)
			var got []string
			collect(t, 200, func(p hook.Page) ([]*hook.DeadLetter, string, error) {
				page, next, err := w.ListDeadLetters(w.ctx(), hook.DeadLetterFilter{Tenant: tenant}, p)
				require.NotEmpty(t, page)
				for _, e := range page {
					got = append(got, e.ID)
				}
				return page, next, err
			})
			require.Equal(t, want, got)
		})
	}
}

func TestStoringADeadLetterUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "PutItem", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		e := w.deadLetter(w.ref())
		return func() error { return w.PutDeadLetter(w.ctx(), e) }, func(applied bool) {
			got, err := w.DeadLetter(w.ctx(), tenant, e.ID)
			if !applied {
				require.ErrorIs(t, err, hook.ErrNotFound)
				return
			}
			require.NoError(t, err)
			require.Equal(t, e, got)
		}
	})
}

func TestDeletingADeadLetterUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "TransactWriteItems", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		e := w.entry(w.deadLetter(w.ref()))
		gone := false
		return func() error {
				err := w.DeleteDeadLetter(w.ctx(), tenant, e.ID)
				if gone && errors.Is(err, hook.ErrNotFound) {
					return nil // it was deleted although the answer was lost
				}
				return err
			}, func(applied bool) {
				gone = applied
				_, err := w.DeadLetter(w.ctx(), tenant, e.ID)
				require.Equal(t, applied, errors.Is(err, hook.ErrNotFound))
			}
	})
}

func TestReadingDeadLettersFailsWithAnError(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e := w.entry(w.deadLetter(w.ref()))
	w.faults.Add(faultwire.Fault{Operation: "GetItem", Times: 3}, faultwire.Fault{Operation: "Query", Times: faultwire.Always})
	_, err := w.DeadLetter(w.ctx(), tenant, e.ID)
	require.Error(t, err)
	require.NotErrorIs(t, err, hook.ErrNotFound)
	_, _, err = w.ListDeadLetters(w.ctx(), hook.DeadLetterFilter{Tenant: tenant}, hook.Page{Limit: 1})
	require.Error(t, err)
	_, err = w.CountDeadLetters(w.ctx(), hook.DeadLetterFilter{Tenant: tenant})
	require.Error(t, err)
}
