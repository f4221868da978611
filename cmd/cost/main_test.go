package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWrongUsageIsToldInOneLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"an argument", []string{"all"}, 2, "cost: \"all\": there are no arguments\n"},
		{"a part that is to be written", []string{"-only", "10", "-write", "x.md"}, 2, "cost: -write needs all workloads, and -only leaves some out\n"},
		{"no template", []string{"-template", "nowhere.yaml"}, 1, "cost: read the template: open nowhere.yaml: no such file or directory\n"},
	} {
		var out, errOut bytes.Buffer
		require.Equal(t, c.code, run(t.Context(), c.args, &out, &errOut), c.name)
		require.Equal(t, c.says, errOut.String(), c.name)
		require.Empty(t, out.String(), c.name)
	}
	var out, errOut bytes.Buffer
	require.Equal(t, 0, run(t.Context(), []string{"-h"}, &out, &errOut))
	require.Contains(t, errOut.String(), "Exit codes:")
}
