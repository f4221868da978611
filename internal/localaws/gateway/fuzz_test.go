package gateway

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/lambdaevent"
)

// FuzzThrough sends what a client may write on its connection through the
// gateway to a handler behind it, as a function has one: the handler gets the
// request that was sent, and the client the handler's answer.
func FuzzThrough(f *testing.F) {
	for _, raw := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST /api/v1/events?a=1&b=%2F&a=2;c HTTP/1.1\r\nHost: localhost:8000\r\nContent-Type: application/json\r\nContent-Length: 7\r\nIdempotency-Key: 1\r\nidempotency-key: 2\r\nCookie: a=1; b=2\r\n\r\n{\"a\":1}",
		"POST /%00%0a%3f%23/ü HTTP/1.1\r\nHost: [::1]:80\r\nTransfer-Encoding: chunked\r\nContent-Type: text/x\r\n\r\n2\r\n\xff\xfe\r\n0\r\n\r\n",
		"M-SEARCH * HTTP/1.1\r\nHost: \r\nX-Forwarded-For: b\r\nConnection: x\r\n\r\n",
		"GET http://h/../a//b HTTP/1.0\r\nX: \t a,b \r\n\r\n",
	} {
		f.Add([]byte(raw))
	}
	ours := []string{"Cookie", "Host", "Content-Length", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Amzn-Trace-Id"}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil || !servable(r) {
			return
		}
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
		called := false
		g := New(Function(lambdaevent.Gateway(http.HandlerFunc(func(w http.ResponseWriter, got *http.Request) {
			called = true
			require.Equal(t, strings.ToUpper(r.Method), got.Method) // the adapter knows capitals alone
			require.Equal(t, r.URL.Path, got.URL.Path)
			require.Equal(t, r.URL.RawQuery, got.URL.RawQuery)
			for name, values := range r.Header {
				if !slices.Contains(ours, name) && !hopByHop(name) {
					require.Equal(t, strings.Trim(strings.Join(values, ","), " \t"), got.Header.Get(name), name)
				}
			}
			body, err := io.ReadAll(got.Body)
			require.NoError(t, err)
			require.Equal(t, string(sent), string(body))
			w.Header().Set("Content-Type", "application/octet-stream")
			_, err = w.Write(body)
			require.NoError(t, err)
		}))), Options{Logger: quiet()})
		rec := httptest.NewRecorder()
		g.ServeHTTP(rec, r)
		if called {
			require.Equal(t, http.StatusOK, rec.Code)
			require.Equal(t, string(sent), rec.Body.String())
			return
		}
		// What cannot be handed on is refused by the function, not taken for
		// something else.
		require.Equal(t, http.StatusInternalServerError, rec.Code)
	})
}

// servable says whether a request comes as far as a handler, and is well formed:
// a path and a query without "#" (RFC 9112, section 3.2), a host of the
// characters of one, and header names that are tokens (RFC 9110, section 5.6.2).
func servable(r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, "/") || strings.Contains(r.URL.RawQuery, "#") ||
		strings.ContainsFunc(r.Host, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune("/?#@\\\"<>^`{|}", c) }) {
		return false
	}
	for name := range r.Header {
		if name == "" || strings.ContainsFunc(name, func(c rune) bool { return c <= ' ' || c > '~' || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) }) {
			return false
		}
	}
	return true
}

// FuzzHostGuard lets no name through but the server's own, and no page of
// another origin.
func FuzzHostGuard(f *testing.F) {
	for _, seed := range [][2]string{{"localhost:8000", ""}, {"127.0.0.1:8000", "http://127.0.0.1:8000"}, {"[::1]:8000", "null"}, {"evil.example:8000", "http://evil.example:8000"}, {"localhost", "http://localhost:8000@evil"}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, host, origin string) {
		passed := false
		g, err := HostGuard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { passed = true }), "127.0.0.1:8000", nil)
		require.NoError(t, err)
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		g.ServeHTTP(httptest.NewRecorder(), r)
		if !passed {
			return
		}
		name, port, err := net.SplitHostPort(host)
		require.NoError(t, err)
		require.Equal(t, "8000", port)
		if !strings.EqualFold(name, "localhost") {
			addr, err := netip.ParseAddr(name)
			require.NoError(t, err)
			require.True(t, addr.IsLoopback())
		}
		if origin != "" {
			u, err := url.Parse(origin)
			require.NoError(t, err)
			require.True(t, strings.EqualFold(u.Host, host), "%s from %s", host, origin)
		}
	})
}
