package seal_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/hook"
	"posthorn/internal/seal"
)

func TestWhatOneProcessSealsAnotherOpens(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world, wrapper seal.Wrapper) {
		first, second := w.open(wrapper), w.open(wrapper)
		for _, who := range []string{tenant, "other"} {
			b := sealed(t, first, who, endpoint)
			require.NotContains(t, string(b), secret[:8])
			requireOpens(t, first, who, endpoint, b)
			requireOpens(t, second, who, endpoint, b)
			requireOpens(t, first, who, endpoint, sealed(t, second, who, endpoint))
		}
		empty, err := first.Seal(t.Context(), tenant, endpoint, nil)
		require.NoError(t, err)
		plain, err := second.Open(t.Context(), tenant, endpoint, empty)
		require.NoError(t, err)
		require.Empty(t, plain)
	})
}

func TestWhatIsSealedOpensForNoOther(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world, wrapper seal.Wrapper) {
		s := w.open(wrapper)
		b := sealed(t, s, tenant, endpoint)
		requireDamaged(t, s, "newcomer", endpoint, b)
		sealed(t, s, "other", endpoint)
		requireDamaged(t, s, "other", endpoint, b)
		for _, id := range []string{"ep_01JCXZ5T5V8Q0R9A1B2C3D4E5H", endpoint + "0", endpoint[:28], ""} {
			requireDamaged(t, s, tenant, id, b)
		}
		requireOpens(t, s, tenant, endpoint, b)
	})
}

// Whoever can write the table, but not use the key that wraps, gains nothing by
// moving a data key to a tenant of his own.
func TestADataKeyOpensNothingForAnotherTenant(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world, wrapper seal.Wrapper) {
		s := w.open(wrapper)
		b := sealed(t, s, tenant, endpoint)
		wrapped, err := w.table.DataKey(t.Context(), tenant)
		require.NoError(t, err)
		_, err = w.table.AddDataKey(t.Context(), "thief", wrapped)
		require.NoError(t, err)
		requireDamaged(t, s, "thief", endpoint, b)
		_, err = s.Seal(t.Context(), "thief", endpoint, []byte(secret))
		require.ErrorIs(t, err, seal.ErrDamaged)
		requireSilent(t, err)
	})
}

func TestNoFlippedBitAndNoPartOpens(t *testing.T) {
	t.Parallel()
	s := seal.New(seal.Options{Keys: &memory{}, Wrapper: master(t, 1)})
	b := sealed(t, s, tenant, endpoint)
	for bit := range len(b) * 8 {
		flipped := bytes.Clone(b)
		flipped[bit/8] ^= 1 << (bit % 8)
		requireDamaged(t, s, tenant, endpoint, flipped)
	}
	for n := range b {
		requireDamaged(t, s, tenant, endpoint, b[:n])
		requireDamaged(t, s, tenant, endpoint, b[n+1:])
	}
	requireDamaged(t, s, tenant, endpoint, append(bytes.Clone(b), 0))
	requireDamaged(t, s, tenant, endpoint, nil)
}

// Whatever is sealed for whomever comes back to them alone.
func TestSealingAndOpening(t *testing.T) {
	t.Parallel()
	s := seal.New(seal.Options{Keys: &memory{}, Wrapper: master(t, 1)})
	rapid.Check(t, func(r *rapid.T) {
		tenants := rapid.StringMatching(`[a-z0-9_-]{1,4}`)
		ids := rapid.StringMatching(`ep_[0-9A-Z]{0,3}`)
		plain := rapid.SliceOf(rapid.Byte()).Draw(r, "plain")
		from, to := tenants.Draw(r, "tenant"), tenants.Draw(r, "other tenant")
		of, by := ids.Draw(r, "endpoint"), ids.Draw(r, "other endpoint")
		b, err := s.Seal(t.Context(), from, of, plain)
		require.NoError(r, err)
		got, err := s.Open(t.Context(), to, by, b)
		if from == to && of == by {
			require.NoError(r, err)
			require.True(r, bytes.Equal(plain, got))
		} else {
			require.ErrorIs(r, err, seal.ErrDamaged)
		}
	})
}

// fixed is a Wrapper with one data key, which is not encrypted at all.
type fixed []byte

func (f fixed) NewKey(context.Context, string) (plain, wrapped []byte, err error) {
	return bytes.Clone(f), []byte("it"), nil
}

func (f fixed) Unwrap(context.Context, string, []byte) ([]byte, error) { return bytes.Clone(f), nil }

// goldenSealed is what AES-256-GCM, of another implementation, makes of
// "test-secret" for the endpoint, under a key of 32 bytes 0x2a.
const goldenSealed = "3848273cb150465dec5672ebb32bd3bc3c7d0bae6ba5baab66ba0d"

// What was sealed by an earlier version has to open for good.
func TestTheSealedFormStays(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{0x2a}, seal.KeySize)
	s := seal.New(seal.Options{Keys: &memory{}, Wrapper: fixed(key)})
	b := sealed(t, s, tenant, endpoint)
	require.Len(t, b, 1+12+len(secret)+16)
	require.Equal(t, byte(1), b[0])

	block, err := aes.NewCipher(key)
	require.NoError(t, err)
	gcm, err := cipher.NewGCM(block)
	require.NoError(t, err)
	plain, err := gcm.Open(nil, b[1:13], b[13:], []byte("\x01"+endpoint))
	require.NoError(t, err)
	require.Equal(t, secret, string(plain))

	later := gcm.Seal(append([]byte{2}, b[1:13]...), b[1:13], []byte(secret), []byte("\x02"+endpoint))
	requireDamaged(t, s, tenant, endpoint, later) // of a version that is not known

	golden, err := hex.DecodeString("01" + "000102030405060708090a0b" + goldenSealed)
	require.NoError(t, err)
	got, err := s.Open(t.Context(), tenant, endpoint, golden)
	require.NoError(t, err)
	require.Equal(t, "test-secret", string(got))
}

func TestNothingIsSealedTwiceAlike(t *testing.T) {
	t.Parallel()
	s := seal.New(seal.Options{Keys: &memory{}, Wrapper: master(t, 1)})
	seen := map[string]bool{}
	for range 100 {
		nonce := string(sealed(t, s, tenant, endpoint)[1:13])
		require.False(t, seen[nonce])
		seen[nonce] = true
	}
}

func TestOpeningMakesNoDataKey(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, w *world, wrapper seal.Wrapper) {
		s := w.open(wrapper)
		other := sealed(t, s, "other", endpoint)
		requireDamaged(t, s, tenant, endpoint, other)
		_, err := w.table.DataKey(t.Context(), tenant)
		require.ErrorIs(t, err, hook.ErrNotFound)
		requireOpens(t, s, tenant, endpoint, sealed(t, s, tenant, endpoint)) // what was missing is not remembered
	})
}

// racing is a Keys in which another process stores its key between the read and
// the write of this one.
type racing struct {
	memory
	other func()
}

func (r *racing) AddDataKey(ctx context.Context, tenant string, wrapped []byte) ([]byte, error) {
	if other := r.other; other != nil {
		r.other = nil
		other()
	}
	return r.memory.AddDataKey(ctx, tenant, wrapped)
}

func TestOfTwoProcessesThatMakeADataKeyTheFirstWins(t *testing.T) {
	t.Parallel()
	keys := &racing{}
	slow, quick := seal.New(seal.Options{Keys: keys, Wrapper: master(t, 1)}), seal.New(seal.Options{Keys: &keys.memory, Wrapper: master(t, 1)})
	var ofQuick []byte
	keys.other = func() { ofQuick = sealed(t, quick, tenant, endpoint) }
	ofSlow := sealed(t, slow, tenant, endpoint)
	requireOpens(t, slow, tenant, endpoint, ofQuick)
	requireOpens(t, quick, tenant, endpoint, ofSlow)
}

func TestADataKeyOfAnotherSizeIsNotUsed(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 16, 24, 31, 33} {
		key := bytes.Repeat([]byte{0x2a}, size)
		s := seal.New(seal.Options{Keys: &memory{}, Wrapper: fixed(key)})
		_, err := s.Seal(t.Context(), tenant, endpoint, []byte(secret))
		require.ErrorContains(t, err, "bytes and not 32")
		if size > 0 {
			requireSilent(t, err, key)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	m, err := seal.NewMaster(bytes.Repeat([]byte{1}, seal.KeySize))
	require.NoError(b, err)
	s := seal.New(seal.Options{Keys: &memory{}, Wrapper: m})
	sealed, err := s.Seal(b.Context(), tenant, endpoint, []byte(secret))
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Open(b.Context(), tenant, endpoint, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
