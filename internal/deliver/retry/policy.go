// Package retry says when a failed delivery is tried again, how often, and
// what an endpoint's answer means. It is pure: randomness is passed in.
package retry

import (
	"math"
	"time"

	"posthorn/internal/hook"
)

// Policy is a schedule of attempts. After the n-th failed attempt the next one
// follows in InitialDelay * Multiplier^(n-1), at most MaxDelay, give or take
// Jitter's share of it.
type Policy struct {
	InitialDelay time.Duration // after the first failed attempt
	MaxDelay     time.Duration // before jitter: a delay may be longer by Jitter's share
	Multiplier   float64       // at least 1
	MaxAttempts  int           // in total, the first one included
	Jitter       float64       // 0 to 1: 0.25 spreads a delay evenly over 75 % to 125 % of it
}

// Default is the policy where nothing else is said: five attempts, at delays of
// 1, 2, 4 and 8 s, each give or take a quarter.
func Default() Policy {
	return Policy{InitialDelay: time.Second, MaxDelay: 300 * time.Second, Multiplier: 2, MaxAttempts: 5, Jitter: 0.25}
}

// Delay returns how long to wait after failedAttempts attempts have failed (1
// or more; less counts as 1). rnd is uniform in [0,1). The cap comes before
// the jitter, so the mean over rnd is the unjittered delay exactly.
func Delay(p Policy, failedAttempts int, rnd float64) time.Duration {
	d := float64(p.InitialDelay) * math.Pow(math.Max(p.Multiplier, 1), float64(max(failedAttempts, 1)-1))
	if math.IsNaN(d) { // 0 * Inf: a zero delay stays zero however often it is multiplied
		d = 0
	}
	d = math.Min(d, float64(p.MaxDelay))
	return toDuration(d * (1 + p.Jitter*(2*rnd-1)))
}

// WholeSeconds rounds d to a whole second, up or down at random such that the
// mean over rnd (uniform in [0,1)) is d: queues count in seconds, and rounding
// to the nearest would turn 0.5 s into 1 s every time.
func WholeSeconds(d time.Duration, rnd float64) time.Duration {
	d = max(d, 0)
	whole := d.Truncate(time.Second)
	if rnd < (d - whole).Seconds() {
		if whole > math.MaxInt64-time.Second {
			return whole
		}
		whole += time.Second
	}
	return whole
}

func toDuration(ns float64) time.Duration {
	if ns >= math.MaxInt64 { // float64(MaxInt64) is 2^63, one too many
		return math.MaxInt64
	}
	return max(time.Duration(ns), 0)
}

// Rule gives the event types that one of Events takes a policy of their own.
type Rule struct {
	Events []string // filters, as an endpoint's: see hook.FilterMatches
	Policy Policy
}

// Policies holds every policy there is. It is not changed once it is in use.
type Policies struct {
	Default Policy
	Named   map[string]Policy // what an endpoint's retry_policy chooses from
	ByEvent []Rule            // the first that matches counts
}

// For returns the policy of a delivery. The endpoint's named policy wins over
// the event type's, which wins over the default; a name that is not known
// (any more) counts as none. endpointMaxRetries, where it is set, replaces
// that policy's number of attempts by one more than itself.
func (ps *Policies) For(endpointMaxRetries *int, endpointPolicy, eventType string) Policy {
	p, ok := ps.Named[endpointPolicy]
	if !ok {
		p = ps.forEvent(eventType)
	}
	if endpointMaxRetries != nil {
		p.MaxAttempts = *endpointMaxRetries + 1
	}
	return p
}

func (ps *Policies) forEvent(eventType string) Policy {
	for _, r := range ps.ByEvent {
		for _, filter := range r.Events {
			if hook.FilterMatches(filter, eventType) {
				return r.Policy
			}
		}
	}
	return ps.Default
}
