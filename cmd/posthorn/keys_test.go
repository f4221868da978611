package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/hook"
)

// outcome is what a command did.
type outcome struct {
	code           int
	stdout, stderr string
}

// posthorn runs a command line.
func posthorn(t *testing.T, args ...string) outcome {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	require.NoError(t, err)
	stdout := os.Stdout
	os.Stdout = file
	defer func() { os.Stdout = stdout }()
	var o outcome
	o.stderr = captured(t, func() { o.code = run(args) })
	raw, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	require.NoError(t, file.Close())
	o.stdout = string(raw)
	return o
}

// startLocal serves until the test ends, and returns what it greets with.
func startLocal(t *testing.T, env map[string]string) string {
	t.Helper()
	for name, value := range map[string]string{"PORT": "0", "POSTHORN_AWS_PORT": "0", "POSTHORN_DATA_DIR": t.TempDir()} {
		env[name] = value
	}
	cfg, err := config.Load(config.Local, config.Source{Getenv: func(name string) string { return env[name] }})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- runLocal(ctx, cfg, slog.New(slog.DiscardHandler), w) }()
	greeting := make([]byte, 4096)
	n, err := r.Read(greeting)
	require.NoError(t, err)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		require.NoError(t, <-ended)
		require.NoError(t, w.Close())
	})
	return string(greeting[:n])
}

// after returns what follows a word up to the end of its line.
func after(t *testing.T, text, word string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if _, rest, ok := strings.Cut(line, word); ok {
			return strings.TrimSpace(rest)
		}
	}
	require.Fail(t, "not there: "+word, text)
	return ""
}

var keyForm = regexp.MustCompile(`^ph_[0-9A-Z]{26}_[0-9a-f]{64}\n$`)

func TestTheFirstKeyIsMadeListedAndRevoked(t *testing.T) {
	greeting := startLocal(t, map[string]string{"POSTHORN_AUTH": "keys"})
	url := after(t, greeting, "API ")
	where := strings.Fields(strings.TrimSuffix(after(t, greeting, "keys create --role admin "), ")"))
	status := func(key string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/webhooks", nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+key)
		answer, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode
	}
	keys := func(args ...string) outcome {
		return posthorn(t, append(append([]string{"keys"}, args...), where...)...)
	}

	none := keys("list")
	require.Equal(t, outcome{stderr: "There are no keys.\n"}, none)
	require.Equal(t, outcome{stdout: "[]\n"}, keys("list", "--json"))

	made := keys("create", "--role", "admin", "--description", "ops\x1b[31m")
	require.Zero(t, made.code, made.stderr)
	require.Regexp(t, keyForm, made.stdout, "the key alone")
	require.NotContains(t, made.stderr, "ph_")
	require.NotEmpty(t, made.stderr)
	key := strings.TrimSpace(made.stdout)
	id, _, ok := hook.ParseAPIKey(key)
	require.True(t, ok)
	require.Equal(t, http.StatusOK, status(key))
	require.Equal(t, http.StatusUnauthorized, status(key+"0"))
	acme := keys("create", "--role", "viewer", "--tenant", "acme")
	require.Zero(t, acme.code, acme.stderr)

	table := keys("list")
	require.Zero(t, table.code)
	lines := bufio.NewScanner(strings.NewReader(table.stdout))
	var rows [][]string
	for lines.Scan() {
		rows = append(rows, strings.Fields(lines.Text()))
	}
	require.Len(t, rows, 3)
	require.Equal(t, []string{"ID", "ROLE", "TENANT", "CREATED", "DESCRIPTION"}, rows[0])
	require.Equal(t, []string{"viewer", "acme"}, rows[1][1:3], "newest first")
	require.Equal(t, []string{id, "admin", "default", rows[2][3], "ops\ufffd[31m"}, rows[2])
	require.NotContains(t, table.stdout, "ph_")

	var listed []map[string]any
	require.NoError(t, json.Unmarshal([]byte(keys("list", "--json", "--tenant", "default").stdout), &listed))
	require.Len(t, listed, 1)
	at, err := time.Parse(time.RFC3339, listed[0]["created_at"].(string))
	require.NoError(t, err)
	require.Equal(t, hook.IDTime(id), at)
	delete(listed[0], "created_at")
	require.Equal(t, map[string]any{"id": id, "role": "admin", "tenant": "default", "description": "ops\x1b[31m"}, listed[0])

	revoked := keys("revoke", id)
	require.Zero(t, revoked.code, revoked.stderr)
	require.Empty(t, revoked.stdout)
	require.Equal(t, outcome{code: 1, stderr: "posthorn: there is no key " + id + "\n"}, keys("revoke", id))
	require.Equal(t, outcome{code: 1, stderr: "posthorn: there is no table nothing at " + where[2] + "\n"}, func() outcome {
		o := keys("list", "--table", "nothing")
		o.stderr = regexp.MustCompile(`127\.0\.0\.1:(\d+): name it with --table`).ReplaceAllString(o.stderr, "$1")
		return o
	}())
}

// account makes the SDK's usual configuration name an account that is at url.
func account(t *testing.T, url string) {
	t.Setenv("AWS_ENDPOINT_URL", url)
	t.Setenv("AWS_REGION", "eu-central-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "any")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "any")
}

func TestKeysOfAnAccountAreInItsTable(t *testing.T) {
	greeting := startLocal(t, map[string]string{"POSTHORN_TABLE": "hooks-Table-1ABC", "POSTHORN_AUTH": "keys"})
	account(t, after(t, greeting, "SQS, DynamoDB "))

	o := posthorn(t, "keys", "create", "--role", "admin")
	require.Equal(t, outcome{code: 2, stderr: "posthorn: say where: --local, --table NAME or --server URL\n"}, o)
	o = posthorn(t, "keys", "create", "--role", "admin", "--table", "posthorn")
	require.Equal(t, outcome{code: 1, stderr: "posthorn: there is no table posthorn in eu-central-1: name it with --table\n"}, o)
	o = posthorn(t, "keys", "create", "--role", "admin", "--table", "hooks-Table-1ABC")
	require.Zero(t, o.code, o.stderr)
	require.Regexp(t, keyForm, o.stdout)
	t.Setenv("POSTHORN_TABLE", "hooks-Table-1ABC")
	id, _, _ := hook.ParseAPIKey(strings.TrimSpace(o.stdout))
	require.Contains(t, posthorn(t, "keys", "list").stdout, id)
	require.Zero(t, posthorn(t, "keys", "revoke", id).code)
	require.NotContains(t, posthorn(t, "keys", "list").stdout, id)
}

func TestKeysThatCannotBeAskedForAreRefused(t *testing.T) {
	account(t, "http://127.0.0.1:1")
	whole := "ph_01JCXZ5T5V8Q0R9A1B2C3D4E5F_" + strings.Repeat("a", 64)
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no command":               {nil, 2, "expected one of"},
		"no role":                  {[]string{"create"}, 2, "--role"},
		"metrics of a tenant":      {[]string{"create", "--role", "metrics", "--tenant", "acme"}, 2, "--role: metrics is for keys of the tenant default alone"},
		"an unknown role":          {[]string{"create", "--role", "root"}, 2, `"admin","producer","viewer","metrics"`},
		"a bad tenant":             {[]string{"create", "--role", "admin", "--tenant", "A b"}, 2, "--tenant"},
		"a list of a bad tenant":   {[]string{"list", "--tenant", "A b"}, 2, "--tenant"},
		"a long description":       {[]string{"create", "--role", "admin", "--description", strings.Repeat("ü", 1001)}, 2, "--description"},
		"a port of no local":       {[]string{"list", "--aws-port", "4566"}, 2, "--local"},
		"a host of no local":       {[]string{"revoke", "01JCXZ5T5V8Q0R9A1B2C3D4E5F", "--aws-host", "127.0.0.1"}, 2, "--local"},
		"a whole key to revoke":    {[]string{"revoke", whole}, 2, "26 characters"},
		"a bad table and port":     {[]string{"list", "--local", "--table", "a b", "--aws-port", "x"}, 2, "configuration: --aws-port: \"x\" is not a whole number from 0 to 65535; --table: \"a b\""},
		"an empty table":           {[]string{"list", "--table", ""}, 2, "--table: has no value"},
		"nobody there":             {[]string{"list", "--local", "--aws-port", "1"}, 1, "no posthorn local answers at 127.0.0.1:1: start it"},
		"an account, out of reach": {[]string{"list", "--table", "posthorn"}, 1, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			o := posthorn(t, append([]string{"keys"}, c.args...)...)
			require.Equal(t, c.code, o.code, o.stderr)
			require.Contains(t, o.stderr, c.says)
			require.Empty(t, o.stdout)
			require.NotContains(t, o.stderr, whole)
			if c.code == exitFailure {
				require.Equal(t, 1, strings.Count(o.stderr, "\n"), "one line: %s", o.stderr)
			}
		})
	}
}

// A greeting warns of what others can reach without a key, and no more.
func TestTheGreetingSaysWhatIsOpen(t *testing.T) {
	for name, c := range map[string]struct {
		env        map[string]string
		warns      string
		mentionKey bool
	}{
		"nothing":                  {env: map[string]string{}},
		"everything":               {env: map[string]string{"HOST": "0.0.0.0"}, warns: "reachable from other machines, and asks nobody for a key"},
		"the services":             {env: map[string]string{"POSTHORN_AWS_HOST": "0.0.0.0"}, warns: "reachable from other machines, and asks nobody for a key"},
		"nothing, with keys":       {env: map[string]string{"HOST": "0.0.0.0", "POSTHORN_AUTH": "keys"}, mentionKey: true},
		"the services, with keys":  {env: map[string]string{"POSTHORN_AWS_HOST": "0.0.0.0", "POSTHORN_AUTH": "keys"}, warns: "SQS and DynamoDB are reachable from other machines, and ask nobody for a key", mentionKey: true},
		"another address of local": {env: map[string]string{"POSTHORN_AWS_HOST": "127.0.0.2", "POSTHORN_AUTH": "keys"}, mentionKey: true},
	} {
		t.Run(name, func(t *testing.T) {
			greeting := startLocal(t, c.env)
			require.Equal(t, c.warns != "", strings.Contains(greeting, "WARNING"), greeting)
			require.Contains(t, greeting, c.warns)
			require.Equal(t, c.mentionKey, strings.Contains(greeting, "keys create --role admin --local"), greeting)
			require.Equal(t, c.mentionKey, strings.Count(greeting, `-H "Authorization: Bearer $KEY"`) == 2, greeting)
			require.Equal(t, c.env["POSTHORN_AWS_HOST"] == "127.0.0.2", strings.Contains(greeting, "--aws-host 127.0.0.2"), greeting)
		})
	}
}
