package seal_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
	"posthorn/internal/seal"
)

func TestAMasterKeyHas32Bytes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 16, 24, 31, 33} {
		key := bytes.Repeat([]byte{0x2a}, size)
		_, err := seal.NewMaster(key)
		require.ErrorContains(t, err, "master key: the key has")
		if size > 0 {
			requireSilent(t, err, key)
		}
	}
}

func TestAMasterKeyUnwrapsWhatItWrapped(t *testing.T) {
	t.Parallel()
	m := master(t, 7)
	plain, wrapped, err := m.NewKey(t.Context(), tenant)
	require.NoError(t, err)
	require.Len(t, plain, seal.KeySize)
	require.NotContains(t, string(wrapped), string(plain))
	got, err := master(t, 7).Unwrap(t.Context(), tenant, wrapped)
	require.NoError(t, err)
	require.Equal(t, plain, got)
	other, _, err := m.NewKey(t.Context(), tenant)
	require.NoError(t, err)
	require.NotEqual(t, plain, other)

	_, err = m.Unwrap(t.Context(), "other", wrapped)
	require.ErrorIs(t, err, seal.ErrDamaged)
	for bit := range len(wrapped) * 8 {
		flipped := bytes.Clone(wrapped)
		flipped[bit/8] ^= 1 << (bit % 8)
		_, err := m.Unwrap(t.Context(), tenant, flipped)
		requireSilent(t, err, plain)
		if bit >= 9*8 {
			require.ErrorIs(t, err, seal.ErrDamaged, "bit %d", bit)
		}
	}
	for n := range wrapped {
		_, err := m.Unwrap(t.Context(), tenant, wrapped[:n])
		require.ErrorIs(t, err, seal.ErrDamaged, "%d bytes", n)
	}
}

// A tenant's data key that was wrapped by an earlier version has to be
// unwrapped for good.
func TestTheWrappedFormStays(t *testing.T) {
	t.Parallel()
	// The kind, the master key's id, a nonce, and what AES-256-GCM, of another
	// implementation, makes of a key of 32 bytes 0x2a.
	wrapped, err := hex.DecodeString("02" + "4c1b1e7206157e86" + "000102030405060708090a0b" +
		"32abc35a3723f3635d98cfb6c87246d0cb169ca432485d1b3ce44990a4fd472f632506ccfea8656c80520a81cdb998c6")
	require.NoError(t, err)
	got, err := master(t, 7).Unwrap(t.Context(), tenant, wrapped)
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{0x2a}, seal.KeySize), got)
}

// A serve that is started with another key than the local whose data it shares
// gives nothing up, and changes nothing.
func TestAWrongMasterKeyIsNoDamage(t *testing.T) {
	t.Parallel()
	w := setup(t)
	b := sealed(t, w.open(master(t, 7)), tenant, endpoint)
	for says, wrapper := range map[string]seal.Wrapper{
		"it was wrapped by another key than the one in POSTHORN_SEAL_KEY":         master(t, 8),
		"it was wrapped by POSTHORN_SEAL_KEY or a key file, and a KMS key is set": w.kms(),
	} {
		_, err := w.open(wrapper).Open(t.Context(), tenant, endpoint, b)
		require.ErrorContains(t, err, says)
		require.NotErrorIs(t, err, seal.ErrDamaged)
		require.NotErrorIs(t, err, hook.ErrNotFound)
		_, err = w.open(wrapper).Seal(t.Context(), tenant, endpoint, []byte(secret))
		require.ErrorContains(t, err, says)
	}
	requireOpens(t, w.open(master(t, 7)), tenant, endpoint, b)
}
