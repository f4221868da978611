package permit

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"
)

// Resources, as the template's policies name them.
const (
	table      = "!GetAtt Table.Arn"
	index      = "!Sub ${Table.Arn}/index/GSI1"
	queue      = "!GetAtt Queue.Arn"
	deadLetter = "!GetAtt DeadLetterQueue.Arn"
	key        = "!If MakesKey" // the stack's own, or the one that was given
)

// Grant is one action on one resource, as the template writes them, that a
// function is allowed, or was not.
type Grant struct{ Function, Action, Resource string }

func (g Grant) String() string {
	return g.Function + ": " + g.Action + " on " + g.Resource
}

// Policies are what functions may do, and what of it they did. They are safe
// for concurrent use.
type Policies struct {
	// contexts are, of each grant, the key that the encryption context of a call
	// has to have; empty: none.
	contexts map[Grant]string

	mu      sync.Mutex
	used    map[Grant]bool
	refused map[Grant]bool
}

// Read reads the policies of a template's functions: of XFunction, those of
// XRole. What it does not understand is an error.
func Read(path string) (*Policies, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read policies: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("read policies of %s: %w", path, err)
	}
	p := &Policies{contexts: map[Grant]string{}, used: map[Grant]bool{}, refused: map[Grant]bool{}}
	for id, resource := range entries(value(doc.Content[0], "Resources")) {
		name, ok := strings.CutSuffix(id, "Role")
		if !ok || value(resource, "Type").Value != "AWS::IAM::Role" {
			continue
		}
		properties := value(resource, "Properties")
		if err := known(properties); err != nil {
			return nil, fmt.Errorf("read policies of %s: %s, line %d: %w", path, id, resource.Line, err)
		}
		for _, policy := range items(value(properties, "Policies")) {
			for _, s := range items(value(value(policy, "PolicyDocument"), "Statement")) {
				if err := p.add(name+"Function", s); err != nil {
					return nil, fmt.Errorf("read policies of %s: %s, line %d: %w", path, id, s.Line, err)
				}
			}
		}
	}
	return p, nil
}

// network is the one policy that a role has beside its own, where its function
// joins a VPC: Lambda itself needs it, before the function runs.
const network = "!If [InVpc, [!Ref NetworkPolicy], !Ref AWS::NoValue]"

// known refuses a property of a role that may allow more than its policies say.
func known(properties *yaml.Node) error {
	for name, v := range entries(properties) {
		switch name {
		case "AssumeRolePolicyDocument", "Policies", "Tags":
		case "ManagedPolicyArns":
			if got := written(v); got != network {
				return fmt.Errorf("%s %s is not known here", name, got)
			}
		default:
			return fmt.Errorf("%s is not known here", name)
		}
	}
	return nil
}

// add adds the grants of a statement.
func (p *Policies) add(function string, s *yaml.Node) error {
	for _, name := range []string{"Effect", "Action", "Resource"} {
		if value(s, name).Kind == 0 {
			return fmt.Errorf("a statement without %s is not known here", name)
		}
	}
	context := ""
	for name, v := range entries(s) {
		switch name {
		case "Sid", "Action", "Resource":
		case "Effect":
			if v.Value != "Allow" {
				return fmt.Errorf("effect %q is not known here", v.Value)
			}
		case "Condition":
			keys := value(v, "ForAnyValue:StringEquals")
			context = value(keys, "kms:EncryptionContextKeys").Value
			if context == "" || len(v.Content) != 2 || len(keys.Content) != 2 {
				return fmt.Errorf("a condition that is not known here")
			}
		default:
			return fmt.Errorf("%s is not known here", name)
		}
	}
	for _, action := range items(value(s, "Action")) {
		if strings.Contains(action.Value, "*") {
			return fmt.Errorf("action %q is not known here", action.Value)
		}
		for _, resource := range items(value(s, "Resource")) {
			p.contexts[Grant{function, action.Value, name(resource)}] = context
		}
	}
	return nil
}

// allow says whether a call may be made, and remembers it. contexts are the
// keys of the call's encryption context.
func (p *Policies) allow(g Grant, contexts []string) bool {
	context, allowed := p.contexts[g]
	if context != "" && !slices.Contains(contexts, context) {
		allowed = false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if allowed {
		p.used[g] = true
	} else {
		p.refused[g] = true
	}
	return allowed
}

// Refused are the calls that were made and are not allowed.
func (p *Policies) Refused() []Grant {
	p.mu.Lock()
	defer p.mu.Unlock()
	return sorted(p.refused)
}

// Used are the grants that calls have used.
func (p *Policies) Used() []Grant {
	p.mu.Lock()
	defer p.mu.Unlock()
	return sorted(p.used)
}

// Unused are the grants that no call has used, but for those of Lambda and its
// mapping, which are used in a function's name before or after it runs.
func (p *Policies) Unused() []Grant {
	p.mu.Lock()
	defer p.mu.Unlock()
	unused := map[Grant]bool{}
	for g := range p.contexts {
		if !p.used[g] && !ofPlatform(g) {
			unused[g] = true
		}
	}
	return sorted(unused)
}

// ofPlatform says whether Lambda itself needs a grant: to write logs, and to
// read a queue, as in "Using Lambda with Amazon SQS", execution role
// permissions.
func ofPlatform(g Grant) bool {
	switch g.Action {
	case "logs:CreateLogStream", "logs:PutLogEvents":
		return true
	case "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes":
		return g.Function == "DeliverFunction" && g.Resource == queue
	}
	return false
}

func sorted(grants map[Grant]bool) []Grant {
	all := make([]Grant, 0, len(grants))
	for g := range grants {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b Grant) int { return strings.Compare(a.String(), b.String()) })
	return all
}

// name is a resource as the constants above have it.
func name(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		return n.Tag + " " + n.Content[0].Value
	case strings.HasPrefix(n.Tag, "!!"):
		return n.Value
	default:
		return n.Tag + " " + n.Value
	}
}

// written is a list, or one thing, in one line.
func written(n *yaml.Node) string {
	text := n.Value
	if n.Kind == yaml.SequenceNode {
		parts := make([]string, len(n.Content))
		for i, part := range n.Content {
			parts[i] = written(part)
		}
		text = "[" + strings.Join(parts, ", ") + "]"
	}
	if strings.HasPrefix(n.Tag, "!!") {
		return text
	}
	return n.Tag + " " + text
}

// entries are the keys and values of a mapping; of anything else there are
// none.
func entries(n *yaml.Node) map[string]*yaml.Node {
	all := map[string]*yaml.Node{}
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			all[n.Content[i].Value] = n.Content[i+1]
		}
	}
	return all
}

// value is that of a key, or an empty node.
func value(n *yaml.Node, key string) *yaml.Node {
	if v, ok := entries(n)[key]; ok {
		return v
	}
	return &yaml.Node{}
}

// items are those of a list; one thing is a list of one, and nothing of none.
func items(n *yaml.Node) []*yaml.Node {
	switch {
	case n.Kind == yaml.SequenceNode && strings.HasPrefix(n.Tag, "!!"):
		return n.Content
	case n.Kind == 0:
		return nil
	default:
		return []*yaml.Node{n}
	}
}
