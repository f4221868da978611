package hook_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// FuzzIDs: a delivery's id has one spelling, and so has a key.
func FuzzIDs(f *testing.F) {
	ref := hook.Ref{Tenant: "acme", EventID: eventID, EndpointID: endpointID}
	for _, text := range []string{
		ref.ID(), strings.ToLower(ref.ID()), ref.ID() + "_", "dlv__", eventID, endpointID,
		"ph_" + strings.TrimPrefix(eventID, "evt_") + "_" + strings.Repeat("0a", 32), "ph__", "evt_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if ref, err := hook.ParseDeliveryID("acme", text); err == nil {
			require.Equal(t, text, ref.ID())
			require.True(t, hook.ValidID(hook.EventPrefix, ref.EventID))
			require.True(t, hook.ValidID(hook.EndpointPrefix, ref.EndpointID))
		} else {
			require.ErrorIs(t, err, hook.ErrNotFound)
		}
		if id, _, ok := hook.ParseAPIKey(text); ok {
			require.True(t, hook.ValidKeyID(id))
			secret, isKey := strings.CutPrefix(text, "ph_"+id+"_")
			require.True(t, isKey)
			require.Equal(t, strings.ToLower(secret), secret)
			b, err := hex.DecodeString(secret)
			require.NoError(t, err)
			require.Len(t, b, 32)
		}
		if hook.ValidID(hook.EventPrefix, text) {
			require.False(t, hook.IDTime(text).IsZero())
		}
	})
}
