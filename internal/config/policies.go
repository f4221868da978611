package config

import (
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"posthorn/internal/deliver/retry"
	"posthorn/internal/ingest"
)

// defaultPolicy is the name by which an endpoint asks for the default policy
// whatever its events.
const defaultPolicy = "default"

// named reads event_retry_policies. It comes before the environment is
// applied: what a policy leaves out is the default policy's as the files say
// it, so that a variable changes that one only.
func (l *loader) named() {
	ps := l.config.Retry
	ps.Named = map[string]retry.Policy{}
	if l.policies == nil {
		return
	}
	filters := map[string]place{} // every filter so far, and where
	for key, value := range l.pairs(l.policiesFile, "event_retry_policies", l.policies) {
		name := key.Value
		at := place{l.policiesFile, key.Line, ""}
		switch {
		case name == defaultPolicy:
			l.mistakes.add(at, "event_retry_policies: %s is the name of default_retry_policy", quote(name))
		case name == "" || len(name) > 64 || !only(name, "_-."):
			l.mistakes.add(at, "event_retry_policies: %s is not a policy's name: 1 to 64 letters, digits, \"_\", \"-\" and \".\"", quote(name))
		}
		l.policy(name, at, value, filters)
	}
	// The first rule that matches counts.
	slices.SortStableFunc(ps.ByEvent, func(a, b retry.Rule) int { return bySpecificity(a.Events[0], b.Events[0]) })
}

// policy reads one of the named policies.
func (l *loader) policy(name string, at place, n *yaml.Node, filters map[string]place) {
	label := "event_retry_policies." + name
	p := l.config.Retry.Default
	var events []string
	for key, value := range l.pairs(at.file, label, n) {
		switch key.Value {
		case "events":
			events = l.filters(label+".events", place{at.file, key.Line, ""}, value, filters)
		case "retry_policy":
			l.policyFields(&p, at.file, label+".retry_policy", value)
			if err := checkDelays(p); err != nil {
				l.mistakes.add(place{at.file, key.Line, ""}, "%s: %v", label, err)
			}
		default:
			l.mistakes.add(place{at.file, key.Line, ""}, "unknown key %s", quote(label+"."+key.Value))
		}
	}
	l.config.Retry.Named[name] = p
	for _, filter := range events {
		l.config.Retry.ByEvent = append(l.config.Retry.ByEvent, retry.Rule{Events: []string{filter}, Policy: p})
	}
}

func (l *loader) policyFields(p *retry.Policy, file, label string, n *yaml.Node) {
	fields := policyFields()
	for key, value := range l.pairs(file, label, n) {
		at := place{file, key.Line, ""}
		i := slices.IndexFunc(fields, func(f policyField) bool { return f.name == key.Value })
		if i < 0 {
			l.mistakes.add(at, "unknown key %s", quote(label+"."+key.Value))
			continue
		}
		if text, ok := l.scalar(at, label+"."+key.Value, value); ok {
			if err := fields[i].set(p, text); err != nil {
				l.mistakes.add(at, "%s.%s: %v", label, key.Value, err)
			}
		}
	}
}

// filters reads a policy's events. A filter belongs to one policy only.
func (l *loader) filters(label string, at place, n *yaml.Node, taken map[string]place) []string {
	if n.Kind != yaml.SequenceNode {
		l.mistakes.add(at, "%s: has to be a list", label)
		return nil
	}
	var all []string
	for _, item := range n.Content {
		here := place{at.file, item.Line, ""}
		filter, ok := l.scalar(here, label, follow(item))
		if !ok {
			continue
		}
		if !validFilter(filter) {
			l.mistakes.add(here, "%s: %s is neither an event type, nor a prefix such as \"order.*\", nor \"*\"", label, quote(filter))
			continue
		}
		if first, twice := taken[filter]; twice {
			l.mistakes.add(here, "%s: %s has a policy already, at %v", label, quote(filter), first)
			continue
		}
		taken[filter] = here
		all = append(all, filter)
	}
	return all
}

// validFilter says whether hook.FilterMatches takes the filter in one of its
// three forms.
func validFilter(filter string) bool {
	if filter == "*" {
		return true
	}
	if prefix, ok := strings.CutSuffix(filter, ".*"); ok {
		filter = prefix
	}
	return ingest.ValidateEventType(filter) == nil
}

// bySpecificity puts exact types first, then prefixes, the longer ones first,
// then "*".
func bySpecificity(a, b string) int {
	wild := func(s string) int { return strings.Count(s, "*") }
	if c := cmp.Compare(wild(a), wild(b)); c != 0 {
		return c
	}
	if c := cmp.Compare(len(b), len(a)); c != 0 {
		return c
	}
	return cmp.Compare(a, b)
}
