package config

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"go.yaml.in/yaml/v4"
)

// read applies a file's text. shown is the path that mistakes name.
func (l *loader) read(name, shown string, text []byte) {
	doc, err := parse(text)
	if err != nil {
		at := place{file: shown}
		var load *yaml.LoadError
		if errors.As(err, &load) {
			at.line, err = load.Mark.Line, errors.New(load.Message)
		}
		l.mistakes.add(at, "%v", err)
		return
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return // nothing but comments
	}
	l.section(name, shown, "", follow(doc.Content[0]))
}

// parse reads the one document of a file. Without any it is the zero node.
func parse(text []byte) (*yaml.Node, error) {
	var doc, more yaml.Node
	in, err := yaml.NewLoader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	if err := in.Load(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if err := in.Load(&more); err == nil {
		return nil, errors.New("has to be a single document")
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	return &doc, nil
}

// section applies a mapping of the file name, whose keys begin with prefix.
func (l *loader) section(name, shown, prefix string, n *yaml.Node) {
	for key, value := range l.pairs(shown, strings.TrimSuffix(prefix, "."), n) {
		full := prefix + key.Value
		switch {
		case name == retryFile && full == "event_retry_policies":
			l.policies, l.policiesFile = value, shown
		case name == webhooksFile && full == "event_types":
			l.types, l.typesFile = value, shown
		default:
			at := place{shown, key.Line, ""}
			if s := l.lookUp(name, full); s != nil {
				if text, ok := l.text(s, at, full, value); ok {
					l.apply(s, at, full+": ", text)
				}
			} else if l.hasSection(name, full+".") {
				l.section(name, shown, full+".", value)
			} else {
				l.mistakes.add(at, "unknown key %s", quote(full))
			}
		}
	}
}

func (l *loader) lookUp(file, key string) *setting {
	for i := range l.settings {
		if s := &l.settings[i]; s.file == file && s.key == key {
			return s
		}
	}
	return nil
}

func (l *loader) hasSection(file, prefix string) bool {
	for i := range l.settings {
		if s := &l.settings[i]; s.file == file && strings.HasPrefix(s.key, prefix) {
			return true
		}
	}
	return false
}

// text returns a setting's value as text: a scalar's, or a list's joined by
// commas.
func (l *loader) text(s *setting, at place, label string, n *yaml.Node) (string, bool) {
	if !s.list {
		return l.scalar(at, label, n)
	}
	if n.Kind != yaml.SequenceNode {
		l.mistakes.add(at, "%s: has to be a list", label)
		return "", false
	}
	var parts []string
	for _, item := range n.Content {
		text, ok := l.scalar(place{at.file, item.Line, ""}, label, follow(item))
		if !ok {
			return "", false
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ","), true
}

// scalar returns a single value as it is written, and refuses everything else.
func (l *loader) scalar(at place, label string, n *yaml.Node) (string, bool) {
	switch {
	case n.Kind != yaml.ScalarNode:
		l.mistakes.add(at, "%s: has to be a single value", label)
	case n.Tag == "!!null" || n.Value == "":
		l.mistakes.add(at, "%s: has no value", label)
	default:
		return n.Value, true
	}
	return "", false
}

// pairs yields the keys of a mapping and their values, aliases followed. Keys
// that come twice are named, and yielded once. A mapping that is left empty has
// none.
func (l *loader) pairs(file, label string, n *yaml.Node) func(yield func(key, value *yaml.Node) bool) {
	return func(yield func(key, value *yaml.Node) bool) {
		if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
			return
		}
		if n.Kind != yaml.MappingNode {
			if label != "" {
				label += ": "
			}
			l.mistakes.add(place{file, n.Line, ""}, "%shas to be keys and values", label)
			return
		}
		seen := make(map[string]bool, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := follow(n.Content[i])
			if seen[key.Value] {
				l.mistakes.add(place{file, key.Line, ""}, "%s comes twice", quote(key.Value))
				continue
			}
			seen[key.Value] = true
			if !yield(key, follow(n.Content[i+1])) {
				return
			}
		}
	}
}

// follow returns what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}
