package config

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"posthorn/internal/hook"
	"posthorn/internal/ingest"
)

// eventTypes reads event_types.
func (l *loader) eventTypes() {
	if l.types == nil {
		return
	}
	if l.types.Kind != yaml.SequenceNode {
		l.mistakes.add(place{l.typesFile, l.types.Line, ""}, "event_types: has to be a list")
		return
	}
	for _, item := range l.types.Content {
		l.eventType(follow(item))
	}
}

func (l *loader) eventType(n *yaml.Node) {
	var t EventType
	at := place{l.typesFile, n.Line, ""}
	named := false
	for key, value := range l.pairs(l.typesFile, "event_types", n) {
		here := place{l.typesFile, key.Line, ""}
		switch key.Value {
		case "name":
			t.Name, _ = l.scalar(here, "event_types: name", value)
			named, at = true, here
		case "description":
			t.Description, _ = l.scalar(here, "event_types: description", value)
		default:
			l.mistakes.add(here, "event_types: unknown key %s", quote(key.Value))
		}
	}
	switch {
	case !named:
		if n.Kind == yaml.MappingNode {
			l.mistakes.add(at, "event_types: an event type needs a name")
		}
		return
	case t.Name == "":
		return // named already
	case ingest.ValidateEventType(t.Name) != nil:
		l.mistakes.add(at, "event_types: %s is not an event type: 1 to 128 letters, digits, \".\", \"_\" and \"-\"", quote(t.Name))
		return
	case strings.HasPrefix(t.Name, hook.ReservedTypePrefix):
		l.mistakes.add(at, "event_types: %s: types that start with %q are Posthorn's own", quote(t.Name), hook.ReservedTypePrefix)
		return
	case slices.ContainsFunc(l.config.EventTypes, func(o EventType) bool { return o.Name == t.Name }):
		l.mistakes.add(at, "event_types: %s comes twice", quote(t.Name))
		return
	}
	l.config.EventTypes = append(l.config.EventTypes, t)
}
