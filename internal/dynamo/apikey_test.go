package dynamo_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

func (w *world) apiKey(tenant string) *hook.APIKey {
	w.t.Helper()
	keyID := w.ids.New("", w.clock())
	k := &hook.APIKey{ID: keyID, Tenant: tenant, Role: hook.RoleProducer, Description: "the shop", CreatedAt: hook.IDTime(keyID)}
	_, err := k.NewSecret(rand.Reader)
	require.NoError(w.t, err)
	return k
}

func (w *world) createKey(k *hook.APIKey) *hook.APIKey {
	w.t.Helper()
	require.NoError(w.t, w.CreateAPIKey(w.ctx(), k))
	return k
}

func TestAPIKeysComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	plain := w.apiKey(tenant)
	plain.Description = ""
	for _, k := range []*hook.APIKey{w.createKey(w.apiKey(tenant)), w.createKey(plain)} {
		got, err := w.APIKey(w.ctx(), k.ID)
		require.NoError(t, err)
		require.Equal(t, k, got)
	}
}

// Whoever reads the table learns no key.
func TestTheTextOfAnAPIKeyIsNotStored(t *testing.T) {
	t.Parallel()
	w := setup(t)
	k := w.apiKey(tenant)
	text, err := k.NewSecret(rand.Reader)
	require.NoError(t, err)
	w.createKey(k)
	secret := text[strings.LastIndexByte(text, '_')+1:]
	items := w.withPrefix("KEYS")
	require.Len(t, items, 1)
	raw, err := hex.DecodeString(secret)
	require.NoError(t, err)
	for name, v := range items[0] {
		value := []byte(fmt.Sprint(name, v))
		if b, ok := v.(*types.AttributeValueMemberB); ok {
			value = b.Value
		} else if s, ok := v.(*types.AttributeValueMemberS); ok {
			value = []byte(s.Value)
		}
		require.False(t, bytes.Contains(value, []byte(secret)) || bytes.Contains(value, raw), name)
	}
}

func TestAnAPIKeyIsNotReplacedByAnother(t *testing.T) {
	t.Parallel()
	w := setup(t)
	k := w.createKey(w.apiKey(tenant))
	other := w.apiKey("other")
	other.ID = k.ID
	require.ErrorIs(t, w.CreateAPIKey(w.ctx(), other), hook.ErrConflict)
	got, err := w.APIKey(w.ctx(), k.ID)
	require.NoError(t, err)
	require.Equal(t, k, got)
	require.NoError(t, w.CreateAPIKey(w.ctx(), k), "the same again is no other")
}

func TestAnAPIKeyThatIsNotThereIsNotFound(t *testing.T) {
	t.Parallel()
	w := setup(t)
	k := w.createKey(w.apiKey(tenant))
	for _, keyID := range []string{w.ids.New("", w.clock()), "", "x", "ep_" + k.ID, strings.ToLower(k.ID)} {
		_, err := w.APIKey(w.ctx(), keyID)
		require.ErrorIs(t, err, hook.ErrNotFound, keyID)
		for _, of := range []string{"", tenant} {
			require.ErrorIs(t, w.DeleteAPIKey(w.ctx(), of, keyID), hook.ErrNotFound, keyID)
		}
	}
}

func TestADeletedAPIKeyIsGone(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for _, by := range []string{"", tenant} {
		k := w.createKey(w.apiKey(tenant))
		require.ErrorIs(t, w.DeleteAPIKey(w.ctx(), "other", k.ID), hook.ErrNotFound, "another tenant's")
		_, err := w.APIKey(w.ctx(), k.ID)
		require.NoError(t, err)
		require.NoError(t, w.DeleteAPIKey(w.ctx(), by, k.ID))
		_, err = w.APIKey(w.ctx(), k.ID)
		require.ErrorIs(t, err, hook.ErrNotFound)
		require.ErrorIs(t, w.DeleteAPIKey(w.ctx(), by, k.ID), hook.ErrNotFound)
	}
}

func TestAPIKeysListNewestFirst(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var all []*hook.APIKey
	for i := range 30 {
		if i%3 > 0 {
			w.now.Add(1)
		}
		all = append(all, w.createKey(w.apiKey([]string{tenant, "other", tenant}[i%3])))
	}
	slices.Reverse(all)
	for _, of := range []string{"", tenant, "other", "nobody"} {
		want := []*hook.APIKey(nil)
		for _, k := range all {
			if of == "" || k.Tenant == of {
				want = append(want, k)
			}
		}
		for _, limit := range []int{1, 4, 200} {
			got, _ := collect(t, limit, func(p hook.Page) ([]*hook.APIKey, string, error) { return w.ListAPIKeys(w.ctx(), of, p) })
			require.Equal(t, want, got, "%q in pages of %d", of, limit)
		}
	}
}

func TestTheTenantsThatHaveKeysAreNamedOnce(t *testing.T) {
	t.Parallel()
	w := setup(t)
	none, err := w.KeyTenants(w.ctx())
	require.NoError(t, err)
	require.Empty(t, none)
	for i := range 450 { // more than a page
		w.createKey(w.apiKey([]string{"shop", "acme", "bank"}[i%3]))
	}
	w.createKey(w.apiKey("a-late-one"))
	tenants, err := w.KeyTenants(w.ctx())
	require.NoError(t, err)
	require.Equal(t, []string{"a-late-one", "acme", "bank", "shop"}, tenants)
	w.faults.Add(faultwire.Fault{Operation: "Query", Times: 3, Mode: faultwire.FailBefore})
	_, err = w.KeyTenants(w.ctx())
	require.ErrorContains(t, err, "list API keys")
}

func TestStoringAnAPIKeyUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "PutItem", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		k := w.apiKey(tenant)
		return func() error { return w.CreateAPIKey(w.ctx(), k) }, func(applied bool) {
			got, err := w.APIKey(w.ctx(), k.ID)
			if !applied {
				require.ErrorIs(t, err, hook.ErrNotFound)
				return
			}
			require.NoError(t, err)
			require.Equal(t, k, got)
		}
	})
}

func TestDeletingAnAPIKeyUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "TransactWriteItems", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		k := w.createKey(w.apiKey(tenant))
		gone := false
		return func() error {
				err := w.DeleteAPIKey(w.ctx(), tenant, k.ID)
				if gone && errors.Is(err, hook.ErrNotFound) {
					return nil // it was deleted although the answer was lost
				}
				return err
			}, func(applied bool) {
				gone = applied
				_, err := w.APIKey(w.ctx(), k.ID)
				require.Equal(t, applied, errors.Is(err, hook.ErrNotFound))
			}
	})
}

func TestReadingAPIKeysFailsWithAnError(t *testing.T) {
	t.Parallel()
	w := setup(t)
	k := w.createKey(w.apiKey(tenant))
	w.faults.Add(faultwire.Fault{Operation: "GetItem", Times: 3}, faultwire.Fault{Operation: "Query", Times: faultwire.Always})
	_, err := w.APIKey(w.ctx(), k.ID)
	require.Error(t, err)
	require.NotErrorIs(t, err, hook.ErrNotFound)
	_, _, err = w.ListAPIKeys(w.ctx(), "", hook.Page{Limit: 1})
	require.Error(t, err)
}

// A key that was revoked is not found by the next who asks, wherever they are.
func TestAnAPIKeyIsReadStronglyConsistently(t *testing.T) {
	t.Parallel()
	w := setup(t)
	k := w.createKey(w.apiKey(tenant))
	w.faults.Add(faultwire.Fault{Operation: "GetItem", Match: func(body []byte) bool {
		if !bytes.Contains(body, []byte(`"ConsistentRead":true`)) {
			t.Errorf("%s", body)
		}
		return false
	}})
	_, err := w.APIKey(w.ctx(), k.ID)
	require.NoError(t, err)
	require.Equal(t, 1, w.faults.Calls("GetItem"))
}
