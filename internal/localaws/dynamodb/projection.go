package dynamodb

import "slices"

// projected is the tree of a projection's paths: all of a value, or some of
// its fields or elements.
type projected struct {
	all    bool
	fields []projectedField // in order of their first mention
	elems  []projectedElem  // ascending
}

type projectedField struct {
	name string
	node *projected
}

type projectedElem struct {
	index int
	node  *projected
}

// tree builds the tree of some paths.
func (b *bound) tree(paths []path) *projected {
	top := &projected{}
	for _, p := range paths {
		n := top
		for _, s := range p {
			if s.index >= 0 {
				n = n.elem(s.index)
			} else {
				n = n.field(b.name(s))
			}
		}
		n.all = true
	}
	return top
}

func (n *projected) field(name string) *projected {
	for _, f := range n.fields {
		if f.name == name {
			return f.node
		}
	}
	n.fields = append(n.fields, projectedField{name, &projected{}})
	return n.fields[len(n.fields)-1].node
}

func (n *projected) elem(index int) *projected {
	i, ok := slices.BinarySearchFunc(n.elems, index, func(e projectedElem, i int) int { return e.index - i })
	if !ok {
		n.elems = slices.Insert(n.elems, i, projectedElem{index, &projected{}})
	}
	return n.elems[i].node
}

// of returns the part of an item that the tree names; elements of lists move
// together. A nil tree is the whole item.
func (n *projected) of(it item) item {
	if n == nil {
		return it
	}
	out := make(item, 0, len(n.fields))
	for _, f := range n.fields {
		if v := it.get(f.name); v != nil {
			if part, ok := f.node.part(v); ok {
				out = append(out, attribute{f.name, part})
			}
		}
	}
	return normalise(out)
}

func (n *projected) part(v *value) (value, bool) {
	switch {
	case n.all:
		return *v, true
	case v.kind == kindM && len(n.fields) > 0:
		attrs := n.of(v.attrs)
		return value{kind: kindM, attrs: attrs}, len(attrs) > 0
	case v.kind == kindL && len(n.elems) > 0:
		var list []value
		for _, e := range n.elems {
			if e.index < len(v.list) {
				if part, ok := e.node.part(&v.list[e.index]); ok {
					list = append(list, part)
				}
			}
		}
		return value{kind: kindL, list: list}, len(list) > 0
	}
	return value{}, false
}
