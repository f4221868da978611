package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/config"
)

// actAsPosthorn makes the test's binary the program: what a shell completes with.
const actAsPosthorn = "POSTHORN_TEST_ACTS_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(actAsPosthorn) != "" {
		os.Exit(run(os.Args[1:]))
	}
	if err := os.Setenv("XDG_CONFIG_HOME", "/nowhere"); err != nil { // no test reads whose machine it is
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

func TestExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		want int
		says string
	}{
		"help":                {args: []string{"--help"}, want: 0},
		"help of a command":   {args: []string{"local", "--help"}, want: 0},
		"version":             {args: []string{"version"}, want: 0},
		"no command":          {want: 2, says: "expected one of"},
		"unknown command":     {args: []string{"bogus"}, want: 2, says: `there is no command "bogus": expected one of: completion, deliveries`},
		"a near miss":         {args: []string{"dlq", "lst"}, want: 2, says: `there is no command "lst": did you mean list?`},
		"no shell":            {args: []string{"completion"}, want: 2, says: "expected one of: bash, fish, powershell, zsh"},
		"another shell":       {args: []string{"completion", "foo"}, want: 2, says: `there is no command "foo": expected one of: bash`},
		"two shells":          {args: []string{"completion", "bash", "x"}, want: 2, says: `"x" is one argument too many`},
		"an empty server":     {args: []string{"stats", "--server", ""}, want: 2, says: "--server: has no value"},
		"an empty key":        {args: []string{"keys", "list", "--key", ""}, want: 2, says: "--key: has no value"},
		"an empty secret":     {args: []string{"endpoints", "create", "http://x", "--events", "*", "--secret", ""}, want: 2, says: "--secret: has no value"},
		"listen's own secret": {args: []string{"listen", "--secret", ""}, want: 2, says: "--secret: has no value"},
		"an address of none":  {args: []string{"listen", "--addr", "nonsense"}, want: 2, says: `--addr: must be HOST:PORT, such as 127.0.0.1:9000, and not "nonsense"`},
		"a port of none":      {args: []string{"listen", "--addr", "127.0.0.1:x"}, want: 2, says: "--addr: must be HOST:PORT"},
		"a variable's URL":    {args: []string{"stats"}, env: map[string]string{"POSTHORN_URL": "foo"}, want: 2, says: "posthorn: POSTHORN_URL: must be the address of an API"},
		"an API's own path":   {args: []string{"stats", "--server", "http://localhost:8000/api/v1"}, want: 2, says: "--server: give the address without /api/v1: http://localhost:8000\n"},
		"a path in a slash":   {args: []string{"stats"}, env: map[string]string{"POSTHORN_URL": "http://h/x/api/v1/"}, want: 2, says: "POSTHORN_URL: give the address without /api/v1: http://h/x\n"},
		"nobody's health":     {args: []string{"health", "--server", "http://127.0.0.1:1"}, want: 1, says: "posthorn: nothing answers at http://127.0.0.1:1/health\n"},
		"one too many":        {args: []string{"stats", "x"}, want: 2, says: `"x" is one argument too many`},
		"a switch's value":    {args: []string{"stats", "--json=x"}, want: 2, says: `--json: must be true or false, and not "x"`},
		"a time":              {args: []string{"reconcile", "--since", "x"}, want: 2, says: `--since: must be a time such as 2026-11-24T04:00:00Z, and not "x"`},
		"a flag cut short":    {args: []string{"stats", "--server"}, want: 2, says: "--server: has no value"},
		"a letter":            {args: []string{"stats", "-x"}, want: 2, says: "there is no flag -x"},
		"help to look at":     {args: []string{"keys", "list", "--bogus"}, want: 2, says: "Try: posthorn keys list --help"},
		"unknown flag":        {args: []string{"local", "--bogus"}, want: 2, says: "there is no flag --bogus"},
		"bad variables":       {args: []string{"local"}, env: map[string]string{"RETRY_JITTER": "7", "LOG_LEVEL": "loud"}, want: 2, says: "RETRY_JITTER"},
		"a flag's bad value":  {args: []string{"local", "--port", "abc"}, want: 2, says: `--port: "abc"`},
		"a flag left empty":   {args: []string{"local", "--data", ""}, want: 2, says: "--data: has no value"},
		"data in a file":      {args: []string{"local", "--port", "0", "--aws-port", "0", "--data", "main.go"}, want: 1, says: "--data"},
		"an address not ours": {args: []string{"local", "--host", "192.0.2.1", "--port", "0"}, want: 1, says: "--host and --port"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range c.env {
				t.Setenv(k, v)
			}
			var code int
			said := captured(t, func() { code = run(c.args) })
			require.Equal(t, c.want, code, said)
			require.Contains(t, said, c.says)
		})
	}
}

// every calls look with each of the commands.
func every(c *cobra.Command, look func(*cobra.Command)) {
	look(c)
	for _, sub := range c.Commands() {
		every(sub, look)
	}
}

// People read these in a list, and aloud.
func TestEveryCommandAndFlagSaysWhatItIs(t *testing.T) {
	every(posthornCommand(), func(c *cobra.Command) {
		path := c.CommandPath()
		require.Regexp(t, `^[A-Z]`, c.Short, path)
		if c.HasParent() {
			require.NotRegexp(t, `[.!]$`, c.Short, path)
		}
		if !c.HasSubCommands() && c.Name() != "version" {
			require.Regexp(t, `(?m)^  (posthorn|jq .* \| posthorn) `, c.Example, "%s: what one types", path)
		}
		if c.HasSubCommands() && c.HasParent() && c.Name() != "completion" {
			require.Regexp(t, `(?m)^  posthorn `+c.Name()+` `, c.Example, "%s: a group's help has an example", path)
		}
		require.NotNil(t, c.RunE, path)
		require.NotNil(t, c.Args, path)
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			require.Regexp(t, `^[a-z]+(-[a-z]+)*$`, f.Name, path)
			require.Regexp(t, `(?s)^.*[.)]$`, f.Usage, "%s --%s", path, f.Name)
			if value, _ := pflag.UnquoteUsage(f); f.Value.Type() != "bool" {
				require.Regexp(t, `^[A-Z:]+$`, value, "%s --%s: what its value is", path, f.Name)
			}
		})
	})
}

func TestHelpShowsWhatThereIs(t *testing.T) {
	_, out, said := printed(t, "dlq", "replay", "--help")
	require.Empty(t, said)
	require.Contains(t, out, "Usage:\n  posthorn dlq replay")
	require.Contains(t, out, "      --rate N ")
	require.Regexp(t, `(?s)Flags of every "posthorn dlq":.*--server URL`, out)
	_, out, _ = printed(t, "dlq", "import", "--help")
	for line := range strings.Lines(out) {
		require.LessOrEqual(t, len(line), helpWidth+1, line)
	}
	_, out, _ = printed(t, "--help")
	require.Regexp(t, `(?s)Run it:\n.*  local .*\n\nCall a running Posthorn:.*  dlq  .*\n\nTend .*  keys  .*\n\nOthers:\n  completion`, out)
	for line := range strings.Lines(out) {
		require.LessOrEqual(t, len(line), helpWidth+1, line)
	}
}

// captured returns what f writes to standard error.
func captured(t *testing.T, f func()) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	stderr := os.Stderr
	os.Stderr = file
	defer func() { os.Stderr = stderr }()
	f()
	said, err := os.ReadFile(file.Name())
	require.NoError(t, err)
	require.NoError(t, file.Close())
	return string(said)
}

// served runs `posthorn local` on a folder until it greets, and stops it.
func served(t *testing.T, env map[string]string) error {
	t.Helper()
	env["PORT"], env["POSTHORN_AWS_PORT"] = "0", "0"
	cfg, err := config.Load(config.Local, config.Source{Getenv: func(name string) string { return env[name] }})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	return runLocal(ctx, cfg, slog.New(slog.DiscardHandler), stopping(stop))
}

// stopping is what a greeting is written to that ends what is greeted for.
type stopping func()

func (stop stopping) Write(b []byte) (int, error) {
	stop()
	return len(b), nil
}

func TestTheKeyIsInTheDataFolderUnlessOneIsSet(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "seal.key")
	const set = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	for _, other := range []map[string]string{{"POSTHORN_SEAL_KEY": set}, {"POSTHORN_KMS_KEY_ID": "alias/a"}} {
		other["POSTHORN_DATA_DIR"] = dir
		require.NoError(t, served(t, other))
		require.NoFileExists(t, path)
	}
	require.NoError(t, served(t, map[string]string{"POSTHORN_DATA_DIR": dir}))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	key, err := os.ReadFile(path)
	require.NoError(t, err)

	require.NoError(t, served(t, map[string]string{"POSTHORN_DATA_DIR": dir}))
	again, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, key, again)

	require.NoError(t, os.Chmod(path, 0o644))
	require.ErrorContains(t, served(t, map[string]string{"POSTHORN_DATA_DIR": dir}), "run chmod 600 "+path)
}

func TestAPortInUseSaysWhatToSet(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	for flag, says := range map[string]string{"--port": "HOST and PORT", "--aws-port": "POSTHORN_AWS_HOST and POSTHORN_AWS_PORT"} {
		other := map[string]string{"--port": "--aws-port", "--aws-port": "--port"}[flag]
		var code int
		said := captured(t, func() { code = run([]string{"local", flag, port, other, "0", "--data", t.TempDir()}) })
		require.Equal(t, exitFailure, code)
		require.Contains(t, said, "is in use by another program")
		require.Contains(t, said, says)
	}
}

func TestTwoPortsInUseAreNamedAtOnce(t *testing.T) {
	var taken []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		taken = append(taken, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	var code int
	said := captured(t, func() {
		code = run([]string{"local", "--port", taken[0], "--aws-port", taken[1], "--data", t.TempDir()})
	})
	require.Equal(t, exitFailure, code)
	require.Contains(t, said, ":"+taken[0]+" is in use")
	require.Contains(t, said, ":"+taken[1]+" is in use")
	require.Equal(t, 1, strings.Count(said, `make run ARGS="--port 9000 --aws-port 0"`), said)
}

// The program serves until it is told to stop, and greets with addresses that
// work and a warning where others can reach it.
func TestLocalServesAndStops(t *testing.T) {
	for host, warns := range map[string]bool{"127.0.0.1": false, "0.0.0.0": true} {
		env := map[string]string{"HOST": host, "PORT": "0", "POSTHORN_AWS_PORT": "0", "POSTHORN_DATA_DIR": t.TempDir()}
		cfg, err := config.Load(config.Local, config.Source{Getenv: func(name string) string { return env[name] }})
		require.NoError(t, err)
		ctx, stop := context.WithCancel(t.Context())
		r, w := io.Pipe()
		ended := make(chan error, 1)
		go func() { ended <- runLocal(ctx, cfg, slog.New(slog.DiscardHandler), w) }()

		greeting := make([]byte, 4096)
		n, err := r.Read(greeting)
		require.NoError(t, err)
		greeting = greeting[:n]
		require.Equal(t, warns, bytes.Contains(greeting, []byte("WARNING")), string(greeting))
		_, rest, _ := bytes.Cut(greeting, []byte("API            "))
		url, _, _ := bytes.Cut(rest, []byte("\n"))
		answer, err := http.Get(string(bytes.Replace(url, []byte("0.0.0.0"), []byte("127.0.0.1"), 1)) + "/ready")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, answer.StatusCode)
		require.NoError(t, answer.Body.Close())
		http.DefaultClient.CloseIdleConnections()

		stop()
		require.NoError(t, <-ended)
		require.NoError(t, w.Close())
	}
}
