package contract

import (
	"bytes"
	"fmt"
	"mime"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// bodies holds JSON bodies against the schemas of a document, which are JSON
// Schema 2020-12 since OpenAPI 3.1. Each is compiled once, when it is first
// needed.
type bodies struct {
	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

// at is where a compiler finds the document. Nothing is fetched from there.
const at = "https://posthorn.invalid/openapi.json"

func newBodies(document []byte) (*bodies, error) {
	d, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	if err := c.AddResource(at, d); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	return &bodies{compiler: c, compiled: map[string]*jsonschema.Schema{}}, nil
}

// check holds a body against the schema of a media type, in what the document
// has at a path.
func (b *bodies) check(path, contentType string, body []byte) error {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("read the Content-Type: %w", err)
	}
	schema, err := b.schema(path + "/content/" + escaped(media) + "/schema")
	if err != nil {
		return err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	return schema.Validate(v)
}

func (b *bodies) schema(path string) (*jsonschema.Schema, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s := b.compiled[path]; s != nil {
		return s, nil
	}
	s, err := b.compiler.Compile(at + "#" + path)
	if err != nil {
		return nil, fmt.Errorf("the schema at %s: %w", path, err)
	}
	b.compiled[path] = s
	return s, nil
}

// escaped is a name in a JSON pointer (RFC 6901) that stands in a URL.
func escaped(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(name)
}
