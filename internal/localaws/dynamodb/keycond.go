package dynamodb

import "slices"

// keyConditions are the two parts of a key condition: equality of the hash
// key, and what the sort key has to be, if anything.
type keyConditions struct {
	hash *value
	sort condition
}

// keyConditions takes a key condition apart.
func (b *bound) keyConditions(k *keySchema) (keyConditions, error) {
	var out keyConditions
	var err error
	for _, leaf := range conjuncts(b.condition, nil) {
		var name, op string
		if name, op, err = b.keyLeaf(leaf); err != nil {
			return out, err
		}
		switch {
		case name == k.Hash.Name:
			c, ok := leaf.(*compareNode)
			if !ok || op != "=" {
				return out, invalid("Query key condition not supported")
			}
			if out.hash != nil {
				return out, tooManyConditions()
			}
			out.hash = b.keyValue(c.left, c.right)
			if err := checkKeyOperand(k.Hash, out.hash); err != nil {
				return out, err
			}
		case name == k.Sort.Name:
			if out.sort != nil {
				return out, tooManyConditions()
			}
			out.sort = leaf
		case out.hash != nil && k.Sort.Name != "":
			return out, invalid("Query condition missed key schema element: %s", k.Sort.Name)
		case out.hash != nil:
			return out, invalid("Query key condition not supported")
		default:
			return out, invalid("Query condition missed key schema element: %s", k.Hash.Name)
		}
	}
	if out.hash == nil {
		return out, invalid("Query condition missed key schema element: %s", k.Hash.Name)
	}
	return out, nil
}

func tooManyConditions() error {
	return invalid("Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key")
}

// conjuncts lists what a condition joins by AND.
func conjuncts(c condition, out []condition) []condition {
	if and, ok := c.(*andNode); ok {
		return conjuncts(and.right, conjuncts(and.left, out))
	}
	return append(out, c)
}

// keyLeaf names the attribute and the operator of one part of a key condition.
func (b *bound) keyLeaf(c condition) (name, op string, err error) {
	badOperator := func(op string) (string, string, error) {
		return "", "", invalid("Invalid KeyConditionExpression: Invalid operator used in KeyConditionExpression: %s", op)
	}
	var operands []operand
	switch c := c.(type) {
	case *compareNode:
		if c.op == "<>" {
			return badOperator(c.op)
		}
		op, operands = c.op, []operand{c.left, c.right}
		if c.left.path == nil {
			slices.Reverse(operands)
		}
	case *betweenNode:
		op, operands = "BETWEEN", []operand{c.operand, c.lo, c.hi}
	case *functionNode:
		if c.name != "begins_with" {
			return badOperator(c.name)
		}
		op, operands = c.name, []operand{c.left, c.right}
	case *orNode:
		return badOperator("OR")
	case *notNode:
		return badOperator("NOT")
	case *inNode:
		return badOperator("IN")
	case *existsNode:
		if c.want {
			return badOperator("attribute_exists")
		}
		return badOperator("attribute_not_exists")
	default:
		return badOperator("AND")
	}
	for i, o := range operands {
		switch {
		case o.size:
			return badOperator("size")
		case i == 0 && o.path == nil:
			return "", "", invalid("Invalid KeyConditionExpression: No key attribute specified")
		case i > 0 && o.path != nil:
			return "", "", invalid("Invalid KeyConditionExpression: Multiple attribute names used in one condition")
		case i == 0 && len(o.path) > 1:
			return "", "", invalid("Invalid KeyConditionExpression: KeyConditionExpressions cannot have conditions on nested attributes")
		}
	}
	return b.name(operands[0].path[0]), op, nil
}

// keyValue is the one of two operands that is a value.
func (b *bound) keyValue(x, y operand) *value {
	if x.path == nil {
		return &b.values[x.value]
	}
	return &b.values[y.value]
}

func checkKeyOperand(a keyAttribute, v *value) error {
	if v.kind != a.Kind {
		return badParameter("Condition parameter type does not match schema type")
	}
	return nil
}

// keyRange is the range of store keys that begin with prefix and whose sort
// key, which stands behind prefix, fulfils the condition.
func (b *bound) keyRange(prefix []byte, a keyAttribute, c condition) (lo, hi []byte, err error) {
	begin := func() []byte { return slices.Clone(prefix) }
	at := func(v *value) []byte { return appendSortKey(begin(), v) }
	switch c := c.(type) {
	case nil:
		return prefix, after(begin()), nil
	case *compareNode:
		v, op := b.keyValue(c.left, c.right), c.op
		if c.left.path == nil {
			op = mirrored(op)
		}
		if err := checkSortOperand(a, v); err != nil {
			return nil, nil, err
		}
		switch op {
		case "=":
			return at(v), after(at(v)), nil
		case "<":
			return prefix, at(v), nil
		case "<=":
			return prefix, after(at(v)), nil
		case ">":
			return after(at(v)), after(begin()), nil
		}
		return at(v), after(begin()), nil
	case *betweenNode:
		from, to := &b.values[c.lo.value], &b.values[c.hi.value]
		for _, v := range []*value{from, to} {
			if err := checkSortOperand(a, v); err != nil {
				return nil, nil, err
			}
		}
		return at(from), after(at(to)), nil
	case *functionNode:
		v := &b.values[c.right.value]
		if err := checkSortOperand(a, v); err != nil {
			return nil, nil, err
		}
		lo = appendEscaped(begin(), v.text)
		return lo, after(slices.Clone(lo)), nil
	}
	return nil, nil, invalid("Query key condition not supported")
}

func checkSortOperand(a keyAttribute, v *value) error {
	if err := checkKeyOperand(a, v); err != nil {
		return err
	}
	if v.kind != kindN && v.text == "" {
		return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", emptyOf(v.kind), a.Name)
	}
	return nil
}

// mirrored is the operator of b ? a where op is that of a ? b.
func mirrored(op string) string {
	switch op {
	case "<":
		return ">"
	case "<=":
		return ">="
	case ">":
		return "<"
	case ">=":
		return "<="
	}
	return op
}
