package deliver

import (
	"context"
	"net/http"
	"time"

	"posthorn/internal/deliver/post"
	"posthorn/internal/hook"
)

// Rows keeps the deliveries' rows, and what deliveries have shown of endpoints.
type Rows interface {
	// Deliveries reads the rows of refs strongly consistently, in their order,
	// nil where there is none.
	Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error)
	// DeliveriesAndStates is Deliveries together with the states of the refs'
	// endpoints, in the same order; the zero state where there is none.
	DeliveriesAndStates(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, []hook.EndpointState, error)
	// SaveDelivery makes all of the write or nothing. It returns
	// hook.ErrConflict when the row is not at the revision before the write's,
	// and nil when it carries this very write already. For a write that holds:
	// hook.ErrNotHeld when the endpoint is not what the write says, and
	// hook.ErrEventGone when the event is no longer stored.
	SaveDelivery(ctx context.Context, w hook.DeliveryWrite) error
}

// Endpoints knows a tenant's endpoints as of a moment after the call began, and
// keeps their states.
type Endpoints interface {
	EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error)
	// DisableEndpoint disables an endpoint that is active and still what it was
	// when seen was read, and says whether it has; one that was changed since, or
	// is gone, stays as it is.
	DisableEndpoint(ctx context.Context, seen *hook.Endpoint, reason string) (changed bool, err error)
	// EndpointState reads a state; the zero one where there is none.
	EndpointState(ctx context.Context, tenant, id string) (hook.EndpointState, error)
	// SaveEndpointState writes a state, whose Rev is the new revision: only
	// where the state is at Rev-1, or, for Rev 1, where there is none;
	// hook.ErrConflict otherwise. NextSlot is not written.
	SaveEndpointState(ctx context.Context, tenant, id string, s hook.EndpointState) error
	// ReserveSlots takes n slots, so far apart, of an endpoint's rate limit, or,
	// where id is empty, of everybody's, and returns where they begin: where
	// those taken before end, or now where that has passed.
	ReserveSlots(ctx context.Context, tenant, id string, n int, interval time.Duration, now time.Time) (begin time.Time, err error)
}

// Events keeps accepted events.
type Events interface {
	// Event reads one; hook.ErrNotFound when it has expired.
	Event(ctx context.Context, tenant, id string) (*hook.Event, error)
	// ExtendEvent lets the event expire no sooner than until.
	ExtendEvent(ctx context.Context, tenant, id string, until time.Time) error
}

// Unsealer opens what is sealed of an endpoint. hook.ErrSealed: it cannot be
// opened; anything else may pass when tried again.
type Unsealer interface {
	Open(ctx context.Context, tenant, endpointID string, sealed []byte) ([]byte, error)
}

// Queue is the queue that the messages came from and its dead-letter queue.
type Queue interface {
	// Send puts messages into the queue, each of them or not: a nil Err says
	// that it is durably there.
	Send(ctx context.Context, out []hook.Outgoing) []hook.Sent
	// SendDead puts a message body into the dead-letter queue.
	SendDead(ctx context.Context, raw string) error
	// Release sets how long received messages stay invisible; an error, or
	// none, for each.
	Release(ctx context.Context, rs []hook.Release) []error
}

// Poster posts a request to an endpoint and tells what came of it.
type Poster interface {
	Post(ctx context.Context, r post.Request) post.Result
}

// Signer adds the signature headers for a body sent at a moment.
type Signer func(h http.Header, secrets []hook.Secret, eventID string, at time.Time, body []byte)

// Meter counts what happened.
type Meter interface {
	Attempt(o hook.Outcome, d time.Duration)
	Ended(s hook.Status)
	// Lag is the age of a delivery when it was first taken up.
	Lag(d time.Duration)
	// EndToEnd is the time from an event's acceptance to a delivery of it that
	// was not sent again by hand.
	EndToEnd(d time.Duration)
	// Throttled counts a delivery that did not get its turn.
	Throttled(t hook.Throttle)
	// Taken notes that messages were taken up.
	Taken()
}

// Jobs takes long work further.
type Jobs interface {
	// Step does the next step that a control message asks for, and says whether
	// the message is done with.
	Step(ctx context.Context, c *hook.Control, messageID string) (done bool)
}

// Notifier tells a tenant's endpoints what has happened to others of them.
type Notifier interface {
	// Notify sends a notice to those that subscribe to its type by name. The
	// same notice again is the same event.
	Notify(ctx context.Context, n hook.Notice) error
}
