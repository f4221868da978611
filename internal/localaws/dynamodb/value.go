package dynamodb

import (
	"slices"
	"strings"
)

// kind is the data type of an attribute value.
type kind uint8

const (
	kindS kind = iota + 1
	kindN
	kindB
	kindBool
	kindNull
	kindSS
	kindNS
	kindBS
	kindL
	kindM
)

// String is the type's name on the wire.
func (k kind) String() string {
	switch k {
	case kindS:
		return "S"
	case kindN:
		return "N"
	case kindB:
		return "B"
	case kindBool:
		return "BOOL"
	case kindNull:
		return "NULL"
	case kindSS:
		return "SS"
	case kindNS:
		return "NS"
	case kindBS:
		return "BS"
	case kindL:
		return "L"
	case kindM:
		return "M"
	}
	return ""
}

// longName is the type's name in some messages about operands.
func (k kind) longName() string {
	switch k {
	case kindS:
		return "STRING"
	case kindN:
		return "NUMBER"
	case kindB:
		return "BINARY"
	case kindBool:
		return "BOOLEAN"
	case kindSS:
		return "STRING_SET"
	case kindNS:
		return "NUMBER_SET"
	case kindBS:
		return "BINARY_SET"
	case kindL:
		return "LIST"
	case kindM:
		return "MAP"
	}
	return k.String()
}

// kindOf is the type with a name on the wire, or 0.
func kindOf(name string) kind {
	for k := kindS; k <= kindM; k++ {
		if k.String() == name {
			return k
		}
	}
	return 0
}

func (k kind) isSet() bool { return k == kindSS || k == kindNS || k == kindBS }

// ordered says that values of the type can be compared with < and >.
func (k kind) ordered() bool { return k == kindS || k == kindN || k == kindB }

// value is one attribute value. Values are not changed once made: what looks
// like a change makes a new value that shares the unchanged parts.
type value struct {
	kind  kind
	truth bool
	text  string  // S; N in canonical form; B as raw bytes
	list  []value // L in order; sets sorted and without repeats
	attrs item    // M
}

// attribute is a named value.
type attribute struct {
	name  string
	value value
}

// item is a set of attributes, sorted by name, each name once.
type item []attribute

// find is the position of a name, or where it belongs.
func (it item) find(name string) (int, bool) {
	if len(it) <= 8 {
		for i := range it {
			if it[i].name >= name {
				return i, it[i].name == name
			}
		}
		return len(it), false
	}
	return slices.BinarySearchFunc(it, name, func(a attribute, n string) int { return strings.Compare(a.name, n) })
}

// get is the value of a name, or nil.
func (it item) get(name string) *value {
	if i, ok := it.find(name); ok {
		return &it[i].value
	}
	return nil
}

// with returns a copy that has the attribute.
func (it item) with(name string, v value) item {
	i, ok := it.find(name)
	out := make(item, len(it), len(it)+1)
	copy(out, it)
	if ok {
		out[i].value = v
		return out
	}
	return slices.Insert(out, i, attribute{name, v})
}

// without returns a copy that lacks the attribute.
func (it item) without(name string) item {
	i, ok := it.find(name)
	if !ok {
		return it
	}
	out := make(item, 0, len(it)-1)
	return append(append(out, it[:i]...), it[i+1:]...)
}

// normalise sorts attributes that arrived in any order. Of a repeated name the
// last one stays, as with most readers of JSON.
func normalise(it item) item {
	sorted := true
	for i := 1; i < len(it); i++ {
		if it[i-1].name >= it[i].name {
			sorted = false
			break
		}
	}
	if sorted {
		return it
	}
	slices.SortStableFunc(it, func(a, b attribute) int { return strings.Compare(a.name, b.name) })
	out := it[:0]
	for i, a := range it {
		if i+1 < len(it) && it[i+1].name == a.name {
			continue
		}
		out = append(out, a)
	}
	return out
}

func equalItems(a, b item) bool {
	return slices.EqualFunc(a, b, func(x, y attribute) bool { return x.name == y.name && equal(&x.value, &y.value) })
}

func equal(a, b *value) bool {
	if a.kind != b.kind || a.truth != b.truth || a.text != b.text || len(a.list) != len(b.list) {
		return false
	}
	for i := range a.list {
		if !equal(&a.list[i], &b.list[i]) {
			return false
		}
	}
	return equalItems(a.attrs, b.attrs)
}

// compare orders two values of one ordered type; ok is false for any others.
func compare(a, b *value) (c int, ok bool) {
	if a.kind != b.kind || !a.kind.ordered() {
		return 0, false
	}
	if a.kind == kindN {
		return compareNumbers(a.text, b.text), true
	}
	return strings.Compare(a.text, b.text), true
}

// compareMembers orders two members of one set.
func compareMembers(a, b value) int {
	c, _ := compare(&a, &b)
	return c
}

// member is the position of a member in a set, or where it belongs.
func member(set []value, v value) (int, bool) {
	return slices.BinarySearchFunc(set, v, compareMembers)
}

// memberKind is the type of a set's members.
func (k kind) memberKind() kind {
	switch k {
	case kindSS:
		return kindS
	case kindNS:
		return kindN
	case kindBS:
		return kindB
	}
	return 0
}

// size is the value's size in bytes as the service counts it: strings and
// binary by length, numbers about a byte for two digits, lists and maps 3 bytes
// and 1 for each element.
func (v *value) size() int {
	switch v.kind {
	case kindS, kindB:
		return len(v.text)
	case kindN:
		return numberSize(v.text)
	case kindBool, kindNull:
		return 1
	case kindL:
		n := 3
		for i := range v.list {
			n += 1 + v.list[i].size()
		}
		return n
	case kindM:
		return 3 + len(v.attrs) + v.attrs.size()
	}
	n := 0
	for i := range v.list {
		n += v.list[i].size()
	}
	return n
}

// size is the size of all names and values in bytes.
func (it item) size() int {
	n := 0
	for i := range it {
		n += len(it[i].name) + it[i].value.size()
	}
	return n
}
