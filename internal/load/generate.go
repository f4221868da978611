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
	// post sends one event and returns "" when it was accepted.
	post func(ctx context.Context, body []byte) string
	// sleepUntil returns at the given time, as exactly as it can, or when ctx
	// is done.
	sleepUntil func(ctx context.Context, at time.Time)

	connections int
	rate        float64
	events      int
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
				if !now.Before(end) || taken.Add(1) > int64(g.events) {
					return
				}
				if !g.send(ctx, stop, now) {
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

// open plans the i-th event at start + i/rate, come what may. Connections take
// planned events in order; what is planned and waits for one is late, and its
// latency says so.
func (g *generator) open(ctx context.Context, stop func(), start time.Time) int {
	// What is planned within the length may be sent a little after it. A
	// server that is slower than the plan for long does not prolong the run.
	ctx, cancel := context.WithTimeout(ctx, g.length+g.timeout)
	defer cancel()
	due := make(chan time.Time, min(g.events, backlog))
	var workers sync.WaitGroup
	for range g.connections {
		workers.Go(func() {
			for at := range due {
				if ctx.Err() != nil {
					return
				}
				g.ledger.behind(time.Since(at))
				g.send(ctx, stop, at)
			}
		})
	}
	planned := g.plan(ctx, start, due)
	close(due)
	workers.Wait()
	return planned
}

func (g *generator) plan(ctx context.Context, start time.Time, due chan<- time.Time) int {
	for i := range g.events {
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
		case due <- at:
		case <-ctx.Done():
			return i
		}
	}
	return g.events
}

// send posts one event, whose latencies count from at, and reports whether it
// was accepted.
func (g *generator) send(ctx context.Context, stop func(), at time.Time) bool {
	seq := g.ledger.plan(at)
	kind := g.post(context.WithoutCancel(ctx), g.bodies.of(seq))
	now := time.Now()
	if kind == "" {
		g.ledger.accept202(seq, now)
		g.lastGood.Store(now.UnixNano())
		return true
	}
	g.ledger.fail(kind)
	if now.UnixNano()-g.lastGood.Load() > int64(g.giveUp) {
		g.gaveUp.Store(true)
		stop()
	}
	return false
}
