package dynamodb

import (
	"encoding/binary"
	"errors"
)

// errCorrupt says that stored bytes are not what this package writes.
var errCorrupt = errors.New("a stored item cannot be read")

// The stored form of an item: its size as the service counts it, then the
// number of attributes, then each one's name, type and value. Lengths and
// counts are uvarints. Equal items have equal bytes.

// appendRecord appends the stored form of an item of a known size.
func appendRecord(dst []byte, it item, size int) []byte {
	dst = binary.AppendUvarint(dst, uint64(size))
	return appendStored(dst, it)
}

func appendStored(dst []byte, it item) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(it)))
	for i := range it {
		dst = appendLengthed(dst, it[i].name)
		dst = appendStoredValue(dst, &it[i].value)
	}
	return dst
}

func appendLengthed(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

func appendStoredValue(dst []byte, v *value) []byte {
	dst = append(dst, byte(v.kind))
	switch v.kind {
	case kindS, kindN, kindB:
		return appendLengthed(dst, v.text)
	case kindBool:
		if v.truth {
			return append(dst, 1)
		}
		return append(dst, 0)
	case kindNull:
		return dst
	case kindM:
		return appendStored(dst, v.attrs)
	}
	dst = binary.AppendUvarint(dst, uint64(len(v.list)))
	for i := range v.list {
		dst = appendStoredValue(dst, &v.list[i])
	}
	return dst
}

// decodeRecord reads a stored item and its size. It copies b once.
func decodeRecord(b []byte) (item, int, error) {
	r := reader{s: string(b)}
	size := int(r.uvarint())
	it := r.item(0)
	if r.bad || r.i != len(r.s) {
		return nil, 0, errCorrupt
	}
	return it, size, nil
}

// reader walks stored bytes; bad is set for good once something is wrong.
type reader struct {
	s   string
	i   int
	bad bool
}

func (r *reader) uvarint() uint64 {
	var n uint64
	for shift := 0; shift < 63; shift += 7 {
		c := r.byte()
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	r.bad = true
	return 0
}

func (r *reader) byte() byte {
	if r.i >= len(r.s) {
		r.bad = true
		return 0
	}
	r.i++
	return r.s[r.i-1]
}

func (r *reader) text() string {
	n := r.uvarint()
	if n > uint64(len(r.s)-r.i) {
		r.bad = true
		return ""
	}
	start := r.i
	r.i += int(n)
	return r.s[start:r.i]
}

// count reads a number of elements, of which each takes a byte at least.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.s)-r.i) {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *reader) item(depth int) item {
	n := r.count()
	if depth > maxNesting+1 || r.bad {
		r.bad = true
		return nil
	}
	it := make(item, n)
	for i := range it {
		it[i].name = r.text()
		r.value(&it[i].value, depth)
		if r.bad {
			return nil
		}
	}
	return it
}

func (r *reader) value(v *value, depth int) {
	v.kind = kind(r.byte())
	switch v.kind {
	case kindS, kindN, kindB:
		v.text = r.text()
	case kindBool:
		v.truth = r.byte() == 1
	case kindNull:
		v.truth = true
	case kindM:
		v.attrs = r.item(depth + 1)
	case kindSS, kindNS, kindBS, kindL:
		n := r.count()
		if depth > maxNesting || r.bad {
			r.bad = true
			return
		}
		v.list = make([]value, n)
		for i := range v.list {
			if r.value(&v.list[i], depth+1); r.bad {
				return
			}
		}
	default:
		r.bad = true
	}
}
