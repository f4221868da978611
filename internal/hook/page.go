package hook

import "time"

// Page asks for a part of a list, newest first.
type Page struct {
	Limit int    // at most so many, 1 or more
	After string // the id at which the page before ended, of a delivery its event's; empty: from the newest
}

// EventFilter narrows a list of events. Zero fields do not narrow.
type EventFilter struct {
	Tenant string
	Type   string
	Since  time.Time // accepted at or after
	Until  time.Time // accepted before
}

// DeliveryFilter narrows a list of an endpoint's deliveries. Zero fields,
// except Tenant and EndpointID, do not narrow.
type DeliveryFilter struct {
	Tenant     string
	EndpointID string
	Status     Status
	EventType  string
	Since      time.Time // event accepted at or after
	Until      time.Time // event accepted before
}

// DeadLetterFilter narrows a list of dead letters. Zero fields do not narrow.
type DeadLetterFilter struct {
	Tenant     string
	EndpointID string
	EventType  string
	Reason     string    // the failure reason, word for word
	Since      time.Time // died at or after
	Until      time.Time // died before
}

// QueueDepths counts the messages of both queues, approximately.
type QueueDepths struct {
	Ready    int // can be received now
	InFlight int // received, neither deleted nor visible again
	Delayed  int // not yet visible for the first time
	Dead     int // wait in the dead-letter queue for the sweeper
}

// EndpointCounts counts the endpoints of all tenants by status.
type EndpointCounts struct {
	Active   int
	Paused   int
	Disabled int
}

// StateQuery asks for an endpoint's deliveries in one state, in the order of
// their events, or, of the dead, of their deaths.
type StateQuery struct {
	Tenant     string
	EndpointID string
	Status     Status    // Queued, Retrying, Held or Dead
	Since      time.Time // of the dead: died at or after; zero: all
	After      string    // where the page before ended; empty: from the oldest
	Limit      int
}
