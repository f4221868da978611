package main

import (
	"bytes"
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/chaos"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWrongUsageNamesTheFlag(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"help", []string{"-h"}, 0, "Exit codes:"},
		{"an unknown flag", []string{"-loud"}, 2, "-loud"},
		{"an argument", []string{"small"}, 2, `"small": there are no arguments`},
		{"too many events", []string{"-events", "2000000"}, 2, "events: must be 1 to 1000000"},
		{"too few endpoints, of the middle size", []string{"middle", "-endpoints", "1"}, 2, "endpoints: must be 4 to 100"},
		{"clocks too far off", []string{"-skew", "3s"}, 2, "skew: must be 0 to 2s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var out, errOut bytes.Buffer
			require.Equal(t, c.code, run(t.Context(), c.args, &out, &errOut))
			require.Contains(t, errOut.String(), c.says)
			require.Empty(t, out.String())
		})
	}
}

func TestAnInterruptedRunSaysSo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errOut bytes.Buffer
	require.Equal(t, 1, run(ctx, []string{"-seed", "5", "-template", "../../template.yaml"}, &out, &errOut))
	require.Contains(t, errOut.String(), "seed 5")
	require.Contains(t, errOut.String(), "context canceled")
	require.Empty(t, out.String())
}

func TestProgressSaysWhatIsDone(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	progress(&out, chaos.Progress{Elapsed: 5e9, Accepted: 10, Arrived: 20, Waiting: 3})
	progress(&out, chaos.Progress{Elapsed: 9e9, Accepted: 10, Arrived: 25, Calm: true})
	require.Equal(t, "breaking    5s      10 accepted      20 posts arrived       3 messages in the queue\n"+
		"waiting     9s      10 accepted      25 posts arrived       0 messages in the queue\n", out.String())
}
