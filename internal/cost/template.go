package cost

import (
	"fmt"
	"os"
	"strconv"

	"go.yaml.in/yaml/v4"
)

// node is a part of a template.
type node = yaml.Node

// Template is what the template says of what costs something.
type Template struct {
	root       *node
	parameters map[string]string // their defaults
}

// ReadTemplate reads a CloudFormation template.
func ReadTemplate(path string) (*Template, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	return parseTemplate(text)
}

func parseTemplate(text []byte) (*Template, error) {
	var doc node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	if len(doc.Content) != 1 {
		return nil, fmt.Errorf("read the template: it is no single document")
	}
	t := &Template{root: doc.Content[0], parameters: map[string]string{}}
	each(child(t.root, "Parameters"), func(name string, n *node) {
		if d := child(n, "Default"); d != nil {
			t.parameters[name] = d.Value
		}
	})
	if child(t.root, "Resources") == nil {
		return nil, fmt.Errorf("read the template: it has no Resources")
	}
	return t, nil
}

// With returns the template with parameters set; one that it does not have is
// an error.
func (t *Template) With(parameters map[string]string) (*Template, error) {
	set := &Template{root: t.root, parameters: map[string]string{}}
	for name, value := range t.parameters {
		set.parameters[name] = value
	}
	for name, value := range parameters {
		if _, there := t.parameters[name]; !there {
			return nil, fmt.Errorf("the template has no parameter %s", name)
		}
		set.parameters[name] = value
	}
	return set, nil
}

// resources calls f with every resource of a type that is made.
func (t *Template) resources(kind string, f func(name string, properties *node)) error {
	var wrong error
	each(child(t.root, "Resources"), func(name string, n *node) {
		if k := child(n, "Type"); k == nil || k.Value != kind || wrong != nil {
			return
		}
		if c := child(n, "Condition"); c != nil {
			made, err := t.condition(c.Value)
			if err != nil {
				wrong = fmt.Errorf("resource %s: %w", name, err)
				return
			}
			if !made {
				return
			}
		}
		f(name, child(n, "Properties"))
	})
	return wrong
}

func (t *Template) condition(name string) (bool, error) {
	n := child(child(t.root, "Conditions"), name)
	if n == nil {
		return false, fmt.Errorf("no condition %s", name)
	}
	return t.holds(n)
}

// holds evaluates a condition.
func (t *Template) holds(n *node) (bool, error) {
	switch n.Tag {
	case "!Condition":
		return t.condition(n.Value)
	case "!Equals":
		if len(n.Content) != 2 {
			return false, fmt.Errorf("line %d: !Equals takes two", n.Line)
		}
		a, err := t.value(n.Content[0])
		if err != nil {
			return false, err
		}
		b, err := t.value(n.Content[1])
		return a == b, err
	case "!Not", "!And", "!Or":
		for _, c := range n.Content {
			is, err := t.holds(c)
			switch {
			case err != nil:
				return false, err
			case n.Tag == "!Not":
				return !is, nil
			case is == (n.Tag == "!Or"):
				return is, nil
			}
		}
		return n.Tag == "!And", nil
	default:
		return false, fmt.Errorf("line %d: %q is not understood in a condition", n.Line, n.Tag)
	}
}

// value is a scalar: written out, a parameter's, or the choice of a condition.
func (t *Template) value(n *node) (string, error) {
	switch {
	case n == nil:
		return "", nil
	case n.Tag == "!Ref":
		v, there := t.parameters[n.Value]
		if !there {
			return n.Value, nil // a resource, or a pseudo parameter
		}
		return v, nil
	case n.Tag == "!If" && len(n.Content) == 3:
		is, err := t.condition(n.Content[0].Value)
		if err != nil {
			return "", err
		}
		if is {
			return t.value(n.Content[1])
		}
		return t.value(n.Content[2])
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	default:
		return "", fmt.Errorf("line %d: a value is expected", n.Line)
	}
}

// Memory is the memory of each function in MB.
func (t *Template) Memory() (map[string]int, error) {
	memory := map[string]int{}
	logical := map[string]string{"ApiFunction": nameAPI, "DeliverFunction": nameDeliver, "DlqSweeperFunction": nameSweeper}
	var wrong error
	err := t.resources("AWS::Serverless::Function", func(name string, properties *node) {
		text, err := t.value(child(properties, "MemorySize"))
		if err == nil {
			memory[logical[name]], err = strconv.Atoi(text)
		}
		if err != nil {
			wrong = fmt.Errorf("memory of %s: %w", name, err)
		}
	})
	if err == nil {
		err = wrong
	}
	for _, name := range functionNames() {
		if err == nil && memory[name] == 0 {
			err = fmt.Errorf("the template says no memory of the %s function", name)
		}
	}
	return memory, err
}

// Logging is what AWS itself logs.
func (t *Template) Logging() (Logging, error) {
	l := Logging{Platform: true}
	if level := child(child(child(child(t.root, "Globals"), "Function"), "LoggingConfig"), "SystemLogLevel"); level != nil {
		v, err := t.value(level)
		if err != nil {
			return l, err
		}
		l.Platform = v != "WARN"
	}
	var wrong error
	err := t.resources("AWS::Serverless::HttpApi", func(_ string, properties *node) {
		settings := child(properties, "AccessLogSettings")
		if settings == nil {
			return
		}
		if l.Access = true; settings.Tag == "!If" && len(settings.Content) == 3 {
			l.Access, wrong = t.condition(settings.Content[0].Value)
		}
	})
	if err == nil {
		err = wrong
	}
	return l, err
}

// child is a member of a mapping; nil where there is none.
func child(n *node, name string) *node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// each calls f with every member of a mapping.
func each(n *node, f func(name string, n *node)) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f(n.Content[i].Value, n.Content[i+1])
	}
}
