package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsWrongIsToldInOneLine(t *testing.T) {
	t.Parallel()
	ends := filepath.Join(t.TempDir(), "bootstrap")
	require.NoError(t, os.WriteFile(ends, []byte("#!/bin/sh\necho cannot be >&2\nexit 1\n"), 0o700))
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{nil, 2, "startup: BOOTSTRAP: which is to be started?\n"},
		{[]string{"-starts", "0", ends}, 2, "startup: -starts: must be 1 to 1000\n"},
		{[]string{"-budget", "0s", ends}, 2, "startup: -budget: must be above 0\n"},
		{[]string{ends}, 1, "startup: start " + ends + ": it ended without asking for an invocation: cannot be\n"},
	} {
		var out, errOut bytes.Buffer
		require.Equal(t, c.code, run(t.Context(), c.args, &out, &errOut))
		require.Equal(t, c.says, errOut.String())
		require.Empty(t, out.String())
	}
}

func TestAStartAboveTheBudgetFails(t *testing.T) {
	t.Parallel()
	late := filepath.Join(t.TempDir(), "late", "bootstrap")
	require.NoError(t, os.MkdirAll(filepath.Dir(late), 0o700))
	script := "#!/bin/bash\nIFS=: read -r host port <<<\"$AWS_LAMBDA_RUNTIME_API\"\nexec 3<>/dev/tcp/$host/$port\nprintf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n' >&3\nread -r line <&3\n"
	require.NoError(t, os.WriteFile(late, []byte(script), 0o700))
	var out, errOut bytes.Buffer
	require.Equal(t, 1, run(t.Context(), []string{"-starts", "1", "-budget", "1ns", late}, &out, &errOut))
	require.Contains(t, errOut.String(), "startup: late: starts in ")
	require.Contains(t, out.String(), "until its first invocation")
	require.Equal(t, 0, run(t.Context(), []string{"-starts", "1", "-budget", "10s", late}, &out, &errOut))
}
