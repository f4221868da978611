package post

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// failing posts to url and holds the failure against what is wanted, and
// against what may never show.
func failing(t *testing.T, o Options, url string, timeout time.Duration, outcome hook.Outcome, reason string) {
	t.Helper()
	o.Rules = here
	res := client(t, o).Post(t.Context(), Request{URL: url, Body: []byte(`{}`), Timeout: timeout})
	require.Equal(t, reason, res.Reason)
	require.Equal(t, outcome, res.Outcome)
	require.Zero(t, res.StatusCode)
	require.NotContains(t, res.Reason, "127.0.0.1")
}

func TestRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	failing(t, Options{}, "http://"+l.Addr().String(), plenty, hook.OutcomeConnection, "connection refused")
}

func TestReset(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ half, reason string }{
		"before the answer": {"", "connection reset"},
		// net/http reports a reset after a whole line as the end of the stream.
		"in the middle of the headers": {"HTTP/1.1 200 OK\r\nX-Half: 1\r\n", "connection closed without an answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := listen(t, func(_ int, c net.Conn) {
				if !readRequest(c) {
					return
				}
				write(c, tc.half)
				if err := c.(*net.TCPConn).SetLinger(0); err != nil { // closing resets
					t.Error(err)
				}
			})
			failing(t, Options{}, url, plenty, hook.OutcomeConnection, tc.reason)
		})
	}
}

// A fresh connection that dies is a failed attempt, and not repeated.
func TestClosedWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for name, half := range map[string]string{"nothing": "", "half of the headers": "HTTP/1.1 200 OK\r\nX-Half: 1\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int64
			url := listen(t, func(_ int, c net.Conn) {
				if readRequest(c) {
					requests.Add(1)
					write(c, half)
				}
			})
			failing(t, Options{}, url, plenty, hook.OutcomeConnection, "connection closed without an answer")
			require.Equal(t, int64(1), requests.Load())
		})
	}
}

func TestTimeouts(t *testing.T) {
	t.Parallel()
	for name, serve := range map[string]func(c net.Conn){
		"nothing is answered": func(c net.Conn) { drain(c) },
		"the headers drip": func(c net.Conn) {
			if readRequest(c) {
				write(c, "HTTP/1.1 200 OK\r\nX-Slow: ")
				drain(c)
			}
		},
		"only 100 Continue is answered": func(c net.Conn) {
			if readRequest(c) {
				write(c, "HTTP/1.1 100 Continue\r\n\r\n")
				drain(c)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := listen(t, func(_ int, c net.Conn) { serve(c) })
			failing(t, Options{}, url, short, hook.OutcomeTimeout, "timeout after 60ms")
		})
	}
	t.Run("the TLS handshake hangs", func(t *testing.T) {
		t.Parallel()
		url := listen(t, func(_ int, c net.Conn) { drain(c) })
		failing(t, Options{}, strings.Replace(url, "http", "https", 1), short, hook.OutcomeTimeout, "timeout after 60ms")
	})
	t.Run("the name server hangs", func(t *testing.T) {
		t.Parallel()
		resolver := nameserver(t, func([]byte) []byte { return nil })
		failing(t, Options{Resolver: resolver}, "http://hooks.example.org", short, hook.OutcomeTimeout, "timeout after 60ms")
	})
}

func TestTimeoutsReadAsWholeSeconds(t *testing.T) {
	t.Parallel()
	require.Equal(t, "30s", (30 * time.Second).String())
	require.Equal(t, "timeout after 1s", timeoutReason(time.Second))
	require.Equal(t, "timeout after 1m30s", timeoutReason(90*time.Second))
}

func TestAnswersThatAreNoHTTP(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ answer, reason string }{
		"another protocol":         {"220 mail.example.org ESMTP\r\n\r\n", "malformed answer"},
		"a status that is no code": {"HTTP/1.1 xyz OK\r\n\r\n", "malformed answer"},
		"a header without a colon": {"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n", "malformed answer"},
		"a bad length":             {"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", "malformed answer"},
		"a transfer of its own":    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: rot13\r\n\r\n", "malformed answer"},
		"huge headers":             {"HTTP/1.1 200 OK\r\nX-Big: " + strings.Repeat("a", 80<<10) + "\r\n\r\n", "response headers too large"},
		"headers without an end":   {"HTTP/1.1 200 OK\r\n" + strings.Repeat("X-More: aaaaaaaaaaaaaaaaaaaaaaaa\r\n", 5000), "response headers too large"},
		"many 1xx":                 {strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: <"+strings.Repeat("a", 1000)+">\r\n\r\n", 200), "response headers too large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := listen(t, func(_ int, c net.Conn) {
				if readRequest(c) {
					write(c, tc.answer)
					drain(c)
				}
			})
			failing(t, Options{}, url, plenty, hook.OutcomeOther, tc.reason)
		})
	}
}

func TestHugeHeadersOverHTTP2(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for _, name := range []string{"A", "B", "C", "D"} {
			w.Header().Set("X-Big-"+name, strings.Repeat("a", 20<<10))
		}
	}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	failing(t, Options{RootCAs: roots(s)}, s.URL, plenty, hook.OutcomeOther, "response headers too large")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	secure := func(t *testing.T, change func(*httptest.Server)) *httptest.Server {
		s := httptest.NewUnstartedServer(status(200))
		s.Config.ErrorLog = quiet()
		change(s)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	t.Run("unknown authority", func(t *testing.T) {
		t.Parallel()
		s := secure(t, func(*httptest.Server) {})
		failing(t, Options{RootCAs: x509.NewCertPool()}, s.URL, plenty, hook.OutcomeTLS, "TLS handshake failed: certificate signed by unknown authority")
	})
	t.Run("another host", func(t *testing.T) {
		t.Parallel()
		s := secure(t, func(*httptest.Server) {})
		o := Options{RootCAs: roots(s), Resolver: nameserver(t, answerA(127, 0, 0, 1))}
		failing(t, o, "https://hooks.example.org:"+port(t, s.URL), plenty, hook.OutcomeTLS, "TLS handshake failed: certificate is for another host")
	})
	t.Run("expired", func(t *testing.T) {
		t.Parallel()
		cert, pool := certificate(t, time.Now().Add(-time.Hour))
		s := secure(t, func(s *httptest.Server) { s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}} })
		failing(t, Options{RootCAs: pool}, s.URL, plenty, hook.OutcomeTLS, "TLS handshake failed: certificate has expired or is not yet valid")
	})
	t.Run("an older version", func(t *testing.T) {
		t.Parallel()
		s := secure(t, func(s *httptest.Server) {
			s.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}
		})
		failing(t, Options{RootCAs: roots(s)}, s.URL, plenty, hook.OutcomeTLS, "TLS handshake failed: protocol version not supported")
	})
	t.Run("a client certificate is asked for", func(t *testing.T) {
		t.Parallel()
		s := secure(t, func(s *httptest.Server) {
			s.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MaxVersion: tls.VersionTLS12}
		})
		failing(t, Options{RootCAs: roots(s)}, s.URL, plenty, hook.OutcomeTLS, "TLS handshake failed: handshake failure")
	})
	t.Run("plain HTTP", func(t *testing.T) {
		t.Parallel()
		s := serve(t, status(200))
		s.Config.ErrorLog = quiet()
		failing(t, Options{}, strings.Replace(s.URL, "http", "https", 1), plenty, hook.OutcomeTLS, "TLS handshake failed: the endpoint does not speak TLS")
	})
	t.Run("closed in the handshake", func(t *testing.T) {
		t.Parallel()
		url := listen(t, func(_ int, c net.Conn) {
			if _, err := c.Read(make([]byte, 4096)); err != nil {
				t.Error(err)
			}
		})
		failing(t, Options{}, strings.Replace(url, "http", "https", 1), plenty, hook.OutcomeConnection, "connection closed without an answer")
	})
}

func TestDNS(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer func([]byte) []byte
		reason string
	}{
		"no such host":         {answerCode(3), "DNS lookup failed: no such host"},
		"the server fails":     {answerCode(2), "DNS lookup failed: server failure"},
		"the server refuses":   {answerCode(5), "DNS lookup failed: server failure"},
		"a name, no addresses": {answerCode(0), "DNS lookup failed: no such host"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failing(t, Options{Resolver: nameserver(t, tc.answer)}, "http://hooks.example.org", plenty, hook.OutcomeDNS, tc.reason)
		})
	}
}

func TestBlockedAddresses(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	s := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	p := port(t, s.URL)
	noLoopback := Rules{AllowHTTP: true, AnyPort: true}
	for name, tc := range map[string]struct {
		rules    Rules
		url      string
		resolves func([]byte) []byte
		reason   string
	}{
		"a literal":                         {noLoopback, s.URL, nil, "blocked address"},
		"localhost":                         {noLoopback, "http://localhost:" + p, answerA(127, 0, 0, 1), "blocked address"},
		"a name that leads inside":          {noLoopback, "http://rebind.example.org:" + p, answerA(127, 0, 0, 1), "blocked address"},
		"a name that leads to metadata":     {here, "http://rebind.example.org", answerA(169, 254, 169, 254), "blocked address"},
		"a port that is not allowed":        {Rules{AllowPrivate: true, AllowHTTP: true}, s.URL, nil, "URL is not allowed"},
		"http that is not allowed":          {Rules{AllowPrivate: true, AnyPort: true}, s.URL, nil, "URL is not allowed"},
		"a URL that should not exist":       {here, "gopher://localhost/", nil, "URL is not allowed"},
		"credentials that should not exist": {here, "http://user:secret@localhost:" + p, nil, "URL is not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := Options{Rules: tc.rules}
			if tc.resolves != nil {
				o.Resolver = nameserver(t, tc.resolves)
			}
			res := send(t, client(t, o), tc.url)
			require.Equal(t, hook.OutcomeBlocked, res.Outcome, res.Reason)
			require.Equal(t, tc.reason, res.Reason)
		})
	}
	t.Cleanup(func() { require.Zero(t, reached.Load()) })
}

// A name that first means an address that is allowed and then one that is not:
// what was found out about it earlier is no help, the address dialled counts.
func TestANameThatIsReboundIsBlockedAtItsNextConnection(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	var inside atomic.Bool
	allowed, metadata := answerA(127, 0, 0, 1), answerA(169, 254, 169, 254)
	c := client(t, Options{Rules: here, Resolver: nameserver(t, func(query []byte) []byte {
		if inside.Load() {
			return metadata(query)
		}
		return allowed(query)
	})})
	url := "http://rebind.example.org:" + port(t, s.URL)
	require.Equal(t, hook.OutcomeSuccess, send(t, c, url).Outcome)
	inside.Store(true)
	res := send(t, c, url)
	require.Equal(t, hook.OutcomeBlocked, res.Outcome, res.Reason)
	require.Equal(t, "blocked address", res.Reason)
}

// The words of an error of net/http that has no type change with its version;
// this is the one list of them.
func TestErrorsKnownByTheirText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"http: server closed idle connection":                       "connection closed without an answer",
		"net/http: HTTP/1.x transport connection broken: something": "connection closed without an answer",
		"read tcp 10.1.2.3:4: use of closed network connection":     "connection closed without an answer",
		"http2: server sent GOAWAY and closed the connection":       "connection closed without an answer",
		"stream error: stream ID 1; INTERNAL_ERROR":                 "HTTP/2 stream reset",
		"connection error: PROTOCOL_ERROR":                          "HTTP/2 connection error",
		"secret http://10.0.0.1/":                                   "request failed",
	} {
		outcome, reason := explain(textError(text))
		require.Equal(t, want, reason)
		require.Contains(t, []hook.Outcome{hook.OutcomeConnection, hook.OutcomeOther}, outcome)
	}
}

type textError string

func (e textError) Error() string { return string(e) }

func port(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u.Port()
}

func drain(c net.Conn) {
	if _, err := io.Copy(io.Discard, c); err != nil {
		return // the client has gone, as it should
	}
}
