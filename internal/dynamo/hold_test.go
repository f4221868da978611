package dynamo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

// paused makes a paused endpoint and an event for it and others.
func (w *world) paused(deliveries int) (e *hook.Endpoint, event *hook.Event, refs []hook.Ref) {
	e = w.endpoint()
	e.SetStatus(hook.EndpointPaused, "")
	w.create(e)
	event = w.event("order.created", `{}`, e.ID)
	w.put(event)
	refs = []hook.Ref{event.Ref(e.ID)}
	for range deliveries - 1 {
		other := w.endpoint()
		other.SetStatus(hook.EndpointPaused, "")
		w.create(other)
		refs = append(refs, event.Ref(other.ID))
	}
	return e, event, refs
}

// held is the write that holds a delivery of which nothing is recorded.
func held(ref hook.Ref, event *hook.Event) hook.DeliveryWrite {
	return hook.DeliveryWrite{
		Delivery: &hook.Delivery{Ref: ref, EventType: event.Type, Status: hook.Held, MessageID: "m", Rev: 1, CreatedAt: event.CreatedAt},
		Hold:     &hook.Hold{Epoch: 1},
	}
}

// released is the write that ends the holding of a row.
func released(d *hook.Delivery, until time.Time) hook.DeliveryWrite {
	next := *d
	next.Rev++
	next.Hop++
	next.Status, next.ExpiresAt = hook.Queued, until
	return hook.DeliveryWrite{Delivery: &next, Unhold: true}
}

func TestWhatIsHeldDoesNotExpireAndNeitherDoesItsEvent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, event, refs := w.paused(2)
	for _, ref := range refs {
		w.save(held(ref, event))
	}
	w.advance(10 * retention)
	got, err := w.Event(w.ctx(), tenant, event.ID)
	require.NoError(t, err)
	require.Zero(t, got.ExpiresAt)
	require.NotNil(t, w.row(refs[0]))

	// Of two that are held, the last lets the event expire again.
	until := w.clock().Add(7 * 24 * time.Hour).Truncate(time.Second)
	w.save(released(w.row(refs[0]), until))
	got, err = w.Event(w.ctx(), tenant, event.ID)
	require.NoError(t, err)
	require.Zero(t, got.ExpiresAt, "another is held yet")
	w.save(released(w.row(refs[1]), until))
	got, err = w.Event(w.ctx(), tenant, event.ID)
	require.NoError(t, err)
	require.Equal(t, until, got.ExpiresAt)
	require.Equal(t, until, w.row(refs[0]).ExpiresAt)
	w.advance(8 * 24 * time.Hour)
	_, err = w.Event(w.ctx(), tenant, event.ID)
	require.ErrorIs(t, err, hook.ErrNotFound)
}

func TestHoldingAsksWhetherTheEndpointIsStillPaused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(w *world, id string){
		"resumed": func(w *world, id string) {
			_, err := w.UpdateEndpoint(w.ctx(), tenant, id, func(e *hook.Endpoint) error { e.SetStatus(hook.EndpointActive, ""); return nil })
			require.NoError(w.t, err)
		},
		"resumed and paused again": func(w *world, id string) {
			_, err := w.UpdateEndpoint(w.ctx(), tenant, id, func(e *hook.Endpoint) error {
				e.SetStatus(hook.EndpointActive, "")
				e.SetStatus(hook.EndpointPaused, "")
				return nil
			})
			require.NoError(w.t, err)
		},
		"deleted": func(w *world, id string) { require.NoError(w.t, w.DeleteEndpoint(w.ctx(), tenant, id)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			e, event, refs := w.paused(1)
			change(w, e.ID)
			require.ErrorIs(t, w.SaveDelivery(w.ctx(), held(refs[0], event)), hook.ErrNotHeld)
			require.Nil(t, w.row(refs[0]))
			got, err := w.Event(w.ctx(), tenant, event.ID)
			require.NoError(t, err)
			require.Equal(t, event.ExpiresAt, got.ExpiresAt)
		})
	}
}

func TestWhatIsHeldHasItsEvent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, event, refs := w.paused(1)
	gone := *event
	gone.ID = w.eventID()
	require.ErrorIs(t, w.SaveDelivery(w.ctx(), held(gone.Ref(refs[0].EndpointID), &gone)), hook.ErrEventGone)
	w.advance(2 * retention)
	require.ErrorIs(t, w.SaveDelivery(w.ctx(), held(refs[0], event)), hook.ErrEventGone, "one that has expired is gone, though it may still be there")
	require.Nil(t, w.row(refs[0]))
}

func TestADeliveryIsHeldOnceHoweverOften(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, event, refs := w.paused(1)
	first := held(refs[0], event)
	w.save(first)
	require.NoError(t, w.SaveDelivery(w.ctx(), first), "its own write, whose answer was lost")
	again := held(refs[0], event)
	again.Delivery.Rev, again.Delivery.Hop, again.Hold.Again = 2, 1, true
	w.save(again)
	until := w.clock().Add(retention).Truncate(time.Second)
	w.save(released(w.row(refs[0]), until))
	got, err := w.Event(w.ctx(), tenant, event.ID)
	require.NoError(t, err)
	require.Equal(t, until, got.ExpiresAt, "one release is enough")
}

func TestAConflictComesBeforeAllElse(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e, event, refs := w.paused(1)
	w.save(held(refs[0], event))
	other := held(refs[0], event)
	other.Delivery.MessageID = "another"
	require.NoError(t, w.DeleteEndpoint(w.ctx(), tenant, e.ID))
	require.ErrorIs(t, w.SaveDelivery(w.ctx(), other), hook.ErrConflict)
	stale := released(w.row(refs[0]), w.clock().Add(retention))
	stale.Delivery.Rev = 7
	require.ErrorIs(t, w.SaveDelivery(w.ctx(), stale), hook.ErrConflict)
}

func TestHoldingUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "TransactWriteItems", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		_, event, refs := w.paused(1)
		write := held(refs[0], event)
		return func() error { return w.SaveDelivery(w.ctx(), write) }, func(applied bool) {
			row := w.row(refs[0])
			require.Equal(t, applied, row != nil)
			got, err := w.Event(w.ctx(), tenant, event.ID)
			require.NoError(t, err)
			require.Equal(t, applied, got.ExpiresAt.IsZero(), "both or neither")
		}
	})
}

func TestReleasingUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "TransactWriteItems", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		_, event, refs := w.paused(1)
		w.save(held(refs[0], event))
		until := w.clock().Add(retention).Truncate(time.Second)
		write := released(w.row(refs[0]), until)
		return func() error { return w.SaveDelivery(w.ctx(), write) }, func(applied bool) {
			require.Equal(t, applied, w.row(refs[0]).Status == hook.Queued)
			got, err := w.Event(w.ctx(), tenant, event.ID)
			require.NoError(t, err)
			require.Equal(t, applied, got.ExpiresAt.Equal(until), "both or neither")
		}
	})
}

// However often a release is made, it counts once: the other delivery keeps the
// event from expiring.
func TestReleasingOneOfTwoUnderFaults(t *testing.T) {
	t.Parallel()
	for _, f := range faultPairs() {
		w := setup(t)
		_, event, refs := w.paused(2)
		w.save(held(refs[0], event))
		w.save(held(refs[1], event))
		until := w.clock().Add(retention).Truncate(time.Second)
		write := released(w.row(refs[0]), until)
		w.faults.Add(faultwire.Fault{Operation: "TransactWriteItems", Times: f.times, Mode: f.mode})
		if err := w.SaveDelivery(w.ctx(), write); err != nil {
			require.NoError(t, w.SaveDelivery(w.ctx(), write), f.name)
		}
		got, err := w.Event(w.ctx(), tenant, event.ID)
		require.NoError(t, err)
		require.Zero(t, got.ExpiresAt, f.name)
		w.save(released(w.row(refs[1]), until))
		got, err = w.Event(w.ctx(), tenant, event.ID)
		require.NoError(t, err)
		require.Equal(t, until, got.ExpiresAt, f.name)
	}
}

// The end of a holding goes on without its event: an operator may have deleted
// it by hand.
func TestReleasingWhatHasNoEvent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, event, refs := w.paused(1)
	row := held(refs[0], event)
	row.Hold = nil
	row.Delivery.EventID = w.eventID()
	w.save(row)
	write := released(row.Delivery, w.clock().Add(retention))
	w.save(write)
	require.Equal(t, hook.Queued, w.row(row.Delivery.Ref).Status)
}

func TestByStateListsOldestFirstAndInPages(t *testing.T) {
	t.Parallel()
	w := setup(t)
	endpoint := w.endpointID()
	want := map[hook.Status][]hook.Ref{}
	for i := range 60 {
		w.advance(time.Minute)
		status := []hook.Status{hook.Held, hook.Dead, hook.Delivered}[i%3]
		dw := w.delivery(endpoint, status)
		w.save(dw)
		want[status] = append(want[status], dw.Delivery.Ref)
		w.save(w.delivery(w.endpointID(), status)) // of another endpoint
	}
	for _, status := range []hook.Status{hook.Held, hook.Dead} {
		q := hook.StateQuery{Tenant: tenant, EndpointID: endpoint, Status: status, Limit: 7}
		var got []hook.Ref
		for pages := 1; ; pages++ {
			refs, next, err := w.ByState(w.ctx(), q)
			require.NoError(t, err)
			got = append(got, refs...)
			if next == "" {
				require.Equal(t, 3, pages)
				break
			}
			require.Len(t, refs, 7)
			q.After = next
		}
		require.Equal(t, want[status], got)
		n, err := w.CountByState(w.ctx(), hook.StateQuery{Tenant: tenant, EndpointID: endpoint, Status: status})
		require.NoError(t, err)
		require.Equal(t, 20, n)
	}
	since := w.row(want[hook.Dead][15]).CompletedAt
	refs, next, err := w.ByState(w.ctx(), hook.StateQuery{Tenant: tenant, EndpointID: endpoint, Status: hook.Dead, Since: since, Limit: 100})
	require.NoError(t, err)
	require.Empty(t, next)
	require.Equal(t, want[hook.Dead][15:], refs, "by the time of death")
	n, err := w.CountByState(w.ctx(), hook.StateQuery{Tenant: tenant, EndpointID: endpoint, Status: hook.Dead, Since: since})
	require.NoError(t, err)
	require.Equal(t, 5, n)
}
