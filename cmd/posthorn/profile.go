package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// profile is a Posthorn that the file of profiles names.
type profile struct{ url, key string }

// profiles is that file, ~/.config/posthorn/config.yaml:
//
//	profile: production # which one counts without --profile; "default" where this is not there
//	profiles:
//	  production:
//	    url: https://hooks.example.com
//	    key: ph_...
type profiles struct {
	path     string
	standard string
	all      map[string]profile
}

// standardProfile is the one that counts where the file names none.
const standardProfile = "default"

// profilesPath is where the file is: below XDG_CONFIG_HOME, or ~/.config. Where
// nobody is at home, as in a container, it is a path at which nothing is.
func profilesPath() string {
	if dir := os.Getenv("XDG_CONFIG_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "posthorn", "config.yaml")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		home = "~"
	}
	return filepath.Join(home, ".config", "posthorn", "config.yaml")
}

// readProfiles reads the file. Without one there are no profiles. Its error names
// the file and the line.
func readProfiles() (*profiles, error) {
	path := profilesPath()
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &profiles{path: path}, nil
	} else if err != nil {
		return nil, err
	}
	p := &profiles{path: path, all: map[string]profile{}}
	if err := p.parse(text); err != nil {
		return nil, err
	}
	return p, nil
}

// named returns a profile; with an empty name the one that counts without.
func (p *profiles) named(name string) (profile, error) {
	if name == "" {
		if p.standard == "" {
			return p.all[standardProfile], nil
		}
		name = p.standard
	}
	found, ok := p.all[name]
	switch {
	case ok:
		return found, nil
	case len(p.all) == 0:
		return profile{}, fmt.Errorf("there is no profile %q: there are none in %s", name, p.path)
	}
	return profile{}, fmt.Errorf("there is no profile %q in %s: there are %s", name, p.path, strings.Join(p.names(), ", "))
}

func (p *profiles) names() []string { return slices.Sorted(maps.Keys(p.all)) }

// warn tells of keys in a file that others may read.
func (p *profiles) warn() error {
	if !slices.ContainsFunc(p.names(), func(name string) bool { return p.all[name].key != "" }) {
		return nil
	}
	info, err := os.Stat(p.path)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	return hint(fmt.Sprintf("posthorn: warning: %s holds API keys, and others may read it: chmod 600 %[1]s", p.path))
}

func (p *profiles) parse(text []byte) error {
	var doc yaml.Node
	in, err := yaml.NewLoader(bytes.NewReader(text))
	if err == nil {
		err = in.Load(&doc)
	}
	var broken *yaml.LoadError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &broken):
		return fmt.Errorf("%s:%d: %s", p.path, broken.Mark.Line, broken.Message)
	case err != nil:
		return fmt.Errorf("%s: %w", p.path, err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil // nothing but comments
	}
	return p.pairs(doc.Content[0], "the file", func(key, value *yaml.Node) error {
		switch key.Value {
		case "profile":
			return p.text(key, value, &p.standard)
		case "profiles":
			return p.pairs(value, "profiles", p.profile)
		}
		return p.wrong(key, "unknown key %q: expected profile or profiles", key.Value)
	})
}

func (p *profiles) profile(name, value *yaml.Node) error {
	var read profile
	err := p.pairs(value, name.Value, func(key, value *yaml.Node) error {
		switch key.Value {
		case "url":
			if err := p.text(key, value, &read.url); err != nil {
				return err
			}
			if !isAPI(read.url) {
				return p.wrong(value, "url: must be the address of an API, such as http://localhost:8000")
			}
			return nil
		case "key":
			if err := p.text(key, value, &read.key); err != nil {
				return err
			}
			if !isKey(read.key) {
				return p.wrong(value, "key: must be an API key, ph_<id>_<secret>")
			}
			return nil
		}
		return p.wrong(key, "unknown key %q: expected url or key", key.Value)
	})
	p.all[name.Value] = read
	return err
}

// pairs calls each with the keys of a mapping and their values.
func (p *profiles) pairs(n *yaml.Node, what string, each func(key, value *yaml.Node) error) error {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		return p.wrong(n, "%s: has to be keys and values", what)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			return p.wrong(key, "%q comes twice", key.Value)
		}
		seen[key.Value] = true
		if err := each(key, n.Content[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (p *profiles) text(key, value *yaml.Node, to *string) error {
	if value.Kind != yaml.ScalarNode || value.Tag == "!!null" || value.Value == "" {
		return p.wrong(value, "%s: has to be a text", key.Value)
	}
	*to = value.Value
	return nil
}

func (p *profiles) wrong(at *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("%s:%d: %s", p.path, at.Line, fmt.Sprintf(format, args...))
}
