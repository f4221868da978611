package docstest

import (
	"go/ast"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const architecture = "docs/architecture.md"

var (
	arrowForm   = regexp.MustCompile(`^(\S+) --> (\S+): (.*)$`)
	testInArrow = regexp.MustCompile(`\b[a-z0-9]+\.Test[A-Z]\w*`)
)

func TestEveryArrowOfTheStateDiagramNamesATestThatExists(t *testing.T) {
	t.Parallel()
	d, all := parse(t, architecture), tests(t)
	i := slices.IndexFunc(d.blocks, func(b block) bool { return b.info == "mermaid" })
	require.GreaterOrEqual(t, i, 0, "no diagram")
	head, arrows, ok := strings.Cut(strings.TrimSpace(d.blocks[i].text), "\n")
	require.True(t, ok)
	require.Equal(t, "stateDiagram-v2", head)
	var states []string
	for line := range strings.Lines(arrows) {
		m := arrowForm.FindStringSubmatch(strings.TrimSpace(line))
		require.NotNil(t, m, "%s: %q is no arrow", d.at(d.blocks[i].line), line)
		named := testInArrow.FindAllString(m[3], -1)
		require.NotEmpty(t, named, "%s: no test walks %q", d.at(d.blocks[i].line), line)
		for _, name := range named {
			require.True(t, all[name], "%s: there is no test %s", d.at(d.blocks[i].line), name)
		}
		states = append(states, m[1], m[2])
	}
	slices.Sort(states)
	require.ElementsMatch(t, append(constants(t, "internal/hook", "Status"), "[*]"), slices.Compact(states), "the states of the diagram")
}

func TestEveryPromiseNamesATest(t *testing.T) {
	t.Parallel()
	promises := parse(t, architecture).under(t, "What is promised, and what would fail").rows
	require.Greater(t, len(promises), 7)
	for _, row := range promises {
		require.True(t, strings.HasPrefix(row[0], "**"), row[0])
		require.Regexp(t, "^`[a-z0-9]+\\.Test[A-Z]\\w*`(, `[a-z0-9]+\\.Test[A-Z]\\w*`)*$", row[1], row[0])
	}
}

var (
	// keyForm is what the constant parts of keys look like in keys.go; what is
	// nameOfKey is an attribute.
	keyForm   = regexp.MustCompile(`^[A-Z#]+$`)
	nameOfKey = regexp.MustCompile(`^[PS]K$`)
	// keyWords are the words that tell kinds of items apart.
	keyWords = regexp.MustCompile(`[A-Z]{2,}`)
)

// No kind of item is left out of the table of items, and none is made up: its
// keys have the words that internal/dynamo/keys.go builds keys of.
func TestEveryKindOfItemIsInTheTable(t *testing.T) {
	t.Parallel()
	inCode := map[string]bool{}
	inspectFile(t, filepath.Join(root, "internal/dynamo/keys.go"), func(n ast.Node) {
		lit, ok := n.(*ast.BasicLit)
		if !ok {
			return
		}
		if s, ok := literal(lit); ok && keyForm.MatchString(s) && !nameOfKey.MatchString(s) {
			for _, w := range keyWords.FindAllString(s, -1) {
				inCode[w] = true
			}
		}
	})
	written := map[string]bool{}
	tab := parse(t, architecture).under(t, "The table")
	require.Equal(t, []string{"item", "PK", "SK", ""}, tab.head)
	for _, row := range tab.rows {
		for _, w := range keyWords.FindAllString(code(row[1])+" "+code(row[2]), -1) {
			written[w] = true
		}
	}
	require.Equal(t, inCode, written)

	// The package says the same of itself.
	_, list, ok := strings.Cut(read(t, "internal/dynamo/doc.go"), "//\n")
	require.True(t, ok)
	list, _, ok = strings.Cut(list, "//\n")
	require.True(t, ok)
	var said []string
	for line := range strings.Lines(list) {
		line = strings.ReplaceAll(strings.TrimPrefix(line, "//"), "<stripe 0-7>", "<stripe>")
		said = append(said, strings.Join(strings.Fields(line), " "))
	}
	here := []string{"item PK SK"}
	for _, row := range tab.rows {
		here = append(here, row[0]+" "+code(row[1])+" "+code(row[2]))
	}
	require.Equal(t, here, said)
}
