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
	hanging int           // requests to /hang that have no answer yet
	unhang  chan struct{} // closed: they are answered
}

type received struct {
	header http.Header
	body   string
	path   string
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
	switch v := sign.Verify(req.Header, body, []string{secret}, time.Now()); {
	case err != nil:
		r.bad = append(r.bad, err.Error())
	case v.Plain != nil || v.Standard != nil:
		r.bad = append(r.bad, fmt.Sprintf("signature: %v, %v", v.Plain, v.Standard))
	}
	r.got = append(r.got, received{header: req.Header, body: string(body), path: req.URL.Path})
	w.WriteHeader(r.status)
}

// received returns what came so far, after checking that all of it was signed.
func (r *receiver) received(t *testing.T) []received {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Empty(t, r.bad, "requests that were not signed properly")
	return append([]received(nil), r.got...)
}
