package sqs

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"unicode/utf8"
)

// size is what an entry counts for against the limits: its body and the
// names, types and values of its message attributes.
func (e *entry) size() int {
	n := len(e.body)
	for i := range e.attributes {
		a := &e.attributes[i]
		n += len(a.name) + len(a.dataType) + len(a.value())
	}
	return n
}

// check refuses an entry that cannot be sent. It sorts the attributes.
func (e *entry) check(maxSize int) error {
	switch {
	case len(e.body) == 0:
		return errMissingParameter("MessageBody")
	case e.size() > maxSize:
		return errInvalidParameter("One or more parameters are invalid. Reason: Message must be shorter than %d bytes.", maxSize)
	case !allowedText(e.body):
		return errContents()
	case e.delay.n < 0 || e.delay.n > maxDelay:
		return errInvalidParameter("Value %d for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.", e.delay.n)
	case e.group != nil && !validGroup(e.group):
		return errInvalidParameter("Value %s for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length.", e.group)
	case e.dedup != nil:
		return errInvalidParameter("Value %s for parameter MessageDeduplicationId is invalid. Reason: The request includes a parameter that is not valid for this queue type.", e.dedup)
	case len(e.attributes) > 10:
		return errInvalidParameter("Number of message attributes [%d] exceeds the allowed maximum [10].", len(e.attributes))
	}
	if err := checkMessageAttributes(e.attributes); err != nil {
		return err
	}
	if len(e.system) == 0 {
		return nil
	}
	a := &e.system[0]
	if len(e.system) > 1 || string(a.name) != "AWSTraceHeader" || string(a.dataType) != "String" || len(a.text) == 0 || a.binary != nil {
		return errInvalidParameter("The message system attribute '%s' is invalid: only AWSTraceHeader of type String is supported.", a.name)
	}
	return nil
}

// allowedText says whether s has only characters that messages may have: #x9,
// #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD and #x10000 to #x10FFFF
// (SendMessage in the API reference).
func allowedText(s []byte) bool {
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < ' ' {
			if c != '\t' && c != '\n' && c != '\r' {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(s[i:])
		if r == utf8.RuneError && size == 1 || r == 0xfffe || r == 0xffff {
			return false
		}
		i += size
	}
	return true
}

// validGroup: 1 to 128 alphanumeric and punctuation characters.
func validGroup(group []byte) bool {
	return len(group) >= 1 && len(group) <= 128 && !bytes.ContainsFunc(group, func(r rune) bool { return r <= ' ' || r > '~' })
}

func checkMessageAttributes(attributes []attribute) error {
	sortAttributes(attributes)
	for i := range attributes {
		a := &attributes[i]
		if i > 0 && bytes.Equal(a.name, attributes[i-1].name) {
			return errInvalidParameter("Message (user) attribute '%s' is given twice.", a.name)
		}
		if err := a.check(); err != nil {
			return err
		}
	}
	return nil
}

// check applies the rules of "Message attribute components" in the Amazon SQS
// Developer Guide.
func (a *attribute) check() error {
	lower := strings.ToLower(string(a.name))
	switch {
	case len(a.name) == 0 || len(a.name) > 256:
		return errInvalidParameter("Message (user) attribute names must be shorter than 256 Bytes")
	case strings.ContainsFunc(lower, func(r rune) bool { return r != '.' && notInID(r) }):
		return errInvalidParameter("Message (user) attributes name can only contain upper and lower score characters, digits, periods, hyphens and underscores. ")
	case strings.HasPrefix(lower, "aws.") || strings.HasPrefix(lower, "amazon.") || lower[0] == '.' || strings.HasSuffix(lower, ".") || strings.Contains(lower, ".."):
		return errInvalidParameter("You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are reserved for internal use. Additionally, they cannot start or end with '.'.")
	case len(a.dataType) == 0:
		return errInvalidParameter("Missing required parameter DataType")
	case len(a.dataType) > 256:
		return errInvalidParameter("Message (user) attribute types must be shorter than 256 Bytes")
	}
	kind, _, _ := strings.Cut(string(a.dataType), ".")
	switch kind {
	case "String", "Number":
		if len(a.text) == 0 || a.binary != nil {
			return errInvalidParameter("Message (user) attribute '%s' must contain a non-empty value of type 'String'.", a.name)
		}
		if !allowedText(a.text) {
			return errInvalidParameter("%s", invalidCharacters)
		}
		if kind == "Number" && !isNumber(a.text) {
			return errInvalidParameter("Can't cast the value of message (user) attribute '%s' to a number.", a.name)
		}
	case "Binary":
		if len(a.binary) == 0 || a.text != nil {
			return errInvalidParameter("Message (user) attribute '%s' must contain a non-empty value of type 'Binary'.", a.name)
		}
	default:
		return errInvalidParameter("The type of message (user) attribute '%s' is invalid. You must use only the following supported type prefixes: Binary, Number, String.", a.name)
	}
	return nil
}

// isNumber says whether s is a decimal number, with a fraction or an exponent
// or without.
func isNumber(s []byte) bool {
	rest := strings.TrimLeft(string(s), "+-")
	if len(s)-len(rest) > 1 {
		return false
	}
	mantissa, exponent, scientific := strings.Cut(strings.ToLower(rest), "e")
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if scientific {
		trimmed := strings.TrimLeft(exponent, "+-")
		if len(exponent)-len(trimmed) > 1 || trimmed == "" || !digits(trimmed) {
			return false
		}
	}
	return whole+fraction != "" && digits(whole+fraction)
}

func digits(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// appendAttributes appends message attributes as a JSON object.
func appendAttributes(b []byte, attributes []attribute) []byte {
	b = append(b, '{')
	for i := range attributes {
		a := &attributes[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, a.name)
		b = appendText(append(b, `:{"DataType":`...), a.dataType)
		if a.binary != nil {
			b = append(b, `,"BinaryValue":"`...)
			b = base64.StdEncoding.AppendEncode(b, a.binary)
			b = append(b, '"')
		} else {
			b = appendText(append(b, `,"StringValue":`...), a.text)
		}
		b = append(b, '}')
	}
	return append(b, '}')
}

func randomID() [16]byte {
	var b [16]byte
	rand.Read(b[:]) // never fails: see its documentation
	return newID(binary.LittleEndian.Uint64(b[:8]), binary.LittleEndian.Uint64(b[8:]))
}
