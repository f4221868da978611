package hook

import (
	"slices"
	"strings"
	"time"
)

// EndpointStatus says whether an endpoint is sent to.
type EndpointStatus string

// The statuses of an endpoint.
const (
	EndpointActive   EndpointStatus = "active"
	EndpointPaused   EndpointStatus = "paused"
	EndpointDisabled EndpointStatus = "disabled"
)

// Endpoint is a URL that a tenant's events are posted to.
type Endpoint struct {
	ID           string
	Tenant       string
	URL          string
	Filters      []string          // which event types: exact, a prefix ("order.*"), or "*"
	Secrets      []SealedSecret    // newest first; at least one
	Headers      []SealedHeader    // the caller's own, sent along; by name
	MaxRetries   *int              // after the first attempt, 0 to 20; nil: the policy decides
	Timeout      time.Duration     // of one attempt, 1 s to 30 s
	RateLimit    float64           // deliveries a second, 0.1 to 10,000; 0: none
	RetryPolicy  string            // a policy's name; empty: the event type's
	Description  string            // the caller's own
	Metadata     map[string]string // the caller's own
	Status       EndpointStatus
	StatusReason string
	Epoch        int64 // one more with each change of Status: tells one pause from the next
	Mended       int64 // one more each time that its owner says otherwise that it is another than it was
	Rev          int64 // one more with each change of anything; set where it was read
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// SetStatus changes the endpoint's status, and its epoch where that is a change.
func (e *Endpoint) SetStatus(s EndpointStatus, reason string) {
	if e.Status != s {
		e.Epoch++
	}
	e.Status, e.StatusReason = s, reason
}

// Resume makes the endpoint active. One that is active already is mended, as its
// owner says.
func (e *Endpoint) Resume() {
	if e.Status == EndpointActive {
		e.Mended++
	}
	e.SetStatus(EndpointActive, "")
}

// Seen is the epoch in which an endpoint's EndpointState counts: one more with each
// change of its status, and each time that it was mended.
func (e *Endpoint) Seen() int64 { return e.Epoch + e.Mended }

// SealedSecret is a signing secret as it is kept.
type SealedSecret struct {
	Sealed    []byte
	ExpiresAt time.Time // zero: does not expire
}

// SealedHeader is a header of the caller's own as it is kept.
type SealedHeader struct {
	Name   string
	Sealed []byte // the value
}

// Secret signs what an endpoint is sent.
type Secret struct {
	Value     string
	ExpiresAt time.Time // zero: does not expire
}

// EndpointState is what deliveries to an endpoint have shown of it. While all
// goes well there is none.
type EndpointState struct {
	Rev  int64  // one more with each write but those of NextSlot; 0: there is none yet
	Mark string // of the last write: tells its writer, whose answer was lost, that it is in
	// Epoch is that of Endpoint.Seen. What was seen in an earlier one says nothing of
	// an endpoint that was resumed or mended since.
	Epoch int64

	// The window in which attempts are counted.
	WindowStart    time.Time
	WindowAttempts int
	WindowFailures int

	FailingSince time.Time // the first of the failures since the last success; zero: none
	LastFailure  time.Time

	// The circuit breaker: open until a moment, then one probe at a time.
	OpenUntil  time.Time // zero: closed
	Opened     int       // times in a row that it opened
	ProbeUntil time.Time // a probe is under way, or lost after this

	NextSlot time.Time // of the rate limit: when all slots that are taken have passed
}

// Matches says whether one of the endpoint's filters takes eventType. An exact
// filter takes its own type; "order.*" takes "order.created" and "order.a.b"
// but not "order"; "*" takes everything except Posthorn's own "posthorn."
// types, which have to be named.
func (e *Endpoint) Matches(eventType string) bool {
	return slices.ContainsFunc(e.Filters, func(filter string) bool { return FilterMatches(filter, eventType) })
}

// FilterMatches is Matches for a single filter.
func FilterMatches(filter, eventType string) bool {
	if filter == "*" {
		return !strings.HasPrefix(eventType, ReservedTypePrefix)
	}
	if prefix, ok := strings.CutSuffix(filter, "*"); ok {
		return len(eventType) > len(prefix) && strings.HasPrefix(eventType, prefix)
	}
	return filter == eventType
}

// EndpointSet is all endpoints of a tenant as of a version. It is shared
// between goroutines: nobody changes it or what it holds.
type EndpointSet struct {
	Version   int64
	Endpoints []*Endpoint // by id, oldest first
}

// ByID returns the endpoint with that id, or nil when there is none.
func (s *EndpointSet) ByID(id string) *Endpoint {
	i, ok := slices.BinarySearchFunc(s.Endpoints, id, func(e *Endpoint, id string) int { return strings.Compare(e.ID, id) })
	if !ok {
		return nil
	}
	return s.Endpoints[i]
}
