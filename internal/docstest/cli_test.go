package docstest

import (
	"flag"
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

// argsForm is what a document says to give a target of make.
var argsForm = regexp.MustCompile(`(?:make ([a-z-]+) )?ARGS=("[^"]*"|\S+)`)

// `make run` and `make load` hand ARGS on.
func TestWhatIsHandedOnByARGSIsRead(t *testing.T) {
	t.Parallel()
	loadtest := filepath.Join(t.TempDir(), "loadtest")
	require.NoError(t, build(loadtest, "posthorn/cmd/loadtest"))
	takes := map[string]func(args ...string) error{
		"run":  func(args ...string) error { return reads(program(t), append([]string{"local"}, args...)...) },
		"load": func(args ...string) error { return reads(loadtest, args...) },
	}
	seen := map[string]int{}
	hold := func(at, target, text string) {
		for _, m := range argsForm.FindAllStringSubmatch(text, -1) {
			if m[1] != "" {
				target = m[1]
			}
			if read := takes[target]; read != nil {
				seen[target]++
				require.NoError(t, read(strings.Fields(strings.Trim(m[2], `"`))...), "%s: %s", at, text)
			}
		}
	}
	for _, name := range documents {
		d := parse(t, name)
		for _, s := range d.spans {
			hold(d.at(s.line), "", s.text)
		}
		for _, tab := range d.tables { // where a row is a target's
			for _, row := range tab.rows {
				if target, ok := strings.CutPrefix(code(row[0]), "make "); ok {
					hold(name, target, strings.Join(row[1:], " "))
				}
			}
		}
	}
	require.Greater(t, seen["run"], 1)
	require.Greater(t, seen["load"], 6)
}

// samCLI is the SAM command line, which is not on every machine. `.ci/run` names it.
var samCLI = flag.String("sam", "", "the `program` that has to read the sam commands of the documents; without it they are only taken apart")

// What they deploy and delete takes an account.
func TestTheSAMCommandLineReadsTheCommandsOfDocuments(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, name := range documents {
		for _, c := range commandsOf(parse(t, name)) {
			if c.program() != "sam" || seen[c.text] {
				continue
			}
			seen[c.text] = true
			args, err := words(c.text)
			require.NoError(t, err, "%s: %s", c.at, c.text)
			if *samCLI == "" {
				continue
			}
			t.Run(c.text, func(t *testing.T) {
				t.Parallel()
				require.NoError(t, reads(*samCLI, args[1:]...), c.at)
			})
		}
	}
	require.Greater(t, len(seen), 5)
	if *samCLI != "" {
		require.ErrorContains(t, reads(*samCLI, "deploy", "--slowly"), "No such option")
		require.ErrorContains(t, reads(*samCLI, "undeploy"), "No such command")
	}
}
