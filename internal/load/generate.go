package load

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// afterFailure is how long a connection of the closed loop rests after a POST
// that was not accepted, so that a server which refuses is not hammered.
const afterFailure = 100 * time.Millisecond

// backlog is how many planned events may wait for a free connection. Beyond it
// the plan itself is held up.
const backlog = 1 << 16

// generator posts a run's events.
type generator struct {
	ledger *ledger
	bodies bodies
	// post sends a body of so many events and returns nil when all of them were
	// accepted, else what became of each: "" for accepted, or a kind of error.
	post func(ctx context.Context, body []byte, events int) []string
	// sleepUntil returns at the given time, as exactly as it can, or when ctx
	// is done.
	sleepUntil func(ctx context.Context, at time.Time)

	connections int
	rate        float64
	events      int
	batch       int // events a POST
	length      time.Duration
	giveUp      time.Duration
	timeout     time.Duration

	lastGood atomic.Int64 // Unix nanoseconds
	gaveUp   atomic.Bool
}

// run posts until the events or the time are used up, ctx is done, or the
// server has accepted nothing for giveUp. Posts under way are always finished.
// It returns how many events were planned.
func (g *generator) run(ctx context.Context) int {
	start := time.Now()
	g.ledger.begin(start)
	g.lastGood.Store(start.UnixNano())
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if g.rate > 0 {
		return g.open(ctx, stop, start)
	}
	return g.closed(ctx, stop, start)
}

func (g *generator) closed(ctx context.Context, stop func(), start time.Time) int {
	end := start.Add(g.length)
	var taken atomic.Int64
	var workers sync.WaitGroup
	for range g.connections {
		workers.Go(func() {
			for ctx.Err() == nil {
				now := time.Now()
				if !now.Before(end) {
					return
				}
				// The last POST carries what is left.
				n := g.batch - max(0, int(taken.Add(int64(g.batch)))-g.events)
				if n <= 0 {
					return
				}
				if !g.send(ctx, stop, now, n) {
					g.rest(ctx)
				}
			}
		})
	}
	workers.Wait()
	return min(int(taken.Load()), g.events)
}

func (g *generator) rest(ctx context.Context) {
	wait := time.NewTimer(afterFailure)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
	}
}

// open plans the i-th event at start + i/rate, come what may; a POST of several
// is planned at the moment of its first. Connections take planned posts in
// order; what is planned and waits for one is late, and its latency says so.
func (g *generator) open(ctx context.Context, stop func(), start time.Time) int {
	// What is planned within the length may be sent a little after it. A
	// server that is slower than the plan for long does not prolong the run.
	ctx, cancel := context.WithTimeout(ctx, g.length+g.timeout)
	defer cancel()
	due := make(chan planned, min(g.events, backlog))
	var workers sync.WaitGroup
	for range g.connections {
		workers.Go(func() {
			for post := range due {
				if ctx.Err() != nil {
					return
				}
				g.ledger.behind(time.Since(post.at))
				g.send(ctx, stop, post.at, post.events)
			}
		})
	}
	count := g.plan(ctx, start, due)
	close(due)
	workers.Wait()
	return count
}

// planned is a POST of so many events that is due at a moment.
type planned struct {
	at     time.Time
	events int
}

// plan returns how many events it planned.
func (g *generator) plan(ctx context.Context, start time.Time, due chan<- planned) int {
	for i := 0; i < g.events; i += g.batch {
		offset := time.Duration(float64(i) / g.rate * float64(time.Second))
		if offset >= g.length {
			return i
		}
		at := start.Add(offset)
		if time.Until(at) > 0 {
			// The connection woken last runs before this goroutine's thread
			// goes to sleep.
			runtime.Gosched()
			g.sleepUntil(ctx, at)
		}
		select {
		case due <- planned{at: at, events: min(g.batch, g.events-i)}:
		case <-ctx.Done():
			return i
		}
	}
	return g.events
}

// send posts so many events, whose latencies count from at, and reports whether
// any was accepted.
func (g *generator) send(ctx context.Context, stop func(), at time.Time, events int) bool {
	first := g.ledger.plan(at, events)
	kinds := g.post(context.WithoutCancel(ctx), g.body(first, events), events)
	now := time.Now()
	accepted := false
	for i := range events {
		if kinds == nil || kinds[i] == "" {
			g.ledger.accept202(first+i, now)
			accepted = true
		} else {
			g.ledger.fail(kinds[i])
		}
	}
	if accepted {
		g.lastGood.Store(now.UnixNano())
		return true
	}
	if now.UnixNano()-g.lastGood.Load() > int64(g.giveUp) {
		g.gaveUp.Store(true)
		stop()
	}
	return false
}

// body is of one event by itself, or of a batch, whose last may hold one alone.
func (g *generator) body(first, events int) []byte {
	if g.batch == 1 {
		return g.bodies.of(first)
	}
	return g.bodies.batch(first, events)
}
