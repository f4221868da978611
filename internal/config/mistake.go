package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Mistake is one thing that is wrong with the configuration.
type Mistake struct {
	Where string // "config/retry.yaml:4", or the name of a variable or flag
	What  string
}

// Error is everything that is wrong with the configuration, files first, in
// the order of their lines, then variables by name.
type Error struct {
	Mistakes []Mistake // at least one
}

// Error lists every mistake on a line of its own.
func (e *Error) Error() string {
	var b strings.Builder
	if len(e.Mistakes) == 1 {
		b.WriteString("configuration: 1 mistake")
	} else {
		fmt.Fprintf(&b, "configuration: %d mistakes", len(e.Mistakes))
	}
	for _, m := range e.Mistakes {
		b.WriteString("\n  " + m.Where + ": " + m.What)
	}
	return b.String()
}

// place is where a value was set. The zero place is a default.
type place struct {
	file string
	line int
	env  string // a variable or a flag
}

func (p place) String() string {
	switch {
	case p.env != "":
		return p.env
	case p.file == "":
		return "default"
	case p.line == 0:
		return p.file
	default:
		return p.file + ":" + strconv.Itoa(p.line)
	}
}

// order sorts places as Error promises.
func (p place) order(q place) int {
	return cmp.Or(cmp.Compare(p.env, q.env), cmp.Compare(p.file, q.file), cmp.Compare(p.line, q.line))
}

// blame returns the one of two places that an operator is to look at when
// their values do not go together: the one that was set last.
func blame(p, q place) place {
	if p.env == "" && (q.env != "" || p.file == "") {
		return q
	}
	return p
}

// found is a mistake and where it is.
type found struct {
	place
	what string
}

// mistakes collects what is wrong.
type mistakes []found

func (ms *mistakes) add(p place, format string, args ...any) {
	*ms = append(*ms, found{p, fmt.Sprintf(format, args...)})
}

// err is nil when there is none.
func (ms mistakes) err() error {
	if len(ms) == 0 {
		return nil
	}
	slices.SortStableFunc(ms, func(a, b found) int { return a.order(b.place) })
	e := &Error{Mistakes: make([]Mistake, len(ms))}
	for i, m := range ms {
		e.Mistakes[i] = Mistake{Where: m.String(), What: m.what}
	}
	return e
}
