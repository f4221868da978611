package hook

import (
	"bytes"
	"time"
)

// ReservedTypePrefix starts the event types that Posthorn itself sends.
const ReservedTypePrefix = "posthorn."

// Event is something that happened, as accepted from a producer. It is written
// once and never changed.
type Event struct {
	ID          string
	Tenant      string
	Type        string
	CreatedAt   time.Time // when it was accepted, UTC, whole milliseconds
	Body        []byte    // what endpoints receive, fixed here: see NewBody
	Trace       string    // the producer's traceparent, carried to the endpoints; empty: none
	EndpointIDs []string  // the endpoints it matched when it was accepted, the first MaxInlineTargets of them where it was read
	Targets     int       // how many it matched
	ExpiresAt   time.Time // when it may be forgotten; zero: not while a delivery of it is held
}

// MaxInlineTargets is how many of the endpoints an event matched are kept in
// its own item, and how many messages one POST sends itself. What is beyond is
// kept in items of their own and sent by a job.
const MaxInlineTargets = 100

// timeLayout is RFC 3339 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// FormatTime writes t as RFC 3339 in UTC with milliseconds.
func FormatTime(t time.Time) string { return t.UTC().Format(timeLayout) }

var dataField = []byte(`,"data":`)

// NewBody builds the request body of an event:
// {"id","event","timestamp","data"} in that order, with data as it is given,
// byte for byte. The type must be a valid event type and data compact JSON.
func NewBody(id, eventType string, at time.Time, data []byte) []byte {
	b := make([]byte, 0, len(data)+len(id)+len(eventType)+80)
	b = append(b, `{"id":"`...)
	b = append(b, id...)
	b = append(b, `","event":"`...)
	b = append(b, eventType...)
	b = append(b, `","timestamp":"`...)
	b = at.UTC().AppendFormat(b, timeLayout)
	b = append(b, '"')
	b = append(b, dataField...)
	b = append(b, data...)
	return append(b, '}')
}

// Payload returns the producer's JSON inside the body, byte for byte. It
// shares the body's memory.
func (e *Event) Payload() []byte {
	// Ids, types and times hold no quote, so the first match is the field.
	_, data, ok := bytes.Cut(e.Body, dataField)
	if !ok || len(data) == 0 {
		return nil
	}
	return data[:len(data)-1]
}

// Ref names the delivery of this event to an endpoint.
func (e *Event) Ref(endpointID string) Ref {
	return Ref{Tenant: e.Tenant, EventID: e.ID, EndpointID: endpointID}
}

// IdempotencyKey ties a producer's own id to the event it made.
type IdempotencyKey struct {
	Tenant    string
	Key       string   // as the producer gave it
	BodyHash  [32]byte // SHA-256 of the event type, a zero byte and the compacted payload
	EventID   string
	Sent      bool // every message of the event is known to be in the queue
	ExpiresAt time.Time
}
