package docstest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// groupHelp is how the help of a group of commands begins, which is also what is
// shown for a command that it does not have.
var groupHelp = regexp.MustCompile(`(?m)^  \w+((?: \w+)*) COMMAND$`)

// reads is nil when a program reads a command line: with --help it reads all of its
// flags, and does nothing.
func reads(bin string, args ...string) error {
	out, err := exec.Command(bin, append(args, "--help")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	group := groupHelp.FindSubmatch(out)
	if group == nil {
		return nil
	}
	if rest := args[len(strings.Fields(string(group[1]))):]; len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return fmt.Errorf("there is no command %s", rest[0])
	}
	return nil
}

// What the text says one may type is there, with the flags that it has.
func TestEveryCommandThatTheTextNamesIsRead(t *testing.T) {
	t.Parallel()
	bin := program(t)
	seen := map[string]bool{}
	for _, name := range documents {
		d := parse(t, name)
		for _, s := range d.spans {
			words := strings.Fields(strings.NewReplacer("'", "", "source <(", "", ")", "").Replace(strings.TrimPrefix(s.text, "bin/")))
			if len(words) < 2 || words[0] != "posthorn" || seen[s.text] {
				continue
			}
			seen[s.text] = true
			require.NoError(t, reads(bin, words[1:]...), "%s: %s", d.at(s.line), s.text)
		}
	}
	require.Greater(t, len(seen), 20)
	require.ErrorContains(t, reads(bin, "dlq", "replay", "--slowly"), "no flag --slowly")
	require.ErrorContains(t, reads(bin, "dlq", "replace"), "no command replace")
}

// offers are the commands of a group of the program, as a shell completes them.
func offers(t *testing.T, bin, group string) (all []string) {
	t.Helper()
	out, err := exec.Command(bin, "__complete", group, "").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		if name, _, ok := strings.Cut(line, "\t"); ok {
			all = append(all, name)
		}
	}
	return all
}

// A table of commands leaves none out, and has none that is not there.
func TestTheTableOfCommandsIsTheProgram(t *testing.T) {
	t.Parallel()
	bin := program(t)
	d := parse(t, "docs/operations.md")
	groups := map[string]bool{"endpoints": true, "events": true, "deliveries": true, "dlq": true, "jobs": true, "keys": true}
	for _, row := range d.under(t, "From the command line").rows {
		name := strings.TrimPrefix(code(row[0]), "posthorn ")
		if !groups[name] {
			continue // it has no commands of its own
		}
		delete(groups, name)
		there := offers(t, bin, name)
		require.NotEmpty(t, there, name)
		var named []string
		for _, m := range spanForm.FindAllStringSubmatch(row[1], -1) {
			words := strings.Fields(m[1])
			if strings.HasPrefix(words[0], "-") {
				require.True(t, ofAny(bin, name, there, words[0]), "docs/operations.md: no posthorn %s has %s", name, words[0])
				continue
			}
			named = append(named, words[0])
			for _, flag := range words[1:] {
				require.True(t, ofAny(bin, name, words[:1], flag), "docs/operations.md: posthorn %s %s has no %s", name, words[0], flag)
			}
		}
		require.ElementsMatch(t, there, named, "docs/operations.md: the commands of posthorn %s", name)
	}
	require.Empty(t, groups, "docs/operations.md has no row for these")
}

// ofAny says whether any of a group's commands has a flag.
func ofAny(bin, group string, commands []string, flag string) bool {
	for _, c := range commands {
		help, err := exec.Command(bin, group, c, "--help").Output()
		if err == nil && strings.Contains(string(help), " "+flag) {
			return true
		}
	}
	return false
}

// make load hands ARGS to the load generator.
func TestEveryRunOfTheLoadGeneratorIsRead(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "loadtest")
	require.NoError(t, build(bin, "posthorn/cmd/loadtest"))
	seen := 0
	for _, name := range documents {
		d := parse(t, name)
		for _, s := range d.spans {
			args, ok := strings.CutPrefix(s.text, "make load ARGS=")
			if !ok {
				continue
			}
			seen++
			require.NoError(t, reads(bin, strings.Fields(strings.Trim(args, `"`))...), "%s: %s", d.at(s.line), s.text)
		}
	}
	require.Greater(t, seen, 3)
}
