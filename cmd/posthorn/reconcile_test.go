package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
	"posthorn/internal/hook"
	"posthorn/internal/id"
	reconciling "posthorn/internal/reconcile"
	"posthorn/internal/wire"
)

// losing is a posthorn local whose table holds what no message in its queue
// carries.
type losing struct {
	t     *testing.T
	table *dynamo.Table
	ids   *id.Source
	url   string   // of SQS and DynamoDB
	flags []string // that name it
}

func startLosing(t *testing.T, env map[string]string) *losing {
	url := after(t, startLocal(t, env), "SQS, DynamoDB ")
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	table := env["POSTHORN_TABLE"]
	if table == "" {
		table = "posthorn"
	}
	return &losing{
		t: t, table: dynamo.New(wire.Local(client, url), table, dynamo.Options{}), ids: id.NewSource(), url: url,
		flags: []string{"--local", "--aws-port", url[strings.LastIndexByte(url, ':')+1:]},
	}
}

// lose stores an event of so long ago, for an endpoint that was deleted.
func (l *losing) lose(tenant string, ago time.Duration) hook.Ref {
	l.t.Helper()
	eventID := l.ids.New(hook.EventPrefix, time.Now().Add(-ago))
	at := hook.IDTime(eventID)
	e := &hook.Event{
		ID: eventID, Tenant: tenant, Type: "order.created", CreatedAt: at, Body: hook.NewBody(eventID, "order.created", at, []byte(`{}`)),
		EndpointIDs: []string{l.ids.New(hook.EndpointPrefix, at)}, Targets: 1, ExpiresAt: at.Add(30 * 24 * time.Hour),
	}
	require.NoError(l.t, l.table.PutEvent(l.t.Context(), e))
	return e.Ref(e.EndpointIDs[0])
}

func (l *losing) status(ref hook.Ref) hook.Status {
	rows, err := l.table.Deliveries(l.t.Context(), []hook.Ref{ref})
	require.NoError(l.t, err)
	if rows[0] == nil {
		return ""
	}
	return rows[0].Status
}

func (l *losing) run(args ...string) outcome {
	l.t.Helper()
	return posthorn(l.t, append(append([]string{"reconcile"}, args...), l.flags...)...)
}

func TestWhatALocalHasLostIsSentAgain(t *testing.T) {
	l := startLosing(t, map[string]string{})
	lost, old, young, others := l.lose("default", 2*time.Hour), l.lose("default", 48*time.Hour), l.lose("default", 10*time.Minute), l.lose("acme", 2*time.Hour)

	dry := l.run("--dry-run")
	require.Equal(t, outcome{stdout: `Looked at 2 events with 2 deliveries, 0 deliveries on record that wait or are dead, and 0 running jobs.
To be sent again: 2
       2  nothing was recorded since the event was accepted
`}, dry)
	require.Empty(t, l.status(lost))

	since := time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339)
	got := l.run("--since", since)
	require.Zero(t, got.code, got.stderr)
	require.Contains(t, got.stdout, "Sent again: 1\n")
	ends := func(ref hook.Ref) func() bool { return func() bool { return l.status(ref) == hook.Cancelled } }
	require.Eventually(t, ends(lost), 10*time.Second, 10*time.Millisecond, "its endpoint was deleted")
	require.Contains(t, l.run("--until", since).stdout, "Sent again: 1\n")
	require.Eventually(t, ends(old), 10*time.Second, 10*time.Millisecond)
	require.Empty(t, l.status(young))

	var counts map[string]any
	require.NoError(t, json.Unmarshal([]byte(l.run("--tenant", "acme", "--json").stdout), &counts))
	require.InDelta(t, 0, counts["ready"], 0)
	delete(counts, "ready")
	require.Equal(t, map[string]any{
		"dry_run": false, "tenants": 1.0, "events": 1.0, "deliveries": 1.0, "recorded": 0.0, "jobs": 0.0, "sent_again": 1.0, "waiting": 0.0, "failed": 0.0,
		"reasons": map[string]any{
			"nothing_recorded": 1.0, "nothing_since_requeued": 0.0, "attempt_overdue": 0.0, "not_released": 0.0, "not_cancelled": 0.0, "no_dead_letter": 0.0, "job_stopped": 0.0,
		},
	}, counts)
	require.Eventually(t, ends(others), 10*time.Second, 10*time.Millisecond)

	require.Equal(t, outcome{code: 1, stderr: "posthorn: there is no table nothing at 127.0.0.1:" + l.flags[2] + ": name it with --table\n"}, l.run("--table", "nothing"))
	require.Equal(t, outcome{code: 1, stderr: "posthorn: there is no queue nothing at 127.0.0.1:" + l.flags[2] + ": name it with --queue\n"}, l.run("--queue", "nothing"))
}

func TestWhatAnAccountHasLostIsSentAgain(t *testing.T) {
	l := startLosing(t, map[string]string{"POSTHORN_TABLE": "hooks-Table-1ABC", "POSTHORN_QUEUE_URL": "hooks-Queue-1ABC"})
	account(t, l.url)
	lost := l.lose("default", 2*time.Hour)
	require.Equal(t, outcome{code: 1, stderr: "posthorn: there is no queue posthorn-deliveries in eu-central-1: name it with --queue\n"}, posthorn(t, "reconcile"))
	require.Equal(t, outcome{code: 1, stderr: "posthorn: there is no table posthorn in eu-central-1: name it with --table\n"}, posthorn(t, "reconcile", "--queue", "hooks-Queue-1ABC"))
	o := posthorn(t, "reconcile", "--table", "hooks-Table-1ABC", "--queue", l.url+"/000000000000/hooks-Queue-1ABC")
	require.Zero(t, o.code, o.stderr)
	require.Contains(t, o.stdout, "Sent again: 1\n")
	require.Eventually(t, func() bool { return l.status(lost) == hook.Cancelled }, 10*time.Second, 10*time.Millisecond)
	t.Setenv("POSTHORN_TABLE", "hooks-Table-1ABC")
	t.Setenv("POSTHORN_QUEUE_URL", "hooks-Queue-1ABC")
	require.Contains(t, posthorn(t, "reconcile").stdout, "Sent again: 0\n")
}

func TestAReconcileThatCannotBeMadeIsRefused(t *testing.T) {
	account(t, "http://127.0.0.1:1")
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"too young":                {[]string{"--older-than", "29m59s"}, 2, "--older-than: must be at least 30m"},
		"no duration":              {[]string{"--older-than", "1 hour"}, 2, "--older-than: must be a time such as 90s or 2h, and not \"1 hour\""},
		"no time":                  {[]string{"--since", "yesterday"}, 2, "--since: "},
		"an end before the start":  {[]string{"--since", "2026-11-24T04:00:00Z", "--until", "2026-11-24T04:00:00Z"}, 2, "--until: must be after --since"},
		"a bad tenant":             {[]string{"--tenant", "A b"}, 2, "--tenant: "},
		"a port of no local":       {[]string{"--aws-port", "4566"}, 2, "--local"},
		"an argument":              {[]string{"everything"}, 2, "everything"},
		"a bad queue":              {[]string{"--queue", "a b"}, 2, `configuration: --queue: "a b"`},
		"nobody there":             {[]string{"--local", "--aws-port", "1"}, 1, "no posthorn local answers at 127.0.0.1:1: start it"},
		"an account, out of reach": {nil, 1, "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			o := posthorn(t, append([]string{"reconcile"}, c.args...)...)
			require.Equal(t, c.code, o.code, o.stderr)
			require.Contains(t, o.stderr, c.says)
			require.Empty(t, o.stdout)
			if c.code == exitFailure {
				require.Equal(t, 1, strings.Count(o.stderr, "\n"), "one line: %s", o.stderr)
			}
		})
	}
}

func TestTheReportSaysWhatHappened(t *testing.T) {
	t.Parallel()
	all := reconciling.Result{
		Ready: 2, Tenants: 1, Jobs: 3, Recorded: 12, Events: 100, Deliveries: 250, SentAgain: map[reconciling.Reason]int{}, Waiting: 7, Failed: 0,
	}
	for i, reason := range reconciling.Reasons() {
		all.SentAgain[reason] = i + 1
		require.NotEqual(t, string(reason), explain(reason), "every reason is explained")
	}
	var out bytes.Buffer
	require.NoError(t, (&reconcile{}).report(&out, all, nil))
	require.Equal(t, `Looked at 100 events with 250 deliveries, 12 deliveries on record that wait or are dead, and 3 running jobs.
Sent again: 28
       1  nothing was recorded since the event was accepted
       2  nothing was recorded since it was sent again
       3  an attempt was due and was not made
       4  held although the endpoint is active
       5  held although the endpoint was deleted
       6  dead without a dead letter
       7  jobs that made no step
Left alone, since they may be waiting for a breaker or a rate limit: 7
`, out.String())

	failed := all
	failed.Failed = 4
	out.Reset()
	require.EqualError(t, (&reconcile{}).report(&out, failed, nil), "4 could not be sent again: run it again")
	require.Contains(t, out.String(), "Not sent again, since that failed: 4\n")
	for cause, says := range map[error]string{
		context.Canceled:     "stopped before the end: run it again to go over all",
		errors.New("no way"): "no way",
	} {
		out.Reset()
		require.EqualError(t, (&reconcile{}).report(&out, all, cause), says)
		require.Contains(t, out.String(), "Sent again: 28\n", "how far it came")
		out.Reset()
		require.EqualError(t, (&reconcile{}).report(&out, reconciling.Result{}, errors.New("no way")), "no way")
		require.Empty(t, out.String(), "it did not begin")
	}
	require.ErrorContains(t, (&reconcile{}).report(full{}, all, nil), "print the counts: full")
}

// full is a disk that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestAQueueThatIsBehindIsMentioned(t *testing.T) {
	behind := reconciling.Result{Ready: 5000, Tenants: 1, SentAgain: map[reconciling.Reason]int{reconciling.Unrecorded: 1}}
	said := captured(t, func() { require.NoError(t, (&reconcile{}).report(&bytes.Buffer{}, behind, nil)) })
	require.Contains(t, said, "About 5000 messages were ready in the queue")
	behind.SentAgain = nil
	require.Empty(t, captured(t, func() { require.NoError(t, (&reconcile{}).report(&bytes.Buffer{}, behind, nil)) }), "nothing counts as lost")
}

// at is how far a run has come.
func at(share float64) reconciling.Progress {
	return reconciling.Progress{Tenant: "acme", Share: share, Result: reconciling.Result{Events: int(1000 * share), SentAgain: map[reconciling.Reason]int{reconciling.Overdue: 3}}}
}

func TestProgressIsALineNowAndThenWithoutATerminal(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, false, time.Now)
		for i := range 31 {
			p.show(at(float64(i) / 40))
			time.Sleep(time.Second)
		}
		p.end()
		require.Equal(t, " 25 %  acme: 250 events, 3 sent again\n 50 %  acme: 500 events, 3 sent again\n 75 %  acme: 750 events, 3 sent again\n", out.String())
	})
}

func TestProgressIsABarOnATerminalAndLogLinesGoPastIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		p := newProgress(&out, true, time.Now)
		for _, share := range []float64{0, 0.25, 0.5} {
			time.Sleep(time.Second)
			p.show(at(share))
		}
		bar := out.String()
		require.Contains(t, bar, "acme: 500 events, 3 sent again")
		require.Contains(t, bar, " 50%")
		require.NotContains(t, bar, "\n")

		out.Reset()
		n, err := p.Write([]byte("level=WARN\n"))
		require.NoError(t, err)
		require.Equal(t, 11, n)
		require.True(t, strings.HasSuffix(out.String(), "\rlevel=WARN\n"), "%q", out.String())
		time.Sleep(time.Second)
		p.show(at(1))
		require.NotContains(t, out.String(), "100%", "another tenant may follow")
		p.end()
		end := out.String()
		require.True(t, strings.HasSuffix(end, "\r"), "%q: the bar is gone", end)
	})
}

func TestWhoCannotWriteProgressGoesOnWithoutIt(t *testing.T) {
	t.Parallel()
	for _, terminal := range []bool{false, true} {
		now := time.Now()
		p := newProgress(full{}, terminal, func() time.Time { now = now.Add(time.Minute); return now })
		for _, share := range []float64{0, 0.5, 1} {
			p.show(at(share))
		}
		p.end()
	}
}
