package dynamodb

import (
	"encoding/base64"
	"strconv"
)

const hexDigits = "0123456789abcdef"

// appendText appends s as a JSON string. Everything that arrives is valid
// UTF-8 already.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(append(dst, s[start:]...), '"')
}

// appendItem appends an item as a JSON object of typed values.
func appendItem(dst []byte, it item) []byte {
	dst = append(dst, '{')
	for i := range it {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendText(dst, it[i].name), ':')
		dst = appendValue(dst, &it[i].value)
	}
	return append(dst, '}')
}

func appendValue(dst []byte, v *value) []byte {
	dst = append(dst, `{"`...)
	dst = append(dst, v.kind.String()...)
	dst = append(dst, `":`...)
	switch v.kind {
	case kindS, kindN, kindB:
		dst = appendMember(dst, v)
	case kindBool, kindNull:
		dst = strconv.AppendBool(dst, v.truth)
	case kindM:
		dst = appendItem(dst, v.attrs)
	default:
		dst = append(dst, '[')
		for i := range v.list {
			if i > 0 {
				dst = append(dst, ',')
			}
			if v.kind == kindL {
				dst = appendValue(dst, &v.list[i])
			} else {
				dst = appendMember(dst, &v.list[i])
			}
		}
		dst = append(dst, ']')
	}
	return append(dst, '}')
}

// appendMember appends a scalar without its type.
func appendMember(dst []byte, v *value) []byte {
	if v.kind != kindB {
		return appendText(dst, v.text)
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, []byte(v.text))
	return append(dst, '"')
}

// appendUnits appends capacity units, which the service writes with a point.
func appendUnits(dst []byte, u float64) []byte {
	return strconv.AppendFloat(dst, u, 'f', 1, 64)
}

// appendError appends an error's answer.
func appendError(dst []byte, e *apiError) []byte {
	dst = append(dst, `{"__type":`...)
	dst = appendText(dst, e.kind())
	name := `,"message":`
	if e.reasons != nil {
		dst = append(dst, `,"CancellationReasons":[`...)
		for i, r := range e.reasons {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendCancellation(dst, r)
		}
		dst = append(dst, ']')
		name = `,"Message":`
	}
	dst = append(dst, name...)
	dst = appendText(dst, e.message)
	if e.item != nil {
		dst = append(dst, `,"Item":`...)
		dst = appendItem(dst, e.item)
	}
	return append(dst, '}')
}

func appendCancellation(dst []byte, r cancellation) []byte {
	if r.code == "" {
		return append(dst, `{"Code":"None"}`...)
	}
	dst = append(dst, `{"Code":`...)
	dst = appendText(dst, r.code)
	dst = append(dst, `,"Message":`...)
	dst = appendText(dst, r.message)
	if r.item != nil {
		dst = append(dst, `,"Item":`...)
		dst = appendItem(dst, r.item)
	}
	return append(dst, '}')
}
