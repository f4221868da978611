package ingest

import (
	"fmt"
	"testing"

	"posthorn/internal/hook"
)

// hundred is a tenant of 100 endpoints with filters of each kind, of which 10
// take "order.created".
func hundred() *hook.EndpointSet {
	set := &hook.EndpointSet{Version: 1}
	for i := range 100 {
		filters := []string{fmt.Sprintf("user.%d", i), fmt.Sprintf("payment%d.*", i)}
		if i%10 == 0 {
			filters = append(filters, "order.*")
		}
		set.Endpoints = append(set.Endpoints, &hook.Endpoint{ID: fmt.Sprintf("ep_%026d", i), Filters: filters})
	}
	return set
}

// BenchmarkMatch is the first event of a type since the endpoints changed.
func BenchmarkMatch(b *testing.B) {
	set := hundred()
	b.ReportAllocs()
	for b.Loop() {
		var c matchCache
		if n := len(c.match("default", set, "order.created")); n != 10 {
			b.Fatal(n)
		}
	}
}

// BenchmarkMatchAgain is any other.
func BenchmarkMatchAgain(b *testing.B) {
	set := hundred()
	var c matchCache
	b.ReportAllocs()
	for b.Loop() {
		if n := len(c.match("default", set, "order.created")); n != 10 {
			b.Fatal(n)
		}
	}
}
