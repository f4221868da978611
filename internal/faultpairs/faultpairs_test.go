package faultpairs

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
)

// path is a way through the functions.
type path struct {
	name        string
	asksForKeys bool
	// most bounds the calls of one operation that are made to fail, for a path
	// on which many are alike; 0: all of them are.
	most int
	// given is what comes before, and meets no fault.
	given func(a *account)
	// when is the path. It returns what has to be true in the end beside what
	// always has to; nil: nothing.
	when func(a *account) (then func())
}

// way is a way for a call to fail.
type way struct {
	name   string
	mode   faultwire.Mode
	calls  int  // so many calls fail from there on, of the operation; 0: this one
	once   bool // the SDK's first retry succeeds
	kill   bool // the environment dies when it has made the call
	writes bool // it says something of writes alone: a read whose answer is lost is one that failed
}

// maxFaults is how many calls in a row fail at most.
const maxFaults = 8

var ways = []way{
	// For long enough that whoever tries again, beside the SDK, gives up.
	{name: "failed", mode: faultwire.FailBefore, calls: maxFaults},
	{name: "applied, answer lost", mode: faultwire.LoseAnswer, writes: true},
	{name: "applied, answer lost once", mode: faultwire.LoseAnswer, once: true, writes: true},
	{name: "throttled", mode: faultwire.Throttle},
	{name: "slow past the deadline", mode: faultwire.AnswerLate},
	{name: "killed before", mode: faultwire.FailBefore, kill: true},
	{name: "killed after", mode: faultwire.LoseAnswer, kill: true, writes: true},
}

// reads are the operations that change nothing. ReceiveMessage is none of them.
var reads = []string{"GetItem", "BatchGetItem", "Query", "GetQueueAttributes", "Decrypt"}

// place is a call on a path.
type place struct {
	function, operation string
	call                int // of this operation by this function, from 1
}

func (p place) String() string { return fmt.Sprintf("%s %s %d", p.function, p.operation, p.call) }

// fault is a place and what happens there.
type fault struct {
	place
	way
}

func TestEveryCallOfEveryPathMayFail(t *testing.T) {
	t.Parallel()
	seen := &sites{made: map[string]bool{}}
	var taken atomic.Int32
	t.Cleanup(func() {
		if int(taken.Load()) == len(paths) { // and no -run picked some
			everyCallIsMade(t, seen)
		}
	})
	for _, p := range paths {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			taken.Add(1)
			places := everyTime(t, p, seen)
			require.NotEmpty(t, places)
			for n, at := range places {
				for _, how := range waysOf(at, n) {
					t.Run(fmt.Sprintf("%s/%s", at, how.name), func(t *testing.T) {
						met := false
						for try := 0; !met && try < tries; try++ {
							synctest.Test(t, func(t *testing.T) { met = walkWith(t, p, fault{at, how}) })
						}
						require.True(t, met, "the path makes that call")
					})
				}
			}
		})
	}
}

// waysOf returns the ways for the n-th call of a path to fail that are walked.
func waysOf(at place, n int) []way {
	of := slices.DeleteFunc(slices.Clone(ways), func(how way) bool { return how.writes && slices.Contains(reads, at.operation) })
	if thinned {
		if n%3 != 0 {
			return nil
		}
		of = of[n/3%len(of):][:1]
	}
	return of
}

// A path does not always make the same calls: what concurrent callers ask for
// travels together or not. So it is taken some times to find out which it
// makes every time, and with a fault until it meets it. A call that is made one
// time in seven is seen by all looks now and then, and missed by twenty tries in a
// row; by two hundred it is not.
const (
	looks = 3
	tries = 200
)

// everyTime returns the calls that a path makes whenever it is taken.
func everyTime(t *testing.T, p path, seen *sites) []place {
	var common []place
	for look := range looks {
		synctest.Test(t, func(t *testing.T) {
			made := calls(t, p, seen)
			if look == 0 {
				common = made
			}
			common = slices.DeleteFunc(common, func(at place) bool { return !slices.Contains(made, at) })
		})
	}
	return common
}

// calls takes a path without a fault, and returns the calls that were made.
func calls(t *testing.T, p path, seen *sites) (made []place) {
	a := begin(t, p)
	defer a.close()
	for _, f := range a.functions() {
		f.seen = seen
	}
	walk(a, p)
	for _, f := range a.functions() {
		counts := f.faults.Made()
		for _, operation := range slices.Sorted(maps.Keys(counts)) {
			n := counts[operation]
			if p.most > 0 {
				n = min(n, p.most)
			}
			for call := range n {
				made = append(made, place{f.name, operation, call + 1})
			}
		}
	}
	return made
}

// walkWith takes a path with a fault, and says whether it met it.
func walkWith(t *testing.T, p path, f fault) bool {
	var met atomic.Bool // the calls of a function are made at once
	a := begin(t, p)
	defer a.close()
	a.ledger.faults = max(f.calls, 1)
	for _, fn := range a.functions() {
		if fn.name != f.function {
			continue
		}
		fn.faults.Add(faultwire.Fault{
			Operation: f.operation, Call: f.call, Times: f.calls, Mode: f.mode, Whole: !f.once,
			Struck: func(r *http.Request) {
				met.Store(true)
				if f.kill {
					kill(r)
				}
			},
		})
	}
	walk(a, p)
	return met.Load()
}

// begin opens an account and does what comes before the path.
func begin(t *testing.T, p path) *account {
	a := open(t, p.asksForKeys)
	if p.given != nil {
		p.given(a)
		a.settle()
	}
	for _, f := range a.functions() {
		f.renew()
	}
	return a
}

// walk takes a path, and checks that all is well afterwards.
func walk(a *account, p path) {
	then := p.when(a)
	a.settle()
	a.balance()
	if then != nil {
		then()
	}
}

// Time is synctest's: it stands still while somebody works.
func TestTheClockIsTheBubbles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		a := open(t, false)
		require.Less(t, time.Since(began), time.Minute)
		a.close()
	})
}
