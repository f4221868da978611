package dynamodb

import (
	"slices"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// maxDepth bounds how deep parentheses and functions may nest.
const maxDepth = 256

// parser reads one expression by recursive descent.
type parser struct {
	e     *expression
	text  string
	toks  []token
	pos   int
	depth int
}

// parseExpression parses an expression of any kind.
func parseExpression(kind exprKind, text string) (*expression, error) {
	toks, err := tokenize(kind, text)
	if err != nil {
		return nil, err
	}
	p := &parser{e: &expression{kind: kind}, text: text, toks: toks}
	switch kind {
	case exprUpdate:
		p.e.update, err = p.changes()
	case exprProjection:
		p.e.projection, err = p.paths()
	default:
		p.e.condition, err = p.or()
	}
	if err == nil && p.pos < len(p.toks) {
		err = p.unexpected()
	}
	return p.e, err
}

func (p *parser) peek() string { return p.ahead(0) }

func (p *parser) ahead(n int) string {
	if p.pos+n < len(p.toks) {
		return p.toks[p.pos+n].text
	}
	return endOfExpression
}

func (p *parser) next() string {
	t := p.peek()
	p.pos++
	return t
}

// take reads the token t if it is next.
func (p *parser) take(t string) bool {
	if p.peek() != t {
		return false
	}
	p.pos++
	return true
}

// keyword reads a keyword if it is next; keywords have no case.
func (p *parser) keyword(k string) bool {
	if !strings.EqualFold(p.peek(), k) {
		return false
	}
	p.pos++
	return true
}

func (p *parser) expect(t string) error {
	if !p.take(t) {
		return p.unexpected()
	}
	return nil
}

// unexpected names the next token and what stands around it.
func (p *parser) unexpected() error {
	from := p.toks[min(max(p.pos-1, 0), len(p.toks)-1)].pos
	to := len(p.text)
	if p.pos+1 < len(p.toks) {
		next := p.toks[p.pos+1]
		to = next.pos + len(next.text)
	}
	return syntaxError(p.e.kind, p.peek(), p.text[from:to])
}

// nest goes one level down; the caller calls p.leave when it comes back.
func (p *parser) nest() error {
	p.depth++
	if p.depth > maxDepth {
		return invalid("Invalid %s: The expression contains too many nested parts", p.e.kind)
	}
	return nil
}

func (p *parser) leave() { p.depth-- }

func slot(list *[]string, placeholder string) int {
	if i := slices.Index(*list, placeholder); i >= 0 {
		return i
	}
	*list = append(*list, placeholder)
	return len(*list) - 1
}

func (p *parser) nameStep() (step, error) {
	t := p.peek()
	switch {
	case t[0] == '#':
		p.pos++
		return step{nameSlot: slot(&p.e.names, t), index: -1}, nil
	case isLetter(t[0]):
		if isReserved(t) {
			return step{}, invalid("Invalid %s: Attribute name is a reserved keyword; reserved keyword: %s", p.e.kind, t)
		}
		p.pos++
		return step{name: t, nameSlot: -1, index: -1}, nil
	}
	return step{}, p.unexpected()
}

// path reads a document path: a.b[3].#c
func (p *parser) path() (path, error) {
	s, err := p.nameStep()
	if err != nil {
		return nil, err
	}
	out := path{s}
	for {
		switch {
		case p.take("."):
			if s, err = p.nameStep(); err != nil {
				return nil, err
			}
			out = append(out, s)
		case p.take("["):
			i, err := strconv.ParseUint(p.peek(), 10, 31)
			if err != nil {
				return nil, p.unexpected()
			}
			p.pos++
			if err := p.expect("]"); err != nil {
				return nil, err
			}
			out = append(out, step{nameSlot: -1, index: int(i)})
		default:
			return out, nil
		}
		if len(out) > maxNesting {
			return nil, invalid("Invalid %s: The document path has too many nesting elements; nesting levels: %d", p.e.kind, len(out))
		}
	}
}

// paths reads a projection.
func (p *parser) paths() ([]path, error) {
	var out []path
	for {
		pa, err := p.path()
		if err != nil {
			return nil, err
		}
		out = append(out, pa)
		if !p.take(",") {
			return out, nil
		}
	}
}

// operand reads a value's placeholder, size(path) or a path.
func (p *parser) operand() (operand, error) {
	t := p.peek()
	if t[0] == ':' {
		p.pos++
		return operand{value: slot(&p.e.values, t)}, nil
	}
	if t == "size" && p.ahead(1) == "(" {
		p.pos += 2
		pa, err := p.path()
		if err != nil {
			return operand{}, err
		}
		return operand{path: pa, size: true}, p.expect(")")
	}
	if p.ahead(1) == "(" && isLetter(t[0]) {
		return operand{}, invalid("Invalid %s: Invalid function name; function: %s", p.e.kind, t)
	}
	pa, err := p.path()
	return operand{path: pa}, err
}

func (p *parser) or() (condition, error) {
	if err := p.nest(); err != nil {
		return nil, err
	}
	defer p.leave()
	left, err := p.and()
	for err == nil && p.keyword("OR") {
		var right condition
		right, err = p.and()
		left = &orNode{left, right}
	}
	return left, err
}

func (p *parser) and() (condition, error) {
	left, err := p.not()
	for err == nil && p.keyword("AND") {
		var right condition
		right, err = p.not()
		left = &andNode{left, right}
	}
	return left, err
}

func (p *parser) not() (condition, error) {
	if !p.keyword("NOT") {
		return p.primary()
	}
	if err := p.nest(); err != nil {
		return nil, err
	}
	defer p.leave()
	c, err := p.not()
	return &notNode{c}, err
}

func (p *parser) primary() (condition, error) {
	if p.take("(") {
		c, err := p.or()
		if err != nil {
			return nil, err
		}
		return c, p.expect(")")
	}
	if p.ahead(1) == "(" && p.peek() != "size" && isLetter(p.peek()[0]) {
		return p.function()
	}
	a, err := p.operand()
	if err != nil {
		return nil, err
	}
	switch {
	case p.keyword("BETWEEN"):
		lo, err := p.operand()
		if err != nil {
			return nil, err
		}
		if !p.keyword("AND") {
			return nil, p.unexpected()
		}
		hi, err := p.operand()
		return &betweenNode{a, lo, hi}, err
	case p.keyword("IN"):
		return p.in(a)
	}
	switch op := p.peek(); op {
	case "=", "<>", "<", "<=", ">", ">=":
		p.pos++
		b, err := p.operand()
		return &compareNode{op, a, b}, err
	}
	return nil, p.unexpected()
}

func (p *parser) in(a operand) (condition, error) {
	if err := p.expect("("); err != nil {
		return nil, err
	}
	var list []operand
	for {
		o, err := p.operand()
		if err != nil {
			return nil, err
		}
		list = append(list, o)
		if !p.take(",") {
			break
		}
	}
	if len(list) > 100 {
		return nil, invalid("Invalid %s: The IN operator is provided with too many operands; number of operands: %d", p.e.kind, len(list))
	}
	return &inNode{a, list}, p.expect(")")
}

func (p *parser) function() (condition, error) {
	name := p.next()
	p.pos++ // "("
	var c condition
	switch name {
	case "attribute_exists", "attribute_not_exists":
		pa, err := p.path()
		if err != nil {
			return nil, err
		}
		c = &existsNode{pa, name == "attribute_exists"}
	case "attribute_type", "begins_with", "contains":
		a, err := p.operand()
		if err != nil {
			return nil, err
		}
		if err := p.expect(","); err != nil {
			return nil, err
		}
		b, err := p.operand()
		if err != nil {
			return nil, err
		}
		c = &functionNode{name, a, b}
	default:
		return nil, invalid("Invalid %s: Invalid function name; function: %s", p.e.kind, name)
	}
	return c, p.expect(")")
}

// changes reads an update: each of its four sections at most once.
func (p *parser) changes() ([]change, error) {
	var out []change
	var seen [4]bool
	for p.pos < len(p.toks) {
		section := slices.Index(sections[:], strings.ToUpper(p.peek()))
		if section < 0 {
			return nil, p.unexpected()
		}
		if seen[section] {
			return nil, invalid("Invalid UpdateExpression: The %q section can only be used once in an update expression;", sections[section])
		}
		seen[section] = true
		p.pos++
		for {
			c, err := p.change(changeKind(section))
			if err != nil {
				return nil, err
			}
			out = append(out, c)
			if !p.take(",") {
				break
			}
		}
	}
	return out, nil
}

func (p *parser) change(kind changeKind) (change, error) {
	c := change{kind: kind}
	var err error
	if c.path, err = p.path(); err != nil {
		return c, err
	}
	switch kind {
	case changeSet:
		if err := p.expect("="); err != nil {
			return c, err
		}
		if c.value, err = p.term(); err != nil {
			return c, err
		}
		if op := p.peek(); op == "+" || op == "-" {
			p.pos++
			c.value = &term{op: op, args: []*term{c.value, nil}}
			c.value.args[1], err = p.term()
		}
	case changeAdd, changeDelete:
		t := p.peek()
		if t[0] != ':' {
			return c, p.unexpected()
		}
		p.pos++
		c.value = &term{operand: operand{value: slot(&p.e.values, t)}}
	case changeRemove:
	}
	return c, err
}

// term reads one side of a sum.
func (p *parser) term() (*term, error) {
	if err := p.nest(); err != nil {
		return nil, err
	}
	defer p.leave()
	if p.take("(") {
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		if op := p.peek(); op == "+" || op == "-" {
			p.pos++
			right, err := p.term()
			if err != nil {
				return nil, err
			}
			t = &term{op: op, args: []*term{t, right}}
		}
		return t, p.expect(")")
	}
	name := p.peek()
	if p.ahead(1) != "(" || !isLetter(name[0]) {
		o, err := p.operand()
		return &term{operand: o}, err
	}
	if name != "if_not_exists" && name != "list_append" {
		return nil, invalid("Invalid UpdateExpression: Invalid function name; function: %s", name)
	}
	p.pos += 2
	t := &term{op: name}
	for i := range 2 {
		if i > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		a, err := p.term()
		if err != nil {
			return nil, err
		}
		t.args = append(t.args, a)
	}
	if name == "if_not_exists" && t.args[0].operand.path == nil {
		return nil, invalid("Invalid UpdateExpression: Operator or function requires a document path; operator or function: if_not_exists")
	}
	return t, p.expect(")")
}
