package sqs

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// parser reads JSON from a buffer that it may overwrite: strings are unescaped
// in place and returned as parts of it, so that reading a request allocates
// next to nothing. It knows objects, arrays, strings, integers and null, which
// is all that requests are made of.
type parser struct {
	b []byte
	i int
}

func (p *parser) fail(want string) error {
	return errSerialization("The request is not valid: %s expected at byte %d.", want, p.i)
}

func (p *parser) space() {
	for p.i < len(p.b) {
		switch p.b[p.i] {
		case ' ', '\t', '\n', '\r':
			p.i++
		default:
			return
		}
	}
}

// eat skips white space and then c, if it is next.
func (p *parser) eat(c byte) bool {
	p.space()
	if p.i < len(p.b) && p.b[p.i] == c {
		p.i++
		return true
	}
	return false
}

// null skips a null, if it is next. A member that is null is one not given.
func (p *parser) null() bool {
	p.space()
	if len(p.b)-p.i >= 4 && string(p.b[p.i:p.i+4]) == "null" {
		p.i += 4
		return true
	}
	return false
}

// end makes sure that nothing but white space follows.
func (p *parser) end() error {
	p.space()
	if p.i != len(p.b) {
		return p.fail("the end")
	}
	return nil
}

// object calls member for each member of an object, with the parser at its
// value. Members that are null are left out.
func (p *parser) object(member func(name []byte) error) error {
	if !p.eat('{') {
		return p.fail("an object")
	}
	if p.eat('}') {
		return nil
	}
	for {
		name, err := p.text()
		if err != nil {
			return err
		}
		if !p.eat(':') {
			return p.fail("a colon")
		}
		if !p.null() {
			if err := member(name); err != nil {
				return err
			}
		}
		if p.eat(',') {
			continue
		}
		if p.eat('}') {
			return nil
		}
		return p.fail("a comma or the object's end")
	}
}

// array calls element for each element of an array, with the parser at it.
func (p *parser) array(element func() error) error {
	if !p.eat('[') {
		return p.fail("an array")
	}
	if p.eat(']') {
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if p.eat(',') {
			continue
		}
		if p.eat(']') {
			return nil
		}
		return p.fail("a comma or the array's end")
	}
}

// integer reads a number without fraction or exponent.
func (p *parser) integer() (int, error) {
	p.space()
	start := p.i
	for p.i < len(p.b) && (p.b[p.i] == '-' || p.b[p.i] >= '0' && p.b[p.i] <= '9') {
		p.i++
	}
	digits := p.b[start:p.i]
	n, err := strconv.ParseInt(string(digits), 10, 32)
	unsigned := digits
	if len(unsigned) > 0 && unsigned[0] == '-' {
		unsigned = unsigned[1:]
	}
	if err != nil || len(unsigned) > 1 && unsigned[0] == '0' {
		p.i = start
		return 0, p.fail("an integer")
	}
	return int(n), nil
}

// text reads a string. The result is part of the buffer and never nil. Lone
// surrogates, which no text holds, come out as invalid UTF-8.
func (p *parser) text() ([]byte, error) {
	if !p.eat('"') {
		return nil, p.fail("a string")
	}
	start := p.i
	for i := start; i < len(p.b); i++ {
		switch c := p.b[i]; {
		case c == '"':
			p.i = i + 1
			return p.b[start:i:i], nil
		case c == '\\':
			return p.escaped(start, i)
		case c < ' ':
			p.i = i
			return nil, p.fail("no control character")
		}
	}
	p.i = len(p.b)
	return nil, p.fail("the string's end")
}

// escaped continues text at the first backslash. What is written never
// overtakes what is read: no escape is shorter than its character.
func (p *parser) escaped(start, i int) ([]byte, error) {
	w := i
	for i < len(p.b) {
		c := p.b[i]
		switch {
		case c == '"':
			p.i = i + 1
			return p.b[start:w:w], nil
		case c < ' ':
			p.i = i
			return nil, p.fail("no control character")
		case c != '\\':
			p.b[w] = c
			w, i = w+1, i+1
			continue
		}
		if i+1 >= len(p.b) {
			break
		}
		if c = unescape[p.b[i+1]]; c != 0 {
			p.b[w] = c
			w, i = w+1, i+2
			continue
		}
		r, ok := p.hex(i)
		if !ok {
			p.i = i
			return nil, p.fail("a valid escape")
		}
		i += 6
		if utf16.IsSurrogate(r) {
			low, ok := p.hex(i)
			if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
				r, i = pair, i+6
			} else {
				w += copy(p.b[w:], []byte{0xe0 | byte(r>>12), 0x80 | byte(r>>6)&0x3f, 0x80 | byte(r)&0x3f})
				continue
			}
		}
		w += utf8.EncodeRune(p.b[w:w+utf8.RuneLen(r)], r)
	}
	p.i = len(p.b)
	return nil, p.fail("the string's end")
}

var unescape = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// hex reads the escape \uXXXX at i.
func (p *parser) hex(i int) (r rune, ok bool) {
	if i+6 > len(p.b) || p.b[i] != '\\' || p.b[i+1] != 'u' {
		return 0, false
	}
	for _, c := range p.b[i+2 : i+6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

const hexDigits = "0123456789abcdef"

// appendText appends s to b as a JSON string. Valid UTF-8 is kept as it is,
// anything else becomes the replacement character.
func appendText[T []byte | string](b []byte, s T) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		b = append(b, s[from:i]...)
		switch {
		case c >= utf8.RuneSelf:
			b = append(b, `\ufffd`...)
		case c == '"', c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		from = i
	}
	b = append(b, s[from:]...)
	return append(b, '"')
}

// appendStrings appends an object whose values are strings, in the given order.
func appendStrings(b []byte, members []pair[string]) []byte {
	b = append(b, '{')
	for i, m := range members {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, m.name), ':')
		b = appendText(b, m.value)
	}
	return append(b, '}')
}

// pair is a named value.
type pair[T []byte | string] struct{ name, value T }
