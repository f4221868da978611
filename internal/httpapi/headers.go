package httpapi

import (
	"net/textproto"
	"slices"
	"strings"

	"posthorn/internal/hook"
)

// hiddenValue is how the value of a header of the caller's own is shown. In a
// change it stands for the value that is there.
const hiddenValue = "***"

// reservedHeaders are set by Posthorn or by the connection: those of one hop
// (RFC 9110, section 7.6.1), and those that say who sends what to whom.
var reservedHeaders = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Host", "User-Agent", "Traceparent", "Expect",
}

// reservedPrefixes begin the names of headers that say what the body is, and of
// the signatures.
var reservedPrefixes = []string{"Content-", "Webhook-", "X-Webhook-"}

// headersValue decodes an endpoint's own headers, sorted by name.
func headersValue(value []byte) ([]plainHeader, error) {
	if isNull(value) {
		return nil, nil
	}
	var headers []plainHeader
	err := object("headers", value, func(name, value []byte) error {
		path := join("headers", name)
		if len(headers) == maxHeaders {
			return &hook.InvalidError{Field: "headers", Code: "invalid_headers", Reason: "must hold at most 20 headers"}
		}
		canonical := textproto.CanonicalMIMEHeaderKey(string(name))
		switch {
		case !fieldName(string(name)):
			return &hook.InvalidError{Field: path, Code: "invalid_headers", Reason: "is not a header's name"}
		case reserved(canonical):
			return &hook.InvalidError{Field: path, Code: "reserved_header", Reason: "is set by Posthorn itself"}
		case slices.ContainsFunc(headers, func(h plainHeader) bool { return h.name == canonical }):
			return &hook.InvalidError{Field: path, Code: "duplicate_field", Reason: "stands more than once"}
		}
		v, err := stringValue(path, value)
		if err != nil {
			return err
		}
		if len(v) > maxHeaderValue || !fieldValue(v) {
			return &hook.InvalidError{Field: path, Code: "invalid_headers", Reason: "must be at most 1,024 printable ASCII characters, without blanks at its ends"}
		}
		headers = append(headers, plainHeader{name: canonical, value: v, keep: v == hiddenValue})
		return nil
	})
	slices.SortFunc(headers, func(a, b plainHeader) int { return strings.Compare(a.name, b.name) })
	return headers, err
}

func reserved(canonical string) bool {
	return slices.Contains(reservedHeaders, canonical) ||
		slices.ContainsFunc(reservedPrefixes, func(prefix string) bool { return strings.HasPrefix(canonical, prefix) })
}

// fieldName says whether a name is a token (RFC 9110, section 5.6.2) of at most 64
// characters.
func fieldName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}

// fieldValue says whether a value can be sent as it stands.
func fieldValue(v string) bool {
	for i := range len(v) {
		if v[i] < ' ' || v[i] > '~' {
			return false
		}
	}
	return v != "" && strings.TrimSpace(v) == v
}
