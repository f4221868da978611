package ingest

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"posthorn/internal/hook"
)

// Limits of a request.
const (
	MaxPayload    = 256 << 10 // bytes of the compacted payload
	MaxDepth      = 100       // objects and arrays within each other, the payload itself being the first
	MaxEventType  = 128       // bytes
	MaxProducerID = 255       // bytes
)

// ErrTooLarge: the compacted payload is over MaxPayload bytes.
var ErrTooLarge = errors.New("payload is over 256 KB")

// validate checks the request and returns its payload, compacted.
func validate(req Request) ([]byte, error) {
	if err := ValidateEventType(req.EventType); err != nil {
		return nil, err
	}
	if strings.HasPrefix(req.EventType, hook.ReservedTypePrefix) {
		return nil, &hook.InvalidError{Field: "event_type", Code: "reserved_event_type", Reason: "types that start with \"" + hook.ReservedTypePrefix + "\" are Posthorn's own"}
	}
	if err := validateProducerID(req.ProducerID); err != nil {
		return nil, err
	}
	return compact(req.Payload)
}

// ValidateEventType checks that t is 1 to 128 letters, digits, ".", "_" or "-"
// (ASCII alone). The error is a *hook.InvalidError of the field event_type.
func ValidateEventType(t string) error {
	if t == "" || len(t) > MaxEventType || !typeCharsOnly(t) {
		return &hook.InvalidError{Field: "event_type", Code: "invalid_event_type", Reason: "must be 1 to 128 letters, digits, \".\", \"_\" or \"-\""}
	}
	return nil
}

func typeCharsOnly(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

func validateProducerID(id string) error {
	ok := len(id) <= MaxProducerID
	for i := range len(id) {
		ok = ok && id[i] >= ' ' && id[i] <= '~'
	}
	if !ok {
		return &hook.InvalidError{Field: "id", Code: "invalid_idempotency_key", Reason: "must be 1 to 255 printable ASCII characters"}
	}
	return nil
}

// compact checks the payload and takes the white space between its tokens away.
// Everything else stays byte for byte: key order, duplicate keys, the spelling
// of numbers and every escape.
func compact(payload []byte) ([]byte, error) {
	raw := bytes.TrimLeft(payload, " \t\r\n")
	if len(raw) == 0 || raw[0] != '{' {
		return nil, &hook.InvalidError{Field: "payload", Code: "invalid_payload", Reason: "must be a JSON object"}
	}
	if !utf8.Valid(raw) {
		return nil, &hook.InvalidError{Field: "payload", Code: "invalid_payload", Reason: "is not valid UTF-8"}
	}
	if deeperThan(raw, MaxDepth) {
		return nil, &hook.InvalidError{Field: "payload", Code: "payload_too_deep", Reason: fmt.Sprintf("is nested more than %d deep", MaxDepth)}
	}
	var b bytes.Buffer
	b.Grow(len(raw))
	if err := json.Compact(&b, raw); err != nil {
		return nil, &hook.InvalidError{Field: "payload", Code: "invalid_json", Reason: "is not valid JSON: " + err.Error()}
	}
	if b.Len() > MaxPayload {
		return nil, fmt.Errorf("accept event: %w", ErrTooLarge)
	}
	return b.Bytes(), nil
}

// deeperThan says whether objects and arrays stand within each other more than
// limit times. It looks at brackets and strings alone, and comes before the
// check of the grammar, which would otherwise have to follow any depth.
func deeperThan(b []byte, limit int) bool {
	depth := 0
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '{', '[':
			if depth++; depth > limit {
				return true
			}
		case '}', ']':
			depth--
		case '"':
			for i++; i < len(b) && b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
		}
	}
	return false
}

// bodyHash is what two requests with one idempotency key must have in common.
func bodyHash(eventType string, payload []byte) [32]byte {
	b := make([]byte, 0, len(eventType)+1+len(payload))
	b = append(b, eventType...)
	b = append(b, 0)
	b = append(b, payload...)
	return sha256.Sum256(b)
}

// traceparent returns s when it has the form of a W3C Trace Context traceparent
// (version 00: 00-<32 hex>-<16 hex>-<2 hex>, lower case) and "" otherwise. The
// standard has a receiver ignore a malformed one.
func traceparent(s string) string {
	if len(s) != 55 || s[:3] != "00-" || s[35] != '-' || s[52] != '-' {
		return ""
	}
	trace, parent, flags := s[3:35], s[36:52], s[53:]
	if !lowerHex(trace) || !lowerHex(parent) || !lowerHex(flags) || strings.Trim(trace, "0") == "" || strings.Trim(parent, "0") == "" {
		return ""
	}
	return s
}

func lowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
