package lifetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing/synctest"

	"pgregory.net/rapid"

	"posthorn/internal/deliver/post"
	"posthorn/internal/localaws/inproc"
)

// fate is what becomes of a call.
type fate int

const (
	made        fate = iota
	failed           // nothing was done
	lost             // it was made, and its answer was lost
	diedBefore       // the process died, and nothing was done
	diedAfter        // it was made, and the process died before it knew
	interrupted      // nothing was done: the caller's time was up first
)

func (f fate) String() string {
	return [...]string{"made", "failed", "answer lost", "died before", "died after", "interrupted"}[f]
}

// effect says whether the call was made.
func (f fate) effect() bool { return f == made || f == lost || f == diedAfter }

var (
	errFault = errors.New("fault")
	errDead  = errors.New("the process is dead")
)

// call is a call of a process that waits for its fate.
type call struct {
	p      *process
	name   string
	fate   chan fate
	post   bool
	answer post.Result // to a post
	unseen bool        // it is made, and its answer is not seen
}

// ask waits until a call's fate is decided, makes it with do if it is to be,
// and returns its error.
func (p *process) ask(ctx context.Context, name string, do func(c *call)) error {
	w := p.w
	w.mu.Lock()
	if p.dead {
		w.mu.Unlock()
		return errDead
	}
	c := &call{p: p, name: name, fate: make(chan fate, 1), post: strings.HasPrefix(name, "Post ")}
	w.waiting = append(w.waiting, c)
	w.mu.Unlock()

	f := interrupted
	select {
	case f = <-c.fate:
	case <-ctx.Done():
	}
	w.mu.Lock()
	w.waiting = slices.DeleteFunc(w.waiting, func(o *call) bool { return o == c })
	if p.dead {
		w.mu.Unlock()
		return errDead
	}
	w.mu.Unlock()
	if f.effect() {
		c.unseen = f != made
		do(c)
	}
	switch f {
	case made:
		return nil
	case diedBefore, diedAfter:
		w.mu.Lock()
		p.dead = true
		w.mu.Unlock()
		return errDead
	case interrupted:
		w.mu.Lock()
		w.disturbed++
		w.mu.Unlock()
		return ctx.Err()
	default:
		return errFault
	}
}

// calls returns those that wait, in an order that does not depend on which
// goroutine was faster.
func (w *world) calls() []*call {
	w.settle(func(c *call) bool { return c.p.dead })
	w.mu.Lock()
	defer w.mu.Unlock()
	all := slices.Clone(w.waiting)
	slices.SortStableFunc(all, func(a, b *call) int {
		return cmp.Or(cmp.Compare(a.p.number, b.p.number), strings.Compare(a.name, b.name))
	})
	return all
}

// settle waits until everything stands still, and has some calls come to
// nothing that still wait: batches of a process that is no more.
func (w *world) settle(which func(*call) bool) {
	for again := true; again; {
		synctest.Wait()
		again = false
		w.mu.Lock()
		for _, c := range w.waiting {
			if which(c) {
				c.fate <- diedBefore
				again = true
			}
		}
		w.mu.Unlock()
	}
}

// decide tells a call its fate, waits until everything stands still again, and
// has the model look.
func (w *world) decide(t *rapid.T, c *call, f fate) {
	if f != made {
		w.disturbed++
		if f != failed && f != diedBefore {
			w.answersLost++
		}
	}
	c.fate <- f
	synctest.Wait()
	if f == diedBefore || f == diedAfter {
		c.p.cancel() // what it still has under way ends
		synctest.Wait()
	}
	if c.writes() && f.effect() {
		w.look(t, strings.Contains(c.name, "endpoints"), strings.Contains(c.name, "row"))
	}
}

// writes says whether a call may change the table.
func (c *call) writes() bool {
	for _, read := range []string{"GetItem", "BatchGetItem", "Query"} {
		if strings.HasPrefix(c.name, read) {
			return false
		}
	}
	return true
}

// wire is a process's way to DynamoDB: each call waits at the gate.
type wire struct {
	p    *process
	next inproc.Transport
}

// kinds of items by what their keys have in them, the telling ones first.
var kinds = []struct{ part, kind string }{
	{"#VERSION", "endpoints"}, {"DLV#", "row"}, {"#DLQ#", "entry"}, {"#JOB", "job"}, {"#EV#", "event"}, {"STATE", "state"}, {"#EP#", "list"}, {"EP#", "endpoint"},
}

// RoundTrip implements http.RoundTripper.
func (g wire) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	_, name, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	for _, k := range kinds {
		if bytes.Contains(body, []byte(k.part)) {
			name += " " + k.kind
		}
	}
	for i, id := range g.p.w.endpoints {
		if bytes.Contains(body, []byte(strings.TrimPrefix(id, "ep_"))) {
			name += " " + string(rune('A'+i))
		}
	}
	var response *http.Response
	var failure error
	err = g.p.ask(r.Context(), name, func(*call) {
		again := r.Clone(context.WithoutCancel(r.Context()))
		again.Body = io.NopCloser(bytes.NewReader(body))
		response, failure = g.next.RoundTrip(again)
	})
	if err != nil {
		return nil, err
	}
	return response, failure
}
