package docstest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// root is the repository's, seen from this package.
const root = "../.."

// documents are those that are held against the code.
var documents = []string{"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/architecture.md", "docs/api.md", "docs/configuration.md", "docs/cost.md", "docs/development.md", "docs/operations.md", "docs/performance.md", "docs/scale.md", "docs/receiving.md", "docs/console.md", "docs/security.md"}

// document is a Markdown file, taken apart.
type document struct {
	path     string
	blocks   []block
	spans    []span
	links    []span
	headings []span
	tables   []table
}

// span is a piece of text outside the fenced blocks.
type span struct {
	line int
	text string
}

// block is a fenced block; info is what stands behind its opening fence.
type block struct {
	line int
	info string
	text string
}

// table is a table's cells without its head, and the heading it stands under.
type table struct {
	heading string
	head    []string
	rows    [][]string
}

var (
	spanForm    = regexp.MustCompile("`([^`]+)`")
	linkForm    = regexp.MustCompile(`\]\(([^)]+)\)`)
	headingForm = regexp.MustCompile(`^#{1,6} (.+)$`)
)

// parse reads a document of the repository.
func parse(t *testing.T, path string) *document {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, path))
	require.NoError(t, err)
	d := &document{path: path}
	var open *block
	inTable := false
	for i, line := range strings.Split(string(raw), "\n") {
		if open != nil {
			if line == "```" {
				d.blocks = append(d.blocks, *open)
				open = nil
				continue
			}
			open.text += line + "\n"
			continue
		}
		if info, ok := strings.CutPrefix(line, "```"); ok {
			open = &block{line: i + 1, info: info}
			continue
		}
		d.text(line, i+1)
		isRow := strings.HasPrefix(line, "|")
		if isRow {
			d.row(line, inTable)
		}
		inTable = isRow
	}
	require.Nil(t, open, "%s: a fenced block does not end", path)
	return d
}

func (d *document) text(line string, number int) {
	for _, m := range spanForm.FindAllStringSubmatch(line, -1) {
		d.spans = append(d.spans, span{number, m[1]})
	}
	for _, m := range linkForm.FindAllStringSubmatch(line, -1) {
		d.links = append(d.links, span{number, m[1]})
	}
	if m := headingForm.FindStringSubmatch(line); m != nil {
		d.headings = append(d.headings, span{number, m[1]})
	}
}

func (d *document) row(line string, goesOn bool) {
	cells := strings.Split(strings.Trim(line, "|"), "|")
	for i := range cells {
		cells[i] = strings.TrimSpace(cells[i])
	}
	if !goesOn {
		heading := ""
		if len(d.headings) > 0 {
			heading = d.headings[len(d.headings)-1].text
		}
		d.tables = append(d.tables, table{heading: heading, head: cells})
		return
	}
	if strings.HasPrefix(cells[0], "---") {
		return
	}
	last := &d.tables[len(d.tables)-1]
	last.rows = append(last.rows, cells)
}

// under returns the first table under a heading.
func (d *document) under(t *testing.T, heading string) table {
	t.Helper()
	for _, tab := range d.tables {
		if tab.heading == heading {
			require.NotEmpty(t, tab.rows)
			return tab
		}
	}
	require.Fail(t, "no table", "%s: under %q", d.path, heading)
	return table{}
}

// code returns the text of a cell's first code span, "" when it has none.
func code(cell string) string {
	if m := spanForm.FindStringSubmatch(cell); m != nil {
		return m[1]
	}
	return ""
}

// column returns the first code span of each row's cell in a column.
func (tab table) column(i int) []string {
	all := make([]string, 0, len(tab.rows))
	for _, row := range tab.rows {
		if c := code(row[i]); c != "" {
			all = append(all, c)
		}
	}
	return all
}

func (d *document) at(line int) string { return fmt.Sprintf("%s:%d", d.path, line) }
