package docstest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	configfiles "posthorn/config"
	"posthorn/internal/config"
)

const configuration = "docs/configuration.md"

// files are the files of configuration; each has a table under its name.
var files = []string{"webhooks.yaml", "queue.yaml", "retry.yaml"}

// documented is a row of a table of settings.
type documented struct {
	file, key, variable string // file and key are empty where only a variable sets it
	standard, local     string // defaults; empty: none is printed
}

var localForm = regexp.MustCompile("local: `([^`]+)`")

func newDocumented(file, key, variable, standard string) documented {
	r := documented{file: file, key: key, variable: variable, standard: code(standard)}
	r.local = r.standard
	if m := localForm.FindStringSubmatch(standard); m != nil {
		r.local = m[1]
	}
	return r
}

func settings(t *testing.T) []documented {
	t.Helper()
	d := parse(t, configuration)
	var all []documented
	for _, row := range d.under(t, "Variables without a key").rows {
		require.Len(t, row, 3, row)
		all = append(all, newDocumented("", "", code(row[0]), row[1]))
	}
	for _, file := range files {
		for _, row := range d.under(t, "`config/"+file+"`").rows {
			require.Len(t, row, 4, row)
			all = append(all, newDocumented(file, code(row[0]), code(row[1]), row[2]))
		}
	}
	return all
}

var write = flag.Bool("write", false, "write the tables of docs/configuration.md")

// settingsTable is the table of a file's settings, or of those that only a variable sets.
func settingsTable(file string) string {
	var b strings.Builder
	if file == "" {
		b.WriteString("| variable | default | meaning |\n|---|---|---|\n")
	} else {
		b.WriteString("| key | variable | default | meaning |\n|---|---|---|---|\n")
	}
	for _, r := range config.Reference() {
		if r.File != file {
			continue
		}
		cells := []string{coded(r.Key), coded(r.Variable), r.Default, r.Meaning}
		if file == "" {
			cells = cells[1:]
		}
		for _, cell := range cells {
			b.WriteString(strings.TrimSuffix("| "+cell, " ") + " ")
		}
		b.WriteString("|\n")
	}
	return b.String()
}

func coded(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// The tables are made of what stands in the code: `make docs` writes them.
func TestTheTablesOfConfigurationAreMadeOfTheCode(t *testing.T) {
	t.Parallel()
	doc := read(t, configuration)
	want := doc
	for heading, file := range map[string]string{
		"Variables without a key": "", "`config/webhooks.yaml`": "webhooks.yaml", "`config/queue.yaml`": "queue.yaml", "`config/retry.yaml`": "retry.yaml",
	} {
		before, rest, ok := strings.Cut(want, "\n## "+heading+"\n\n")
		require.True(t, ok, heading)
		_, after, ok := strings.Cut(rest, "\n\n") // the table is one paragraph
		require.True(t, ok, heading)
		want = before + "\n## " + heading + "\n\n" + settingsTable(file) + "\n" + after
	}
	if *write {
		require.NoError(t, os.WriteFile(filepath.Join(root, configuration), []byte(want), 0o600))
		return
	}
	require.Equal(t, want, doc, "run make docs")
}

func TestEveryVariableIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	var read, written []string
	for _, v := range config.Variables() {
		read = append(read, v.Name+" "+v.Key)
	}
	for _, s := range settings(t) {
		switch {
		case s.variable != "" && s.file != "":
			written = append(written, s.variable+" "+s.file+": "+s.key)
		case s.variable != "":
			written = append(written, s.variable+" ")
		}
	}
	require.ElementsMatch(t, read, written)
}

// keys are the keys of a shipped file, and those that variables can set too.
func keys(t *testing.T, file string) []string {
	t.Helper()
	raw, err := configfiles.FS.ReadFile(file)
	require.NoError(t, err)
	var doc yaml.Node
	require.NoError(t, yaml.Unmarshal(raw, &doc))
	all := map[string]bool{}
	leaves("", doc.Content[0], all)
	for _, v := range config.Variables() {
		if key, ok := strings.CutPrefix(v.Key, file+": "); ok {
			all[key] = true
		}
	}
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// leaves collects the keys below n that have a value. Names that the operator
// gives are "<name>"; the fields of a named policy are those of the default one.
func leaves(path string, n *yaml.Node, all map[string]bool) {
	switch {
	case n.Kind == yaml.MappingNode && !strings.HasSuffix(path, ".retry_policy"):
		for i := 0; i+1 < len(n.Content); i += 2 {
			name := n.Content[i].Value
			switch path {
			case "":
				leaves(name, n.Content[i+1], all)
			case "event_retry_policies":
				leaves(path+".<name>", n.Content[i+1], all)
			default:
				leaves(path+"."+name, n.Content[i+1], all)
			}
		}
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0 && n.Content[0].Kind == yaml.MappingNode:
		leaves(path+"[]", n.Content[0], all)
	case n.Tag != "!!null":
		all[path] = true
	}
}

func TestEveryYAMLKeyIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	for _, file := range files {
		written := parse(t, configuration).under(t, "`config/"+file+"`").column(0)
		slices.Sort(written)
		require.Equal(t, keys(t, file), written, file)
	}
	names, err := filepath.Glob(filepath.Join(root, "config", "*.yaml"))
	require.NoError(t, err)
	require.Len(t, names, len(files), "every file has a table")
}

// load reads the configuration with one variable set, or one key of a file.
func load(t *testing.T, mode config.Mode, vars map[string]string, dir string) config.Config {
	t.Helper()
	c, err := config.Load(mode, config.Source{Getenv: func(name string) string { return vars[name] }, Dirs: []string{dir}})
	require.NoError(t, err)
	c.Files = nil // where it was found is no value
	return *c
}

// A default is documented as it is if setting it changes nothing.
func TestDocumentedDefaultsAreTheDefaults(t *testing.T) {
	t.Parallel()
	account := func() map[string]string {
		return map[string]string{"POSTHORN_TABLE": "a-table", "POSTHORN_QUEUE_URL": "https://sqs.example/1/a", "POSTHORN_DLQ_URL": "https://sqs.example/1/b", "POSTHORN_KMS_KEY_ID": "alias/a-key"}
	}
	checked := 0
	for _, s := range settings(t) {
		if s.standard == "" {
			continue
		}
		t.Run(s.key+" "+s.variable, func(t *testing.T) {
			empty, dir := t.TempDir(), t.TempDir()
			vars := map[string]string{}
			if s.variable != "" {
				vars[s.variable] = s.local
			} else {
				writeKey(t, dir, s.file, s.key, s.local)
			}
			require.Equal(t, load(t, config.Local, nil, empty), load(t, config.Local, vars, dir), "local: %s", s.local)

			vars = account()
			if _, required := vars[s.variable]; required {
				return
			}
			if s.variable != "" {
				vars[s.variable] = s.standard
			}
			require.Equal(t, load(t, config.Function, account(), empty), load(t, config.Function, vars, dir), "in an account: %s", s.standard)
		})
		checked++
	}
	require.Greater(t, checked, 20)
}

func writeKey(t *testing.T, dir, file, key, value string) {
	t.Helper()
	text := value
	for _, name := range slices.Backward(strings.Split(key, ".")) {
		text = fmt.Sprintf("{%s: %s}", name, text)
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o600))
}

func TestEveryFlagOfLocalIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	help, err := exec.Command(program(t), "local", "--help").CombinedOutput()
	require.NoError(t, err, "%s", help)
	flag := regexp.MustCompile(`^--[a-z-]+`)
	var taken, written []string
	for _, m := range regexp.MustCompile(`--[a-z-]+`).FindAllString(string(help), -1) {
		if m != "--help" && m != "--version" { // those of every command
			taken = append(taken, m)
		}
	}
	slices.Sort(taken)
	taken = slices.Compact(taken) // the usage line names them too
	section, _, ok := strings.Cut(read(t, configuration), reconcileHeading)
	require.True(t, ok)
	for _, span := range spanForm.FindAllStringSubmatch(section, -1) {
		if f := flag.FindString(span[1]); f != "" {
			written = append(written, f)
		}
	}
	require.ElementsMatch(t, taken, written)
}

// reconcileHeading begins the section of a command that has flags of its own.
const reconcileHeading = "## `posthorn reconcile`\n"

func TestEveryFlagOfReconcileIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	documentsFlagsOf(t, reconcileHeading, "reconcile")
}

func TestEveryFlagOfServeDoctorAndHealthIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	documentsFlagsOf(t, "## `posthorn serve`\n", "serve", "health", "doctor")
}

// documentsFlagsOf holds a section of the configuration against the flags of some
// commands.
func documentsFlagsOf(t *testing.T, heading string, commands ...string) {
	t.Helper()
	var help strings.Builder
	for _, command := range commands {
		text, err := exec.Command(program(t), command, "--help").CombinedOutput()
		require.NoError(t, err, "%s", text)
		help.Write(text)
	}
	_, section, ok := strings.Cut(read(t, configuration), heading)
	require.True(t, ok)
	section, _, ok = strings.Cut(section, "\n## ")
	require.True(t, ok)
	require.Equal(t, flagsIn(help.String()), flagsIn(section))
}

func TestEveryFlagOfKeysIsDocumentedAndNoOther(t *testing.T) {
	t.Parallel()
	path := program(t)
	var help strings.Builder
	for _, command := range []string{"create", "list", "revoke"} {
		text, err := exec.Command(path, "keys", command, "--help").CombinedOutput()
		require.NoError(t, err, "%s", text)
		help.Write(text)
	}
	_, section, ok := strings.Cut(read(t, "docs/api.md"), "## Who may call\n")
	require.True(t, ok)
	section, _, ok = strings.Cut(section, "\n### ")
	require.True(t, ok)
	require.Equal(t, flagsIn(help.String()), flagsIn(section))
}

// flagsIn are the flags that a text names, each once, but for those of every
// command.
func flagsIn(text string) []string {
	all := regexp.MustCompile(`--[a-z][a-z-]*`).FindAllString(text, -1)
	slices.Sort(all)
	return slices.Compact(slices.DeleteFunc(all, func(f string) bool { return f == "--help" || f == "--version" }))
}

func TestEveryTemplateParameterIsDocumentedWithItsDefault(t *testing.T) {
	t.Parallel()
	var template struct {
		Parameters map[string]struct {
			Default string `yaml:"Default"`
		} `yaml:"Parameters"`
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, "template.yaml")), &template))
	inTemplate := map[string]string{}
	for name, p := range template.Parameters {
		inTemplate[name] = p.Default
	}
	written := map[string]string{}
	for _, row := range parse(t, configuration).under(t, "Template parameters").rows {
		written[code(row[0])] = code(row[1])
	}
	require.NotEmpty(t, written)
	require.Equal(t, inTemplate, written)
}
