// Package simulate runs a day of deliveries in simulated time, to see what
// happens to the others when many endpoints hang. What decides is Posthorn's
// own code: the retry policy and the circuit breaker. What AWS does is a model:
// a fair queue, batches of ten, an event source mapping that adds environments
// at its own pace, delays of whole seconds up to 900.
//
// It is scaled down: endpoints, events and environments are divided by
// Options.Scale, so that each endpoint gets as many events a second as at full
// size, and a batch mixes as many hanging ones. Figures are given at full size.
package simulate

import (
	"errors"
	"math/rand/v2"
	"time"

	"posthorn/internal/deliver/breaker"
	"posthorn/internal/deliver/retry"
	"posthorn/internal/hook"
)

// Options say what is simulated. Start from Day.
type Options struct {
	Endpoints int
	Rate      float64       // events a second, of all together; each goes to one endpoint
	Hanging   float64       // share of the endpoints that never answer
	Latency   time.Duration // of the others
	Timeout   time.Duration // of all
	Duration  time.Duration
	Scale     int // by which endpoints, events and environments are divided
	Seed      uint64

	// The event source mapping's environments ("Scaling behavior", Lambda
	// developer guide): at first, more a minute while messages wait, at most.
	First, PerMinute, Most int
	// Overhead is what a batch takes beside its posts: reads and writes.
	Overhead time.Duration

	Breaker breaker.Config
	Policy  retry.Policy
}

// Day is a day of 10,000 endpoints and 10,000 events a second, of whom a tenth
// hangs, in an account with the quotas it begins with.
func Day() Options {
	return Options{
		Endpoints: 10_000, Rate: 10_000, Hanging: 0.1, Latency: 100 * time.Millisecond, Timeout: 30 * time.Second,
		Duration: 24 * time.Hour, Scale: 100, Seed: 1, First: 5, PerMinute: 300, Most: 1250, Overhead: 30 * time.Millisecond,
		Breaker: breaker.Default(), Policy: retry.Default(),
	}
}

// Check says what is wrong with the options.
func (o Options) Check() error {
	switch {
	case o.Scale < 1 || o.Endpoints/max(o.Scale, 1) < 10:
		return errors.New("scale: must be at least 1, and leave 10 endpoints")
	case o.Rate <= 0 || o.Hanging < 0 || o.Hanging > 1:
		return errors.New("rate: must be above 0; hanging: must be 0 to 1")
	case o.Duration < time.Minute || o.Duration > 7*24*time.Hour:
		return errors.New("duration: must be 1m to 168h")
	case o.Timeout < tick || o.Timeout > longestDelay:
		return errors.New("timeout: must be 100ms to 15m")
	case o.First < 1 || o.PerMinute < 0 || o.Most < o.First:
		return errors.New("environments: must begin with 1 at least, and end with no fewer")
	}
	return nil
}

// Sample is a minute, at full size.
type Sample struct {
	At           time.Duration // since the start
	Ready        float64       // messages that wait for an environment
	Delayed      float64       // that wait for their time
	InFlight     float64
	Environments float64
	LagP50       time.Duration // of the endpoints that answer: from acceptance to the first post
	LagP99       time.Duration
	Attempts     float64 // a second
	Copies       float64 // a second
	Batches      float64 // a second
	Busy         float64 // environment-seconds a second
	Delivered    float64 // a second
	Dead         float64 // a second
	Open         float64 // breakers
}

const (
	tick         = 100 * time.Millisecond
	longestDelay = 900 * time.Second // of a message: SQS's own limit
	batchSize    = 10
	// A group with more than so many messages in flight, and more than such a
	// share of all, lets the others go first ("Amazon SQS fair queues").
	noisyFlight = 30
	noisyShare  = 0.1
)

// message is one in the queue.
type message struct {
	endpoint  int32
	created   int32 // tick
	notBefore int32 // tick
	attempts  int8
	posted    bool
}

// batch is one in an environment.
type batch struct {
	messages [batchSize]message
	post     [batchSize]bool // whether it is posted
	probe    [batchSize]bool
	n        int
}

type simulation struct {
	o       Options
	dice    *rand.Rand
	start   time.Time
	now     int32
	hanging int
	states  []hook.EndpointState
	flying  []int32 // messages in flight, by endpoint
	flight  int
	// Messages ready, of quiet groups and of noisy ones, and by the tick at which they are.
	quiet, noisy queue
	wheel        [][]message
	delayed      int
	ends         [][]*batch // by tick
	running      int
	limit        float64
	owed         float64 // of an event
	minute       Sample
	lags         []int32
	spare        []*batch
}

// Run simulates, and calls each with every minute.
func Run(o Options, each func(Sample)) error {
	if err := o.Check(); err != nil {
		return err
	}
	n := o.Endpoints / o.Scale
	s := &simulation{
		o: o, dice: rand.New(rand.NewPCG(o.Seed, 0)), start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), hanging: int(float64(n) * o.Hanging),
		states: make([]hook.EndpointState, n), flying: make([]int32, n), wheel: make([][]message, ticks(longestDelay)+2),
		ends: make([][]*batch, ticks(o.Timeout+o.Overhead+o.Latency)+2), limit: float64(o.First),
	}
	perMinute := ticks(time.Minute)
	for s.now = 1; s.now <= ticks(o.Duration); s.now++ {
		s.step()
		if s.now%perMinute == 0 {
			each(s.sample())
		}
	}
	return nil
}

func ticks(d time.Duration) int32 { return int32((d + tick - 1) / tick) }

func (s *simulation) clock() time.Time { return s.start.Add(time.Duration(s.now) * tick) }

// step is one tick: what is due becomes ready, batches end, events come, and
// free environments take what is ready.
func (s *simulation) step() {
	due := &s.wheel[int(s.now)%len(s.wheel)]
	for _, m := range *due {
		s.delayed--
		s.quiet.push(m)
	}
	*due = (*due)[:0]
	ended := &s.ends[int(s.now)%len(s.ends)]
	for _, b := range *ended {
		s.end(b)
	}
	*ended = (*ended)[:0]
	s.owed += s.o.Rate / float64(s.o.Scale) * tick.Seconds()
	for ; s.owed >= 1; s.owed-- {
		s.quiet.push(message{endpoint: int32(s.dice.IntN(len(s.states))), created: s.now})
	}
	if s.quiet.len()+s.noisy.len() > 0 {
		s.limit = min(s.limit+float64(s.o.PerMinute)*tick.Minutes(), float64(s.o.Most))
	}
	for float64(s.running+1) <= max(s.limit/float64(s.o.Scale), 1) && s.take() {
		s.minute.Batches++
	}
	s.minute.Busy += float64(s.running) * tick.Seconds()
}

// take begins a batch; false when there is nothing for one.
func (s *simulation) take() bool {
	b := s.blank()
	for b.n < batchSize {
		m, ok := s.next()
		if !ok {
			break
		}
		b.messages[b.n] = m
		b.n++
	}
	if b.n == 0 {
		s.spare = append(s.spare, b)
		return false
	}
	takes := s.o.Overhead
	now := s.clock()
	for i := range b.n {
		m := &b.messages[i]
		s.flying[m.endpoint]++
		s.flight++
		b.post[i], b.probe[i] = s.admit(m, now)
		if !b.post[i] {
			continue
		}
		s.minute.Attempts++
		if !m.posted {
			m.posted = true
			if !s.hangs(m.endpoint) {
				s.lags = append(s.lags, s.now-m.created)
			}
		}
		if s.hangs(m.endpoint) {
			takes = max(takes, s.o.Timeout+s.o.Overhead)
		} else {
			takes = max(takes, s.o.Latency+s.o.Overhead)
		}
	}
	s.running++
	at := int(s.now+ticks(takes)) % len(s.ends)
	s.ends[at] = append(s.ends[at], b)
	return true
}

func (s *simulation) blank() *batch {
	if n := len(s.spare); n > 0 {
		b := s.spare[n-1]
		s.spare = s.spare[:n-1]
		*b = batch{}
		return b
	}
	return &batch{}
}

func (s *simulation) hangs(endpoint int32) bool { return int(endpoint) < s.hanging }

// next is the message that the fair queue hands out next.
func (s *simulation) next() (message, bool) {
	for s.quiet.len() > 0 {
		m := s.quiet.pop()
		if f := s.flying[m.endpoint]; f >= noisyFlight && float64(f) > noisyShare*float64(s.flight) {
			s.noisy.push(m)
			continue
		}
		return m, true
	}
	if s.noisy.len() > 0 {
		return s.noisy.pop(), true
	}
	return message{}, false
}

// probeLease is how long after a probe's own timeout it counts as lost, as in
// package deliver.
const probeLease = 15 * time.Second

// admit says whether a message is posted, and whether as a probe. One that is
// not gets the moment to come back at, spread over as long again, as package
// deliver does.
func (s *simulation) admit(m *message, now time.Time) (posted, probe bool) {
	if m.notBefore > s.now+ticks(time.Second) { // the hop was shorter than the wait
		return false, false
	}
	state := &s.states[m.endpoint]
	gate, until := breaker.Look(*state, now)
	switch gate {
	case breaker.Pass:
		return true, false
	case breaker.Probe:
		*state = breaker.TakeProbe(*state, now, s.o.Timeout+probeLease)
		return true, true
	case breaker.Wait:
	}
	spread := max(until.Sub(now), time.Second)
	wait := until.Sub(now) + time.Duration(s.dice.Float64()*float64(spread))
	m.notBefore = s.now + ticks(wait)
	return false, false
}

// end settles a batch's messages.
func (s *simulation) end(b *batch) {
	s.running--
	now := s.clock()
	for i := range b.n {
		m := b.messages[i]
		s.flying[m.endpoint]--
		s.flight--
		if !b.post[i] {
			s.minute.Copies++
			s.later(m, time.Duration(m.notBefore-s.now)*tick)
			continue
		}
		failed := s.hangs(m.endpoint)
		if state := &s.states[m.endpoint]; failed || !breaker.Quiet(*state) {
			*state, _ = breaker.Record(s.o.Breaker, *state, breaker.Attempt{At: now, Failed: failed, Probe: b.probe[i]})
		}
		if !failed {
			s.minute.Delivered++
			continue
		}
		if m.attempts++; int(m.attempts) >= s.o.Policy.MaxAttempts {
			s.minute.Dead++
			continue
		}
		s.later(m, retry.WholeSeconds(retry.Delay(s.o.Policy, int(m.attempts), s.dice.Float64()), s.dice.Float64()))
	}
	s.spare = append(s.spare, b)
}

// later makes a message ready after a delay, or after as much of it as a queue
// can do at a time.
func (s *simulation) later(m message, delay time.Duration) {
	at := int(s.now+min(max(ticks(delay), 1), ticks(longestDelay))) % len(s.wheel)
	s.wheel[at] = append(s.wheel[at], m)
	s.delayed++
}

// sample is the minute that ends, at full size.
func (s *simulation) sample() Sample {
	m, full := s.minute, float64(s.o.Scale)
	s.minute = Sample{}
	for _, a := range []*float64{&m.Attempts, &m.Copies, &m.Batches, &m.Busy, &m.Delivered, &m.Dead} {
		*a *= full / time.Minute.Seconds()
	}
	m.At = time.Duration(s.now) * tick
	m.Ready = full * float64(s.quiet.len()+s.noisy.len())
	m.Delayed, m.InFlight, m.Environments = full*float64(s.delayed), full*float64(s.flight), full*float64(s.running)
	for i := range s.states {
		if gate, _ := breaker.Look(s.states[i], s.clock()); gate != breaker.Pass {
			m.Open += full
		}
	}
	m.LagP50, m.LagP99 = quantile(s.lags, 0.5), quantile(s.lags, 0.99)
	s.lags = s.lags[:0]
	return m
}
