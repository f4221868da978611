package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startStub is closed by hand: a cleanup would find the test's context done.
func startStub(t *testing.T) (url string, stop func()) {
	t.Helper()
	stub, err := load.StartStub(t.Context(), 4)
	require.NoError(t, err)
	return stub.URL, func() { require.NoError(t, stub.Close(t.Context())) }
}

// command runs the program and returns its exit code and what it wrote.
func command(t *testing.T, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = run(t.Context(), args, &o, &e)
	return code, o.String(), e.String()
}

func TestRunPrintsTheFigures(t *testing.T) {
	url, stop := startStub(t)
	defer stop()
	code, out, errOut := command(t, "run", "--url", url, "-n", "300", "--endpoints", "2", "--payload", "1000", "--linger", "1ms")
	require.Equal(t, 0, code, errOut)
	require.Empty(t, errOut)
	require.Contains(t, out, "32 connections, 2 endpoints at "+url+", 1,000-byte payloads")
	require.Regexp(t, `accepted +300 `, out)
	require.Regexp(t, `delivered +600 `, out)
	require.Regexp(t, `lost +0\n`, out)
}

func TestJSONIsOneObject(t *testing.T) {
	url, stop := startStub(t)
	defer stop()
	code, out, errOut := command(t, "run", "--json", "--url", url, "--rate", "500", "-d", "100ms", "--linger", "1ms")
	require.Equal(t, 0, code, errOut)
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	var r load.Result
	require.NoError(t, d.Decode(&r))
	require.Equal(t, load.Open, r.Mode)
	require.Equal(t, 50, r.Delivered)
	require.Positive(t, r.EndToEnd.P99)
	_, err := d.Token()
	require.ErrorIs(t, err, io.EOF)
	for _, field := range []string{"accepted_per_second", "delivered_per_second", "accept_ms", "end_to_end_ms", "lost", "duplicates", "errors", "server", "loadtest"} {
		require.Contains(t, out, `"`+field+`"`)
	}
}

func TestSuiteIsFourRunsInOneTable(t *testing.T) {
	url, stop := startStub(t)
	defer stop()
	args := []string{"suite", "--url", url, "-d", "100ms", "--linger", "1ms"}
	code, out, errOut := command(t, args...)
	jsonCode, asJSON, _ := command(t, append(args, "--json")...)
	require.Equal(t, 0, code, errOut)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 5)
	for i, name := range []string{"accepted/s", "32 connections", "200 events/s", "1,000 events/s", "4 connections, 100 events a POST"} {
		require.Contains(t, lines[i], name)
	}
	require.Equal(t, 0, jsonCode)
	var all struct{ Runs []load.Result }
	require.NoError(t, json.Unmarshal([]byte(asJSON), &all))
	require.Len(t, all.Runs, 4)
	require.Equal(t, 20, all.Runs[1].Accepted)
	require.Equal(t, 100, all.Runs[2].Accepted)
	require.Positive(t, all.Runs[3].Accepted)
	require.Zero(t, all.Runs[3].Accepted%100)
}

func TestSelftestPrintsTheCeiling(t *testing.T) {
	code, out, errOut := command(t, "selftest", "-d", "100ms")
	require.Equal(t, 0, code, errOut)
	require.Regexp(t, `ceiling of this machine: [0-9,]+ delivered/s`, out)
	code, out, errOut = command(t, "selftest", "-d", "100ms", "--rate", "100")
	require.Equal(t, 0, code, errOut)
	require.NotContains(t, out, "ceiling")
}

func TestSlowPrintsTheRatio(t *testing.T) {
	url, stop := startStub(t)
	defer stop()
	args := []string{"slow", "--url", url, "-d", "200ms", "--slow", "5ms", "--rounds", "1", "--linger", "1ms"}
	code, out, errOut := command(t, args...)
	require.Equal(t, 0, code, errOut)
	require.Regexp(t, `median of p95: [0-9.]+ ms without, [0-9.]+ ms with: [0-9.]+ times`, out)
	code, out, errOut = command(t, append(args, "--json")...)
	require.Equal(t, 0, code, errOut)
	var s load.Slow
	require.NoError(t, json.Unmarshal([]byte(out), &s))
	require.Equal(t, 80, s.With[0].Delivered)
}

func TestWrongUsageIsTwo(t *testing.T) {
	for name, args := range map[string][]string{
		"no command":        {},
		"unknown flag":      {"run", "--badge", "3"},
		"unknown command":   {"rum"},
		"not a number":      {"run", "-c", "many"},
		"outside its range": {"run", "--fail", "2"},
		"too many a POST":   {"run", "--batch", "101"},
		"too large a POST":  {"run", "--batch", "100", "--payload", "50000"},
		"several mistakes":  {"run", "--fail", "2", "--endpoints", "0", "--url", "here"},
		"suite":             {"suite", "--payload", "1"},
		"selftest":          {"selftest", "-c", "0"},
		"no rounds":         {"slow", "--rounds", "0"},
		"nobody else":       {"slow", "--endpoints", "1"},
		"nothing waits":     {"waiting", "--deliveries", "0"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errOut := command(t, args...)
			require.Equal(t, 2, code)
			require.Empty(t, out)
			require.Equal(t, 1, strings.Count(errOut, "\n"), errOut)
			require.True(t, strings.HasPrefix(errOut, "loadtest: "), errOut)
		})
	}
}

func TestUnreachableServerIsOneLineAndOne(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	url := "http://" + free.Addr().String()
	require.NoError(t, free.Close())
	for _, args := range [][]string{{"run", "--url", url}, {"suite", "--url", url}} {
		code, out, errOut := command(t, args...)
		require.Equal(t, 1, code)
		require.Empty(t, out)
		require.Equal(t, 1, strings.Count(errOut, "\n"), errOut)
		require.Contains(t, errOut, "cannot reach "+url)
	}
}

func TestLossIsOneAfterTheFigures(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch req.Method + req.URL.Path {
		case "POST/api/v1/webhooks":
			w.WriteHeader(http.StatusCreated)
			if _, err := io.WriteString(w, `{"id":"ep_1"}`); err != nil {
				t.Error(err)
			}
		case "POST/api/v1/events":
			w.WriteHeader(http.StatusAccepted)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	defer server.Close()
	code, out, errOut := command(t, "run", "--url", server.URL, "-n", "7", "--drain", "10ms", "--linger", "1ms")
	require.Equal(t, 1, code)
	require.Regexp(t, `lost +7\n`, out)
	require.Equal(t, "loadtest: 7 of the deliveries that "+server.URL+" accepted did not arrive\n", errOut)
}

func TestProgressLine(t *testing.T) {
	first := load.Progress{Elapsed: time.Second, Posted: 1100, Accepted: 1000, Delivered: 900, Waiting: 100, Errors: 2}
	second := load.Progress{Elapsed: 3 * time.Second, Posted: 9000, Accepted: 9000, Delivered: 6900, Waiting: 2100, Errors: 2, Draining: true}
	var log, terminal bytes.Buffer
	for _, l := range []*progressLine{{out: &log}, {out: &terminal, rewrite: true}} {
		l.show(first)
		l.show(second)
		l.clear()
	}
	require.Equal(t, "posting    1s  1,100 posted  1,000 accepted/s  900 delivered/s  100 on the way  2 errors\n"+
		"waiting    3s  9,000 posted  4,000 accepted/s  3,000 delivered/s  2,100 on the way  2 errors\n", log.String())
	another := &progressLine{out: &bytes.Buffer{}, last: second}
	another.show(first)
	require.Contains(t, another.out.(*bytes.Buffer).String(), "1,000 accepted/s  900 delivered/s", "the first of another run")
	require.NotContains(t, terminal.String(), "\n")
	require.Equal(t, 2, strings.Count(terminal.String(), " errors"))
	require.True(t, strings.HasSuffix(terminal.String(), "\r\x1b[K"))

	require.Equal(t, 5*time.Second, (&progressLine{}).every())
	require.Less(t, (&progressLine{rewrite: true}).every(), time.Second)
	require.False(t, isTerminal(&log))
}

// It is the variable of `posthorn`, and --help does not print what is in it.
func TestTheKeyComesFromAFlagOrTheVariableOfPosthorn(t *testing.T) {
	t.Setenv("POSTHORN_KEY", "ph_of_the_variable")
	require.Equal(t, "ph_of_the_variable", target{}.options().Key)
	require.Equal(t, "ph_of_the_flag", target{Key: "ph_of_the_flag"}.options().Key)
	code, out, errOut := command(t, "run", "--help")
	require.Zero(t, code, errOut)
	require.Contains(t, out, "POSTHORN_KEY")
	require.NotContains(t, out, "ph_of_the_variable")
}
