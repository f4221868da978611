package reconcile

import (
	"time"

	"posthorn/internal/hook"
)

// Reason is why something was sent again: a small, closed set.
type Reason string

// The reasons.
const (
	// Unrecorded: an event was accepted, and nothing is recorded of a delivery
	// of it.
	Unrecorded Reason = "nothing_recorded"
	// Requeued: a delivery was sent again, by a retry, a replay, a release or a
	// run before this one, and nothing is recorded since.
	Requeued Reason = "nothing_since_requeued"
	// Overdue: an attempt has failed, the next one was due, and is not recorded.
	Overdue Reason = "attempt_overdue"
	// Unreleased: a delivery is held, its endpoint is active, and no job releases
	// it.
	Unreleased Reason = "not_released"
	// Uncancelled: a delivery is held, its endpoint was deleted, and no job
	// cancels it.
	Uncancelled Reason = "not_cancelled"
	// Unburied: a delivery is dead, and has no dead letter.
	Unburied Reason = "no_dead_letter"
	// Stopped: a job is running, and makes no step.
	Stopped Reason = "job_stopped"
)

// Reasons lists every reason, in the order in which they are shown.
func Reasons() []Reason {
	return []Reason{Unrecorded, Requeued, Overdue, Unreleased, Uncancelled, Unburied, Stopped}
}

// Lost says why a delivery, given its row and its endpoint (nil: there is none
// any more), has to be sent again; empty: it has not. Something would have been
// recorded of it by now, had it been due before the cutoff.
func Lost(row *hook.Delivery, endpoint *hook.Endpoint, cutoff time.Time) Reason {
	switch row.Status {
	case hook.Queued:
		if due(row).Before(cutoff) {
			return Requeued
		}
	case hook.Retrying:
		if due(row).Before(cutoff) {
			return Overdue
		}
	case hook.Held:
		switch {
		case endpoint == nil:
			return Uncancelled
		// Whatever changed last of the endpoint, it was active from then on.
		case endpoint.Status == hook.EndpointActive && endpoint.UpdatedAt.Before(cutoff):
			return Unreleased
		}
	case hook.Dead:
		if row.DeadLetterID == "" && row.CompletedAt.Before(cutoff) {
			return Unburied
		}
	case hook.Delivered, hook.Cancelled:
	}
	return ""
}

// due is when a delivery that is on its way was to be tried.
func due(row *hook.Delivery) time.Time {
	return later(later(row.CreatedAt, row.RequeuedAt), row.NextAttemptAt)
}

// stopped says whether a job makes no step any more. Every step is recorded,
// and the next follows within 15 minutes.
func stopped(j *hook.Job, cutoff time.Time) bool {
	return j.Status == hook.JobRunning && j.UpdatedAt.Before(cutoff)
}

// shortLine is how far the slots of a rate limit may be taken without anybody
// having waited for long.
const shortLine = time.Minute

// mayWait says whether deliveries to an active endpoint may be waiting, with
// nothing recorded of them however long: for its breaker, or for slots of a rate
// limit. A breaker that nobody has asked for so long after its time has nobody
// that waits for it, and one of before the endpoint was resumed is none; epoch
// is the endpoint's.
func mayWait(s hook.EndpointState, epoch int64, now time.Time, olderThan time.Duration) bool {
	open := s.Epoch >= epoch && later(s.OpenUntil, s.ProbeUntil).After(now.Add(-olderThan))
	return open || s.NextSlot.Sub(now) > shortLine
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
