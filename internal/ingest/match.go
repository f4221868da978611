package ingest

import (
	"slices"
	"sync"

	"posthorn/internal/hook"
)

// matchCache remembers which endpoints of a set an event type goes to, so that
// filters are compared once for each type and set, not once for each event.
type matchCache struct {
	mu      sync.Mutex
	tenants map[string]*tenantMatches
}

type tenantMatches struct {
	set    *hook.EndpointSet   // of which the matches hold: another set starts anew
	byType map[string][]string // endpoint ids
}

// What is remembered is bounded: beyond these it starts anew.
const (
	maxTenantsMatched = 1000
	maxTypesMatched   = 1000
)

// match returns the ids of the endpoints that take eventType, in the set's
// order. Paused and disabled endpoints are among them: their deliveries are
// held, not forgone. The answer is shared and must not be changed.
func (c *matchCache) match(tenant string, set *hook.EndpointSet, eventType string) []string {
	c.mu.Lock()
	if t := c.tenants[tenant]; t != nil && t.set == set {
		if ids, ok := t.byType[eventType]; ok {
			c.mu.Unlock()
			return ids
		}
	}
	c.mu.Unlock()

	var ids []string
	for _, e := range set.Endpoints {
		if e.Matches(eventType) {
			ids = append(ids, e.ID)
		}
	}
	ids = slices.Clip(ids)

	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tenants[tenant]
	if t == nil || t.set != set {
		if c.tenants == nil || len(c.tenants) >= maxTenantsMatched {
			c.tenants = make(map[string]*tenantMatches)
		}
		t = &tenantMatches{set: set, byType: make(map[string][]string)}
		c.tenants[tenant] = t
	}
	if len(t.byType) >= maxTypesMatched {
		clear(t.byType)
	}
	t.byType[eventType] = ids
	return ids
}
