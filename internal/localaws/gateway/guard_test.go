package gateway

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHostGuard(t *testing.T) {
	const (
		loopback = "127.0.0.1:8000"
		beyond   = "172.17.0.2:8000"
	)
	for _, tc := range []struct {
		name         string
		listen       string
		to           string // address the connection came to
		host, origin string
		passes       bool
	}{
		{"localhost", loopback, loopback, "localhost:8000", "", true},
		{"localhost in capitals", loopback, loopback, "LOCALHOST:8000", "", true},
		{"127.0.0.1", loopback, loopback, "127.0.0.1:8000", "", true},
		{"IPv6 loopback", "[::1]:8000", "[::1]:8000", "[::1]:8000", "", true},
		{"default port", "127.0.0.1:80", "127.0.0.1:80", "localhost", "", true},
		{"another port", loopback, loopback, "localhost:9000", "", false},
		{"no port", loopback, loopback, "localhost", "", false},
		{"rebound name", loopback, loopback, "evil.example:8000", "", false},
		{"name that ends like ours", loopback, loopback, "localhost.evil.example:8000", "", false},
		{"no host", loopback, loopback, "", "", false},
		{"port alone", loopback, beyond, ":8000", "", false},
		{"listening name", "box.lan:8000", loopback, "box.lan:8000", "", true},
		{"address to a loopback connection", "0.0.0.0:8000", loopback, "192.168.1.5:8000", "", false},

		{"machine's address", "0.0.0.0:8000", beyond, "172.17.0.2:8000", "", true},
		{"address of the machine around a container", "0.0.0.0:8000", beyond, "192.168.1.5:9000", "", true},
		{"published port of a container", "0.0.0.0:8000", beyond, "localhost:9000", "", true},
		{"IPv6 address", "[::]:8000", beyond, "[2001:db8::1]:8000", "", true},
		{"rebound name beyond loopback", "0.0.0.0:8000", beyond, "evil.example:8000", "", false},

		{"allowed with any port", loopback, loopback, "posthorn.test:1234", "", true},
		{"allowed with its port", loopback, loopback, "hooks.test:8443", "", true},
		{"allowed with another port", loopback, loopback, "hooks.test:8444", "", false},

		{"own page", loopback, loopback, "localhost:8000", "http://localhost:8000", true},
		{"own page behind TLS", loopback, loopback, "posthorn.test", "https://posthorn.test", true},
		{"page of another site", loopback, loopback, "localhost:8000", "https://evil.example", false},
		{"page of another port", loopback, loopback, "localhost:8000", "http://localhost:3000", false},
		{"page of another name of ours", loopback, loopback, "localhost:8000", "http://127.0.0.1:8000", false},
		{"opaque origin", loopback, loopback, "localhost:8000", "null", false},
		{"origin of no web page", loopback, loopback, "localhost:8000", "file://localhost:8000", false},
		{"other site beyond loopback", "0.0.0.0:8000", beyond, "172.17.0.2:8000", "http://evil.example", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			called := false
			g, err := HostGuard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }),
				tc.listen, []string{"posthorn.test", " Hooks.test:8443 ", ""})
			require.NoError(t, err)
			to, err := net.ResolveTCPAddr("tcp", tc.to)
			require.NoError(t, err)
			r := httptest.NewRequest("POST", "/", nil)
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(to)))
			r.Host = tc.host
			if tc.origin != "" {
				r.Header.Set("Origin", tc.origin)
			}
			w := httptest.NewRecorder()
			g.ServeHTTP(w, r)
			require.Equal(t, tc.passes, called)
			if !tc.passes {
				require.Equal(t, 403, w.Code)
				require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
				code := "unknown_host"
				if tc.origin != "" { // of these the host is always right
					code = "foreign_origin"
				}
				require.Contains(t, w.Body.String(), `"code":"`+code+`"`)
			}
		})
	}
}

func TestHostGuardChecksEveryOrigin(t *testing.T) {
	g, err := HostGuard(http.NotFoundHandler(), "127.0.0.1:8000", nil)
	require.NoError(t, err)
	r := httptest.NewRequest("POST", "http://localhost:8000/", nil)
	r.Header["Origin"] = []string{"http://localhost:8000", "http://evil.example"}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	require.Equal(t, 403, w.Code)
}

func TestHostGuardLetsARealClientPass(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g, err := HostGuard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }), l.Addr().String(), nil)
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(g)
	require.NoError(t, srv.Listener.Close())
	srv.Listener = l
	srv.Start()
	defer srv.Close()

	resp, err := srv.Client().Get(srv.URL)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 204, resp.StatusCode)

	req, err := http.NewRequest("GET", srv.URL, nil)
	require.NoError(t, err)
	req.Host = "evil.example"
	resp, err = srv.Client().Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 403, resp.StatusCode)
}

func TestHostGuardRefusesAnAddressWithoutPort(t *testing.T) {
	_, err := HostGuard(http.NotFoundHandler(), "localhost", nil)
	require.Error(t, err)
}
