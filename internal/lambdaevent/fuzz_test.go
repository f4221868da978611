package lambdaevent

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/textproto"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
)

// FuzzGateway hands on any event of an HTTP API: the handler sees the method,
// the path, the body and the headers that are in it, and its answer is one that
// the service takes.
func FuzzGateway(f *testing.F) {
	plain, err := json.Marshal(gatewayEvent("POST", "/a b?c", "x=1&y", `{"a":1}`))
	require.NoError(f, err)
	f.Add(plain)
	sample, err := os.ReadFile("../../events/api-post-event.json")
	require.NoError(f, err)
	f.Add(sample)
	f.Add([]byte(`{"rawPath":"","body":"!","isBase64Encoded":true}`))
	f.Add([]byte(`{"rawPath":"//h/../x","headers":{"":"","a b":"c","Host":"x"},"cookies":["a",""],"requestContext":{"http":{"method":"G T"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e events.APIGatewayV2HTTPRequest
		if json.Unmarshal(raw, &e) != nil {
			return
		}
		e.RequestContext.DomainName = "abc.execute-api.us-east-1.amazonaws.com" // the service's own
		called := false
		resp, err := Gateway(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			called = true
			body, err := io.ReadAll(r.Body)
			require.NoError(t, err)
			want := []byte(e.Body)
			if e.IsBase64Encoded {
				want, err = base64.StdEncoding.DecodeString(e.Body)
				require.NoError(t, err)
			}
			require.Equal(t, string(want), string(body))
			require.Equal(t, cmp.Or(strings.ToUpper(e.RequestContext.HTTP.Method), http.MethodGet), r.Method)
			if e.RawPath != "" {
				require.Equal(t, "/"+strings.TrimPrefix(e.RawPath, "/"), r.URL.Path)
			}
			for name, values := range r.Header {
				if name == "Cookie" {
					require.Subset(t, values, e.Cookies)
					continue
				}
				require.Len(t, values, 1, "%s is one header", name)
				require.True(t, has(e.Headers, name, values[0]), "%s: %s", name, values[0])
			}
			_, err = w.Write(body)
			require.NoError(t, err)
		}))(t.Context(), e)
		require.Equal(t, called, err == nil)
		if err != nil {
			return
		}
		require.Equal(t, http.StatusOK, resp.StatusCode)
		require.Equal(t, !utf8.ValidString(resp.Body) || resp.IsBase64Encoded, resp.IsBase64Encoded, "an answer is text")
	})
}

// has says whether the event's headers have one of a canonical name and value.
func has(headers map[string]string, name, value string) bool {
	for n, v := range headers {
		if textproto.CanonicalMIMEHeaderKey(n) == name && textproto.TrimString(v) == value {
			return true
		}
	}
	return false
}
