package e2e

import (
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// keys runs `posthorn keys` on the system's table, past its API.
func (s *system) keys(args ...string) string {
	s.t.Helper()
	env := []string{"PATH=" + os.Getenv("PATH")}
	args = append([]string{"keys"}, args...)
	if s.oracle != nil {
		args = append(args, "--table", s.env["POSTHORN_TABLE"])
		for name, value := range s.oracle.environment() {
			env = append(env, name+"="+value)
		}
	} else {
		_, port, err := net.SplitHostPort(s.aws.Addr().String())
		require.NoError(s.t, err)
		args = append(args, "--local", "--aws-port", port)
	}
	cmd := exec.Command(filepath.Join(bin, "posthorn"), args...)
	cmd.Env = env
	cmd.Dir = s.t.TempDir() // no files of configuration
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	require.NoError(s.t, err, said.String())
	return strings.TrimSpace(string(out))
}

// newKey makes a key through the API and returns its id and its text.
func (s *system) newKey(fields map[string]any) (id, text string) {
	s.t.Helper()
	a := s.call("POST", "/api/v1/keys", fields)
	require.Equal(s.t, http.StatusCreated, a.status, a.body)
	return a.body["id"].(string), a.body["key"].(string)
}

// as makes a call with another key; an empty one is none.
func (s *system) as(key, method, path string, body any) answer {
	s.t.Helper()
	other := &system{t: s.t, url: s.url, key: key}
	return other.call(method, path, body)
}

// asking runs a story in each mode, on a system that asks for keys and has one
// for its administrator.
func asking(t *testing.T, story func(t *testing.T, s *system)) {
	for _, m := range modes {
		m.env = map[string]string{"POSTHORN_AUTH": "keys"}
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, m)
			s.key = s.keys("create", "--role", "admin")
			story(t, s)
		})
	}
}

// The console's page and its session come through the gateway, and from any
// process: the function, or one of its replicas, keeps neither.
func TestABrowserIsSignedInByAKey(t *testing.T) {
	t.Parallel()
	asking(t, func(t *testing.T, s *system) {
		ask := func(method, path, body string, headers ...string) *http.Response {
			r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
			require.NoError(t, err)
			r.Header.Set("Accept-Encoding", "gzip")
			if body != "" {
				r.Header.Set("Content-Type", "application/json")
			}
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			resp, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, resp.Body.Close()) })
			return resp
		}
		script := ask("GET", "/console/assets/app.js", "")
		require.Equal(t, http.StatusOK, script.StatusCode)
		require.Equal(t, "gzip", script.Header.Get("Content-Encoding"))
		z, err := gzip.NewReader(script.Body)
		require.NoError(t, err)
		text, err := io.ReadAll(z)
		require.NoError(t, err)
		require.Contains(t, string(text), "X-Posthorn-Console")

		require.Equal(t, http.StatusUnauthorized, ask("GET", "/api/v1/webhooks", "", "X-Posthorn-Console", "1").StatusCode)
		made := ask("POST", "/api/v1/session", `{"key":"`+s.key+`"}`)
		require.Equal(t, http.StatusCreated, made.StatusCode)
		cookies := made.Cookies()
		require.Len(t, cookies, 1)
		require.True(t, cookies[0].HttpOnly)
		cookie := cookies[0].Name + "=" + cookies[0].Value
		require.Equal(t, http.StatusUnauthorized, ask("GET", "/api/v1/webhooks", "", "Cookie", cookie).StatusCode)
		require.Equal(t, http.StatusOK, ask("GET", "/api/v1/webhooks", "", "Cookie", cookie, "X-Posthorn-Console", "1").StatusCode)
		own := ask("POST", "/api/v1/keys", `{"role":"viewer"}`, "Cookie", cookie, "X-Posthorn-Console", "1", "Origin", s.url)
		require.Equal(t, http.StatusCreated, own.StatusCode)
		foreign := ask("POST", "/api/v1/keys", `{"role":"viewer"}`, "Cookie", cookie, "X-Posthorn-Console", "1", "Origin", "https://evil.example")
		require.Equal(t, http.StatusForbidden, foreign.StatusCode)
	})
}

var anyEvent = map[string]any{"event_type": "order.created", "payload": map[string]any{"n": 1}}

func TestNobodyCallsWithoutAKeyOfTheRightRole(t *testing.T) {
	t.Parallel()
	asking(t, func(t *testing.T, s *system) {
		for _, key := range []string{"", "nonsense", s.key[:len(s.key)-4] + "0000"} {
			for _, path := range []string{"/api/v1/webhooks", "/api/v1/events", "/api/v1/stats", "/api/v1/keys", "/metrics"} {
				a := s.as(key, "GET", path, nil)
				require.Equal(t, http.StatusUnauthorized, a.status, path)
				require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"))
				require.Equal(t, "unauthorized", a.body["code"])
			}
			require.Equal(t, http.StatusUnauthorized, s.as(key, "POST", "/api/v1/events", anyEvent).status)
			require.Equal(t, http.StatusOK, s.as(key, "GET", "/health", nil).status)
			require.Equal(t, http.StatusOK, s.as(key, "GET", "/ready", nil).status)
		}
		endpoint := s.register(map[string]any{"secret": secret})
		_, producer := s.newKey(map[string]any{"role": "producer"})
		_, viewer := s.newKey(map[string]any{"role": "viewer"})
		_, metrics := s.newKey(map[string]any{"role": "metrics"})

		a := s.as(producer, "POST", "/api/v1/events", anyEvent)
		require.Equal(t, http.StatusAccepted, a.status, a.body)
		event := a.body["id"].(string)
		delivery := a.body["deliveries"].([]any)[0].(map[string]any)["id"].(string)
		s.until(delivery, "delivered")
		require.Len(t, s.receiver.received(t), 1)

		for _, c := range []struct {
			key, method, path string
			body              any
			status            int
		}{
			{producer, "GET", "/api/v1/events/" + event, nil, 200},
			{producer, "GET", "/api/v1/events", nil, 403},
			{producer, "GET", "/api/v1/deliveries/" + delivery, nil, 403},
			{producer, "DELETE", "/api/v1/webhooks/" + endpoint, nil, 403},
			{producer, "GET", "/metrics", nil, 403},
			{viewer, "GET", "/api/v1/events", nil, 200},
			{viewer, "GET", "/api/v1/deliveries/" + delivery, nil, 200},
			{viewer, "GET", "/api/v1/webhooks/" + endpoint, nil, 200},
			{viewer, "GET", "/api/v1/stats", nil, 200},
			{viewer, "POST", "/api/v1/events", anyEvent, 403},
			{viewer, "POST", "/api/v1/webhooks", map[string]any{}, 403},
			{viewer, "PATCH", "/api/v1/webhooks/" + endpoint, map[string]any{"description": "x"}, 403},
			{viewer, "DELETE", "/api/v1/webhooks/" + endpoint, nil, 403},
			{viewer, "POST", "/api/v1/keys", map[string]any{"role": "admin"}, 403},
			{viewer, "GET", "/api/v1/keys", nil, 403},
			{metrics, "GET", "/metrics", nil, 200},
			{metrics, "GET", "/api/v1/stats", nil, 200},
			{metrics, "GET", "/api/v1/webhooks", nil, 403},
			{s.key, "GET", "/metrics", nil, 200},
			{s.key, "GET", "/api/v1/keys", nil, 200},
		} {
			got := s.as(c.key, c.method, c.path, c.body)
			require.Equal(t, c.status, got.status, "%s %s %v", c.method, c.path, got.body)
		}
		require.Equal(t, http.StatusOK, s.call("GET", "/api/v1/webhooks/"+endpoint, nil).status, "it is as it was")
		require.Len(t, s.list("/api/v1/keys"), 4)
		require.Len(t, s.list("/api/v1/events"), 1)
	})
}

func TestATenantSeesNothingOfAnother(t *testing.T) {
	t.Parallel()
	asking(t, func(t *testing.T, s *system) {
		endpoint := s.register(map[string]any{"secret": secret})
		event, deliveries := s.emit("order.created", map[string]any{"of": "default"})
		s.until(deliveries[0], "delivered")
		_, acme := s.newKey(map[string]any{"role": "admin", "tenant": "acme"})
		mine, _ := s.newKey(map[string]any{"role": "viewer"})

		for _, path := range []string{
			"/api/v1/webhooks", "/api/v1/events", "/api/v1/dlq", "/api/v1/deliveries?endpoint_id=" + endpoint,
		} {
			a := s.as(acme, "GET", path, nil)
			require.Equal(t, http.StatusOK, a.status, path)
			require.Empty(t, a.body["data"], path)
		}
		for _, call := range [][2]string{
			{"GET", "/api/v1/webhooks/" + endpoint},
			{"DELETE", "/api/v1/webhooks/" + endpoint},
			{"GET", "/api/v1/events/" + event},
			{"GET", "/api/v1/deliveries/" + deliveries[0]},
			{"GET", "/api/v1/deliveries?event_id=" + event},
			{"DELETE", "/api/v1/keys/" + mine},
		} {
			require.Equal(t, http.StatusNotFound, s.as(acme, call[0], call[1], nil).status, call)
		}
		for _, path := range []string{"/api/v1/stats", "/metrics"} {
			require.Equal(t, http.StatusForbidden, s.as(acme, "GET", path, nil).status)
		}
		types := s.as(acme, "GET", "/api/v1/event-types", nil)
		for _, kind := range types.body["data"].([]any) {
			require.Nil(t, kind.(map[string]any)["events_total"])
		}
		keys := s.as(acme, "GET", "/api/v1/keys", nil).body["data"].([]any)
		require.Len(t, keys, 1, "its own")

		// What it posts goes to its own endpoints, and nobody else sees it.
		posted := s.as(acme, "POST", "/api/v1/events", anyEvent)
		require.Equal(t, http.StatusAccepted, posted.status)
		require.InDelta(t, 0, posted.body["deliveries_total"], 0)
		require.Equal(t, http.StatusNotFound, s.call("GET", "/api/v1/events/"+posted.body["id"].(string), nil).status)
		require.Len(t, s.list("/api/v1/events"), 1)
		registered := s.as(acme, "POST", "/api/v1/webhooks", map[string]any{"url": s.receiver.url("/acme"), "events": []string{"*"}, "secret": secret})
		require.Equal(t, http.StatusCreated, registered.status, registered.body)
		posted = s.as(acme, "POST", "/api/v1/events", anyEvent)
		require.InDelta(t, 1, posted.body["deliveries_total"], 0)
		theirs := posted.body["deliveries"].([]any)[0].(map[string]any)["id"].(string)
		require.Eventually(t, func() bool {
			return s.as(acme, "GET", "/api/v1/deliveries/"+theirs, nil).body["status"] == "delivered"
		}, patience, 20*time.Millisecond)
		require.Equal(t, http.StatusNotFound, s.call("GET", "/api/v1/deliveries/"+theirs, nil).status)
		var paths []string
		for _, r := range s.receiver.received(t) {
			paths = append(paths, r.path)
		}
		require.ElementsMatch(t, []string{"/hook", "/acme"}, paths)
	})
}

func TestARevokedKeyStops(t *testing.T) {
	t.Parallel()
	m := modes[0] // whose clock can be moved
	m.env = map[string]string{"POSTHORN_AUTH": "keys"}
	s := start(t, m)
	s.key = s.keys("create", "--role", "admin")
	post := func(key string) int { return s.as(key, "POST", "/api/v1/events", anyEvent).status }

	id, producer := s.newKey(map[string]any{"role": "producer"})
	require.Equal(t, http.StatusAccepted, post(producer))
	require.Equal(t, http.StatusNoContent, s.call("DELETE", "/api/v1/keys/"+id, nil).status)
	require.Equal(t, http.StatusUnauthorized, post(producer), "at once, where it was revoked")

	other := s.keys("create", "--role", "producer")
	require.Equal(t, http.StatusAccepted, post(other))
	s.keys("revoke", strings.Split(other, "_")[1])
	s.ahead.Add(int64(time.Minute))
	require.Equal(t, http.StatusUnauthorized, post(other), "within a minute, wherever it was revoked")
	require.NotContains(t, s.keys("list"), strings.Split(other, "_")[1])
	require.Equal(t, http.StatusAccepted, post(s.key), "others go on")
}
