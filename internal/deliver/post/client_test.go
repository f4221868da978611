package post

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/hook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// plenty is a timeout that no test reaches unless something is wrong.
const plenty = 20 * time.Second

// short is the timeout of tests that wait for it.
const short = 60 * time.Millisecond

// here are the rules of the local default.
var here = Rules{AllowPrivate: true, AllowHTTP: true, AnyPort: true}

func client(t testing.TB, o Options) *Client {
	t.Helper()
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

func send(t testing.TB, c *Client, url string) Result {
	t.Helper()
	return c.Post(t.Context(), Request{URL: url, Header: http.Header{"X-Test": {"1"}}, Body: []byte(`{"id":"evt_1"}`), Timeout: plenty})
}

func TestTheRequestArrivesAsGiven(t *testing.T) {
	t.Parallel()
	got := make(chan *http.Request, 1)
	body := []byte(`{"id":"evt_1","data":{"b":1,"a":1.0}}`)
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err == nil && bytes.Equal(b, body) {
			got <- r
		}
		close(got)
	})
	res := client(t, Options{Rules: here}).Post(t.Context(), Request{
		URL: s.URL + "/hook?token=%2F", Body: body, Timeout: plenty,
		Header: http.Header{"User-Agent": {"Posthorn/1"}, "X-Webhook-Event": {"user.created"}, "Content-Type": {"application/json"}, "Idempotency-Key": {"the-endpoints-own"}},
	})
	require.Equal(t, hook.OutcomeSuccess, res.Outcome)
	require.Equal(t, 200, res.StatusCode)
	require.Empty(t, res.Reason)
	require.Positive(t, res.Duration)
	r := <-got
	require.NotNil(t, r)
	require.Equal(t, "POST", r.Method)
	require.Equal(t, "/hook?token=%2F", r.RequestURI)
	require.Equal(t, int64(len(body)), r.ContentLength)
	require.Equal(t, http.Header{
		"User-Agent": {"Posthorn/1"}, "X-Webhook-Event": {"user.created"}, "Content-Type": {"application/json"},
		"Content-Length": {"37"}, "Idempotency-Key": {"the-endpoints-own"},
	}, r.Header, "nothing else is sent")
}

func TestStatuses(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]struct {
		outcome hook.Outcome
		reason  string
	}{
		200: {hook.OutcomeSuccess, ""},
		204: {hook.OutcomeSuccess, ""},
		299: {hook.OutcomeSuccess, ""},
		304: {hook.OutcomeHTTPError, "HTTP 304: Not Modified"},
		400: {hook.OutcomeHTTPError, "HTTP 400: Bad Request"},
		410: {hook.OutcomeHTTPError, "HTTP 410: Gone"},
		503: {hook.OutcomeHTTPError, "HTTP 503: Service Unavailable"},
		599: {hook.OutcomeHTTPError, "HTTP 599"},
	} {
		s := serve(t, status(code))
		res := send(t, client(t, Options{Rules: here}), s.URL)
		require.Equal(t, want.outcome, res.Outcome, code)
		require.Equal(t, want.reason, res.Reason)
		require.Equal(t, code, res.StatusCode)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	target := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	for _, to := range []string{target.URL, "http://169.254.169.254/latest/meta-data/", "http://169.254.100.1:9001/", "//[::1]:9001/"} {
		for _, code := range []int{301, 302, 303, 307, 308} {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, code) })
			res := send(t, client(t, Options{Rules: here}), s.URL)
			require.Equal(t, hook.OutcomeHTTPError, res.Outcome)
			require.Equal(t, code, res.StatusCode)
		}
	}
	require.Zero(t, reached.Load())
}

func TestTheStartOfTheAnswerIsKeptAsText(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ body, want string }{
		"empty":                 {"", ""},
		"short":                 {`{"error":"no such user"}`, `{"error":"no such user"}`},
		"exactly 1 KB":          {strings.Repeat("a", 1024), strings.Repeat("a", 1024)},
		"longer":                {strings.Repeat("a", 9000), strings.Repeat("a", 1024)},
		"cut inside a letter":   {strings.Repeat("a", 1023) + "ü", strings.Repeat("a", 1023) + "\uFFFD"},
		"not UTF-8":             {"a\xff\xfeb", "a\uFFFDb"},
		"much longer than read": {strings.Repeat("b", 1<<20), strings.Repeat("b", 1024)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(500)
				_, err := io.WriteString(w, tc.body)
				if err != nil && len(tc.body) < 1<<20 {
					t.Error(err)
				}
			})
			res := send(t, client(t, Options{Rules: here}), s.URL)
			require.Equal(t, tc.want, res.ResponseBody)
			require.True(t, utf8.ValidString(res.ResponseBody))
		})
	}
}

func TestADrippingBodyChangesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(201)
		if _, err := io.WriteString(w, "dr"); err != nil {
			t.Error(err)
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-r.Context().Done() // the client gives up
	})
	start := time.Now()
	res := client(t, Options{Rules: here}).Post(t.Context(), Request{URL: s.URL, Timeout: 2 * time.Second})
	elapsed := time.Since(start)
	require.Equal(t, hook.OutcomeSuccess, res.Outcome)
	require.Equal(t, 201, res.StatusCode)
	require.Equal(t, "dr", res.ResponseBody)
	require.Less(t, elapsed, plenty)
	require.Less(t, res.Duration, elapsed-maxBodyWait/2, "until the headers, not the body")
}

func TestAnEndlessBodyIsNotRead(t *testing.T) {
	t.Parallel()
	written := make(chan int, 1)
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		chunk, total := bytes.Repeat([]byte("x"), 64<<10), 0
		for {
			n, err := w.Write(chunk)
			total += n
			if err != nil {
				written <- total
				return
			}
		}
	})
	res := send(t, client(t, Options{Rules: here}), s.URL)
	require.Equal(t, hook.OutcomeSuccess, res.Outcome)
	require.Len(t, res.ResponseBody, 1024)
	require.Less(t, <-written, 64<<20, "only what fits into the socket buffers")
}

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	for name, size := range map[string]int{"no body": 0, "a body that is kept": 100, "a body that is drained": 8000} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var opened atomic.Int64
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if _, err := w.Write(make([]byte, size)); err != nil {
					t.Error(err)
				}
			}))
			s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					opened.Add(1)
				}
			}
			s.Start()
			t.Cleanup(s.Close)
			c := client(t, Options{Rules: here})
			for range 5 {
				require.Equal(t, hook.OutcomeSuccess, send(t, c, s.URL).Outcome)
			}
			require.Equal(t, int64(1), opened.Load())
		})
	}
}

func TestHTTP2IsSpokenWhereOffered(t *testing.T) {
	t.Parallel()
	proto := make(chan int, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { proto <- r.ProtoMajor }))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	res := send(t, client(t, Options{Rules: here, RootCAs: roots(s)}), s.URL)
	require.Equal(t, hook.OutcomeSuccess, res.Outcome, res.Reason)
	require.Equal(t, 2, <-proto)
}

func TestTheEnvironmentsProxyIsNotUsed(t *testing.T) {
	var reached atomic.Int64
	proxy := serve(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("http_proxy", proxy.URL)
	s := serve(t, status(200))
	resolver := nameserver(t, answerA(127, 0, 0, 1))
	res := send(t, client(t, Options{Rules: here, Resolver: resolver}), "http://hooks.example.org:"+port(t, s.URL))
	require.Equal(t, hook.OutcomeSuccess, res.Outcome, res.Reason)
	require.Zero(t, reached.Load())
}

// An environment that was frozen finds its kept connections dead.
func TestARequestIsRepeatedWhenAKeptConnectionDies(t *testing.T) {
	t.Parallel()
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	var requests atomic.Int64
	url := listen(t, func(n int, c net.Conn) {
		if readRequest(c) {
			requests.Add(1)
			write(c, ok)
		}
		if n == 0 && readRequest(c) { // the second on the first connection gets no answer
			requests.Add(1)
		}
	})
	c := client(t, Options{Rules: here})
	require.Equal(t, hook.OutcomeSuccess, send(t, c, url).Outcome)
	second := send(t, c, url)
	require.Equal(t, hook.OutcomeSuccess, second.Outcome, second.Reason)
	require.Equal(t, int64(3), requests.Load())
}

func TestAStoppedPostSaysSo(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			t.Error(err)
		}
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-arrived
		cancel()
	}()
	res := client(t, Options{Rules: here}).Post(ctx, Request{URL: s.URL, Timeout: plenty})
	require.Equal(t, Result{Outcome: hook.OutcomeOther, Reason: "cancelled", Duration: res.Duration}, res)
}

func BenchmarkPost(b *testing.B) {
	s := serve(b, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			b.Error(err)
		}
		w.WriteHeader(204)
	})
	c := client(b, Options{Rules: here})
	body := bytes.Repeat([]byte("x"), 500)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"Posthorn/1"}}
			if res := c.Post(b.Context(), Request{URL: s.URL, Header: h, Body: body, Timeout: plenty}); res.StatusCode != 204 {
				b.Error(res.Reason)
			}
		}
	})
}
