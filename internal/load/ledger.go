package load

import (
	"maps"
	"sync"
	"time"
)

// maxEvents bounds one run, and with it the ledger's memory.
const maxEvents = 100_000_000

// ledger is the one record of a run: which events were posted and when, which
// of them were accepted, and how often each delivery arrived. An event is its
// sequence number, from 0; a delivery is that and its endpoint's index.
//
// A delivery may well arrive before the 202 of its event, and a POST whose
// answer was lost may be delivered all the same: both are counted as what they
// are. All methods may be called from many goroutines. One lock covers
// everything: it is held for well under a microsecond.
type ledger struct {
	endpoints   int // per event
	answering   int // per event: the last ones; the first may hang
	misbehaving int // per event: the first ones

	mu      sync.Mutex
	start   time.Time
	events  []event
	arrived []uint8 // by seq*endpoints+endpoint; stops counting at 255
	errors  map[string]int

	accept  samples
	late    samples // open loop: how far behind plan events were sent
	healthy samples // send to receipt, endpoints that answer at once
	odd     samples // send to receipt, the others

	lastAccept, lastReceipt       time.Duration // since start
	accepted, delivered           int
	unconfirmed, duplicates       int
	outstanding                   int // deliveries of accepted events not yet arrived
	refused, abandoned, hung, off int
	sealed                        bool
	empty                         chan struct{}
}

type event struct {
	planned  time.Duration // since start
	accepted bool
}

func newLedger(o Options) *ledger {
	n, deliveries := o.expected()
	odd := o.misbehaving()
	return &ledger{
		endpoints: o.Endpoints, answering: o.answering(), misbehaving: odd,
		events:  make([]event, 0, n),
		arrived: make([]uint8, 0, deliveries),
		errors:  map[string]int{},
		accept:  newSamples(n),
		healthy: newSamples(deliveries * (o.Endpoints - odd) / o.Endpoints),
		odd:     newSamples(deliveries * odd / o.Endpoints),
		empty:   make(chan struct{}),
	}
}

// begin sets the moment that rates count from. No event is planned before.
func (l *ledger) begin(at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start = at
}

// plan opens n events and returns the sequence number of the first, which the
// others follow. Their latencies count from at.
func (l *ledger) plan(at time.Time, n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := len(l.events)
	for range n {
		l.events = append(l.events, event{planned: at.Sub(l.start)})
		for range l.endpoints {
			l.arrived = append(l.arrived, 0)
		}
	}
	return first
}

// behind counts how long after its plan an event was sent.
func (l *ledger) behind(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.late.add(d)
}

// accept202 counts an event as accepted: from now on its deliveries are owed.
func (l *ledger) accept202(seq int, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := &l.events[seq]
	e.accepted = true
	since := at.Sub(l.start)
	l.accepted++
	l.lastAccept = max(l.lastAccept, since)
	l.accept.add(since - e.planned)
	l.outstanding += l.answering
	for _, n := range l.arrived[seq*l.endpoints : (seq+1)*l.endpoints] {
		if n > 0 { // came before the 202
			l.outstanding--
			l.unconfirmed--
		}
	}
}

// fail counts a POST that was not answered 202, by its status or kind of error.
func (l *ledger) fail(kind string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errors[kind]++
}

// receive counts a delivery that arrived at the given time and is answered 200.
// It reports false for an event that was never posted.
func (l *ledger) receive(seq, endpoint int, at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < 0 || seq >= len(l.events) {
		l.off++
		return false
	}
	n := &l.arrived[seq*l.endpoints+endpoint]
	if *n > 0 {
		l.duplicates++
		*n = min(*n, 254) + 1
		return true
	}
	*n = 1
	e := l.events[seq]
	since := at.Sub(l.start)
	l.delivered++
	l.lastReceipt = max(l.lastReceipt, since)
	if endpoint < l.misbehaving {
		l.odd.add(since - e.planned)
	} else {
		l.healthy.add(since - e.planned)
	}
	if !e.accepted {
		l.unconfirmed++
		return true
	}
	l.outstanding--
	l.closeWhenEmpty()
	return true
}

// unanswered are the ways in which the receiver did not take a delivery.
type unanswered int

const (
	refused   unanswered = iota // answered 503, as asked
	abandoned                   // the server hung up during the wait before the answer
	hung                        // never answered, as asked
	stray                       // none of this run's
)

func (l *ledger) miss(kind unanswered) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch kind {
	case refused:
		l.refused++
	case abandoned:
		l.abandoned++
	case hung:
		l.hung++
	case stray:
		l.off++
	}
}

// seal says that no more events are accepted. The channel is closed once
// everything owed has arrived.
func (l *ledger) seal() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sealed = true
	l.closeWhenEmpty()
	return l.empty
}

func (l *ledger) closeWhenEmpty() {
	if !l.sealed || l.outstanding > 0 {
		return
	}
	select {
	case <-l.empty:
	default:
		close(l.empty)
	}
}

// Progress is how far a run has come.
type Progress struct {
	Elapsed   time.Duration
	Posted    int
	Accepted  int
	Delivered int
	Waiting   int // deliveries of accepted events that have not arrived
	Errors    int // posts not answered 202
	Draining  bool
}

func (l *ledger) progress(now time.Time) Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := Progress{
		Elapsed: now.Sub(l.start), Posted: len(l.events), Accepted: l.accepted,
		Delivered: l.delivered, Waiting: l.outstanding, Draining: l.sealed,
	}
	for _, n := range l.errors {
		p.Errors += n
	}
	return p
}

// fill writes what was counted into a result.
func (l *ledger) fill(r *Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Posted, r.Accepted, r.Delivered = len(l.events), l.accepted, l.delivered
	r.AcceptedPerSecond = perSecond(l.accepted, l.lastAccept)
	r.DeliveredPerSecond = perSecond(l.delivered, l.lastReceipt)
	r.Lost, r.Duplicates, r.Unconfirmed = l.outstanding, l.duplicates, l.unconfirmed
	r.Refused, r.Abandoned, r.Hung, r.Stray = l.refused, l.abandoned, l.hung, l.off
	r.Errors = maps.Clone(l.errors)
	r.Accept = l.accept.summary()
	if l.misbehaving > 0 && l.misbehaving < l.endpoints {
		healthy := l.healthy.summary()
		r.EndToEndHealthy = &healthy
	}
	all := samples{micros: append(l.healthy.micros, l.odd.micros...)}
	r.EndToEnd = all.summary()
	if len(l.late.micros) > 0 {
		late := l.late.summary()
		r.BehindPlan = &late
	}
}

func perSecond(n int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}
