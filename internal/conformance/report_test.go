package conformance

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// report is the table of checks and targets. What was not reached is failed.
type report struct {
	checks  []check
	targets []string

	mu       sync.Mutex
	verdicts [][]verdict // of each check, one a target
}

func newReport(checks []check, asked []*target) *report {
	r := &report{checks: checks, verdicts: make([][]verdict, len(checks))}
	for _, g := range asked {
		r.targets = append(r.targets, g.name)
	}
	for row := range r.verdicts {
		for range asked {
			r.verdicts[row] = append(r.verdicts[row], failed)
		}
	}
	return r
}

func (r *report) set(row, column int, v verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdicts[row][column] = v
}

// String is the table, the exceptions below it, and the counts.
func (r *report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	line := func(on, name string, cells []string) {
		fmt.Fprintf(&b, "%-9s %-100s", on, name)
		for i, cell := range cells {
			fmt.Fprintf(&b, "  %-*s", max(len(r.targets[i]), len(excepted)+3), cell)
		}
		b.WriteString("\n")
	}
	counts := make([]map[verdict]int, len(r.targets))
	for i := range counts {
		counts[i] = map[verdict]int{}
	}
	line("", "", r.targets)
	var notes []string
	for row, c := range r.checks {
		var cells []string
		for column, v := range r.verdicts[row] {
			counts[column][v]++
			cell := string(v)
			if v == excepted {
				e := c.exception(r.targets[column])
				notes = append(notes, fmt.Sprintf("[%d] %s: %s (%s)\n    AWS: %s\n", len(notes)+1, e.target, e.instead, e.source, c.source))
				cell = fmt.Sprintf("%s %d", v, len(notes))
			}
			cells = append(cells, cell)
		}
		line(string(c.on), c.name, cells)
	}
	b.WriteString("\n" + strings.Join(notes, "") + "\n")
	for i, name := range r.targets {
		n := counts[i]
		fmt.Fprintf(&b, "%s: %d as AWS documents, %d documented exceptions, %d failed, %d of services it has not\n", name, n[passed], n[excepted], n[failed], n[untouched])
	}
	return b.String()
}

// write writes the table to a file, if one is named.
func (r *report) write(t *testing.T, file string) {
	if file != "" {
		require.NoError(t, os.WriteFile(file, []byte(r.String()), 0o600))
	}
}

func TestTheReportShowsEveryVerdict(t *testing.T) {
	t.Parallel()
	r := newReport([]check{
		{on: onSQS, name: "first", source: "its page", exceptions: []exception{{target: "b", instead: "b forgets", source: "b's page"}}},
		{on: onKMS, name: "second"},
	}, []*target{{name: "a"}, {name: "b"}})
	r.set(0, 0, passed)
	r.set(0, 1, excepted)
	r.set(1, 1, untouched)
	text := strings.Join(strings.Fields(r.String()), " ")
	require.Contains(t, text, "SQS first pass exception 1")
	require.Contains(t, text, "KMS second FAIL -", "what was not reached has failed")
	require.Contains(t, text, "[1] b: b forgets (b's page) AWS: its page")
	require.Contains(t, text, "a: 1 as AWS documents, 0 documented exceptions, 1 failed, 0 of services it has not")
	require.Contains(t, text, "b: 0 as AWS documents, 1 documented exceptions, 0 failed, 1 of services it has not")
}
