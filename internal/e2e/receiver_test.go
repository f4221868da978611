package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/sign"
)

const secret = "test-secret"

// receiver is an endpoint. It checks the signatures of what it is sent and
// answers with a status that the test chooses.
type receiver struct {
	server *httptest.Server

	mu      sync.Mutex
	status  int
	got     []received
	bad     []string
	secrets []string       // of the endpoints, beside secret
	answers map[string]int // a path's own status
	retryIn string         // Retry-After of what fails
	hanging int            // requests to /hang that have no answer yet
	unhang  chan struct{}  // closed: they are answered
}

type received struct {
	header http.Header
	body   string
	path   string
	at     time.Time
}

func newReceiver(t testing.TB) *receiver {
	r := &receiver{status: http.StatusOK, unhang: make(chan struct{})}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

func (r *receiver) url(path string) string { return r.server.URL + path }

func (r *receiver) port() string {
	u, err := url.Parse(r.server.URL)
	if err != nil {
		panic(err)
	}
	return u.Port()
}

// answer lets all further requests be answered with status.
func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// answerAt lets further requests of a path be answered with status.
func (r *receiver) answerAt(path string, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answers == nil {
		r.answers = map[string]int{}
	}
	r.answers[path] = status
}

// knows lets what is signed with another secret pass too.
func (r *receiver) knows(secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets = append(r.secrets, secret)
}

// at returns what came to a path so far.
func (r *receiver) at(t *testing.T, path string) []received {
	t.Helper()
	var got []received
	for _, g := range r.received(t) {
		if g.path == path {
			got = append(got, g)
		}
	}
	return got
}

// hangs says how many requests to /hang have no answer yet.
func (r *receiver) hangs() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hanging
}

func (r *receiver) hang(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hanging += n
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if req.URL.Path == "/hang" {
		r.hang(1)
		<-r.unhang
		r.hang(-1)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch v := sign.Verify(req.Header, body, append([]string{secret}, r.secrets...), time.Now()); {
	case err != nil:
		r.bad = append(r.bad, err.Error())
	case v.Plain != nil || v.Standard != nil:
		r.bad = append(r.bad, fmt.Sprintf("signature: %v, %v", v.Plain, v.Standard))
	}
	r.got = append(r.got, received{header: req.Header, body: string(body), path: req.URL.Path, at: time.Now()})
	status, ok := r.answers[req.URL.Path]
	if !ok {
		status = r.status
	}
	if status >= http.StatusBadRequest && r.retryIn != "" {
		w.Header().Set("Retry-After", r.retryIn)
	}
	w.WriteHeader(status)
}

// received returns what came so far, after checking that all of it was signed.
func (r *receiver) received(t *testing.T) []received {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Empty(t, r.bad, "requests that were not signed properly")
	return append([]received(nil), r.got...)
}
