package cost

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The folders stand for those of Linux, which fill themselves.
func TestAFunctionGetsTheShareThatItsMemoryBuys(t *testing.T) {
	t.Parallel()
	memory := map[string]int{nameAPI: 1769, nameDeliver: 256, nameSweeper: 10240}
	for version, c := range map[string]struct {
		mounted string
		want    map[string]string // of the deliver function
	}{
		"first":  {"cpu/tasks", map[string]string{"cpu.cfs_period_us": "20000", "cpu.cfs_quota_us": "2894"}},
		"second": {"cgroup.controllers", map[string]string{"cpu.max": "2894 20000"}},
	} {
		root, functions, into := t.TempDir(), t.TempDir(), t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, c.mounted)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(root, c.mounted), nil, 0o600))
		require.NoError(t, os.MkdirAll(filepath.Join(functions, nameDeliver), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(functions, nameDeliver, "bootstrap"), []byte("#!/bin/sh\necho started $$\n"), 0o700))
		q, err := limit(root, functions, into, memory, prices(t))
		require.NoError(t, err, version)
		require.Len(t, q.folders, 3)
		for file, want := range c.want {
			got, err := os.ReadFile(filepath.Join(q.folders[1], file))
			require.NoError(t, err, version)
			require.Equal(t, want, string(got), version)
		}
		said, err := exec.CommandContext(t.Context(), filepath.Join(into, nameDeliver, "bootstrap")).Output()
		require.NoError(t, err, version)
		entered, err := os.ReadFile(filepath.Join(q.folders[1], "cgroup.procs"))
		require.NoError(t, err, version)
		require.Equal(t, "started "+strings.TrimSpace(string(entered)), strings.TrimSpace(string(said)), "it is the process that has entered")
	}
	_, err := limit(filepath.Join(t.TempDir(), "nowhere"), t.TempDir(), t.TempDir(), memory, prices(t))
	require.ErrorIs(t, err, errNoQuotas)
}

func TestTheTableOfMemory(t *testing.T) {
	t.Parallel()
	table := MemoryTable([]MemoryRow{{MB: 256, API: 34 * time.Millisecond, APIStart: 40 * time.Millisecond, Deliver: 226 * time.Millisecond, Dollars: 0.126}})
	require.Contains(t, table, "\n| 256 | 0.14 | 34 | 40 | 226 | 0.13 |\n")
}
