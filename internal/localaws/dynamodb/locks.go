package dynamodb

import (
	"slices"
	"sync"
	"sync/atomic"
)

// stripes is how many locks the items are spread over.
const stripes = 1024

// locks serialise work on items. An item belongs to one stripe by its key; who
// needs several stripes takes them in ascending order.
type locks [stripes]stripe

type stripe struct {
	mu sync.Mutex
	// unsynced counts the writes of the stripe that are visible and not yet
	// known to be on disk.
	unsynced atomic.Int32
}

func stripeOf(key []byte) uint32 { return fnv32(key) % stripes }

// held are stripes somebody has locked.
type held struct {
	locks   *locks
	numbers []uint32
}

// take locks the stripes of the numbers, which it sorts.
func (l *locks) take(numbers []uint32) held {
	slices.Sort(numbers)
	numbers = slices.Compact(numbers)
	for _, n := range numbers {
		l[n].mu.Lock()
	}
	return held{l, numbers}
}

func (h held) release() {
	for _, n := range h.numbers {
		h.locks[n].mu.Unlock()
	}
}

// writing says, before a write becomes visible, that it is not on disk;
// written takes that back.
func (h held) writing() {
	for _, n := range h.numbers {
		h.locks[n].unsynced.Add(1)
	}
}

func (h held) written() {
	for _, n := range h.numbers {
		h.locks[n].unsynced.Add(-1)
	}
}

// unsynced says that what was read of the stripes may not be on disk.
func (h held) unsynced() bool {
	return slices.ContainsFunc(h.numbers, func(n uint32) bool { return h.locks[n].unsynced.Load() > 0 })
}
