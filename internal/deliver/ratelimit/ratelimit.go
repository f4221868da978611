// Package ratelimit shares a rate among everybody who posts: each post has a
// slot, slots are so far apart as the rate asks for, and those of one second
// may be used together. This is the generic cell rate algorithm (ITU-T I.371):
// all that is stored is the moment when the slots that are taken have passed.
//
// Slots are reserved, not tried for: who has one in the future knows when to
// come back, and need not ask again.
package ratelimit

import "time"

// Limit is so many posts a second, of which a second's worth, at least one,
// may come at once.
type Limit struct{ rate float64 }

// PerSecond returns the Limit of a rate above 0.
func PerSecond(rate float64) Limit { return Limit{rate: rate} }

// Interval is the time from one slot to the next, at least a microsecond.
func (l Limit) Interval() time.Duration {
	return max(time.Duration(float64(time.Second)/l.rate), time.Microsecond)
}

// tolerance is how long before its slot a post may be made: as long as the
// slots of a burst take, but for the first of them.
func (l Limit) tolerance() time.Duration {
	return max(time.Second-l.Interval(), 0)
}

// Slots returns when n posts may be made that have reserved the slots from
// begin on, none of them before now. begin is the end of all slots that were
// taken before, or now where that has passed.
func (l Limit) Slots(begin, now time.Time, n int) []time.Time {
	slots := make([]time.Time, n)
	for i := range slots {
		slots[i] = begin.Add(time.Duration(i)*l.Interval() - l.tolerance())
		if slots[i].Before(now) {
			slots[i] = now
		}
	}
	return slots
}
