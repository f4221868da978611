package dynamodb

import "strings"

// maxExpression is the service's limit on an expression's length in bytes.
const maxExpression = 4096

// exprKind is the parameter that an expression was given in.
type exprKind uint8

const (
	exprCondition exprKind = iota
	exprFilter
	exprKeyCondition
	exprUpdate
	exprProjection
)

func (k exprKind) String() string {
	return [...]string{"ConditionExpression", "FilterExpression", "KeyConditionExpression", "UpdateExpression", "ProjectionExpression"}[k]
}

// token is a word or sign of an expression and where it stands in it.
type token struct {
	text string
	pos  int
}

const endOfExpression = "<EOF>"

func isWordByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// tokenize cuts an expression into tokens.
func tokenize(kind exprKind, s string) ([]token, error) {
	if len(s) > maxExpression {
		return nil, invalid("Invalid %s: Expression size has exceeded the maximum allowed size; expression size: %d", kind, len(s))
	}
	var out []token
	for i := 0; i < len(s); {
		c := s[i]
		j := i + 1
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case strings.IndexByte("(),.[]=+-", c) >= 0:
		case c == '<' || c == '>':
			if j < len(s) && (s[j] == '=' || c == '<' && s[j] == '>') {
				j++
			}
		case c == '#' || c == ':' || isWordByte(c):
			for j < len(s) && isWordByte(s[j]) {
				j++
			}
			if (c == '#' || c == ':') && j == i+1 {
				return nil, syntaxError(kind, s[i:j], s)
			}
		default:
			return nil, syntaxError(kind, s[i:j], s)
		}
		out = append(out, token{s[i:j], i})
		i = j
	}
	if len(out) == 0 {
		return nil, invalid("Invalid %s: The expression can not be empty;", kind)
	}
	return out, nil
}

func syntaxError(kind exprKind, tok, near string) error {
	return invalid("Invalid %s: Syntax error; token: %q, near: %q", kind, tok, near)
}
