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
	Secrets      []Secret          // newest first; at least one
	MaxRetries   *int              // after the first attempt, 0 to 20; nil: the policy decides
	Timeout      time.Duration     // of one attempt, 1 s to 30 s
	RetryPolicy  string            // a policy's name; empty: the event type's
	Description  string            // the caller's own
	Metadata     map[string]string // the caller's own
	Status       EndpointStatus
	StatusReason string
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Secret signs what an endpoint is sent.
type Secret struct {
	Value     string
	ExpiresAt time.Time // zero: does not expire
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
