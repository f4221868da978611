// Package breaker keeps deliveries from an endpoint that does not work, so
// that they do not use up their attempts, and places, for nothing.
//
// It is a pure state machine over hook.EndpointState, which is stored, so that
// all environments agree:
//
//	closed     attempts are made. Where enough of a window's fail, it opens
//	open       nothing is posted until a moment
//	half-open  after that moment one probe at a time is posted: a success
//	           closes the breaker, a failure opens it again, for longer
//
// While all goes well there is no state. It begins with a failure; from there
// on successes are counted too, and once none has failed for a window's time
// the next success ends it.
package breaker

import (
	"time"

	"posthorn/internal/hook"
)

// Config says when a breaker opens, and for how long.
type Config struct {
	Window       time.Duration // in which attempts are counted
	MinAttempts  int           // in a window, below which it does not open
	FailureRatio float64       // of a window's attempts, from which on it opens; above 0, at most 1
	OpenFor      time.Duration // the first time; twice as long each time after
	MaxOpenFor   time.Duration // at most
	DisableAfter time.Duration // of nothing but failures, the endpoint is to be disabled
}

// Default is the configuration where nothing else is said.
func Default() Config {
	return Config{
		Window: 5 * time.Minute, MinAttempts: 10, FailureRatio: 0.5, OpenFor: 30 * time.Second, MaxOpenFor: 5 * time.Minute,
		DisableAfter: 120 * time.Hour,
	}
}

// Gate is what a breaker lets through.
type Gate int

// The gates.
const (
	Pass  Gate = iota // closed
	Probe             // one post is to find out; see TakeProbe
	Wait              // open, or a probe is under way
)

func (g Gate) String() string { return [...]string{"pass", "probe", "wait"}[g] }

// In returns what a state says in an epoch of its endpoint, which is
// hook.Endpoint.Seen: nothing, where it is of an earlier one. Whoever resumes an
// endpoint, or has it be elsewhere, says that it works again: its breaker is
// closed, and the streak of failures is over.
func In(s hook.EndpointState, epoch int64) hook.EndpointState {
	if s.Epoch < epoch {
		s = quiet(s)
		s.Epoch = epoch
	}
	return s
}

// Look says what the breaker lets through now. For Wait, until is when to look
// again.
func Look(s hook.EndpointState, now time.Time) (g Gate, until time.Time) {
	switch {
	case s.OpenUntil.IsZero():
		return Pass, time.Time{}
	case s.OpenUntil.After(now):
		return Wait, s.OpenUntil
	case s.ProbeUntil.After(now):
		return Wait, earlier(s.ProbeUntil, now.Add(probeLook))
	default:
		return Probe, time.Time{}
	}
}

// probeLook is how long after having found a probe under way to look again: long
// before the probe's own timeout, since most of them end within moments, and
// what waits is to go on soon after it has succeeded.
const probeLook = 5 * time.Second

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// TakeProbe returns the state in which a probe is under way. One that is never
// heard of again is lost after lease.
func TakeProbe(s hook.EndpointState, now time.Time, lease time.Duration) hook.EndpointState {
	s.ProbeUntil = now.Add(lease)
	return s
}

// Attempt is what came of a post.
type Attempt struct {
	At     time.Time
	Failed bool
	Probe  bool // it was let through as one
}

// Change is what an attempt has done to the breaker.
type Change int

// The changes.
const (
	None   Change = iota
	Opened        // it opened, for the first time or once more
	Closed        // it was open, and a probe succeeded
)

func (c Change) String() string { return [...]string{"none", "opened", "closed"}[c] }

// Record returns the state after an attempt.
func Record(c Config, s hook.EndpointState, a Attempt) (next hook.EndpointState, change Change) {
	if a.Failed {
		return fail(c, s, a)
	}
	return succeed(c, s, a)
}

func fail(c Config, s hook.EndpointState, a Attempt) (hook.EndpointState, Change) {
	s.LastFailure = a.At
	if s.FailingSince.IsZero() {
		s.FailingSince = a.At
	}
	switch {
	case a.Probe && !s.OpenUntil.IsZero():
		return open(c, s, a.At), Opened
	case !s.OpenUntil.IsZero():
		return s, None // posted before it opened
	}
	s = count(c, s, a)
	if s.WindowAttempts >= c.MinAttempts && float64(s.WindowFailures) >= c.FailureRatio*float64(s.WindowAttempts) {
		return open(c, s, a.At), Opened
	}
	return s, None
}

func succeed(c Config, s hook.EndpointState, a Attempt) (hook.EndpointState, Change) {
	s.FailingSince = time.Time{}
	switch {
	case a.Probe && !s.OpenUntil.IsZero():
		return quiet(s), Closed
	case !s.OpenUntil.IsZero():
		return s, None // posted before it opened: only a probe closes it
	case a.At.Sub(s.LastFailure) >= c.Window:
		return quiet(s), None
	}
	return count(c, s, a), None
}

// count counts an attempt in its window.
func count(c Config, s hook.EndpointState, a Attempt) hook.EndpointState {
	if a.At.Sub(s.WindowStart) >= c.Window {
		s.WindowStart, s.WindowAttempts, s.WindowFailures = a.At, 0, 0
	}
	s.WindowAttempts++
	if a.Failed {
		s.WindowFailures++
	}
	return s
}

// open opens the breaker, for twice as long as the last time in a row.
func open(c Config, s hook.EndpointState, now time.Time) hook.EndpointState {
	s.Opened++
	d := c.OpenFor
	for n := 1; n < s.Opened && d < c.MaxOpenFor; n++ {
		d *= 2
	}
	s.OpenUntil, s.ProbeUntil = now.Add(min(d, c.MaxOpenFor)), time.Time{}
	s.WindowStart, s.WindowAttempts, s.WindowFailures = time.Time{}, 0, 0
	return s
}

// quiet is the state in which all goes well. The rate limit's slot is not the
// breaker's.
func quiet(s hook.EndpointState) hook.EndpointState {
	return hook.EndpointState{Rev: s.Rev, Mark: s.Mark, Epoch: s.Epoch, NextSlot: s.NextSlot}
}

// Quiet says whether the breaker has nothing to remember.
func Quiet(s hook.EndpointState) bool {
	return s == quiet(s)
}

// Exhausted says whether there has been nothing but failures for so long that
// the endpoint is to be disabled.
func Exhausted(c Config, s hook.EndpointState, now time.Time) bool {
	return !s.FailingSince.IsZero() && now.Sub(s.FailingSince) >= c.DisableAfter
}
