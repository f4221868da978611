package contract

import (
	"encoding/json"
	"fmt"
)

// closeSchemas returns a document in which objects have no fields but those
// that are named: whoever reads it has to put up with new ones, but tests find
// what is answered and not written down. It closes schemas where they are used,
// so that one may extend another.
func closeSchemas(document []byte) ([]byte, error) {
	var root map[string]any
	if err := json.Unmarshal(document, &root); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	closeIn(root)
	return json.Marshal(root)
}

// closeIn walks down to whatever is a use of a schema.
func closeIn(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			closeIn(item)
		}
	case map[string]any:
		for name, child := range v {
			if name == "example" || name == "examples" || name == "x-roles" {
				continue
			}
			closeIn(child)
			switch name {
			case "schema", "items":
				closeOne(child)
			case "properties":
				if fields, ok := child.(map[string]any); ok {
					for _, field := range fields {
						closeOne(field)
					}
				}
			case "oneOf", "anyOf":
				if alternatives, ok := child.([]any); ok {
					for _, one := range alternatives {
						closeOne(one)
					}
				}
			}
		}
	}
}

// closeOne closes a schema of an object, unless it says itself what else may be
// in it. On a schema of anything else the keyword means nothing.
func closeOne(v any) {
	schema, ok := v.(map[string]any)
	if !ok {
		return
	}
	_, open := schema["additionalProperties"]
	_, names := schema["properties"]
	ref, refers := schema["$ref"]
	_, extends := schema["allOf"]
	if refers { // what stands beside it would be added to what it refers to
		delete(schema, "$ref")
		schema["allOf"] = []any{map[string]any{"$ref": ref}}
	}
	if !open && (names || refers || extends) {
		schema["unevaluatedProperties"] = false
	}
}
