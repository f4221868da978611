package load

import (
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Bounds and defaults of a run.
const (
	// DefaultPayload is the size of an event's payload in bytes.
	DefaultPayload = 300
	// MinPayload holds the sequence number and its JSON.
	MinPayload = 64
	// MaxPayload is the most that Posthorn accepts.
	MaxPayload = 256 << 10
	// MaxBatch is the most events that Posthorn takes in one POST.
	MaxBatch = 100
	// MaxBatchBody is the most bytes that it takes in one POST of several.
	MaxBatchBody = 4 << 20
	// LongestUnlimited bounds the posting of a run that names a number of
	// events and no duration.
	LongestUnlimited = 10 * time.Minute
)

// Options say what a run does. The zero value is not usable: start from
// Defaults.
type Options struct {
	// URL is the base of the Posthorn under load, such as
	// http://127.0.0.1:8000.
	URL string
	// Key is sent as a bearer token; empty sends none.
	Key string

	// Connections is how many posts are under way at most. In the closed loop
	// they are always under way.
	Connections int
	// Rate is events per second. Zero is the closed loop.
	Rate float64
	// Events is how many are posted; zero leaves it to Duration.
	Events int
	// Duration is how long events are posted; zero leaves it to Events.
	// With both, whichever ends first.
	Duration time.Duration
	// Batch is how many events a POST carries, 1 to 100. From 2 on they go to
	// /api/v1/events/batch.
	Batch int
	// Payload is the size of each event's payload in bytes.
	Payload int
	// Timeout bounds one POST.
	Timeout time.Duration
	// GiveUp ends the posting when no event was accepted for this long.
	GiveUp time.Duration
	// Drain bounds the wait for what was accepted and has not arrived.
	Drain time.Duration
	// Linger is how long the receiver listens on for duplicates after the last
	// delivery arrived.
	Linger time.Duration

	// Endpoints is how many are registered. Every event goes to each of them.
	Endpoints int
	// EndpointTimeout is the timeout of each endpoint in whole seconds; zero
	// leaves it to the server.
	EndpointTimeout int
	// Listen is the receiver's address. Port 0 takes a free one.
	Listen string
	// ReceiverURL is what endpoints are registered with when the server cannot
	// dial Listen itself: the public side of a tunnel, for example. Empty:
	// http:// and the address listened on.
	ReceiverURL string
	// Behaviour is how Misbehaving of the endpoints answer.
	Behaviour Behaviour
	// Misbehaving is how many endpoints follow Behaviour; the others answer 200
	// at once. Zero: all of them follow it.
	Misbehaving int

	// PIDs are the server's processes, their memory and CPU time added up.
	// Empty: the process that listens at URL, when it is on this machine and can
	// be seen.
	PIDs []int

	// Progress, when set, is called from one goroutine every ProgressEvery
	// while the run lasts.
	Progress      func(Progress)
	ProgressEvery time.Duration
}

// Behaviour is what a misbehaving endpoint does with a delivery.
type Behaviour struct {
	// Slow is waited before the answer.
	Slow time.Duration
	// Fail is the share of attempts, 0 to 1, that are answered 503.
	Fail float64
	// Hang gives no answer at all. Deliveries to a hanging endpoint are not
	// expected to end and never count as lost.
	Hang bool
}

func (b Behaviour) good() bool { return b == Behaviour{} }

// Defaults is the closed loop of 32 connections for ten seconds, with one
// endpoint that answers at once.
func Defaults() Options {
	return Options{
		URL:           "http://127.0.0.1:8000",
		Connections:   32,
		Duration:      10 * time.Second,
		Batch:         1,
		Payload:       DefaultPayload,
		Timeout:       10 * time.Second,
		GiveUp:        10 * time.Second,
		Drain:         time.Minute,
		Linger:        500 * time.Millisecond,
		Endpoints:     1,
		Listen:        "127.0.0.1:0",
		ProgressEvery: time.Second,
	}
}

// ErrOptions is wrapped by errors about what a comparison was asked for.
var ErrOptions = errors.New("options")

// Check returns every mistake in the options at once.
func (o Options) Check() error {
	var errs []error
	need := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	need(isBase(o.URL), "url: %q is not an http or https address", o.URL)
	need(o.ReceiverURL == "" || isBase(o.ReceiverURL), "receiver-url: %q is not an http or https address", o.ReceiverURL)
	need(o.Connections >= 1 && o.Connections <= 10_000, "connections: %d is outside 1 to 10,000", o.Connections)
	need(o.Rate >= 0 && o.Rate <= 1e6, "rate: %g is outside 0 to 1,000,000 a second", o.Rate)
	need(o.Events >= 0 && o.Events <= maxEvents, "events: %d is outside 0 to %d", o.Events, maxEvents)
	need(o.Duration >= 0 && o.Duration <= 24*time.Hour, "duration: %s is outside 0 to 24h", o.Duration)
	need(o.Events > 0 || o.Duration > 0, "events or duration has to be given")
	need(o.Payload >= MinPayload && o.Payload <= MaxPayload, "payload: %d is outside %d to %d bytes", o.Payload, MinPayload, MaxPayload)
	need(o.Batch >= 1 && o.Batch <= MaxBatch, "batch: %d is outside 1 to %d events", o.Batch, MaxBatch)
	need(o.Batch*(o.Payload+bodyOverhead) <= MaxBatchBody || o.Batch <= 1 || o.Batch > MaxBatch,
		"batch: %d events of %d bytes are more than the %d bytes of one POST", o.Batch, o.Payload, MaxBatchBody)
	need(o.Timeout > 0, "timeout: %s is not positive", o.Timeout)
	need(o.GiveUp > 0, "give-up: %s is not positive", o.GiveUp)
	need(o.Drain >= 0, "drain: %s is negative", o.Drain)
	need(o.Linger >= 0, "linger: %s is negative", o.Linger)
	need(o.Endpoints >= 1 && o.Endpoints <= 1000, "endpoints: %d is outside 1 to 1,000", o.Endpoints)
	need(o.EndpointTimeout >= 0 && o.EndpointTimeout <= 30, "endpoint-timeout: %d is outside 1 to 30 s", o.EndpointTimeout)
	need(o.Behaviour.Slow >= 0, "slow: %s is negative", o.Behaviour.Slow)
	need(o.Behaviour.Fail >= 0 && o.Behaviour.Fail <= 1, "fail: %g is outside 0 to 1", o.Behaviour.Fail)
	need(o.Misbehaving >= 0 && o.Misbehaving <= o.Endpoints, "misbehaving: %d is outside 0 to %d endpoints", o.Misbehaving, o.Endpoints)
	need(o.Misbehaving == 0 || !o.Behaviour.good(), "misbehaving: says nothing without slow, fail or hang")
	for _, pid := range o.PIDs {
		need(pid > 0, "pid: %d is not a process id", pid)
	}
	return errors.Join(errs...)
}

func isBase(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == ""
}

// limits are the number of events and the time that bound the posting.
func (o Options) limits() (events int, length time.Duration) {
	events, length = o.Events, o.Duration
	if events == 0 {
		events = maxEvents
	}
	if length == 0 {
		length = LongestUnlimited
	}
	if o.Rate > 0 && o.Duration > 0 {
		events = min(events, int(o.Rate*o.Duration.Seconds()))
	}
	return max(events, 1), length
}

// misbehaving is how many endpoints, counted from the first, follow Behaviour.
func (o Options) misbehaving() int {
	if o.Behaviour.good() {
		return 0
	}
	if o.Misbehaving == 0 {
		return o.Endpoints
	}
	return o.Misbehaving
}

// answering is how many endpoints ever answer, so how many deliveries of an
// event are expected to end.
func (o Options) answering() int {
	if o.Behaviour.Hang {
		return o.Endpoints - o.misbehaving()
	}
	return o.Endpoints
}

// maxExpected bounds what memory is set aside for: an event takes 20 bytes, and a
// delivery five.
const maxExpected = 4_000_000

// expected is a guess of events and of deliveries that memory is set aside for, so
// that nothing grows while latencies are taken.
func (o Options) expected() (events, deliveries int) {
	limit, length := o.limits()
	guess := min(float64(limit), 40_000*length.Seconds())
	return int(min(guess, maxExpected)), int(min(guess*float64(o.Endpoints), maxExpected))
}
