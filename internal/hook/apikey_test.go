package hook_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

const keyID = "01JCXZ5T5V8Q0R9A1B2C3D4E5F"

func TestAKeysTextIsTakenApartIntoWhatIsKept(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 50 {
		k := hook.APIKey{ID: keyID}
		text, err := k.NewSecret(rand.Reader)
		require.NoError(t, err)
		require.Regexp(t, regexp.MustCompile(`^ph_`+keyID+`_[0-9a-f]{64}$`), text)
		require.False(t, seen[text])
		seen[text] = true

		id, hash, ok := hook.ParseAPIKey(text)
		require.True(t, ok)
		require.Equal(t, keyID, id)
		require.Equal(t, k.Hash, hash)
	}
}

// What is stored goes on to open what it opened before.
func TestAKeysHashIsTheSHA256OfItsSecretAsWritten(t *testing.T) {
	t.Parallel()
	k := hook.APIKey{ID: keyID}
	text, err := k.NewSecret(bytes.NewReader(bytes.Repeat([]byte{0xab}, 40)))
	require.NoError(t, err)
	require.Equal(t, "ph_"+keyID+"_"+strings.Repeat("ab", 32), text)
	require.Equal(t, sha256.Sum256([]byte(strings.Repeat("ab", 32))), k.Hash)
}

func TestAKeyIsNotMadeOfHalfASecret(t *testing.T) {
	t.Parallel()
	for _, rand := range []io.Reader{strings.NewReader("short"), iotest.ErrReader(errors.New("no entropy"))} {
		k := hook.APIKey{ID: keyID}
		text, err := k.NewSecret(rand)
		require.Error(t, err)
		require.Empty(t, text)
		require.Zero(t, k.Hash)
	}
}

func TestTextsThatCanBeNoKeysAreRefused(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("0a", 32)
	_, _, ok := hook.ParseAPIKey("ph_" + keyID + "_" + secret)
	require.True(t, ok)
	for _, text := range []string{
		"", "ph_", "ph__", "ph_" + keyID, "ph_" + keyID + "_", keyID + "_" + secret, "PH_" + keyID + "_" + secret,
		"ph_" + keyID + secret, "ph_" + strings.ToLower(keyID) + "_" + secret, "ph_" + keyID[1:] + "_" + secret, "ph_8" + keyID[1:] + "_" + secret,
		"ph_" + keyID + "_" + secret[1:], "ph_" + keyID + "_" + secret + "0", "ph_" + keyID + "_" + strings.ToUpper(secret),
		"ph_" + keyID + "_" + secret[1:] + "g", "ph_" + keyID + "_" + secret + " ", " ph_" + keyID + "_" + secret, "ph_" + keyID + "_" + secret[1:] + "_",
	} {
		id, hash, ok := hook.ParseAPIKey(text)
		require.False(t, ok, text)
		require.Empty(t, id)
		require.Zero(t, hash)
	}
}

func TestRolesAreTheseFour(t *testing.T) {
	t.Parallel()
	for _, r := range []string{"admin", "producer", "viewer", "metrics"} {
		require.True(t, hook.Role(r).Valid(), r)
	}
	for _, r := range []string{"", "Admin", "root", "admin "} {
		require.False(t, hook.Role(r).Valid(), r)
	}
	require.Len(t, hook.Roles(), 4)
}
