package seal

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzParseKey: a key has one spelling, but for the white space around it, and
// no error shows what was taken for one.
func FuzzParseKey(f *testing.F) {
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n")
	f.Add("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=")
	f.Add("AAEC\nAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParseKey(text)
		if err != nil {
			require.ErrorIs(t, err, errNoKey)
			return
		}
		require.Len(t, key, KeySize)
		require.Equal(t, base64.StdEncoding.EncodeToString(key), strings.NewReplacer("\r", "", "\n", "").Replace(strings.TrimSpace(text)))
	})
}
