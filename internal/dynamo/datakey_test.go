package dynamo_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

func TestATenantsFirstDataKeyStays(t *testing.T) {
	t.Parallel()
	w := setup(t)
	_, err := w.DataKey(w.ctx(), tenant)
	require.ErrorIs(t, err, hook.ErrNotFound)

	first := []byte("first\x00\xff")
	kept, err := w.AddDataKey(w.ctx(), tenant, first)
	require.NoError(t, err)
	require.Equal(t, first, kept)
	kept, err = w.AddDataKey(w.ctx(), tenant, []byte("second"))
	require.NoError(t, err)
	require.Equal(t, first, kept)
	got, err := w.open().DataKey(w.ctx(), tenant)
	require.NoError(t, err)
	require.Equal(t, first, got)

	_, err = w.DataKey(w.ctx(), "other")
	require.ErrorIs(t, err, hook.ErrNotFound, "of another tenant")
	require.Len(t, w.items(), 1)
	require.Len(t, w.items()[0], 3, "it stays for good: no time to live")
}

func TestOfConcurrentDataKeysOneWins(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var wg sync.WaitGroup
	kept := make([][]byte, 8)
	for i := range kept {
		wg.Go(func() {
			var err error
			if kept[i], err = w.AddDataKey(w.ctx(), tenant, []byte{byte(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	stored, err := w.DataKey(w.ctx(), tenant)
	require.NoError(t, err)
	for _, k := range kept {
		require.Equal(t, stored, k)
	}
}

func TestADataKeyIsReadStronglyConsistently(t *testing.T) {
	t.Parallel()
	w := setup(t)
	reads := 0
	w.faults.Add(faultwire.Fault{Operation: "GetItem", Match: func(body []byte) bool {
		reads++
		require.Contains(t, string(body), `"ConsistentRead":true`)
		return false
	}})
	_, err := w.DataKey(w.ctx(), tenant)
	require.ErrorIs(t, err, hook.ErrNotFound)
	require.Equal(t, 1, reads)
}

func TestAddingADataKeyUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "PutItem", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		own := []byte("own")
		return func() error {
				kept, err := w.AddDataKey(w.ctx(), tenant, own)
				if err == nil {
					require.Equal(t, own, kept, "its own write is no other's")
				}
				return err
			}, func(applied bool) {
				got, err := w.DataKey(w.ctx(), tenant)
				if !applied {
					require.ErrorIs(t, err, hook.ErrNotFound)
					return
				}
				require.NoError(t, err)
				require.True(t, bytes.Equal(own, got))
			}
	})
}
