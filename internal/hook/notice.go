package hook

// The types of Posthorn's own events.
const (
	NoticeDisabled  = ReservedTypePrefix + "endpoint.disabled"  // after a 410, or nothing but failures for days
	NoticeRecovered = ReservedTypePrefix + "endpoint.recovered" // its breaker was open, and a probe succeeded
	NoticeDead      = ReservedTypePrefix + "delivery.dead"      // it has an entry in the dead-letter list
	NoticeGrowing   = ReservedTypePrefix + "dlq.growing"        // there were many new entries within an hour
	TypeTest        = ReservedTypePrefix + "test"               // asked for, to one endpoint
)

// OperationalTypes are the types that endpoints may subscribe to by name.
func OperationalTypes() []string {
	return []string{NoticeDisabled, NoticeRecovered, NoticeDead, NoticeGrowing}
}

// Notice is something that happened to a tenant's endpoints or deliveries, for
// those of its endpoints that subscribe to its type by name.
type Notice struct {
	Tenant     string
	Type       string
	EndpointID string         // that it is about, and that is not told; empty: none
	Key        string         // the same notice has the same key: it is told once
	Fields     map[string]any // the event's payload
}
