package startup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/startup"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// build builds a program into a folder of its own.
func build(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bootstrap")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "lambda.norpc", "-o", path, program).CombinedOutput()
	require.NoError(t, err, string(text))
	return path
}

func TestAStartIsMeasuredUntilTheFirstRequestForAnInvocation(t *testing.T) {
	t.Parallel()
	path := build(t, "./testdata/bootstrap")
	fast, err := startup.Measure(t.Context(), path, nil, 3)
	require.NoError(t, err)
	require.Len(t, fast.Starts, 3)
	require.Empty(t, fast.Calls)
	require.LessOrEqual(t, fast.Least(), fast.Median())

	slow, err := startup.Measure(t.Context(), path, []string{"BEHAVIOUR=sleeps"}, 1)
	require.NoError(t, err)
	require.Greater(t, slow.Median(), 300*time.Millisecond)

	calls, err := startup.Measure(t.Context(), path, []string{"BEHAVIOUR=calls"}, 2)
	require.NoError(t, err)
	require.Equal(t, []string{"POST / ", "POST / "}, calls.Calls)

	_, err = startup.Measure(t.Context(), path, []string{"BEHAVIOUR=ends"}, 2)
	require.ErrorContains(t, err, "it ended without asking for an invocation: POSTHORN_TABLE: has to be set")
	_, err = startup.Measure(t.Context(), "nowhere", nil, 1)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// No function calls a service before its first invocation asks for one.
func TestTheFunctionsCallNothingAtTheirStart(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"api", "deliver", "dlq-sweeper"} {
		r, err := startup.Measure(t.Context(), build(t, "posthorn/functions/"+name), []string{
			"POSTHORN_AUTH=keys", "POSTHORN_TABLE=posthorn", "POSTHORN_KMS_KEY_ID=arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000",
			"POSTHORN_QUEUE_URL=https://sqs.us-east-1.amazonaws.com/000000000000/deliveries", "POSTHORN_DLQ_URL=https://sqs.us-east-1.amazonaws.com/000000000000/dead-letters",
		}, 2)
		require.NoError(t, err, name)
		require.Empty(t, r.Calls, name)
	}
}
