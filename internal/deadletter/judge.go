package deadletter

import "posthorn/internal/hook"

// Judgement is what a message in the dead-letter queue means.
type Judgement int

// The judgements.
const (
	// Bury: the delivery's death is on record; it gets its entry.
	Bury Judgement = iota
	// SendBack: nothing is decided, crashes took the message's receives; it
	// goes back to the queue.
	SendBack
	// GiveUp: it was sent back as often as is allowed; the delivery ends dead.
	GiveUp
	// Discard: the delivery is over, buried already, or carried by another
	// message.
	Discard
)

func (j Judgement) String() string {
	return [...]string{"bury", "send back", "give up", "discard"}[j]
}

// MaxReturns is how often the sweeper sends an undecided delivery back.
const MaxReturns = 3

// Judge says what message m, which the queue calls messageID, means, given the
// delivery's row as just read (nil: there is none).
func Judge(row *hook.Delivery, m *hook.Message, messageID string) Judgement {
	switch {
	case row == nil || m.Gen > row.Gen:
		return undecided(m)
	case m.Gen < row.Gen:
		return Discard
	case row.Status == hook.Dead:
		if row.DeadLetterID == "" {
			return Bury
		}
		return Discard
	case row.Status.Final():
		return Discard
	case m.Hop < row.Hop, m.Hop == row.Hop && (row.Status == hook.Held || row.MessageID != "" && row.MessageID != messageID):
		return Discard
	default:
		return undecided(m)
	}
}

func undecided(m *hook.Message) Judgement {
	if m.Returns >= MaxReturns {
		return GiveUp
	}
	return SendBack
}
