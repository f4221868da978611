package hook

import (
	"fmt"
	"strings"
	"time"
)

// Prefixes of the ids. Behind each stands a ULID: 26 characters of Crockford's
// base 32, the first ten of which count milliseconds since 1970.
const (
	EndpointPrefix   = "ep_"
	EventPrefix      = "evt_"
	DeliveryPrefix   = "dlv_"
	DeadLetterPrefix = "dlq_"
	JobPrefix        = "job_"

	ulidLen = 26
)

// crockford is the alphabet of a ULID (https://github.com/ulid/spec).
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ValidID says whether id is prefix and a ULID.
func ValidID(prefix, id string) bool {
	u, ok := strings.CutPrefix(id, prefix)
	return ok && validULID(u)
}

func validULID(u string) bool {
	if len(u) != ulidLen || u[0] > '7' {
		return false
	}
	for i := range len(u) {
		if strings.IndexByte(crockford, u[i]) < 0 {
			return false
		}
	}
	return true
}

// IDTime returns the moment, in whole milliseconds UTC, that the ULID behind
// the prefix of a valid id counts.
func IDTime(id string) time.Time {
	u := id[strings.IndexByte(id, '_')+1:]
	var ms int64
	for i := range 10 {
		ms = ms<<5 | int64(strings.IndexByte(crockford, u[i]))
	}
	return time.UnixMilli(ms).UTC()
}

// ValidTenant says whether t can be a tenant: 1 to 64 of a-z, 0-9, _ and -.
func ValidTenant(t string) bool {
	if len(t) == 0 || len(t) > 64 {
		return false
	}
	for i := range len(t) {
		if c := t[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Ref names one delivery: which event to which endpoint of which tenant.
type Ref struct {
	Tenant     string
	EventID    string
	EndpointID string
}

// ID returns the delivery's id, dlv_<event ulid>_<endpoint ulid>. It names the
// delivery's row, so nothing has to be written for a delivery that waits.
func (r Ref) ID() string {
	return DeliveryPrefix + strings.TrimPrefix(r.EventID, EventPrefix) + "_" + strings.TrimPrefix(r.EndpointID, EndpointPrefix)
}

// ParseDeliveryID takes a delivery's id apart. An id of another form is
// ErrNotFound, since no delivery can have it.
func ParseDeliveryID(tenant, id string) (Ref, error) {
	rest, ok := strings.CutPrefix(id, DeliveryPrefix)
	event, endpoint, two := strings.Cut(rest, "_")
	if !ok || !two || !validULID(event) || !validULID(endpoint) {
		return Ref{}, fmt.Errorf("delivery id %q: %w", id, ErrNotFound)
	}
	return Ref{Tenant: tenant, EventID: EventPrefix + event, EndpointID: EndpointPrefix + endpoint}, nil
}
