package docstest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	stepsForm     = regexp.MustCompile(`(?m)^STEPS := (.+)$`)
	benchmarkForm = regexp.MustCompile(`(?m)^func (Benchmark[A-Z]\w*)\(`)
	keptForm      = regexp.MustCompile(`(?m)^(Benchmark\w+)(?:-\d+)?\s+\d+\s+[0-9.]+ ns/op\s+\d+ B/op\s+\d+ allocs/op$`)
)

// benchstat compares what has the same name and says nothing of the others, so a
// step that was renamed would no longer be held against what it was.
func TestTheKeptFiguresAreThoseOfTheSteps(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "internal"), func(p string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(p, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(p)
		for _, m := range benchmarkForm.FindAllSubmatch(raw, -1) {
			there[string(m[1])] = true
		}
		return err
	}))
	m := stepsForm.FindStringSubmatch(read(t, "Makefile"))
	require.NotNil(t, m)
	steps := strings.Fields(m[1])
	require.Greater(t, len(steps), 6)
	kept := map[string]int{}
	for _, m := range keptForm.FindAllStringSubmatch(read(t, "bench/steps.txt"), -1) {
		kept[m[1]]++
	}
	for _, step := range steps {
		require.True(t, there["Benchmark"+step], "there is no Benchmark%s", step)
		require.GreaterOrEqual(t, kept["Benchmark"+step], 6, "bench/steps.txt has too few figures of %s for benchstat", step)
	}
	require.Len(t, kept, len(steps), "bench/steps.txt has figures of what is no step")
}
