package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"posthorn/internal/hook"
)

// maxBody is the largest body of a request, in bytes.
const maxBody = 1 << 20

// readBody reads the JSON body of a request, of at most so many bytes, and checks
// its grammar.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if err := checkMediaType(r.Header); err != nil {
		return nil, err
	}
	b, err := readAll(w, r, most)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimLeft(b, " \t\r\n")) == 0 {
		return nil, invalidJSON("the body is empty")
	}
	return b, checkGrammar(b)
}

// checkGrammar refuses a body that is not JSON as a whole, and names the byte
// where it ceases to be. What is nested deeper than the decoder follows is let
// through: no field takes it, and of a payload ingest says that it is too deep.
func checkGrammar(b []byte) error {
	if !utf8.Valid(b) {
		return invalidJSON("the body is not valid UTF-8")
	}
	if json.Valid(b) {
		return nil
	}
	var v json.RawMessage
	err := json.Unmarshal(b, &v) // says where
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) && strings.HasSuffix(syntax.Error(), tooDeep) {
		return nil
	}
	return notJSON(err)
}

// tooDeep is how encoding/json ends what it says of more than 10,000 levels.
const tooDeep = "exceeded max depth"

// readAll reads a body of up to so many bytes.
func readAll(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	if r.ContentLength > most {
		// Whoever announces too much is not read: the connection ends here.
		w.Header().Set("Connection", "close")
		return nil, bodyTooLarge(most)
	}
	if r.Body == nil { // of a request that no server has read
		return nil, nil
	}
	var b bytes.Buffer
	if r.ContentLength > 0 {
		b.Grow(int(r.ContentLength) + bytes.MinRead) // with room to meet the end
	}
	if _, err := b.ReadFrom(http.MaxBytesReader(w, r.Body, most)); err != nil {
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			return nil, bodyTooLarge(most)
		}
		return nil, &hook.InvalidError{Code: "incomplete_body", Reason: "the body ended before it was complete"}
	}
	return b.Bytes(), nil
}

func checkMediaType(h http.Header) error {
	if encoding := h.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return errMediaType
	}
	contentType := h.Get("Content-Type")
	if contentType == "application/json" {
		return nil
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "application/json" {
		return errMediaType
	}
	if charset, ok := params["charset"]; ok && !strings.EqualFold(charset, "utf-8") {
		return errMediaType
	}
	return nil
}

// readObject reads a JSON body and calls member for each member of the object
// that it has to be.
func readObject(w http.ResponseWriter, r *http.Request, member func(name, value []byte) error) error {
	b, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	return object("", b, member)
}

// optionalObject is readObject for a body that may be left out.
func optionalObject(w http.ResponseWriter, r *http.Request, member func(name, value []byte) error) error {
	b, err := readAll(w, r, maxBody)
	if err != nil || len(b) == 0 {
		return err
	}
	if err := checkMediaType(r.Header); err != nil {
		return err
	}
	if err := checkGrammar(b); err != nil {
		return err
	}
	return object("", b, member)
}

// noBody refuses a body other than nothing or an empty object.
func noBody(w http.ResponseWriter, r *http.Request) error {
	return optionalObject(w, r, unknownField)
}

func invalidJSON(reason string) error {
	return &hook.InvalidError{Code: "invalid_json", Reason: reason}
}

// notJSON tells the caller what a JSON decoder found.
func notJSON(err error) error {
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		return invalidJSON(fmt.Sprintf("the body is not valid JSON: %s, at byte %d", syntax, syntax.Offset))
	}
	return invalidJSON("the body is not valid JSON")
}

func unknownField(name, _ []byte) error {
	return &hook.InvalidError{Field: shorten(name), Code: "unknown_field", Reason: "there is no such field here"}
}

// shorten keeps a name that a caller made up fit for an answer.
func shorten(name []byte) string {
	const most = 64
	if len(name) <= most {
		return string(name)
	}
	return strings.ToValidUTF8(string(name[:most]), "") + "…"
}

// wrongType says that a value is of another type than its field takes.
func wrongType(path, want string, value []byte) error {
	return &hook.InvalidError{Field: path, Code: "wrong_type", Reason: "must be " + want + ", not " + typeOf(value)}
}

// typeOf names the JSON type of a value, which its first byte tells.
func typeOf(value []byte) string {
	switch value[0] {
	case '"':
		return "a string"
	case '{':
		return "an object"
	case '[':
		return "an array"
	case 't', 'f':
		return "a boolean"
	case 'n':
		return "null"
	}
	return "a number"
}

func isNull(value []byte) bool { return string(value) == "null" }

// object walks through a JSON object and calls member with each name, decoded,
// and value, as it stands. It splits the object and no more, and does so with any
// bytes: what is nested too deep comes here unchecked. A name may stand there once.
func object(path string, b []byte, member func(name, value []byte) error) error {
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != '{' {
		if path == "" {
			return &hook.InvalidError{Code: "wrong_type", Reason: "the body must be a JSON object"}
		}
		return wrongType(path, "an object", b)
	}
	var room [8][]byte
	seen := room[:0]
	i = skipSpace(b, i+1)
	for first := true; i < len(b) && b[i] != '}'; first = false {
		if !first {
			if b[i] != ',' {
				return badSyntax(b, i)
			}
			i = skipSpace(b, i+1)
		}
		end := skipString(b, i)
		if end < 0 {
			return badSyntax(b, i)
		}
		name, err := unquote(b[i:end])
		if err != nil {
			return badSyntax(b, i)
		}
		for _, s := range seen {
			if bytes.Equal(s, name) {
				return &hook.InvalidError{Field: join(path, name), Code: "duplicate_field", Reason: "stands more than once"}
			}
		}
		seen = append(seen, name)
		i = skipSpace(b, end)
		if i == len(b) || b[i] != ':' {
			return badSyntax(b, i)
		}
		i = skipSpace(b, i+1)
		end = skipValue(b, i)
		if end < 0 {
			return badSyntax(b, i)
		}
		if err := member(name, b[i:end]); err != nil {
			return err
		}
		i = skipSpace(b, end)
	}
	if i == len(b) {
		return badSyntax(b, i)
	}
	if i = skipSpace(b, i+1); i < len(b) {
		return invalidJSON(fmt.Sprintf("something follows the JSON object, at byte %d", i+1))
	}
	return nil
}

// array walks through a JSON array and calls item with each value, as it
// stands. It splits the array and no more.
func array(path string, b []byte, item func(i int, value []byte) error) error {
	if b[0] != '[' {
		return wrongType(path, "an array", b)
	}
	i := skipSpace(b, 1)
	for n := 0; i < len(b) && b[i] != ']'; n++ {
		if n > 0 {
			if b[i] != ',' {
				return badSyntax(b, i)
			}
			i = skipSpace(b, i+1)
		}
		end := skipValue(b, i)
		if end < 0 {
			return badSyntax(b, i)
		}
		if err := item(n, b[i:end]); err != nil {
			return err
		}
		i = skipSpace(b, end)
	}
	if i == len(b) {
		return badSyntax(b, i)
	}
	return nil
}

func join(path string, name []byte) string {
	if path == "" {
		return shorten(name)
	}
	return path + "." + shorten(name)
}

func badSyntax(b []byte, i int) error {
	if i >= len(b) {
		return invalidJSON("the body is not valid JSON: it ends too early")
	}
	return invalidJSON(fmt.Sprintf("the body is not valid JSON, at byte %d", i+1))
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// skipString returns the end of the string that starts at i, -1 when there is
// none or it does not end.
func skipString(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; i < len(b); i++ {
		switch b[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return -1
}

// skipValue returns the end of the value that starts at i, -1 when there is
// none or it does not end. Of objects and arrays it follows brackets and
// strings alone.
func skipValue(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		for depth := 0; i < len(b); i++ {
			switch b[i] {
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return i + 1
				}
			case '"':
				if i = skipString(b, i) - 1; i < 0 {
					return -1
				}
			}
		}
		return -1
	}
	start := i
	for i < len(b) && strings.IndexByte(",]} \t\r\n:\"[{", b[i]) < 0 {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// unquote decodes a JSON string. One without escapes is not copied.
func unquote(b []byte) ([]byte, error) {
	plain := true
	for _, c := range b {
		if c == '\\' || c < ' ' {
			plain = false
			break
		}
	}
	if plain {
		return b[1 : len(b)-1], nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	return []byte(s), nil
}

// stringValue decodes a value that has to be a string.
func stringValue(path string, value []byte) (string, error) {
	if value[0] != '"' {
		return "", wrongType(path, "a string", value)
	}
	s, err := unquote(value)
	if err != nil {
		return "", notJSON(err)
	}
	return string(s), nil
}

// wholeNumber decodes a value that has to be a whole number from low to high.
// 30, 30.0 and 3e1 are the same number (RFC 8259, section 6).
func wholeNumber(path string, value []byte, low, high int) (int, error) {
	if typeOf(value) != "a number" {
		return 0, wrongType(path, "a number", value)
	}
	var n json.Number
	if err := json.Unmarshal(value, &n); err != nil {
		return 0, notJSON(err)
	}
	f, err := n.Float64()
	if err != nil || f != math.Trunc(f) || f < float64(low) || f > float64(high) {
		return 0, &hook.InvalidError{Field: path, Code: "out_of_range", Reason: fmt.Sprintf("must be a whole number from %d to %d", low, high)}
	}
	return int(f), nil
}

// number decodes a value that has to be a number from low to high.
func number(path string, value []byte, low, high float64) (float64, error) {
	if typeOf(value) != "a number" {
		return 0, wrongType(path, "a number", value)
	}
	var f float64
	if err := json.Unmarshal(value, &f); err != nil {
		if wrong := (*json.UnmarshalTypeError)(nil); !errors.As(err, &wrong) {
			return 0, notJSON(err)
		}
		f = math.Inf(1) // a number that is too large for any range
	}
	if f < low || f > high {
		return 0, &hook.InvalidError{Field: path, Code: "out_of_range", Reason: fmt.Sprintf("must be a number from %v to %v", low, high)}
	}
	return f, nil
}

// boolValue decodes a value that has to be true or false.
func boolValue(path string, value []byte) (bool, error) {
	switch string(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, wrongType(path, "true or false", value)
}

// timeValue decodes a value that has to be an RFC 3339 time.
func timeValue(path string, value []byte) (time.Time, error) {
	s, err := stringValue(path, value)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, &hook.InvalidError{Field: path, Code: "invalid_time", Reason: `must be an RFC 3339 time, such as "2026-11-24T12:00:00Z"`}
	}
	return t.UTC(), nil
}

// stringList decodes a value that has to be an array of strings.
func stringList(path string, value []byte) ([]string, error) {
	if value[0] != '[' {
		return nil, wrongType(path, "an array of strings", value)
	}
	var items []json.RawMessage
	if err := json.Unmarshal(value, &items); err != nil {
		return nil, notJSON(err)
	}
	list := make([]string, len(items))
	for i, item := range items {
		s, err := stringValue(fmt.Sprintf("%s[%d]", path, i), item)
		if err != nil {
			return nil, err
		}
		list[i] = s
	}
	return list, nil
}
