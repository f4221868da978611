package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/client"
	"posthorn/internal/config"
)

// banner is what a program greets with, and may be read while it runs.
type banner struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *banner) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *banner) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// localURL runs `posthorn local` for the length of the test.
func localURL(t *testing.T) string {
	t.Helper()
	env := map[string]string{"PORT": "0", "POSTHORN_AWS_PORT": "0", "POSTHORN_DATA_DIR": t.TempDir(), "RETRY_MAX_ATTEMPTS": "1", "POSTHORN_SWEEP_INTERVAL": "1"}
	cfg, err := config.Load(config.Local, config.Source{Getenv: func(name string) string { return env[name] }})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	said, ended := &banner{}, make(chan error, 1)
	go func() { ended <- runLocal(ctx, cfg, slog.New(slog.DiscardHandler), said) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })
	var url string
	require.Eventually(t, func() bool {
		m := regexp.MustCompile(`API +(http://\S+)`).FindStringSubmatch(said.String())
		if m != nil {
			url = m[1]
		}
		return m != nil
	}, 20*time.Second, 10*time.Millisecond)
	return url
}

// printed runs a command, and returns its code and what it wrote.
func printed(t *testing.T, args ...string) (code int, out, said string) {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = file
	defer func() { os.Stdout = stdout }()
	said = captured(t, func() { code = run(args) })
	text, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	require.NoError(t, file.Close())
	return code, string(text), said
}

func TestTheCommandLineSpeaksToARunningPosthorn(t *testing.T) {
	url := localURL(t)
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer down.Close()
	api := &client.Client{URL: url, HTTP: down.Client()}
	var e, accepted struct{ ID string }
	require.NoError(t, api.Call(t.Context(), "POST", "/api/v1/webhooks", nil, map[string]any{"url": down.URL, "events": []string{"*"}}, &e))
	require.NoError(t, api.Call(t.Context(), "POST", "/api/v1/events", nil, map[string]any{"event_type": "a.b", "payload": map[string]any{}}, &accepted))
	ok := func(args ...string) string {
		t.Helper()
		code, out, said := printed(t, append(args, "--url", url)...)
		require.Zero(t, code, said)
		return out
	}
	require.Contains(t, ok("endpoints", "list"), e.ID)
	require.Contains(t, ok("events", "list", "--type", "a.b"), accepted.ID)
	require.NotContains(t, ok("events", "list", "--type", "x"), accepted.ID)
	require.Eventually(t, func() bool { return strings.Contains(ok("dlq", "list"), "HTTP 503") }, 20*time.Second, 50*time.Millisecond)
	var rows []map[string]any
	require.NoError(t, json.Unmarshal([]byte(ok("deliveries", "list", "--endpoint", e.ID, "--json")), &rows))
	require.Len(t, rows, 1)
	require.Equal(t, "dead", rows[0]["status"])
	require.Regexp(t, `(?m)^1 .*503`, ok("deliveries", "show", rows[0]["id"].(string)), "its attempt")
	require.Regexp(t, `matched +1`, ok("dlq", "replay", "--all", "--dry-run"))
	require.Regexp(t, `(?s)kind +replay.*done +1`, ok("dlq", "replay", "--reason", "HTTP 503: Service Unavailable"))
	require.Contains(t, ok("jobs", "list"), "replay")
	require.Contains(t, ok("deliveries", "retry", rows[0]["id"].(string)), rows[0]["id"])
	require.Contains(t, ok("endpoints", "pause", e.ID), "paused")
	require.Contains(t, ok("endpoints", "test", e.ID), "posthorn.test")
	require.Contains(t, ok("endpoints", "resume", e.ID, "--no-wait"), "resume")
	require.Regexp(t, `events total +[0-9]+\n`, ok("stats"))
	require.NotNil(t, json.Unmarshal([]byte(ok("stats")), &rows), "a table is no JSON")
}

func TestWhatGoesWrongIsOneLine(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/jobs":
			w.WriteHeader(http.StatusUnauthorized)
		case "/api/v1/events":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"status":400,"code":"invalid_time","field":"since","detail":"since: must be an RFC 3339 time."}`)
		case "/api/v1/dlq":
			w.WriteHeader(http.StatusBadGateway)
		default:
			_, _ = io.WriteString(w, "<html>")
		}
	}))
	defer refusing.Close()
	for name, c := range map[string]struct {
		args []string
		want int
		says string
	}{
		"nobody there":      {[]string{"stats", "--url", "http://127.0.0.1:1"}, 1, "nothing answers at http://127.0.0.1:1"},
		"no URL":            {[]string{"stats", "--url", "localhost:8000"}, 2, "--url"},
		"no key":            {[]string{"jobs", "list"}, 1, "--key or POSTHORN_KEY"},
		"an old key":        {[]string{"jobs", "list", "--key", "ph_x_y"}, 1, "does not know this API key"},
		"a key of two":      {[]string{"jobs", "list", "--key", "ph x"}, 2, "--key"},
		"a broken filter":   {[]string{"events", "list", "--since", "x"}, 2, "since: must be an RFC 3339 time (400 invalid_time)"},
		"a broken server":   {[]string{"dlq", "list"}, 1, "502"},
		"another server":    {[]string{"stats"}, 1, "not Posthorn"},
		"a number":          {[]string{"dlq", "list", "--limit", "x"}, 2, "--limit"},
		"no filter, no all": {[]string{"dlq", "replay"}, 2, "--all"},
		"both":              {[]string{"dlq", "replay", "--all", "--type", "a"}, 2, "--all"},
		"no id":             {[]string{"jobs", "wait"}, 2, "id"},
		"no command":        {[]string{"dlq"}, 2, "expected one of"},
		"where to forward":  {[]string{"listen", "--forward", "x"}, 2, "--forward"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("POSTHORN_URL", refusing.URL)
			code, out, said := printed(t, c.args...)
			require.Equal(t, c.want, code, said)
			require.Empty(t, out)
			require.Contains(t, strings.ToLower(said), strings.ToLower(c.says))
			first, rest, _ := strings.Cut(said, "\n")
			require.True(t, strings.HasPrefix(first, "posthorn: "), said)
			require.True(t, rest == "" || strings.HasPrefix(rest, "Try: "), said)
		})
	}
}

func TestListenShowsWhatComesAndLeavesNothingBehind(t *testing.T) {
	url := localURL(t)
	forwarded := make(chan http.Header, 10)
	to := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		forwarded <- r.Header
		w.WriteHeader(http.StatusTeapot)
	}))
	defer to.Close()
	api := &client.Client{URL: url, HTTP: to.Client()}
	c := &listenHere{Addr: "127.0.0.1:0", Forward: to.URL, remote: remote{URL: url}}
	require.NoError(t, c.Validate())
	ctx, stop := context.WithCancel(t.Context())
	out, ended := &banner{}, make(chan error, 1)
	go func() { ended <- c.until(ctx, api, out) }()
	var all []struct{ ID, URL string }
	require.Eventually(t, func() bool {
		var err error
		all, err = client.List[struct{ ID, URL string }](t.Context(), api, "/api/v1/webhooks", nil, 0)
		return err == nil && len(all) == 1
	}, 20*time.Second, 20*time.Millisecond)
	require.NoError(t, api.Call(t.Context(), "POST", "/api/v1/events", nil, map[string]any{"event_type": "a.b", "payload": map[string]any{"n": 1}}, nil))
	require.NotEmpty(t, (<-forwarded).Get("Webhook-Signature"), "as it came")
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "answered: 418") }, 20*time.Second, 20*time.Millisecond)
	require.Regexp(t, `^a\.b  evt_\w{26}  attempt 1  signature: genuine  answered: 418\n  {"n":1}\n`, out.String())

	resp, err := to.Client().Post(all[0].URL, "application/json", strings.NewReader("{}"))
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.Contains(t, out.String(), "signature: the request is not signed")

	stop()
	require.NoError(t, <-ended)
	all, err = client.List[struct{ ID, URL string }](t.Context(), api, "/api/v1/webhooks", nil, 0)
	require.NoError(t, err)
	require.Empty(t, all)
}
