package dynamodb

import (
	"cmp"
	"slices"
)

// changeKind is the section of an update expression a change stands in.
type changeKind uint8

const (
	changeSet changeKind = iota
	changeRemove
	changeAdd
	changeDelete
)

var sections = [4]string{"SET", "REMOVE", "ADD", "DELETE"}

// change is one action of an update expression.
type change struct {
	kind  changeKind
	path  path
	value *term // nil for REMOVE
}

// term is the right side of a SET: an operand, or an operator or function of
// other terms.
type term struct {
	op      string // "", "+", "-", "if_not_exists", "list_append"
	operand operand
	args    []*term
}

// checkUpdate refuses updates that can never be right, whatever the item.
func (b *bound) checkUpdate() error {
	if b.kind != exprUpdate {
		return nil
	}
	paths := make([]path, len(b.update))
	for i, c := range b.update {
		paths[i] = c.path
		switch c.kind {
		case changeSet:
			if err := b.checkTerm(c.value); err != nil {
				return err
			}
		case changeAdd:
			if k := b.values[c.value.operand.value].kind; k != kindN && !k.isSet() {
				return invalid("Invalid UpdateExpression: Incorrect operand type for operator or function; operator: ADD, operand type: %s, typeSet: ALLOWED_FOR_ADD_OPERAND", k.longName())
			}
		case changeDelete:
			if k := b.values[c.value.operand.value].kind; !k.isSet() {
				return invalid("Invalid UpdateExpression: Incorrect operand type for operator or function; operator: DELETE, operand type: %s, typeSet: ALLOWED_FOR_DELETE_OPERAND", k.longName())
			}
		case changeRemove:
		}
	}
	return b.checkOverlap(paths)
}

func (b *bound) checkTerm(t *term) error {
	want := kind(0)
	switch t.op {
	case "+", "-":
		want = kindN
	case "list_append":
		want = kindL
	}
	for _, a := range t.args {
		if want != 0 && a.op == "" {
			if k := a.operand.literalKind(b); k != 0 && k != want {
				return b.wrongOperand(t.op, k)
			}
		}
		if err := b.checkTerm(a); err != nil {
			return err
		}
	}
	return nil
}

func wrongData() error {
	return invalid("An operand in the update expression has an incorrect data type")
}

// eval computes a term from the item as it was before the update.
func (t *term) eval(b *bound, old item) (value, error) {
	if t.op == "" {
		v := t.operand.get(b, old)
		if v == nil {
			return value{}, invalid("The provided expression refers to an attribute that does not exist in the item")
		}
		return *v, nil
	}
	if t.op == "if_not_exists" {
		if v := t.args[0].operand.get(b, old); v != nil {
			return *v, nil
		}
		return t.args[1].eval(b, old)
	}
	x, err := t.args[0].eval(b, old)
	if err != nil {
		return x, err
	}
	y, err := t.args[1].eval(b, old)
	if err != nil {
		return y, err
	}
	if t.op == "list_append" {
		if x.kind != kindL || y.kind != kindL {
			return x, wrongData()
		}
		return value{kind: kindL, list: slices.Concat(x.list, y.list)}, nil
	}
	if x.kind != kindN || y.kind != kindN {
		return x, wrongData()
	}
	text, err := addNumbers(x.text, y.text, t.op == "-")
	return value{kind: kindN, text: text}, err
}

// apply returns the item after the update. Every value is computed from the
// item as it was, so the order of the actions does not matter.
func (b *bound) apply(old item) (item, error) {
	out := old
	var removed []path
	for _, c := range b.update {
		v := value{}
		var err error
		switch c.kind {
		case changeSet:
			v, err = c.value.eval(b, old)
		case changeAdd:
			v, err = added(b.find(old, c.path), &b.values[c.value.operand.value])
		case changeDelete:
			cur := b.find(old, c.path)
			if cur == nil && !b.hasPlace(old, c.path) {
				return nil, noSuchPath()
			}
			if cur == nil {
				continue
			}
			if v, err = deleted(cur, &b.values[c.value.operand.value]); err == nil && len(v.list) == 0 {
				removed = append(removed, c.path) // a set is never empty
				continue
			}
		case changeRemove:
			removed = append(removed, c.path)
			continue
		}
		if err != nil {
			return nil, err
		}
		if out, err = b.set(out, c.path, v); err != nil {
			return nil, err
		}
	}
	// Positions are those of the list as it was: the last goes first.
	slices.SortStableFunc(removed, func(p, q path) int { return cmp.Compare(q[len(q)-1].index, p[len(p)-1].index) })
	for _, p := range removed {
		var err error
		if out, err = b.remove(out, p); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// added is what ADD makes of a current value, which may be nil.
func added(cur, v *value) (value, error) {
	switch {
	case cur == nil:
		return *v, nil
	case cur.kind != v.kind:
		return value{}, wrongData()
	case v.kind == kindN:
		text, err := addNumbers(cur.text, v.text, false)
		return value{kind: kindN, text: text}, err
	}
	out := value{kind: v.kind, list: slices.Clone(cur.list)}
	for _, m := range v.list {
		if i, ok := member(out.list, m); !ok {
			out.list = slices.Insert(out.list, i, m)
		}
	}
	return out, nil
}

// deleted is what DELETE leaves of a set.
func deleted(cur, v *value) (value, error) {
	if cur.kind != v.kind {
		return value{}, wrongData()
	}
	out := value{kind: v.kind}
	for _, m := range cur.list {
		if _, ok := member(v.list, m); !ok {
			out.list = append(out.list, m)
		}
	}
	return out, nil
}

// hasPlace says whether an item has what a path's last step leads into.
func (b *bound) hasPlace(it item, p path) bool {
	if len(p) == 1 {
		return true
	}
	parent, last := b.find(it, p[:len(p)-1]), p[len(p)-1]
	return parent != nil && (last.index < 0 && parent.kind == kindM || last.index >= 0 && parent.kind == kindL)
}

func noSuchPath() error {
	return invalid("The document path provided in the update expression is invalid for update")
}

// set returns a copy of the item with a value at a path whose parent exists.
func (b *bound) set(it item, p path, v value) (item, error) {
	name := b.name(p[0])
	if len(p) > 1 {
		cur := it.get(name)
		if cur == nil {
			return nil, noSuchPath()
		}
		var err error
		if v, err = b.setIn(*cur, p[1:], v); err != nil {
			return nil, err
		}
	}
	return it.with(name, v), nil
}

func (b *bound) setIn(cur value, p path, v value) (value, error) {
	s := p[0]
	if s.index < 0 {
		if cur.kind != kindM {
			return cur, noSuchPath()
		}
		var err error
		cur.attrs, err = b.set(cur.attrs, p, v)
		return cur, err
	}
	if cur.kind != kindL {
		return cur, noSuchPath()
	}
	if s.index >= len(cur.list) {
		if len(p) > 1 {
			return cur, noSuchPath()
		}
		cur.list = append(slices.Clone(cur.list), v) // beyond the end: appended
		return cur, nil
	}
	list := slices.Clone(cur.list)
	if len(p) > 1 {
		var err error
		if v, err = b.setIn(list[s.index], p[1:], v); err != nil {
			return cur, err
		}
	}
	list[s.index] = v
	cur.list = list
	return cur, nil
}

// remove returns a copy of the item without what a path leads to. That the
// path leads nowhere is no error if its parent exists.
func (b *bound) remove(it item, p path) (item, error) {
	name := b.name(p[0])
	if len(p) == 1 {
		return it.without(name), nil
	}
	cur := it.get(name)
	if cur == nil {
		return nil, noSuchPath()
	}
	v, err := b.removeIn(*cur, p[1:])
	if err != nil {
		return nil, err
	}
	return it.with(name, v), nil
}

func (b *bound) removeIn(cur value, p path) (value, error) {
	s := p[0]
	if s.index < 0 {
		if cur.kind != kindM {
			return cur, noSuchPath()
		}
		var err error
		cur.attrs, err = b.remove(cur.attrs, p)
		return cur, err
	}
	if cur.kind != kindL {
		return cur, noSuchPath()
	}
	if s.index >= len(cur.list) {
		if len(p) > 1 {
			return cur, noSuchPath()
		}
		return cur, nil
	}
	list := slices.Clone(cur.list)
	if len(p) == 1 {
		cur.list = slices.Delete(list, s.index, s.index+1)
		return cur, nil
	}
	v, err := b.removeIn(list[s.index], p[1:])
	list[s.index] = v
	cur.list = list
	return cur, err
}
