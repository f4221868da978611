package dynamodb

import (
	"slices"
	"strings"
	"sync"
)

// expression is a parsed expression. It is the same for every request that
// sends its text: placeholders are numbers into names and values, which bind
// fills from the request.
type expression struct {
	kind   exprKind
	names  []string // "#n" in order of their number
	values []string // ":v" in order of their number

	condition  condition // of conditions, filters and key conditions
	update     []change  // of updates
	projection []path    // of projections
}

// step leads from a value into it: by name, by placeholder, or by position.
type step struct {
	name     string
	nameSlot int // number of the placeholder; -1: name holds the name
	index    int // position in a list; -1: not a position
}

// path leads from an item to a value; its first step is a name.
type path []step

// bound is an expression together with a request's placeholders.
type bound struct {
	*expression
	names  []string
	values []value
}

func (b *bound) name(s step) string {
	if s.nameSlot >= 0 {
		return b.names[s.nameSlot]
	}
	return s.name
}

// find follows a path; nil when it leads nowhere.
func (b *bound) find(it item, p path) *value {
	v := it.get(b.name(p[0]))
	for _, s := range p[1:] {
		switch {
		case v == nil:
			return nil
		case s.index < 0:
			if v.kind != kindM {
				return nil
			}
			v = v.attrs.get(b.name(s))
		case v.kind != kindL || s.index >= len(v.list):
			return nil
		default:
			v = &v.list[s.index]
		}
	}
	return v
}

// sameStep says that two steps of bound paths are the same.
func (b *bound) sameStep(x, y step) bool {
	return x.index == y.index && (x.index >= 0 || b.name(x) == b.name(y))
}

// describe writes a path as messages do: [a, [0], b].
func (b *bound) describe(p path) string {
	var out []string
	for _, s := range p {
		if s.index >= 0 {
			out = append(out, "["+itoa(s.index)+"]")
		} else {
			out = append(out, b.name(s))
		}
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// checkOverlap refuses paths of which one leads through or to another.
func (b *bound) checkOverlap(paths []path) error {
	for i, p := range paths {
		for _, q := range paths[:i] {
			n := min(len(p), len(q))
			if slices.EqualFunc(p[:n], q[:n], b.sameStep) {
				return invalid("Invalid %s: Two document paths overlap with each other; must remove or rewrite one of these paths; path one: %s, path two: %s",
					b.kind, b.describe(q), b.describe(p))
			}
		}
	}
	return nil
}

// nameDef is one of ExpressionAttributeNames.
type nameDef struct{ placeholder, name string }

// scope holds a request's placeholders and which of them were used.
type scope struct {
	names      []nameDef
	values     item
	usedNames  []bool
	usedValues []bool
}

func newScope(names []nameDef, values item) (*scope, error) {
	for _, n := range names {
		if !validPlaceholder('#', n.placeholder) {
			return nil, invalid("ExpressionAttributeNames contains invalid key: Syntax error; key: %q", n.placeholder)
		}
		if n.name == "" {
			return nil, invalid("ExpressionAttributeNames contains invalid value: Empty attribute name for key %s", n.placeholder)
		}
	}
	for i := range values {
		if !validPlaceholder(':', values[i].name) {
			return nil, invalid("ExpressionAttributeValues contains invalid key: Syntax error; key: %q", values[i].name)
		}
	}
	return &scope{names, values, make([]bool, len(names)), make([]bool, len(values))}, nil
}

func validPlaceholder(sign byte, s string) bool {
	if len(s) < 2 || s[0] != sign {
		return false
	}
	for i := 1; i < len(s); i++ {
		if !isWordByte(s[i]) {
			return false
		}
	}
	return true
}

// bind gives an expression the request's placeholders and checks what depends
// on them.
func (sc *scope) bind(e *expression) (*bound, error) {
	b := &bound{expression: e}
	if len(e.names) > 0 {
		b.names = make([]string, len(e.names))
	}
	for i, placeholder := range e.names {
		j := slices.IndexFunc(sc.names, func(n nameDef) bool { return n.placeholder == placeholder })
		if j < 0 {
			return nil, invalid("Invalid %s: An expression attribute name used in the document path is not defined; attribute name: %s", e.kind, placeholder)
		}
		b.names[i] = sc.names[j].name
		sc.usedNames[j] = true
	}
	if len(e.values) > 0 {
		b.values = make([]value, len(e.values))
	}
	for i, placeholder := range e.values {
		j, ok := sc.values.find(placeholder)
		if !ok {
			return nil, invalid("Invalid %s: An expression attribute value used in expression is not defined; attribute value: %s", e.kind, placeholder)
		}
		b.values[i] = sc.values[j].value
		sc.usedValues[j] = true
	}
	return b, b.check()
}

// check refuses what the grammar allows and the values or names forbid.
func (b *bound) check() error {
	if b.condition != nil {
		if err := b.condition.check(b); err != nil {
			return err
		}
	}
	if b.kind == exprProjection {
		return b.checkOverlap(b.projection)
	}
	return b.checkUpdate()
}

// done refuses placeholders that no expression used; some says whether the
// request had an expression at all.
func (sc *scope) done(some bool) error {
	if !some {
		if len(sc.names) > 0 {
			return invalid("ExpressionAttributeNames can only be specified when using expressions")
		}
		if len(sc.values) > 0 {
			return invalid("ExpressionAttributeValues can only be specified when using expressions")
		}
	}
	var unused []string
	for i, used := range sc.usedNames {
		if !used {
			unused = append(unused, sc.names[i].placeholder)
		}
	}
	if unused != nil {
		slices.Sort(unused)
		return invalid("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", strings.Join(unused, ", "))
	}
	for i, used := range sc.usedValues {
		if !used {
			unused = append(unused, sc.values[i].name)
		}
	}
	if unused != nil {
		return invalid("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", strings.Join(unused, ", "))
	}
	return nil
}

// cacheLimit is how many parsed expressions are kept. A program has few;
// texts built from data must not fill the memory.
const cacheLimit = 1024

// cache keeps parsed expressions by their text.
type cache struct {
	mu sync.RWMutex
	m  map[cacheKey]*expression
}

type cacheKey struct {
	kind exprKind
	text string
}

// parse returns the parsed form of an expression.
func (c *cache) parse(kind exprKind, text string) (*expression, error) {
	c.mu.RLock()
	e := c.m[cacheKey{kind, text}]
	c.mu.RUnlock()
	if e != nil {
		return e, nil
	}
	text = strings.Clone(text) // the request's memory is not kept
	e, err := parseExpression(kind, text)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.m == nil || len(c.m) >= cacheLimit {
		c.m = make(map[cacheKey]*expression)
	}
	c.m[cacheKey{kind, text}] = e
	return e, nil
}
