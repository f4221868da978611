package deliver

import (
	"time"

	"posthorn/internal/hook"
)

// Verdict is what to do with a message before anything is posted.
type Verdict int

// The verdicts.
const (
	Post   Verdict = iota // try the delivery
	Drop                  // acknowledge: another message carries the delivery, or it is over
	Cancel                // the endpoint is gone: record that, then acknowledge
	Finish                // the endpoint has answered that it is gone, and that is not on record: record the death
	Hold                  // the endpoint is paused or disabled: record that, then acknowledge
	Wait                  // too early: send it on its way again
	Bury                  // recorded as dead by this very message: it still has to reach the dead-letter queue
)

func (v Verdict) String() string {
	return [...]string{"post", "drop", "cancel", "finish", "hold", "wait", "bury"}[v]
}

// earlySlack is how much earlier than planned a message may come and still be
// taken: queues count in whole seconds and clocks of environments differ.
const earlySlack = time.Second

// Decide says what to do with message m, which the queue calls messageID,
// given the delivery's row as just read (nil: there is none) and its endpoint
// (nil: there is none any more). For Wait, until is the moment to wait for.
//
// A message is current unless its row says otherwise: the row carries a later
// generation, is final, or names a later hop or another message of this hop.
func Decide(row *hook.Delivery, m *hook.Message, messageID string, endpoint *hook.Endpoint, now time.Time) (v Verdict, until time.Time) {
	if row != nil && !Current(row, m, messageID) {
		if unburied(row, m, messageID) {
			return Bury, time.Time{}
		}
		return Drop, time.Time{}
	}
	if endpoint == nil {
		return Cancel, time.Time{}
	}
	if m.Gone {
		return Finish, time.Time{}
	}
	if endpoint.Status != hook.EndpointActive {
		return Hold, time.Time{}
	}
	until = m.NotBefore
	if row != nil && row.Gen == m.Gen && row.Status == hook.Retrying && row.NextAttemptAt.After(until) {
		until = row.NextAttemptAt
	}
	if until.Sub(now) > earlySlack {
		return Wait, until
	}
	return Post, time.Time{}
}

// unburied says whether the death is on record and this message is the one to
// bring it to the dead-letter queue: the one that recorded it, or a copy that
// followed because the recorder never learned that its record was in.
func unburied(row *hook.Delivery, m *hook.Message, messageID string) bool {
	return row.Status == hook.Dead && row.Gen == m.Gen && row.DeadLetterID == "" &&
		(m.Hop > row.Hop || m.Hop == row.Hop && row.MessageID == messageID)
}

// Current says whether message m, which the queue calls messageID, is the one
// that carries the delivery on from its row.
func Current(row *hook.Delivery, m *hook.Message, messageID string) bool {
	switch {
	case m.Gen != row.Gen:
		return m.Gen > row.Gen
	case row.Status.Final():
		return false
	case m.Hop != row.Hop:
		return m.Hop > row.Hop
	case row.Status == hook.Held:
		return false
	default:
		return row.MessageID == "" || row.MessageID == messageID
	}
}
