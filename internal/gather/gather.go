// Package gather lets what many goroutines want at once travel together: calls
// that arrive while one is under way wait for it and then go as one batch.
//
// A call that finds nothing under way goes at once, alone, so nothing waits for
// company. No goroutine lives while nothing is under way: a Lambda environment
// is frozen between invocations.
package gather

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"posthorn/internal/stack"
)

// Result is what became of one input.
type Result[Out any] struct {
	Value Out
	Err   error
}

// Group gathers calls. It is safe for concurrent use.
type Group[In, Out any] struct {
	do       func(ctx context.Context, ins []In) []Result[Out]
	size     int
	parallel int
	timeout  time.Duration

	mu      sync.Mutex
	running int
	waiting []*call[In, Out]
}

type call[In, Out any] struct {
	ctx  context.Context
	in   In
	done chan Result[Out]
}

// Options bound a Group. Zero fields take the defaults named.
type Options struct {
	Size     int           // inputs in a batch at most; 1
	Parallel int           // batches under way at most; 1
	Timeout  time.Duration // of one batch, while others wait behind it; 5 s
}

// New returns a Group that makes batches with do, which answers one Result for
// each input, in order.
func New[In, Out any](o Options, do func(ctx context.Context, ins []In) []Result[Out]) *Group[In, Out] {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	return &Group[In, Out]{do: do, size: max(o.Size, 1), parallel: max(o.Parallel, 1), timeout: o.Timeout}
}

// Do hands in one input and waits for its result. The batch it travels in is
// not cancelled with ctx, for others travel in it too: when ctx ends first, Do
// returns its error, and what becomes of the input is not known. It ends at the
// latest deadline among its callers, so that none is left behind when the
// invocation they serve is over. When ctx has ended already, nothing is done.
func (g *Group[In, Out]) Do(ctx context.Context, in In) (Out, error) {
	if err := ctx.Err(); err != nil {
		var none Out
		return none, fmt.Errorf("join a batch: %w", err)
	}
	c := &call[In, Out]{ctx: ctx, in: in, done: make(chan Result[Out], 1)}
	g.mu.Lock()
	if g.running >= g.parallel {
		g.waiting = append(g.waiting, c)
		g.mu.Unlock()
	} else {
		g.running++
		g.mu.Unlock()
		go g.run([]*call[In, Out]{c})
	}
	select {
	case r := <-c.done:
		return r.Value, r.Err
	case <-ctx.Done():
		var none Out
		return none, fmt.Errorf("wait for a batch: %w", ctx.Err())
	}
}

// run makes batches until nothing waits.
func (g *Group[In, Out]) run(batch []*call[In, Out]) {
	stack.Grow()
	for batch != nil {
		g.make(batch)
		batch = g.next()
	}
}

// next takes the next batch from those that wait, dropping callers that have
// gone before anything was done for them.
func (g *Group[In, Out]) next() []*call[In, Out] {
	g.mu.Lock()
	defer g.mu.Unlock()
	batch := make([]*call[In, Out], 0, min(len(g.waiting), g.size))
	n := 0
	for ; n < len(g.waiting) && len(batch) < g.size; n++ {
		if g.waiting[n].ctx.Err() == nil {
			batch = append(batch, g.waiting[n])
		}
	}
	rest := copy(g.waiting, g.waiting[n:])
	clear(g.waiting[rest:])
	g.waiting = g.waiting[:rest]
	if len(batch) == 0 {
		g.running--
		return nil
	}
	return batch
}

// errShort answers inputs that a batch left without a result.
var errShort = errors.New("the batch answered fewer results than it had inputs")

// make performs one batch and hands out its results, whatever happens.
func (g *Group[In, Out]) make(batch []*call[In, Out]) {
	ctx, cancel := context.WithDeadline(context.WithoutCancel(batch[0].ctx), g.deadline(batch))
	defer cancel()
	ins := make([]In, len(batch))
	for i, c := range batch {
		ins[i] = c.in
	}
	results, err := g.guarded(ctx, ins)
	for i, c := range batch {
		switch {
		case err != nil:
			c.done <- Result[Out]{Err: err}
		case i >= len(results):
			c.done <- Result[Out]{Err: errShort}
		default:
			c.done <- results[i]
		}
	}
}

// deadline is when a batch that starts now ends at the latest: once all its
// callers are past their deadlines, and after the timeout in any case.
func (g *Group[In, Out]) deadline(batch []*call[In, Out]) time.Time {
	end := time.Now().Add(g.timeout)
	var latest time.Time
	for _, c := range batch {
		d, ok := c.ctx.Deadline()
		if !ok || !d.Before(end) {
			return end
		}
		if d.After(latest) {
			latest = d
		}
	}
	return latest
}

// guarded turns a panic of do into an error of every input.
func (g *Group[In, Out]) guarded(ctx context.Context, ins []In) (results []Result[Out], err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("batch panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return g.do(ctx, ins), nil
}
