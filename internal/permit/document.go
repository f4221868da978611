package permit

import (
	"fmt"
	"maps"
	"os"

	"go.yaml.in/yaml/v4"
)

// places are what a policy document has for the ARNs of an account.
var places = map[string]string{
	"TABLE_ARN": table, "TABLE_ARN/index/GSI1": index, "QUEUE_ARN": queue, "DEAD_LETTER_QUEUE_ARN": deadLetter, "KEY_ARN": key,
}

// ReadDocument reads a policy document, as IAM has it, with places where it has
// to name the account's resources, as the rights of one program. What it does not
// understand is an error.
func ReadDocument(path, program string) (*Policies, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read policy: %w", err)
	}
	var doc yaml.Node // JSON is YAML
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read policy %s: %w", path, err)
	}
	p := &Policies{contexts: map[Grant]string{}, used: map[Grant]bool{}, refused: map[Grant]bool{}}
	for _, s := range items(value(doc.Content[0], "Statement")) {
		if err := p.add(program, s); err != nil {
			return nil, fmt.Errorf("read policy %s, line %d: %w", path, s.Line, err)
		}
	}
	named := make(map[Grant]string, len(p.contexts))
	for g, context := range p.contexts {
		resource, ok := places[g.Resource]
		if !ok {
			return nil, fmt.Errorf("read policy %s: resource %q is not known here", path, g.Resource)
		}
		named[Grant{g.Function, g.Action, resource}] = context
	}
	p.contexts = named
	return p, nil
}

// Grants are all that is allowed, with the key that the encryption context of a
// call has to have, or none.
func (p *Policies) Grants() map[Grant]string { return maps.Clone(p.contexts) }
