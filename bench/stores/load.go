package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// The shape of Posthorn's own load: as many callers as its HTTP API is measured
// with, each storing one group of keys at a time and waiting for the disk.
const (
	callers   = 32
	valueSize = 700
	backlog   = 400 // what a caller's queue holds before its oldest part is removed
	drained   = 300 // how many that removes, as one range
)

// groupSizes is what a group has keys, one size as likely as another: single
// records, a record with its event, a batch of ten messages, of 25 items.
var groupSizes = []int{1, 1, 2, 2, 5, 10, 10, 25}

// itemKey is the key of an item: the even ones are filled in, the odd are not.
func itemKey(n int) []byte { return fmt.Appendf(nil, "item/%016x", n) }

func queueKey(caller, n int) []byte { return fmt.Appendf(nil, "queue/%02x/%016x", caller, n) }

// record is a value: half of it text that repeats, as JSON's names do, half random.
func record(r *rand.Rand) []byte {
	const text = `{"event":"order.created","tenant":"default","status":"delivered","attempt":`
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	v := make([]byte, 0, valueSize)
	for len(v) < valueSize/2 {
		v = append(v, text...)
	}
	for len(v) < valueSize {
		v = append(v, letters[r.IntN(len(letters))])
	}
	return v
}

// records are values to choose from, made beforehand so that making them is not
// measured.
func records(seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, 0))
	rs := make([][]byte, 4096)
	for i := range rs {
		rs[i] = record(r)
	}
	return rs
}

// fill puts entries items into e, in ascending order of their keys.
func fill(e engine, entries int) error {
	const step = 2000
	values := records(1)
	for from := 0; from < entries; from += step {
		pairs := make([]pair, 0, step)
		for i := from; i < min(from+step, entries); i++ {
			pairs = append(pairs, pair{itemKey(2 * i), values[i%len(values)]})
		}
		if err := e.Fill(pairs); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	return e.Write(group{sets: []pair{{[]byte("filled"), values[0]}}})
}

// caller is one goroutine's part of the load.
type caller struct {
	id            int
	entries       int
	r             *rand.Rand
	values        [][]byte
	next, oldest  int // of its queue
	took          []time.Duration
	bytes, misses int
}

// run writes and reads until the deadline.
func (c *caller) run(e engine, until time.Time) error {
	for time.Now().Before(until) {
		g := c.group()
		start := time.Now()
		if err := e.Write(g); err != nil {
			return fmt.Errorf("write: %w", err)
		}
		c.took = append(c.took, time.Since(start))
		for _, p := range g.sets {
			c.bytes += len(p.key) + len(p.value)
		}
		// What is there, and what is most likely not: a delivery that has no row yet.
		n := c.r.IntN(c.entries)
		found, err := e.Get(itemKey(2 * n))
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		if !found {
			c.misses++
		}
		if _, err := e.Get(itemKey(2*n + 1)); err != nil {
			return fmt.Errorf("read: %w", err)
		}
	}
	return nil
}

// group is the next group: half of the keys are appended to the caller's
// queue, half are items anywhere, an old one or a new one.
func (c *caller) group() group {
	var g group
	for i := range groupSizes[c.r.IntN(len(groupSizes))] {
		key := itemKey(c.r.IntN(2 * c.entries))
		if i%2 == 0 {
			key = queueKey(c.id, c.next)
			c.next++
		}
		g.sets = append(g.sets, pair{key, c.values[c.r.IntN(len(c.values))]})
	}
	if c.next-c.oldest > backlog {
		g.lo, g.hi = queueKey(c.id, c.oldest), queueKey(c.id, c.oldest+drained)
		c.oldest += drained
	}
	return g
}

// load is what all callers did.
type load struct {
	writes int
	bytes  int // of keys and values
	took   []time.Duration
	lasted time.Duration
}

// run lets all callers work for a time. Each run continues the last one's queues.
func run(e engine, cs []*caller, lasts time.Duration) (load, error) {
	errs := make([]error, len(cs))
	start := time.Now()
	var wg sync.WaitGroup
	for i, c := range cs {
		wg.Go(func() { errs[i] = c.run(e, start.Add(lasts)) })
	}
	wg.Wait()
	l := load{lasted: time.Since(start)}
	for i, c := range cs {
		if errs[i] != nil {
			return l, errs[i]
		}
		if c.misses > 0 {
			return l, fmt.Errorf("%d entries that were filled in are not there", c.misses)
		}
		l.bytes += c.bytes
		l.took = append(l.took, c.took...)
		c.bytes, c.took = 0, nil
	}
	l.writes = len(l.took)
	slices.Sort(l.took)
	return l, nil
}

// quantile is the q-quantile of the latencies, in milliseconds.
func (l load) quantile(q float64) float64 {
	if len(l.took) == 0 {
		return 0
	}
	return float64(l.took[int(q*float64(len(l.took)-1))]) / float64(time.Millisecond)
}

// newCallers returns the callers of a store with that many entries.
func newCallers(entries int, seed uint64) []*caller {
	cs := make([]*caller, callers)
	values := records(seed)
	for i := range cs {
		cs[i] = &caller{id: i, entries: entries, r: rand.New(rand.NewPCG(seed, uint64(i))), values: values}
	}
	return cs
}
