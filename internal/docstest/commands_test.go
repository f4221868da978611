package docstest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// command is a line of a document's shell block.
type command struct {
	at      string
	section string // the heading that it stands under
	text    string
}

// program is what the command runs.
func (c command) program() string { return strings.TrimPrefix(strings.Fields(c.text)[0], "bin/") }

// commandsOf are the commands of a document's shell blocks, in their order.
// `a && b` is two, and what a line notes behind its command is left out.
func commandsOf(d *document) []command {
	var all []command
	for _, b := range d.blocks {
		if b.info != "sh" {
			continue
		}
		for _, line := range strings.Split(joined(b.text), "\n") {
			line, _, _ = strings.Cut(line, "  #")
			for _, text := range strings.Split(line, " && ") {
				if text = strings.TrimSpace(text); text != "" {
					all = append(all, command{d.at(b.line), d.section(b.line), text})
				}
			}
		}
	}
	return all
}

// joined has a command on each line: one goes on behind a backslash, and while a
// quote is open.
func joined(block string) string {
	text := []byte(strings.ReplaceAll(block, "\\\n", " "))
	quoted := false
	for i, c := range text {
		switch {
		case c == '\'':
			quoted = !quoted
		case c == '\n' && quoted:
			text[i] = ' '
		}
	}
	return string(text)
}

// section is the heading that a line stands under.
func (d *document) section(line int) string {
	last := ""
	for _, h := range d.headings {
		if h.line < line {
			last = h.text
		}
	}
	return last
}

var (
	variableSet  = regexp.MustCompile(`(?:^|export |\s)([A-Z][A-Z_]*)=`)
	variableUsed = regexp.MustCompile(`\$([A-Z][A-Z_]*)`)
)

// Whoever copies a block that sets variables has all of those that it uses.
func TestABlockThatSetsVariablesSetsWhatItUses(t *testing.T) {
	t.Parallel()
	blocks := 0
	for _, path := range documents {
		d := parse(t, path)
		for _, b := range d.blocks {
			if b.info != "sh" || !strings.Contains("\n"+b.text, "\nexport ") {
				continue
			}
			blocks++
			set := map[string]bool{}
			for line := range strings.Lines(joined(b.text)) {
				for _, m := range variableUsed.FindAllStringSubmatch(line, -1) {
					require.True(t, set[m[1]], "%s: nothing has set $%s: %s", d.at(b.line), m[1], line)
				}
				for _, m := range variableSet.FindAllStringSubmatch(line, -1) {
					set[m[1]] = true
				}
			}
		}
	}
	require.NotZero(t, blocks)
}

func TestCommandsAreReadAsTheyArePrinted(t *testing.T) {
	t.Parallel()
	d := &document{
		path:     "x.md",
		headings: []span{{1, "One"}, {5, "Two"}},
		blocks: []block{
			{2, "sh", "make run     # it runs\nsam build && sam deploy --guided\n"},
			{3, "json 200", "{}\n"},
			{6, "sh", "curl -d '{\"a\":\n  1}' \\\n  http://h/\nKEY=$(bin/posthorn keys create)\n"},
		},
	}
	require.Equal(t, []command{
		{"x.md:2", "One", "make run"},
		{"x.md:2", "One", "sam build"},
		{"x.md:2", "One", "sam deploy --guided"},
		{"x.md:6", "Two", `curl -d '{"a":   1}'    http://h/`},
		{"x.md:6", "Two", "KEY=$(bin/posthorn keys create)"},
	}, commandsOf(d))
}

// notRun are the programs of printed commands that no test of this package runs,
// and why; CONTRIBUTING.md says what holds them.
var notRun = map[string]string{
	"aws":    "the AWS command line is not on every machine, and what these do takes an account",
	"docker": "the images that these build on cannot be pulled everywhere",
	"export": "it runs nothing: that it sets what is used is held",
	"make":   "a target is not run within another; that it exists is held",
	"sam":    "it takes an account",
}

// Whoever adds a command of another program says how it is held.
func TestEveryPrintedCommandIsHeldSomehow(t *testing.T) {
	t.Parallel()
	table := parse(t, "CONTRIBUTING.md").under(t, "How the documents' commands are held")
	var named, printed []string
	for _, row := range table.rows {
		for _, m := range spanForm.FindAllStringSubmatch(row[0], -1) {
			named = append(named, command{text: m[1]}.program())
		}
	}
	for _, name := range documents {
		for _, c := range commandsOf(parse(t, name)) {
			program := c.program()
			if strings.HasPrefix(program, "KEY=$(") {
				program = "posthorn"
			}
			printed = append(printed, program)
			run := program == "curl" || program == "posthorn"
			require.True(t, run || notRun[program] != "", "%s: nothing runs %s, and nothing says why", c.at, c.text)
			require.Contains(t, named, program, "%s: CONTRIBUTING.md does not say how %s is held", c.at, program)
		}
	}
	for program := range notRun {
		require.Contains(t, printed, program, "no document has such a command")
	}
	slices.Sort(named)
	for _, program := range slices.Compact(named) {
		require.Contains(t, printed, program, "CONTRIBUTING.md: no document has such a command")
	}
}
