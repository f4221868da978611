package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	program  = flag.String("posthorn", "../../bin/posthorn", "the program to try")
	chromium = flag.String("chromium", "chromium", "the browser")
	pictures = flag.String("pictures", "../../build/screenshots", "where screenshots go")
	axe      = flag.String("axe", "", "axe-core's axe.min.js, to look at every page's accessibility with it")
	rows     = flag.Int("rows", 2000, "events that are there already")
)

// server is a posthorn local of its own, with a key for an administrator.
type server struct {
	url string
	aws string // the port of its stand-in for AWS
	key string
}

// freePort returns a port that nobody listens on.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, l.Close()) }()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// start starts a Posthorn that asks for keys, or for none, and ends it with the
// test.
func start(t *testing.T, auth string) *server {
	t.Helper()
	port := freePort(t)
	s := &server{url: "http://localhost:" + port, aws: freePort(t)}
	var log bytes.Buffer
	cmd := exec.Command(*program, "local", "--port", port, "--aws-port", s.aws, "--data", t.TempDir())
	cmd.Env = append(os.Environ(), "POSTHORN_AUTH="+auth, "POSTHORN_SWEEP_INTERVAL=1", "LOG_LEVEL=error")
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait(), log.String())
	})
	require.Eventually(t, func() bool {
		r, err := http.Get(s.url + "/ready")
		return err == nil && r.Body.Close() == nil && r.StatusCode == http.StatusOK
	}, 20*time.Second, 50*time.Millisecond, "Posthorn does not start")
	if auth == "keys" {
		s.key = s.newKey(t, "admin")
	}
	return s
}

// newKey makes a key of the tenant default.
func (s *server) newKey(t *testing.T, role string) string {
	t.Helper()
	made, err := exec.Command(*program, "keys", "create", "--role", role, "--local", "--aws-port", s.aws).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(made))
}

// call calls the API and decodes its answer.
func (s *server) call(t *testing.T, method, path string, body any) map[string]any {
	t.Helper()
	answer, err := s.try(t.Context(), method, path, body)
	require.NoError(t, err)
	return answer
}

func (s *server) try(ctx context.Context, method, path string, body any) (answer map[string]any, err error) {
	var b bytes.Buffer
	encode := json.NewEncoder(&b)
	encode.SetEscapeHTML(false)
	if err := encode.Encode(body); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, &b)
	if err != nil {
		return nil, err
	}
	if body == nil {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+s.key)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %d: %s", method, path, resp.StatusCode, text)
	}
	if len(text) > 0 {
		err = json.Unmarshal(text, &answer)
	}
	return answer, err
}

// receiver answers 200, or 503 while it is down.
type receiver struct {
	*httptest.Server
	down   atomic.Bool
	answer atomic.Value // what it says, a string
	got    atomic.Int64
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.got.Add(1)
		w.Header().Set("Content-Type", "application/json")
		if r.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, `{"error":"down for maintenance"}`)
			return
		}
		said, ok := r.answer.Load().(string)
		if !ok {
			said = `{"received":true}`
		}
		_, _ = io.WriteString(w, said)
	}))
	t.Cleanup(r.Close)
	return r
}
