package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// FuzzPayload: what is kept of a payload is the payload without the white space
// between its tokens, and nothing else is refused than what has to be.
func FuzzPayload(f *testing.F) {
	for _, payload := range []string{
		`{}`, " {\"a\" : [1.0, 1e5 ,\"\\u00e9\\n\"],\t\"a\":{} }\r\n", `{"a":"]}\""}`, `{"a":` + strings.Repeat("[", 99) + strings.Repeat("]", 99) + `}`,
		`{"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "{\"\xff\":1}", `[]`, `{"a":}`, `{}{}`, ``, `{"<>&\u2028":"` + "\u2028" + `"}`,
	} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := compact(payload)
		if err != nil {
			var invalid *hook.InvalidError
			if !errors.As(err, &invalid) {
				require.ErrorIs(t, err, ErrTooLarge)
				require.Greater(t, len(payload), MaxPayload)
				return
			}
			require.Equal(t, "payload", invalid.Field)
			object := bytes.HasPrefix(bytes.TrimLeft(payload, " \t\r\n"), []byte("{"))
			require.False(t, object && json.Valid(payload) && utf8.Valid(payload) && invalid.Code != "payload_too_deep", "%v", err)
			return
		}
		var want bytes.Buffer
		require.NoError(t, json.Compact(&want, payload))
		require.Equal(t, want.String(), string(got))
		require.LessOrEqual(t, len(got), MaxPayload)
		require.True(t, utf8.Valid(got))
		again, err := compact(got)
		require.NoError(t, err)
		require.Equal(t, string(got), string(again))
	})
}

// FuzzTraceparent: what is carried on is a traceparent of version 00, and as it
// came.
func FuzzTraceparent(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("00-00000000000000000000000000000000-00f067aa0ba902b7-01")
	f.Add("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x")
	f.Fuzz(func(t *testing.T, text string) {
		got := traceparent(text)
		if got == "" {
			return
		}
		require.Equal(t, text, got)
		require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`, got)
		require.NotRegexp(t, `^00-(0{32}-.*|.*-0{16}-..)$`, got)
	})
}
