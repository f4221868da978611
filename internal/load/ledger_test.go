package load

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// book is a ledger whose events are at whole milliseconds after its start.
type book struct {
	*ledger
	start time.Time
}

func newBook(endpoints, misbehaving int, b Behaviour) book {
	o := Defaults()
	o.Events, o.Endpoints, o.Misbehaving, o.Behaviour = 10, endpoints, misbehaving, b
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	l := newLedger(o)
	l.begin(start)
	return book{l, start}
}

func (b book) ms(n int) time.Time { return b.start.Add(time.Duration(n) * time.Millisecond) }

func (b book) result() Result {
	var r Result
	b.fill(&r)
	return r
}

func drained(empty <-chan struct{}) bool {
	select {
	case <-empty:
		return true
	default:
		return false
	}
}

// What a run of many endpoints may come to is not set aside at once: it would be
// gigabytes.
func TestALedgerSetsAsideWhatIsLikely(t *testing.T) {
	t.Parallel()
	o := Defaults()
	o.Endpoints, o.Events, o.Duration = 1000, 0, 2*time.Minute
	o.Misbehaving, o.Behaviour.Slow = 100, time.Second
	l := newLedger(o)
	require.LessOrEqual(t, cap(l.arrived), maxExpected)
	require.LessOrEqual(t, cap(l.healthy.micros)+cap(l.odd.micros), maxExpected)
	require.Equal(t, cap(l.healthy.micros), 9*cap(l.odd.micros))
	o.Endpoints, o.Misbehaving, o.Events = 3, 1, 100
	l = newLedger(o)
	require.Equal(t, []int{300, 200, 100}, []int{cap(l.arrived), cap(l.healthy.micros), cap(l.odd.micros)})
}

func TestLedgerCountsFromThePlannedSend(t *testing.T) {
	t.Parallel()
	b := newBook(1, 0, Behaviour{})
	for i := range 10 {
		seq := b.plan(b.ms(10*i), 1)
		require.Equal(t, i, seq)
		b.accept202(seq, b.ms(10*i+i+1))
		require.True(t, b.receive(seq, 0, b.ms(10*i+2*(i+1))))
	}
	require.True(t, drained(b.seal()))
	r := b.result()
	require.Equal(t, Latency{5, 10, 10, 10}, r.Accept)
	require.Equal(t, Latency{10, 20, 20, 20}, r.EndToEnd)
	require.Equal(t, 10, r.Accepted)
	require.Equal(t, 10, r.Delivered)
	require.InDelta(t, 100, r.AcceptedPerSecond, 1e-9, "10 by 100 ms")
	require.InDelta(t, 10/0.110, r.DeliveredPerSecond, 1e-9)
	require.Nil(t, r.BehindPlan)
	require.Nil(t, r.EndToEndHealthy)
}

func TestLedgerIsEmptyOnlyWhenAllThatIsOwedArrived(t *testing.T) {
	t.Parallel()
	b := newBook(2, 0, Behaviour{})
	first, second, third := b.plan(b.ms(0), 1), b.plan(b.ms(1), 1), b.plan(b.ms(2), 1)
	b.accept202(first, b.ms(1))
	b.receive(second, 1, b.ms(2)) // ahead of its 202
	b.accept202(second, b.ms(3))
	b.fail("503")
	empty := b.seal()
	b.receive(first, 0, b.ms(4))
	b.receive(first, 0, b.ms(5)) // a duplicate pays no debt
	b.receive(second, 1, b.ms(5))
	b.receive(third, 0, b.ms(5)) // nor does what was never accepted
	require.False(t, drained(empty))
	require.Equal(t, 2, b.result().Lost)
	b.receive(first, 1, b.ms(6))
	require.False(t, drained(empty))
	b.receive(second, 0, b.ms(7))
	require.True(t, drained(empty))

	r := b.result()
	require.Equal(t, 0, r.Lost)
	require.Equal(t, 2, r.Duplicates)
	require.Equal(t, 5, r.Delivered)
	require.Equal(t, 1, r.Unconfirmed)
	require.Equal(t, 2, r.Accepted)
	require.Equal(t, 3, r.Posted)
	require.Equal(t, map[string]int{"503": 1}, r.Errors)
}

func TestLedgerKeepsMisbehavingEndpointsApart(t *testing.T) {
	t.Parallel()
	b := newBook(3, 1, Behaviour{Slow: time.Second})
	seq := b.plan(b.ms(0), 1)
	b.accept202(seq, b.ms(1))
	b.receive(seq, 0, b.ms(900))
	b.receive(seq, 1, b.ms(4))
	b.receive(seq, 2, b.ms(6))
	r := b.result()
	require.Equal(t, &Latency{4, 6, 6, 6}, r.EndToEndHealthy)
	require.Equal(t, Latency{6, 900, 900, 900}, r.EndToEnd)
}

func TestLedgerOwesNothingToHangingEndpoints(t *testing.T) {
	t.Parallel()
	b := newBook(3, 2, Behaviour{Hang: true})
	seq := b.plan(b.ms(0), 1)
	b.accept202(seq, b.ms(1))
	empty := b.seal()
	require.False(t, drained(empty))
	b.miss(hung)
	b.receive(seq, 2, b.ms(2))
	require.True(t, drained(empty))
	require.Equal(t, 0, b.result().Lost)
	require.Equal(t, 1, b.result().Hung)
}

func TestLedgerRefusesWhatWasNeverPosted(t *testing.T) {
	t.Parallel()
	b := newBook(1, 0, Behaviour{})
	b.plan(b.ms(0), 1)
	require.False(t, b.receive(1, 0, b.ms(1)))
	require.False(t, b.receive(-1, 0, b.ms(1)))
	require.Equal(t, 2, b.result().Stray)
	require.Equal(t, 0, b.result().Delivered)
}

func TestLedgerCountsManyDuplicatesOfOneDelivery(t *testing.T) {
	t.Parallel()
	b := newBook(1, 0, Behaviour{})
	seq := b.plan(b.ms(0), 1)
	for range 1000 {
		b.receive(seq, 0, b.ms(1))
	}
	require.Equal(t, 999, b.result().Duplicates)
	require.Equal(t, 1, b.result().Delivered)
}

func TestProgressShowsWhatIsOnTheWay(t *testing.T) {
	t.Parallel()
	b := newBook(2, 0, Behaviour{})
	seq := b.plan(b.ms(0), 1)
	b.plan(b.ms(1), 1)
	b.accept202(seq, b.ms(2))
	b.fail("timeout")
	b.receive(seq, 1, b.ms(3))
	require.Equal(t, Progress{
		Elapsed: 5 * time.Millisecond, Posted: 2, Accepted: 1, Delivered: 1, Waiting: 1, Errors: 1,
	}, b.progress(b.ms(5)))
	b.seal()
	require.True(t, b.progress(b.ms(5)).Draining)
}
