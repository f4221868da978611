package templatetest

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"
)

// node is a part of the template.
type node struct {
	t    *testing.T
	path string
	n    *yaml.Node
}

func template(t *testing.T) node {
	t.Helper()
	text, err := os.ReadFile("../../template.yaml")
	require.NoError(t, err)
	var doc yaml.Node
	require.NoError(t, yaml.Load(text, &doc))
	require.Len(t, doc.Content, 1)
	return node{t, "template", doc.Content[0]}
}

// find returns the value of a key, if there is one.
func (n node) find(key string) (node, bool) {
	if n.n.Kind != yaml.MappingNode {
		return node{}, false
	}
	for i := 0; i+1 < len(n.n.Content); i += 2 {
		if n.n.Content[i].Value == key {
			return node{n.t, n.path + "." + key, n.n.Content[i+1]}, true
		}
	}
	return node{}, false
}

// at goes down the keys, all of which have to be there.
func (n node) at(keys ...string) node {
	n.t.Helper()
	for _, key := range keys {
		next, ok := n.find(key)
		require.True(n.t, ok, "%s has no %s", n.path, key)
		n = next
	}
	return n
}

func (n node) keys() []string {
	require.Equal(n.t, yaml.MappingNode, n.n.Kind, n.path)
	var keys []string
	for i := 0; i < len(n.n.Content); i += 2 {
		keys = append(keys, n.n.Content[i].Value)
	}
	return keys
}

// items are those of a list; a single value is a list of one, as in IAM.
func (n node) items() []node {
	if n.n.Kind != yaml.SequenceNode {
		return []node{n}
	}
	items := make([]node, len(n.n.Content))
	for i, c := range n.n.Content {
		items[i] = node{n.t, n.path + "[" + strconv.Itoa(i) + "]", c}
	}
	return items
}

// text is a scalar, with its CloudFormation function before it: "!Ref Table".
func (n node) text() string {
	n.t.Helper()
	require.Equal(n.t, yaml.ScalarNode, n.n.Kind, n.path)
	switch n.n.Tag {
	case "!Ref", "!GetAtt", "!Sub":
		return n.n.Tag + " " + n.n.Value
	}
	return n.n.Value
}

// substituted are the text and the values of a long !Sub.
func (n node) substituted() (text, values string) {
	n.t.Helper()
	require.Equal(n.t, "!Sub", n.n.Tag, n.path)
	parts := n.items()
	require.Len(n.t, parts, 2, n.path)
	var all []string
	for _, key := range parts[1].keys() {
		all = append(all, key+": "+parts[1].at(key).written())
	}
	return parts[0].text(), strings.Join(all, " ")
}

// written is a value on one line, with its CloudFormation functions.
func (n node) written() string {
	n.t.Helper()
	if n.n.Kind != yaml.SequenceNode {
		return n.text()
	}
	var all []string
	for _, item := range n.items() {
		all = append(all, item.written())
	}
	list := "[" + strings.Join(all, " ") + "]"
	if strings.HasPrefix(n.n.Tag, "!!") {
		return list
	}
	return n.n.Tag + " " + list
}

// outcomes are what a value comes to: the two sides of an !If, of which the
// condition is named, or the value itself.
func (n node) outcomes(condition string) []string {
	n.t.Helper()
	if n.n.Tag != "!If" {
		return []string{n.text()}
	}
	parts := n.texts()
	require.Len(n.t, parts, 3, n.path)
	require.Equal(n.t, condition, parts[0], n.path)
	return parts[1:]
}

func (n node) number() int {
	n.t.Helper()
	i, err := strconv.Atoi(n.text())
	require.NoError(n.t, err, n.path)
	return i
}

func (n node) texts() []string {
	var all []string
	for _, item := range n.items() {
		all = append(all, item.text())
	}
	return all
}

// resources are those of a type, by their logical ids.
func resources(t *testing.T, kind string) map[string]node {
	t.Helper()
	all := template(t).at("Resources")
	found := map[string]node{}
	for _, id := range all.keys() {
		if r := all.at(id); r.at("Type").text() == kind {
			found[id] = r
		}
	}
	require.NotEmpty(t, found)
	return found
}
