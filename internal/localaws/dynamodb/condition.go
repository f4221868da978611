package dynamodb

import (
	"slices"
	"strings"
	"unicode/utf16"
)

// condition is a node of a parsed condition.
type condition interface {
	// holds evaluates the condition on an item; a missing item is an empty one.
	holds(b *bound, it item) bool
	// check refuses operands of types that can never be right.
	check(b *bound) error
}

// operand is a path, the size of what a path leads to, or a value.
type operand struct {
	path  path
	size  bool
	value int // number of the placeholder when path is nil
}

// get evaluates the operand; nil when there is nothing.
func (o *operand) get(b *bound, it item) *value {
	if o.path == nil {
		return &b.values[o.value]
	}
	v := b.find(it, o.path)
	if v == nil || !o.size {
		return v
	}
	var n int
	switch v.kind {
	case kindS:
		n = characters(v.text)
	case kindB:
		n = len(v.text)
	case kindM:
		n = len(v.attrs)
	case kindL, kindSS, kindNS, kindBS:
		n = len(v.list)
	default:
		return nil
	}
	return &value{kind: kindN, text: itoa(n)}
}

// characters is the length of a text as size tells it: in UTF-16, as DynamoDB
// Local counts.
func characters(text string) (n int) {
	for _, c := range text {
		n += utf16.RuneLen(c)
	}
	return n
}

// literalKind is the type of an operand whose type is known without an item, or 0.
func (o *operand) literalKind(b *bound) kind {
	switch {
	case o.size:
		return kindN
	case o.path == nil:
		return b.values[o.value].kind
	}
	return 0
}

func (b *bound) wrongOperand(operator string, k kind) error {
	return invalid("Invalid %s: Incorrect operand type for operator or function; operator or function: %s, operand type: %s", b.kind, operator, k)
}

type andNode struct{ left, right condition }

func (n *andNode) holds(b *bound, it item) bool { return n.left.holds(b, it) && n.right.holds(b, it) }
func (n *andNode) check(b *bound) error         { return checkBoth(b, n.left, n.right) }

type orNode struct{ left, right condition }

func (n *orNode) holds(b *bound, it item) bool { return n.left.holds(b, it) || n.right.holds(b, it) }
func (n *orNode) check(b *bound) error         { return checkBoth(b, n.left, n.right) }

func checkBoth(b *bound, left, right condition) error {
	if err := left.check(b); err != nil {
		return err
	}
	return right.check(b)
}

type notNode struct{ inner condition }

func (n *notNode) holds(b *bound, it item) bool { return !n.inner.holds(b, it) }
func (n *notNode) check(b *bound) error         { return n.inner.check(b) }

type compareNode struct {
	op          string
	left, right operand
}

func (n *compareNode) holds(b *bound, it item) bool {
	x, y := n.left.get(b, it), n.right.get(b, it)
	if x == nil || y == nil {
		// What is missing differs from any value, and from what is missing too.
		return n.op == "<>"
	}
	switch n.op {
	case "=":
		return equal(x, y)
	case "<>":
		return !equal(x, y)
	}
	c, ok := compare(x, y)
	if !ok {
		return false
	}
	switch n.op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

func (n *compareNode) check(b *bound) error {
	if n.left.path != nil && n.right.path != nil && n.left.size == n.right.size && slices.EqualFunc(n.left.path, n.right.path, b.sameStep) {
		return invalid("Invalid %s: The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %s",
			b.kind, n.op, b.describe(n.left.path))
	}
	if n.op == "=" || n.op == "<>" {
		return nil
	}
	return b.checkOrdered(n.op, n.left, n.right)
}

func (b *bound) checkOrdered(operator string, operands ...operand) error {
	for _, o := range operands {
		if k := o.literalKind(b); k != 0 && !k.ordered() {
			return b.wrongOperand(operator, k)
		}
	}
	return nil
}

type betweenNode struct{ operand, lo, hi operand }

func (n *betweenNode) holds(b *bound, it item) bool {
	x, lo, hi := n.operand.get(b, it), n.lo.get(b, it), n.hi.get(b, it)
	if x == nil || lo == nil || hi == nil {
		return false
	}
	c, ok := compare(x, lo)
	d, also := compare(x, hi)
	return ok && also && c >= 0 && d <= 0
}

func (n *betweenNode) check(b *bound) error {
	if err := b.checkOrdered("BETWEEN", n.operand, n.lo, n.hi); err != nil {
		return err
	}
	if n.lo.path != nil || n.hi.path != nil {
		return nil
	}
	lo, hi := &b.values[n.lo.value], &b.values[n.hi.value]
	c, ok := compare(lo, hi)
	if !ok {
		return invalid("Invalid %s: The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s",
			b.kind, describeValue(lo), describeValue(hi))
	}
	if c > 0 {
		return invalid("Invalid %s: The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: %s, upper bound operand: AttributeValue: %s",
			b.kind, describeValue(lo), describeValue(hi))
	}
	return nil
}

func describeValue(v *value) string { return "{" + v.kind.String() + ":" + v.text + "}" }

type inNode struct {
	operand operand
	list    []operand
}

func (n *inNode) holds(b *bound, it item) bool {
	x := n.operand.get(b, it)
	if x == nil {
		return false
	}
	for i := range n.list {
		if y := n.list[i].get(b, it); y != nil && equal(x, y) {
			return true
		}
	}
	return false
}

func (n *inNode) check(*bound) error { return nil }

type existsNode struct {
	path path
	want bool
}

func (n *existsNode) holds(b *bound, it item) bool { return (b.find(it, n.path) != nil) == n.want }
func (n *existsNode) check(*bound) error           { return nil }

// functionNode is attribute_type, begins_with or contains.
type functionNode struct {
	name        string
	left, right operand
}

func (n *functionNode) holds(b *bound, it item) bool {
	x, y := n.left.get(b, it), n.right.get(b, it)
	if x == nil || y == nil {
		return false
	}
	switch n.name {
	case "attribute_type":
		return x.kind.String() == y.text
	case "begins_with":
		return x.kind == y.kind && (x.kind == kindS || x.kind == kindB) && strings.HasPrefix(x.text, y.text)
	}
	switch x.kind {
	case kindS, kindB:
		return x.kind == y.kind && strings.Contains(x.text, y.text)
	case kindL:
		return slices.ContainsFunc(x.list, func(e value) bool { return equal(&e, y) })
	case kindSS, kindNS, kindBS:
		return slices.ContainsFunc(x.list, func(e value) bool { return equal(&e, y) })
	}
	return false
}

func (n *functionNode) check(b *bound) error {
	k := n.right.literalKind(b)
	switch n.name {
	case "attribute_type":
		if k != kindS {
			return b.wrongOperand(n.name, k)
		}
		if name := b.values[n.right.value].text; kindOf(name) == 0 {
			return invalid("Invalid %s: Invalid attribute type name found; type: %s, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}", b.kind, name)
		}
	case "begins_with":
		for _, k := range []kind{n.left.literalKind(b), k} {
			if k != 0 && k != kindS && k != kindB {
				return b.wrongOperand(n.name, k)
			}
		}
	case "contains":
		if n.left.path != nil && n.right.path != nil && slices.EqualFunc(n.left.path, n.right.path, b.sameStep) {
			return invalid("Invalid %s: The first operand must be distinct from the remaining operands for this operator or function; operator: contains, first operand: %s",
				b.kind, b.describe(n.left.path))
		}
	}
	return nil
}
