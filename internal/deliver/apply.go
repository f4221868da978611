package deliver

import (
	"time"

	"posthorn/internal/hook"
)

// Carrier is the message on whose behalf something is recorded.
type Carrier struct {
	Message   *hook.Message
	MessageID string
}

// Limits are how long things are kept.
type Limits struct {
	Retention   time.Duration // of events and deliveries, from the event's acceptance
	DeadLetters time.Duration // of dead letters, from the death
}

// Plan is a retry policy as it applies to one delivery.
type Plan struct {
	MaxAttempts int                                    // in a generation, the first included; at least 1
	Delay       func(failedAttempts int) time.Duration // before the next attempt, in whole seconds
}

// Apply returns the write that records attempt a, made for carrier c, on top
// of row (nil: there is none yet). ok is false when nothing is to be written:
// the attempt is recorded already, the delivery is over, or it goes on in a
// later generation.
//
// A success of the same generation overrides a death and takes its dead letter
// along; a failure never overwrites a final state. An attempt of a message
// that is no longer current counts, but changes nothing else unless it
// succeeded.
func Apply(row *hook.Delivery, c Carrier, a hook.Attempt, p Plan, keep Limits) (w hook.DeliveryWrite, ok bool) {
	m, success := c.Message, a.Outcome == hook.OutcomeSuccess
	if row != nil && row.Recorded(a.ID) { // the answer was lost, and another message has recorded since
		return hook.DeliveryWrite{}, false
	}
	if row != nil && row.Gen == m.Gen && row.Status.Final() && (row.Status != hook.Dead || !success) {
		return hook.DeliveryWrite{}, false
	}
	if row != nil && row.Gen > m.Gen {
		return hook.DeliveryWrite{}, false
	}
	next := advance(row, m, a.At, keep)
	current := row == nil || Current(row, m, c.MessageID)
	next.Attempts++
	next.GenAttempts++
	next.Attempted(a.ID)
	a.Number = next.Attempts
	if a.Number == 1 {
		next.First = a
	}
	w = hook.DeliveryWrite{Delivery: next, Attempt: &a}
	if row != nil && row.DeadLetterID != "" && (success || row.Gen < m.Gen) {
		w.DropDeadLetter, next.DeadLetterID = row.DeadLetterID, ""
	}
	end := a.At.Add(a.Duration)
	if !success && !current {
		next.FailureReason = a.Error
		return w, true
	}
	w.Unhold = unhold(row, next, end, keep)
	carry(next, c)
	if success {
		finish(next, hook.Delivered, end, "")
		return w, true
	}
	next.FailureReason = a.Error
	if next.GenAttempts >= p.MaxAttempts {
		finish(next, hook.Dead, end, a.Error)
		next.ExpiresAt = later(next.ExpiresAt, end.Add(keep.DeadLetters))
		return w, true
	}
	next.Status = hook.Retrying
	next.NextAttemptAt = end.Add(p.Delay(next.GenAttempts))
	// A row that were gone before the next attempt would begin a new budget.
	next.ExpiresAt = later(next.ExpiresAt, next.NextAttemptAt.Add(keep.DeadLetters))
	next.CompletedAt = time.Time{}
	return w, true
}

// unhold lets a delivery expire again that was held, and says whether it was.
func unhold(row, next *hook.Delivery, now time.Time, keep Limits) bool {
	if row == nil || row.Status != hook.Held {
		return false
	}
	next.ExpiresAt = later(next.CreatedAt.Add(keep.Retention), now.Add(keep.DeadLetters))
	return true
}

// Suspend returns the write that holds the delivery while its endpoint is not
// active; ok is false when it is over already or goes on without this message.
// What is held does not expire.
func Suspend(row *hook.Delivery, c Carrier, endpoint *hook.Endpoint, now time.Time, keep Limits) (w hook.DeliveryWrite, ok bool) {
	if row != nil && !Current(row, c.Message, c.MessageID) {
		return hook.DeliveryWrite{}, false
	}
	next := advance(row, c.Message, now, keep)
	w = hook.DeliveryWrite{Delivery: next, Hold: &hook.Hold{
		Epoch: endpoint.Epoch, Again: row != nil && row.Status == hook.Held,
	}}
	if next.DeadLetterID != "" { // of an earlier generation
		w.DropDeadLetter, next.DeadLetterID = next.DeadLetterID, ""
	}
	carry(next, c)
	next.Status, next.CompletedAt, next.NextAttemptAt, next.ExpiresAt = hook.Held, time.Time{}, time.Time{}, time.Time{}
	return w, true
}

// End returns the write that ends the delivery without an attempt, as
// cancelled or dead; ok is false when it is over already or goes on without
// this message.
func End(row *hook.Delivery, c Carrier, status hook.Status, reason string, now time.Time, keep Limits) (w hook.DeliveryWrite, ok bool) {
	if row != nil && !Current(row, c.Message, c.MessageID) {
		return hook.DeliveryWrite{}, false
	}
	next := advance(row, c.Message, now, keep)
	w = hook.DeliveryWrite{Delivery: next}
	if next.DeadLetterID != "" { // of an earlier generation
		w.DropDeadLetter, next.DeadLetterID = next.DeadLetterID, ""
	}
	w.Unhold = unhold(row, next, now, keep)
	carry(next, c)
	finish(next, status, now, reason)
	if status == hook.Dead {
		next.ExpiresAt = later(next.ExpiresAt, now.Add(keep.DeadLetters))
	}
	return w, true
}

// advance copies the row, or starts one, at its next revision and in the
// message's generation. Who sent the message of a new generation did not get as
// far as saying so in the row: it says so from now on.
func advance(row *hook.Delivery, m *hook.Message, now time.Time, keep Limits) *hook.Delivery {
	next := &hook.Delivery{Ref: m.Ref, EventType: m.EventType, CreatedAt: m.CreatedAt, ExpiresAt: m.CreatedAt.Add(keep.Retention)}
	if row != nil {
		*next = *row
	}
	next.Rev++
	if m.Gen > next.Gen {
		next.Gen, next.GenAttempts, next.RequeuedAt = m.Gen, 0, now.UTC().Truncate(time.Millisecond)
	}
	return next
}

func carry(d *hook.Delivery, c Carrier) {
	d.Hop, d.MessageID = c.Message.Hop, c.MessageID
}

func finish(d *hook.Delivery, status hook.Status, at time.Time, reason string) {
	d.Status, d.CompletedAt, d.NextAttemptAt, d.FailureReason = status, at, time.Time{}, reason
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
