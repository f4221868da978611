package dynamodb

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxNesting is how deep lists and maps may be nested in an attribute.
const maxNesting = 32

// decoder reads one JSON document front to back. The strings it returns share
// the document's memory: what outlives the request is cloned.
type decoder struct {
	s string
	i int
}

func (d *decoder) malformed() error {
	return unserializable("Unexpected character or end of the request body at offset %d", d.i)
}

// peek is the next byte that is not white space, or 0 at the end.
func (d *decoder) peek() byte {
	for d.i < len(d.s) {
		switch c := d.s[d.i]; c {
		case ' ', '\t', '\n', '\r':
			d.i++
		default:
			return c
		}
	}
	return 0
}

func (d *decoder) expect(c byte) error {
	if d.peek() != c {
		return d.malformed()
	}
	d.i++
	return nil
}

// object reads an object, calling field after each name; field reads the value.
func (d *decoder) object(field func(name string) error) error {
	if c := d.peek(); c != '{' {
		return unserializable("Start of structure or map found where not expected.")
	}
	d.i++
	if d.peek() == '}' {
		d.i++
		return nil
	}
	for {
		name, err := d.text()
		if err != nil {
			return err
		}
		if err := d.expect(':'); err != nil {
			return err
		}
		if err := field(name); err != nil {
			return err
		}
		if d.peek() == ',' {
			d.i++
			continue
		}
		return d.expect('}')
	}
}

// array reads an array, calling element before each element; element reads it.
func (d *decoder) array(element func() error) error {
	if c := d.peek(); c != '[' {
		return unserializable("Start of list found where not expected.")
	}
	d.i++
	if d.peek() == ']' {
		d.i++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if d.peek() == ',' {
			d.i++
			continue
		}
		return d.expect(']')
	}
}

// end fails when anything but white space is left.
func (d *decoder) end() error {
	if d.peek() != 0 || d.i < len(d.s) {
		return d.malformed()
	}
	return nil
}

// text reads a string.
func (d *decoder) text() (string, error) {
	if c := d.peek(); c != '"' {
		if c == '-' || c >= '0' && c <= '9' {
			return "", unserializable("NUMBER_VALUE cannot be converted to String")
		}
		return "", d.malformed()
	}
	d.i++
	start := d.i
	for d.i < len(d.s) {
		switch c := d.s[d.i]; {
		case c == '"':
			d.i++
			return d.s[start : d.i-1], nil
		case c == '\\':
			return d.escapedText(start)
		case c < ' ':
			return "", d.malformed()
		}
		d.i++
	}
	return "", d.malformed()
}

// escapedText goes on with a string in which an escape was met.
func (d *decoder) escapedText(start int) (string, error) {
	var b strings.Builder
	b.WriteString(d.s[start:d.i])
	for d.i < len(d.s) {
		c := d.s[d.i]
		d.i++
		switch {
		case c == '"':
			return b.String(), nil
		case c < ' ':
			return "", d.malformed()
		case c != '\\':
			b.WriteByte(c)
			continue
		}
		if d.i == len(d.s) {
			break
		}
		c = d.s[d.i]
		d.i++
		switch c {
		case '"', '\\', '/':
			b.WriteByte(c)
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r, err := d.hex4()
			if err != nil {
				return "", err
			}
			if utf16.IsSurrogate(r) {
				low := rune(utf8.RuneError)
				if strings.HasPrefix(d.s[d.i:], `\u`) {
					back := d.i
					d.i += 2
					if low, err = d.hex4(); err != nil {
						return "", err
					}
					if utf16.DecodeRune(r, low) == utf8.RuneError {
						d.i = back // a lone half; the next stands for itself
					}
				}
				r = utf16.DecodeRune(r, low)
			}
			b.WriteRune(r)
		default:
			return "", d.malformed()
		}
	}
	return "", d.malformed()
}

func (d *decoder) hex4() (rune, error) {
	if d.i+4 > len(d.s) {
		return 0, d.malformed()
	}
	n, err := strconv.ParseUint(d.s[d.i:d.i+4], 16, 16)
	if err != nil {
		return 0, d.malformed()
	}
	d.i += 4
	return rune(n), nil
}

// flag reads true or false.
func (d *decoder) flag() (bool, error) {
	d.peek()
	switch rest := d.s[d.i:]; {
	case strings.HasPrefix(rest, "true"):
		d.i += 4
		return true, nil
	case strings.HasPrefix(rest, "false"):
		d.i += 5
		return false, nil
	}
	return false, unserializable("Unexpected token received from parser where a boolean was expected")
}

// null reads a null, if there is one.
func (d *decoder) null() bool {
	if d.peek() == 'n' && strings.HasPrefix(d.s[d.i:], "null") {
		d.i += 4
		return true
	}
	return false
}

// integer reads a whole number.
func (d *decoder) integer() (int, error) {
	d.peek()
	start := d.i
	for d.i < len(d.s) && (d.s[d.i] == '-' || d.s[d.i] >= '0' && d.s[d.i] <= '9') {
		d.i++
	}
	n, err := strconv.Atoi(d.s[start:d.i])
	if err != nil {
		return 0, unserializable("Unexpected token received from parser where a whole number was expected")
	}
	return n, nil
}

// item reads a map of attributes, of which there are about as many as likely.
func (d *decoder) item(depth, likely int) (item, error) {
	it := make(item, 0, likely)
	err := d.object(func(name string) error {
		v, err := d.value(depth)
		if err != nil {
			return err
		}
		it = append(it, attribute{name, v})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return normalise(it), nil
}

// value reads an attribute value: an object that names its one type.
func (d *decoder) value(depth int) (v value, err error) {
	if depth > maxNesting {
		return v, invalid("Nesting Levels have exceeded supported limits")
	}
	err = d.object(func(name string) error {
		if v.kind != 0 {
			return invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
		}
		v.kind = kindOf(name)
		var err error
		switch v.kind {
		case kindS:
			v.text, err = d.text()
		case kindN:
			if v.text, err = d.text(); err == nil {
				v.text, err = canonicalNumber(v.text)
			}
		case kindB:
			v.text, err = d.binary()
		case kindBool:
			v.truth, err = d.flag()
		case kindNull:
			if v.truth, err = d.flag(); err == nil && !v.truth {
				err = badParameter("Null attribute value types must have the value of true")
			}
		case kindSS, kindNS, kindBS:
			v.list, err = d.set(v.kind)
		case kindL:
			err = d.array(func() error {
				e, err := d.value(depth + 1)
				v.list = append(v.list, e)
				return err
			})
		case kindM:
			v.attrs, err = d.item(depth+1, 4)
		default:
			return invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
		}
		return err
	})
	if err == nil && v.kind == 0 {
		err = invalid("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	}
	return v, err
}

func (d *decoder) binary() (string, error) {
	s, err := d.text()
	if err != nil {
		return "", err
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return "", unserializable("Invalid Base64 in a binary value")
	}
	return string(b), nil
}

func (d *decoder) set(k kind) ([]value, error) {
	var set []value
	err := d.array(func() error {
		m := value{kind: k.memberKind()}
		var err error
		switch k {
		case kindBS:
			m.text, err = d.binary()
		case kindNS:
			if m.text, err = d.text(); err == nil {
				m.text, err = canonicalNumber(m.text)
			}
		default:
			m.text, err = d.text()
		}
		set = append(set, m)
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(set) == 0 {
		switch k {
		case kindSS:
			return nil, badParameter("An string set  may not be empty")
		case kindNS:
			return nil, badParameter("An number set  may not be empty")
		}
		return nil, badParameter("Binary sets should not be empty")
	}
	slices.SortFunc(set, compareMembers)
	for i := 1; i < len(set); i++ {
		if set[i-1].text == set[i].text {
			return nil, badParameter("Input collection contains duplicates.")
		}
	}
	return set, nil
}
