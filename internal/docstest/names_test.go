package docstest

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
)

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, file))
	require.NoError(t, err)
	return string(raw)
}

// everything calls look with each document.
func everything(t *testing.T, look func(t *testing.T, d *document)) {
	for _, name := range documents {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			look(t, parse(t, name))
		})
	}
}

func TestEveryDocumentIsHeld(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob(filepath.Join(root, "docs", "*"))
	require.NoError(t, err)
	top, err := filepath.Glob(filepath.Join(root, "*.md"))
	require.NoError(t, err)
	var names []string
	for _, f := range append(found, top...) {
		name, err := filepath.Rel(root, f)
		require.NoError(t, err)
		names = append(names, filepath.ToSlash(name))
	}
	require.ElementsMatch(t, names, append([]string{"docs/images"}, documents...))
}

func TestEveryPictureIsShown(t *testing.T) {
	t.Parallel()
	pictures, err := os.ReadDir(filepath.Join(root, "docs", "images"))
	require.NoError(t, err)
	require.NotEmpty(t, pictures)
	for _, p := range pictures {
		require.True(t, slices.ContainsFunc(documents, func(name string) bool {
			return strings.Contains(read(t, name), "images/"+p.Name()+")")
		}), "no document shows %s", p.Name())
	}
}

var (
	makeForm   = regexp.MustCompile(`^make ([a-z][a-z0-9-]*)`)
	targetForm = regexp.MustCompile(`(?m)^([a-zA-Z][a-zA-Z0-9-]*):.*## `)
)

func TestEveryMakeTargetNamedExists(t *testing.T) {
	t.Parallel()
	var targets []string
	for _, m := range targetForm.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		targets = append(targets, m[1])
	}
	require.NotEmpty(t, targets)
	everything(t, func(t *testing.T, d *document) {
		for _, s := range d.spans {
			if m := makeForm.FindStringSubmatch(s.text); m != nil {
				require.Contains(t, targets, m[1], d.at(s.line))
			}
		}
		for _, b := range d.blocks {
			for line := range strings.Lines(b.text) {
				if m := makeForm.FindStringSubmatch(line); m != nil && b.info == "sh" {
					require.Contains(t, targets, m[1], d.at(b.line))
				}
			}
		}
	})
	var listed []string
	for _, command := range parse(t, "README.md").under(t, "Make targets").column(0) {
		listed = append(listed, strings.TrimPrefix(command, "make "))
	}
	require.ElementsMatch(t, targets, listed, "README.md lists the targets of `make help`")
}

// pathForm is what reads as a path of this repository: with a slash inside or
// behind, or with the ending of a file.
var (
	pathForm   = regexp.MustCompile(`^\.?[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*/?$`)
	fileEnding = regexp.MustCompile(`\.(go|md|yaml|toml|json|mod)$`)
)

func isPath(s string) bool {
	return pathForm.MatchString(s) && (strings.Contains(s, "/") || fileEnding.MatchString(s) || s == "Makefile" || s == "LICENSE") &&
		!strings.HasPrefix(s, "application/")
}

// ignored says whether a path is one that .gitignore names: what is made here.
func ignored(t *testing.T, p string) bool {
	for line := range strings.Lines(read(t, ".gitignore")) {
		if name := strings.Trim(line, "/\n"); name != "" && (name == strings.Trim(p, "/") || strings.HasPrefix(p, name+"/")) {
			return true
		}
	}
	return false
}

func TestEveryPathNamedExists(t *testing.T) {
	t.Parallel()
	require.True(t, isPath("internal/hook") && isPath("config/") && isPath("go.mod") && isPath(".posthorn/"))
	require.False(t, isPath("/api/v1/events") || isPath("order.created") || isPath("application/json") || isPath("GET /x"))
	everything(t, func(t *testing.T, d *document) {
		for _, s := range d.spans {
			if isPath(s.text) && !ignored(t, s.text) {
				require.FileExistsf(t, onlyFile(t, s.text), "%s: %s", d.at(s.line), s.text)
			}
		}
	})
}

// onlyFile is the file itself, or a file in the folder: a folder without any is
// not in a clone.
func onlyFile(t *testing.T, name string) string {
	file := filepath.Join(root, name)
	info, err := os.Stat(file)
	if err != nil || !info.IsDir() {
		return file
	}
	require.NoError(t, filepath.WalkDir(filepath.Join(root, name), func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			file = p
			return fs.SkipAll
		}
		return err
	}))
	return file
}

// slug is a heading's anchor.
func slug(heading string) string {
	kept := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r == ' ':
			return '-'
		}
		return -1
	}, strings.ToLower(heading))
	return kept
}

func TestEveryLinkLeadsSomewhere(t *testing.T) {
	t.Parallel()
	everything(t, func(t *testing.T, d *document) {
		for _, l := range d.links {
			if strings.HasPrefix(l.text, "https://") {
				continue
			}
			file, anchor, _ := strings.Cut(l.text, "#")
			target := d
			if file != "" {
				file = path.Join(path.Dir(d.path), file)
				require.FileExists(t, filepath.Join(root, file), d.at(l.line))
			}
			if anchor == "" {
				continue
			}
			if file != "" {
				target = parse(t, file)
			}
			require.True(t, slices.ContainsFunc(target.headings, func(h span) bool { return slug(h.text) == anchor }), "%s: no heading %s", d.at(l.line), l.text)
		}
	})
}

var (
	testForm = regexp.MustCompile(`^(?:([a-z0-9]+)\.)?((?:Test|Fuzz|Benchmark)[A-Z]\w*)$`)
	testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
)

// tests are all tests of the module, as package.Test.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	require.NoError(t, filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(p, "_test.go") {
			return err
		}
		raw, err := os.ReadFile(p)
		for _, m := range testFunc.FindAllSubmatch(raw, -1) {
			all[filepath.Base(filepath.Dir(p))+"."+string(m[1])] = true
		}
		return err
	}))
	return all
}

func TestEveryTestNamedExists(t *testing.T) {
	t.Parallel()
	all := tests(t)
	named := 0
	for _, name := range documents {
		d := parse(t, name)
		for _, s := range d.spans {
			if m := testForm.FindStringSubmatch(s.text); m != nil {
				named++
				require.NotEmpty(t, m[1], "%s: name the package of %s", d.at(s.line), m[2])
				require.True(t, all[s.text], "%s: there is no test %s", d.at(s.line), s.text)
			}
		}
	}
	require.Greater(t, named, 30)
}

// A name that no test has would be left out without a word.
func TestEveryStoryForOtherStandInsExists(t *testing.T) {
	t.Parallel()
	all := tests(t)
	stories := regexp.MustCompile(`(?m)^\t(Test\w+)(?: \\|\)\))$`).FindAllStringSubmatch(read(t, "Makefile"), -1)
	require.Greater(t, len(stories), 10)
	for _, m := range stories {
		require.True(t, all["e2e."+m[1]], "Makefile: there is no test %s", m[1])
	}
}

var variableForm = regexp.MustCompile(`\b(?:POSTHORN|WEBHOOK|RETRY|DLQ|LOG)_[A-Z_]*[A-Z]\b`)

func TestEveryVariableNamedIsRead(t *testing.T) {
	t.Parallel()
	var known []string
	for _, v := range config.Variables() {
		known = append(known, v.Name)
	}
	// Those of the commands that call the API.
	for _, m := range regexp.MustCompile(`os\.Getenv\("(\w+)"\)`).FindAllStringSubmatch(read(t, "cmd/posthorn/remote.go"), -1) {
		known = append(known, m[1])
	}
	for _, name := range documents {
		for _, v := range variableForm.FindAllString(read(t, name), -1) {
			require.Contains(t, known, v, name)
		}
	}
}

func TestTheFolderMapIsComplete(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, folder := range parse(t, "README.md").under(t, "Where things are").column(0) {
		listed = append(listed, strings.TrimSuffix(folder, "/"))
	}
	// A folder is listed, or what is in it is.
	mapped := func(folder string) bool {
		return slices.ContainsFunc(listed, func(l string) bool { return l == folder || strings.HasPrefix(l, folder+"/") })
	}
	for _, parent := range []string{"", "cmd", "internal"} {
		entries, err := os.ReadDir(filepath.Join(root, parent))
		require.NoError(t, err)
		for _, e := range entries {
			folder := path.Join(parent, e.Name())
			if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && !ignored(t, folder) {
				require.True(t, mapped(folder), "README.md: the map of folders does not name %s", folder)
			}
		}
	}
}
