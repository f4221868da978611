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
	"posthorn/internal/hook"
	"posthorn/internal/sign"
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
		code, out, said := printed(t, append(args, "--server", url)...)
		require.Zero(t, code, said)
		return out
	}
	require.Contains(t, ok("endpoints", "list"), e.ID)
	require.Contains(t, ok("events", "list", "--type", "a.b"), accepted.ID)
	require.NotContains(t, ok("events", "list", "--type", "x"), accepted.ID)
	require.Eventually(t, func() bool { return strings.Contains(ok("dlq", "list"), "HTTP 503") }, 20*time.Second, 50*time.Millisecond)
	require.Regexp(t, `(?m)^dlq_\w+ +`+e.ID+` +a\.b .* `+down.URL, ok("dlq", "list"), "other commands take the endpoint's id")
	require.Regexp(t, `(?m)^dlv_\w+ +`+e.ID+` +dead `, ok("deliveries", "list", "--event", accepted.ID))
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

func TestTheCommandLineSaysUntilWhenAnEndpointIsLeftAlone(t *testing.T) {
	t.Setenv("POSTHORN_URL", localURL(t))
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer down.Close()
	ok := func(args ...string) string {
		t.Helper()
		code, out, said := printed(t, args...)
		require.Zero(t, code, said)
		return out
	}
	e := idIn(t, ok("endpoints", "create", down.URL, "--events", "*", "--json"))
	require.Regexp(t, `(?m)^ID +STATUS +LEFT ALONE UNTIL +EVENTS`, ok("endpoints", "list"))
	require.Regexp(t, `(?m)^`+e+` +active +- `, ok("endpoints", "list"))
	for range 10 { // as many as the breaker asks for
		ok("endpoints", "test", e)
	}
	const moment = `20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ`
	open := regexp.MustCompile(`(?m)^` + e + ` +active +` + moment)
	require.Eventually(t, func() bool { return open.MatchString(ok("endpoints", "list")) }, 20*time.Second, 50*time.Millisecond)
	require.Regexp(t, `(?m)^left alone until +`+moment+`$`, ok("endpoints", "show", e))
}

// idIn is the id that a command's JSON has.
func idIn(t *testing.T, out string) string {
	t.Helper()
	var made struct{ ID string }
	require.NoError(t, json.Unmarshal([]byte(out), &made), out)
	require.NotEmpty(t, made.ID)
	return made.ID
}

func TestEverythingOfAnEndpointFromTheCommandLine(t *testing.T) {
	t.Setenv("POSTHORN_URL", localURL(t))
	ok := func(args ...string) string {
		t.Helper()
		code, out, said := printed(t, args...)
		require.Zero(t, code, said)
		return out
	}
	code, out, said := printed(t, "endpoints", "create", "http://127.0.0.1:9/hook", "--events", "order.*,user.created", "--events", "x", "--json",
		"--max-retries", "0", "--rate-limit", "50", "--header", "X-Environment: test: it", "--metadata", "team=a=b", "--timeout", "7", "--secret", "test-secret")
	require.Zero(t, code, said)
	require.Contains(t, said, "only time")
	var made map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &made))
	require.Equal(t, []any{"order.*", "user.created", "x"}, made["events"])
	require.Equal(t, []any{0.0, 50.0, 7.0, "test-secret"}, []any{made["max_retries"], made["rate_limit"], made["timeout"], made["secret"]})
	require.Equal(t, map[string]any{"team": "a=b"}, made["metadata"])
	e := idIn(t, out)

	require.Regexp(t, `(?m)^rate limit +50$`, ok("endpoints", "show", e))
	changed := ok("endpoints", "update", e, "--rate-limit", "none", "--max-retries", "none", "--clear-headers", "--clear-metadata",
		"--url", "http://127.0.0.1:9/other", "--description", "d")
	for field, value := range map[string]string{"rate limit": "-", "max retries": "-", "headers": "{}", "metadata": "{}", "url": "http://127.0.0.1:9/other", "description": "d", "timeout": "7"} {
		require.Regexp(t, `(?m)^`+field+` +`+value+`$`, changed)
	}
	code, out, said = printed(t, "endpoints", "rotate-secret", e, "--overlap", "1h")
	require.Zero(t, code, said)
	require.Regexp(t, `(?m)^secret +whsec_`, out)

	file := filepath.Join(t.TempDir(), "payload.json")
	require.NoError(t, os.WriteFile(file, []byte("{\n \"n\": 1e999, \"t\": \"<&>\"}"), 0o600))
	event := idIn(t, ok("events", "send", "--type", "order.created", "--file", file, "--idempotency-key", "k-1", "--json"))
	shown := ok("events", "show", event)
	require.Contains(t, shown, `{"n":1e999,"t":"<&>"}`, "as it was written")
	require.Contains(t, shown, e, "its delivery")
	code, out, said = printed(t, "events", "send", "--type", "order.created", "--payload", `{"n":1e999,"t":"<&>"}`, "--idempotency-key", "k-1", "--json")
	require.Zero(t, code, said)
	require.Equal(t, event, idIn(t, out))
	require.Contains(t, said, "the same event")
	require.Contains(t, ok("event-types"), "order.created")

	var letters []struct {
		ID         string
		DeliveryID string `json:"delivery_id"`
	}
	dead := func(n int) {
		t.Helper()
		require.Eventually(t, func() bool {
			require.NoError(t, json.Unmarshal([]byte(ok("dlq", "list", "--since", "1h", "--json")), &letters))
			return len(letters) == n
		}, 20*time.Second, 50*time.Millisecond)
	}
	dead(1)
	letter := letters[0].ID
	require.Contains(t, ok("dlq", "show", letter), `{"n":1e999,"t":"<&>"}`)
	require.Contains(t, ok("dlq", "replay", letter), letters[0].DeliveryID)
	require.Eventually(t, func() bool { dead(1); return letters[0].ID != letter }, 20*time.Second, 50*time.Millisecond, "it died once more")
	require.Regexp(t, `kind +recover`, ok("endpoints", "recover", e, "--since", "1h"))
	ok("events", "resend", event, "--endpoint", e)
	job := ok("endpoints", "resume", e, "--no-wait", "--json")
	require.Regexp(t, `status +cancelled`, ok("jobs", "cancel", idIn(t, job)))
	require.Regexp(t, `(?s)kind +resume.*endpoint id +`+e, ok("jobs", "show", idIn(t, job)))
	ok("endpoints", "delete", e)
	code, _, said = printed(t, "endpoints", "delete", e)
	require.Equal(t, 1, code)
	require.Contains(t, said, "posthorn: "+e+": ")
	dead(1)
	ok("dlq", "delete", letters[0].ID)
	dead(0)
}

func TestWhatIsSentSaysWhereItsDeliveriesAreAndACutListThatItIsCut(t *testing.T) {
	t.Setenv("POSTHORN_URL", localURL(t))
	code, out, said := printed(t, "endpoints", "create", "http://127.0.0.1:9/hook", "--events", "order.*", "--json")
	require.Zero(t, code, said)
	e := idIn(t, out)
	code, out, said = printed(t, "events", "send", "--type", "order.created", "--payload", "{}", "--json")
	require.Zero(t, code, said)
	event := idIn(t, out)
	require.Equal(t, "See: posthorn deliveries list --event "+event+"\n", said)
	for _, args := range [][]string{{"events", "resend", event, "--endpoint", e}, {"endpoints", "test", e}} {
		code, out, said = printed(t, append(args, "--json")...)
		require.Zero(t, code, said)
		require.Equal(t, "See: posthorn deliveries list --event "+idIn(t, out)+"\n", said)
	}
	_, _, said = printed(t, "events", "send", "--type", "nobody.s", "--payload", "{}")
	require.Contains(t, said, "No endpoint takes it")
	code, out, said = printed(t, "events", "list", "--limit", "1", "--json")
	require.Zero(t, code)
	require.Equal(t, "There are more: --limit 0 for all.\n", said)
	require.Equal(t, 1, strings.Count(out, `"id"`))
	_, _, said = printed(t, "events", "list", "--limit", "0")
	require.Empty(t, said)
	_, _, said = printed(t, "endpoints", "list", "--limit", "1")
	require.Empty(t, said, "as many as there are")
}

func TestKeysThroughTheAPI(t *testing.T) {
	greeting := startLocal(t, map[string]string{"POSTHORN_AUTH": "keys"})
	t.Setenv("POSTHORN_URL", after(t, greeting, "API "))
	where := strings.Fields(strings.TrimSuffix(after(t, greeting, "keys create --role admin "), ")"))
	first := posthorn(t, append([]string{"keys", "create", "--role", "admin"}, where...)...)
	require.Zero(t, first.code, first.stderr)
	o := posthorn(t, "keys", "list")
	require.Equal(t, 1, o.code)
	require.Contains(t, o.stderr, "asks for an API key")
	t.Setenv("POSTHORN_KEY", strings.TrimSpace(first.stdout))

	made := posthorn(t, "keys", "create", "--role", "viewer", "--tenant", "acme", "--description", "ops")
	require.Zero(t, made.code, made.stderr)
	require.Regexp(t, keyForm, made.stdout)
	asJSON := posthorn(t, "keys", "create", "--role", "producer", "--json")
	require.Contains(t, asJSON.stdout, `"role": "producer"`)
	require.Contains(t, asJSON.stdout, `"key": "ph_`)
	revoked := idIn(t, asJSON.stdout)
	require.Contains(t, posthorn(t, "keys", "list").stdout, revoked)
	require.Regexp(t, `^ID +ROLE +TENANT +CREATED +DESCRIPTION\n\w{26}  viewer +acme +\S+ +ops\n$`, posthorn(t, "keys", "list", "--tenant", "acme").stdout)
	require.Zero(t, posthorn(t, "keys", "revoke", revoked).code)
	require.NotContains(t, posthorn(t, "keys", "list").stdout, revoked)
	require.Equal(t, outcome{code: 1, stderr: "posthorn: there is no key " + revoked + "\n"}, posthorn(t, "keys", "revoke", revoked))
	table := posthorn(t, append([]string{"keys", "list", "--json"}, where...)...)
	require.NotContains(t, table.stdout, revoked, "a flag wins over the environment: the same, from the table")

	t.Setenv("POSTHORN_TABLE", "posthorn")
	require.Contains(t, posthorn(t, "keys", "list").stderr, "names both a table and an API")
	require.Contains(t, posthorn(t, "keys", "list", "--table", "x", "--server", "http://x").stderr, "give either")
}

func TestWhatGoesWrongIsOneLine(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/jobs":
			w.WriteHeader(http.StatusUnauthorized)
		case "/api/v1/events":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"status":400,"code":"invalid_event_type","field":"event_type","detail":"event_type: has a space."}`)
		case "/api/v1/event-types":
			http.Error(w, "Unsupported method", http.StatusNotImplemented)
		case "/api/v1/webhooks":
			if r.Method == http.MethodPost {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"status":400,"code":"invalid_url","field":"url","detail":"url: must be http or https."}`)
				return
			}
			http.Error(w, "Bad request syntax", http.StatusBadRequest)
		case "/api/v1/dlq":
			w.WriteHeader(http.StatusBadGateway)
		case "/api/v1/events/evt_y/resend":
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"status":404,"code":"not_found","field":"endpoint_id","detail":"There is no such endpoint."}`)
		case "/api/v1/dlq/replay":
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"status":400,"code":"invalid_filter","field":"filter.endpoint_id","detail":"filter.endpoint_id: is no id."}`)
		case "/api/v1/dlq/dlq_x", "/api/v1/events/evt_x/resend", "/api/v1/deliveries/dlv_x/retry", "/api/v1/webhooks/ep_x/pause":
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"status":404,"code":"not_found","detail":"There is no such thing."}`)
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
		"nobody there":      {[]string{"stats", "--server", "http://127.0.0.1:1"}, 1, "nothing answers at http://127.0.0.1:1"},
		"a filter's field":  {[]string{"dlq", "replay", "--endpoint", "ep_x"}, 2, "posthorn: --endpoint: is no id (400"},
		"an argument":       {[]string{"endpoints", "create", "ftp://x", "--events", "*"}, 2, "posthorn: URL: must be http or https (400"},
		"and its flag":      {[]string{"endpoints", "create", "--url", "ftp://x", "--events", "*"}, 2, "posthorn: --url: must be http or https (400"},
		"no dead letter":    {[]string{"dlq", "show", "dlq_x"}, 1, "posthorn: dlq_x: There is no such thing (404"},
		"no event":          {[]string{"events", "resend", "evt_x"}, 1, "posthorn: evt_x: There is no such thing (404"},
		"no such endpoint":  {[]string{"events", "resend", "evt_y", "--endpoint", "ep_y"}, 1, "posthorn: There is no such endpoint (404"},
		"no delivery":       {[]string{"deliveries", "retry", "dlv_x"}, 1, "posthorn: dlv_x: There is no such thing (404"},
		"no endpoint":       {[]string{"endpoints", "pause", "ep_x"}, 1, "posthorn: ep_x: There is no such thing (404"},
		"standard input":    {[]string{"events", "send", "--type", "a"}, 2, "--file - is standard input"},
		"no URL":            {[]string{"stats", "--server", "localhost:8000"}, 2, "--server"},
		"no key":            {[]string{"jobs", "list"}, 1, "--key or POSTHORN_KEY"},
		"an old key":        {[]string{"jobs", "list", "--key", "ph_x_y"}, 1, "does not know this API key"},
		"a key of two":      {[]string{"jobs", "list", "--key", "ph x"}, 2, "--key"},
		"a broken filter":   {[]string{"events", "list", "--since", "x"}, 2, "--since: must be a time such as 2026-11-28T12:00:00Z, or 6h for so long ago, and not \"x\""},
		"until when":        {[]string{"dlq", "list", "--until", "yesterday"}, 2, "--until: must be a time such as"},
		"an export's time":  {[]string{"dlq", "export", "--since", "yesterday"}, 2, "--since: must be a time such as"},
		"a replay's time":   {[]string{"dlq", "replay", "--since", "yesterday"}, 2, "--since: must be a time such as"},
		"deliveries since":  {[]string{"deliveries", "list", "--event", "evt_x", "--since", "-6h"}, 2, "--since: must be a time such as"},
		"recover since":     {[]string{"endpoints", "recover", "ep_x", "--since", "yesterday"}, 2, "--since: must be a time such as"},
		"the API's words":   {[]string{"events", "list", "--type", "a b"}, 2, "posthorn: --type: has a space (400 invalid_event_type)"},
		"whose deliveries":  {[]string{"deliveries", "list"}, 2, "give --endpoint or --event"},
		"less than none":    {[]string{"dlq", "list", "--limit", "-1"}, 2, "--limit: must be 0 or more, and not -1"},
		"none to replay":    {[]string{"dlq", "replay", "--all", "--limit", "-1"}, 2, "--limit: must be 1 or more, and not -1"},
		"an empty filter":   {[]string{"listen", "--events", ""}, 2, "--events: a filter is empty"},
		"400 of another":    {[]string{"endpoints", "list"}, 1, "what answers there is not Posthorn"},
		"501 of another":    {[]string{"event-types"}, 1, "what answers there is not Posthorn"},
		"a broken server":   {[]string{"dlq", "list"}, 1, "502"},
		"another server":    {[]string{"stats"}, 1, "not Posthorn"},
		"a number":          {[]string{"dlq", "list", "--limit", "x"}, 2, "--limit"},
		"no filter, no all": {[]string{"dlq", "replay"}, 2, "--all"},
		"both":              {[]string{"dlq", "replay", "--all", "--type", "a"}, 2, "--all"},
		"no id":             {[]string{"jobs", "wait"}, 2, "id"},
		"no command":        {[]string{"dlq"}, 2, "expected one of"},
		"no payload":        {[]string{"events", "send", "--type", "a"}, 2, "--payload or --file"},
		"two payloads":      {[]string{"events", "send", "--type", "a", "--payload", "{}", "--file", "x"}, 2, "--payload or --file"},
		"no type":           {[]string{"events", "send", "--payload", "{}"}, 2, "--type"},
		"a broken payload":  {[]string{"events", "send", "--type", "a", "--payload", "{\n\nx}"}, 2, "--payload:3: is no JSON: invalid character 'x'"},
		"no such file":      {[]string{"events", "send", "--type", "a", "--file", "/nowhere/x"}, 2, "--file: open /nowhere/x"},
		"no events":         {[]string{"endpoints", "create", "http://x"}, 2, "--events"},
		"no change":         {[]string{"endpoints", "update", "ep_x"}, 2, "nothing is to be changed"},
		"a change of both":  {[]string{"endpoints", "update", "ep_x", "--header", "A: b", "--clear-headers"}, 2, "cannot be cleared"},
		"a header's form":   {[]string{"endpoints", "update", "ep_x", "--header", "A"}, 2, `--header: "A" has no ":"`},
		"retries":           {[]string{"endpoints", "update", "ep_x", "--max-retries", "x"}, 2, "--max-retries: must be a whole number or none"},
		"a rate":            {[]string{"endpoints", "update", "ep_x", "--rate-limit", "x"}, 2, "--rate-limit: must be a number or none"},
		"an overlap":        {[]string{"endpoints", "rotate-secret", "ep_x", "--overlap", "1ms"}, 2, "--overlap: must be whole seconds"},
		"since when":        {[]string{"endpoints", "recover", "ep_x"}, 2, "--since"},
		"ids and a filter":  {[]string{"dlq", "replay", "dlq_x", "--all"}, 2, "either ids"},
		"nothing to delete": {[]string{"dlq", "delete"}, 2, "ID is missing"},
		"no such profile":   {[]string{"stats", "--profile", "x"}, 2, `there is no profile "x": there are none in /nowhere/posthorn/config.yaml`},
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

func TestAWaitThatIsInterruptedSaysThatTheJobGoesOn(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	running := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":"job_x","kind":"replay","status":"running","done":1,"total":2}`)
		interrupt()
	}))
	defer running.Close()
	r := &remote{}
	require.EqualError(t, r.wait(ctx, &client.Client{URL: running.URL, HTTP: running.Client()}, "job_x"), "interrupted; the job goes on: posthorn jobs wait job_x")
}

func TestAReplaySaysHowManyWerePassedOver(t *testing.T) {
	for kind, says := range map[string]string{
		`"replay","status":"done","done":1,"total":3,"error":null`:  "2 of 3 were passed over: their endpoint was deleted, or their event is gone.\n",
		`"replay","status":"done","done":3,"total":3,"error":null`:  "",
		`"recover","status":"done","done":1,"total":3,"error":null`: "",
	} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"id":"job_x","kind":`+kind+`}`)
		}))
		code, _, said := printed(t, "jobs", "wait", "job_x", "--server", api.URL)
		api.Close()
		require.Zero(t, code)
		require.Equal(t, says, said)
	}
}

func TestListenTellsTheSecretThatItMade(t *testing.T) {
	url := localURL(t)
	for own, says := range map[string]string{"": `Its secret: whsec_\S+\n$`, "a-secret-of-mine": `until this ends\.\n$`} {
		c := &listenHere{Addr: "127.0.0.1:0", remote: remote{URL: url}, Secret: secretText{own}}
		require.NoError(t, c.Validate())
		ctx, stop := context.WithCancel(t.Context())
		api := &client.Client{URL: url, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
		said := captured(t, func() {
			ended := make(chan error, 1)
			go func() { ended <- c.until(ctx, api, io.Discard) }()
			var all []struct{ ID, URL string }
			require.Eventually(t, func() bool {
				var err error
				all, err = client.List[struct{ ID, URL string }](t.Context(), api, "/api/v1/webhooks", nil, 0)
				return err == nil && len(all) == 1
			}, 20*time.Second, 20*time.Millisecond)
			stop()
			require.NoError(t, <-ended)
		})
		require.Regexp(t, says, said)
		require.NotContains(t, said, "mine")
	}
}

// The endpoint is there before the answer that names it.
func TestListenRemovesItsEndpointAlsoWhenItIsInterruptedWhileItIsMade(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	var removed []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			removed = append(removed, r.URL.Path)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		interrupt()
		<-ctx.Done()
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":"ep_x","secret":"whsec_x"}`)
	}))
	c := &listenHere{Addr: "127.0.0.1:0", remote: remote{URL: server.URL}}
	require.NoError(t, c.Validate())
	require.NoError(t, c.until(ctx, &client.Client{URL: server.URL, HTTP: server.Client()}, io.Discard))
	server.Close()
	require.Equal(t, []string{"/api/v1/webhooks/ep_x"}, removed)
}

// Whoever forwards to a program that is not started has to see that it is not.
func TestListenSaysThatNothingAnswersWhereItForwardsTo(t *testing.T) {
	const secret = "a-secret-of-mine"
	body := []byte(`{"id":"evt_x","event":"a.b","timestamp":"2026-11-24T20:13:18.464Z","data":{}}`)
	for asJSON, says := range map[bool]string{false: "answered: 502\n  nothing answers at http://127.0.0.1:1/hook\n", true: `"answer":502,"forward":"nothing answers at http://127.0.0.1:1/hook"}`} {
		out := &banner{}
		s := &showing{out: out, secret: secret, to: "http://127.0.0.1:1/hook", client: &http.Client{Transport: &http.Transport{}}, json: asJSON}
		req := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(string(body)))
		sign.Headers(req.Header, []hook.Secret{{Value: secret}}, "evt_x", time.Now(), body)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, req)
		require.Equal(t, http.StatusBadGateway, w.Code)
		require.Contains(t, out.String(), says)
	}
}

func TestAPortInUseIsNoMistakeOfTheCommandLine(t *testing.T) {
	taken := httptest.NewServer(http.NotFoundHandler())
	defer taken.Close()
	code, _, said := printed(t, "listen", "--addr", strings.TrimPrefix(taken.URL, "http://"), "--server", taken.URL)
	require.Equal(t, 1, code, said)
	require.Contains(t, said, "--addr: listen tcp")
}

// Where there is no bar, a minute of silence would look like a hang.
func TestWhatStartsAJobSaysThatItWaits(t *testing.T) {
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.WriteString(w, `{"job":{"id":"job_x"}}`)
			return
		}
		_, _ = io.WriteString(w, `{"id":"job_x","kind":"resume","status":"done","done":1,"total":1,"error":null}`)
	}))
	defer api.Close()
	for _, wait := range []bool{true, false} {
		args := []string{"endpoints", "resume", "ep_x", "--server", api.URL}
		says := "Waiting until job_x is over.\n"
		if !wait {
			args, says = append(args, "--no-wait"), ""
		}
		code, _, said := printed(t, args...)
		require.Zero(t, code, said)
		require.Equal(t, says, said)
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
