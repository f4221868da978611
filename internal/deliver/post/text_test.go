package post

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzReadBody: of whatever an endpoint answers, however it ends, the start is
// kept, as text.
func FuzzReadBody(f *testing.F) {
	f.Add("ok", false)
	f.Add(strings.Repeat("ü", maxLoggedBody), true)
	f.Add(strings.Repeat("a", maxLoggedBody-1)+"\xe2\x82\xac", false)
	f.Add("\xff\xfe\x00", true)
	f.Fuzz(func(t *testing.T, answer string, breaks bool) {
		body := io.Reader(strings.NewReader(answer))
		if breaks {
			body = io.MultiReader(body, iotest.ErrReader(errors.New("broken")))
		}
		kept := readBody(io.NopCloser(body))
		start := answer[:min(len(answer), maxLoggedBody)]
		require.True(t, utf8.ValidString(kept))
		require.Equal(t, strings.ToValidUTF8(start, "\uFFFD"), kept)
	})
}
