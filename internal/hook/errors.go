package hook

import "errors"

// Kinds of error that callers tell apart with errors.Is. Everything else is a
// failure of ours or of a store, and may pass when tried again.
var (
	// ErrNotFound: there is no such thing, or it belongs to another tenant.
	ErrNotFound = errors.New("not found")
	// ErrConflict: a conditional write met a state other than the one it was
	// computed from. Nothing was written; read again and decide again.
	ErrConflict = errors.New("changed meanwhile")
	// ErrKeyReused: an idempotency key was used before with another body.
	ErrKeyReused = errors.New("idempotency key was used with another body")
	// ErrNotReplayable: the dead letter is no delivery (an undecodable message),
	// or its endpoint was deleted.
	ErrNotReplayable = errors.New("cannot be replayed")
	// ErrNotHeld: the endpoint is active again, or at another epoch, so that
	// nothing is held for it. Nothing was written.
	ErrNotHeld = errors.New("endpoint is not paused")
	// ErrEventGone: the event of a delivery is no longer stored. Nothing was
	// written.
	ErrEventGone = errors.New("event is no longer stored")
	// ErrSealed: what was sealed cannot be opened, and trying again is no use.
	ErrSealed = errors.New("cannot be opened")
	// ErrNotCancellable: the job is over, or of a kind that has to run to its end.
	ErrNotCancellable = errors.New("cannot be cancelled")
	// ErrTooManySecrets: as many secrets sign as may.
	ErrTooManySecrets = errors.New("too many secrets")
	// ErrQueueFull: the queue holds as many ready messages as is allowed.
	ErrQueueFull = errors.New("queue is full")
)

// InvalidError is bad input: which field, and what is wrong with it. Its text
// is written for the caller and shown to them.
type InvalidError struct {
	Field  string // a path such as "events[2]"; empty when no one field is at fault
	Code   string // stable, snake_case, for programs; empty means "invalid_request"
	Reason string // a full sentence's worth, without the field's name
}

func (e *InvalidError) Error() string {
	if e.Field == "" {
		return e.Reason
	}
	return e.Field + ": " + e.Reason
}
