package dynamo_test

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func (w *world) key(e *hook.Event, producerKey string) *hook.IdempotencyKey {
	return &hook.IdempotencyKey{
		Tenant: e.Tenant, Key: producerKey, BodyHash: sha256.Sum256(e.Body), EventID: e.ID, ExpiresAt: w.clock().Add(24 * time.Hour),
	}
}

func TestAKeyIsTakenOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first, second := w.event("a", `{"n":1}`), w.event("a", `{"n":2}`)
	key := w.key(first, "order-1")
	existing, err := w.PutEventWithKey(w.ctx(), first, key)
	require.NoError(t, err)
	require.Nil(t, existing)

	existing, err = w.PutEventWithKey(w.ctx(), second, w.key(second, "order-1"))
	require.NoError(t, err)
	require.Equal(t, key, existing)
	_, err = w.Event(w.ctx(), tenant, second.ID)
	require.ErrorIs(t, err, hook.ErrNotFound, "nothing of the second was written")
	got, err := w.Event(w.ctx(), tenant, first.ID)
	require.NoError(t, err)
	require.Equal(t, first, got)

	for _, other := range []struct{ tenant, key string }{{tenant, "order-2"}, {"other", "order-1"}} {
		e := w.event("a", `{}`)
		e.Tenant = other.tenant
		existing, err = w.PutEventWithKey(w.ctx(), e, w.key(e, other.key))
		require.NoError(t, err)
		require.Nil(t, existing)
	}
}

func TestAKeyIsFreeAgainWhenItHasExpired(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first, second := w.event("a", `{"n":1}`), w.event("a", `{"n":2}`)
	_, err := w.PutEventWithKey(w.ctx(), first, w.key(first, "order-1"))
	require.NoError(t, err)
	w.advance(24*time.Hour - time.Second)
	existing, err := w.PutEventWithKey(w.ctx(), second, w.key(second, "order-1"))
	require.NoError(t, err)
	require.Equal(t, first.ID, existing.EventID)
	w.advance(time.Second)
	existing, err = w.PutEventWithKey(w.ctx(), second, w.key(second, "order-1"))
	require.NoError(t, err)
	require.Nil(t, existing)
}

func TestAKeyIsMarkedAsSent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	e, again := w.event("a", `{}`), w.event("a", `{}`)
	key := w.key(e, "order-1")
	_, err := w.PutEventWithKey(w.ctx(), e, key)
	require.NoError(t, err)

	wrong := w.key(again, "order-1")
	require.NoError(t, w.MarkKeySent(w.ctx(), wrong), "of another event: left alone")
	existing, err := w.PutEventWithKey(w.ctx(), again, wrong)
	require.NoError(t, err)
	require.False(t, existing.Sent)

	require.NoError(t, w.MarkKeySent(w.ctx(), key))
	existing, err = w.PutEventWithKey(w.ctx(), again, wrong)
	require.NoError(t, err)
	require.True(t, existing.Sent)
	require.Equal(t, key.BodyHash, existing.BodyHash)

	require.NoError(t, w.MarkKeySent(w.ctx(), w.key(again, "never stored")))
	require.Len(t, w.items(), 2)

	sentAlready := w.event("a", `{}`)
	key = w.key(sentAlready, "order-2")
	key.Sent = true
	_, err = w.PutEventWithKey(w.ctx(), sentAlready, key)
	require.NoError(t, err)
	existing, err = w.PutEventWithKey(w.ctx(), again, w.key(again, "order-2"))
	require.NoError(t, err)
	require.True(t, existing.Sent)
}

func TestOfConcurrentRequestsWithOneKeyOneWins(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var won atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		e := w.event("a", `{}`)
		wg.Go(func() {
			existing, err := w.PutEventWithKey(w.ctx(), e, w.key(e, "order-1"))
			if err != nil {
				t.Error(err)
			}
			if existing == nil {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, won.Load())
	require.Len(t, w.items(), 2)
}

func TestStoringAnEventWithItsKeyUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "TransactWriteItems", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		e := w.event("a", `{"a":1}`, w.endpointID())
		key := w.key(e, "order-1")
		return func() error {
				existing, err := w.PutEventWithKey(w.ctx(), e, key)
				require.Nil(t, existing, "its own write is no earlier request")
				return err
			}, func(applied bool) {
				_, err := w.Event(w.ctx(), tenant, e.ID)
				if !applied {
					require.ErrorIs(t, err, hook.ErrNotFound)
					require.Empty(t, w.items(), "both or neither")
					return
				}
				require.NoError(t, err)
				other := w.event("a", `{}`)
				existing, err := w.PutEventWithKey(w.ctx(), other, w.key(other, "order-1"))
				require.NoError(t, err)
				require.Equal(t, key, existing)
			}
	})
}

func TestMarkingAKeyUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "UpdateItem", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		e := w.event("a", `{}`)
		key := w.key(e, "order-1")
		_, err := w.PutEventWithKey(w.ctx(), e, key)
		require.NoError(t, err)
		return func() error { return w.MarkKeySent(w.ctx(), key) }, func(applied bool) {
			existing, err := w.PutEventWithKey(w.ctx(), w.event("a", `{}`), w.key(w.event("a", `{}`), "order-1"))
			require.NoError(t, err)
			require.Equal(t, applied, existing.Sent)
		}
	})
}

func TestExtendingAnEventUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "UpdateItem", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		e := w.event("a", `{}`)
		w.put(e)
		later := e.ExpiresAt.Add(time.Hour)
		return func() error { return w.ExtendEvent(w.ctx(), tenant, e.ID, later) }, func(applied bool) {
			got, err := w.Event(w.ctx(), tenant, e.ID)
			require.NoError(t, err)
			require.Equal(t, applied, got.ExpiresAt.Equal(later))
		}
	})
}
