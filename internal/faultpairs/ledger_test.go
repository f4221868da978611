package faultpairs

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// ledger is what was promised.
type ledger struct {
	wanted map[string]string // by delivery: the statuses it may end with
	again  int               // how often somebody asked that something be sent again
	faults int               // that were injected
	// unlisted says that the dead letters were deleted.
	unlisted bool
}

// balance checks, when all has come to rest, that everything promised was kept.
func (a *account) balance() {
	a.t.Helper()
	posts := map[string][]arrival{}
	for _, p := range a.receiver.arrivals() {
		posts[p.delivery] = append(posts[p.delivery], p)
	}
	entries := a.entries()
	held := map[string]bool{} // events
	for _, id := range a.known(posts) {
		d := a.operate(http.StatusOK, "GET", "/api/v1/deliveries/"+id, nil).body
		status := d["status"].(string)
		if want := a.ledger.wanted[id]; want != "" {
			require.Contains(a.t, strings.Split(want, " or "), status, "delivery %s: %v", id, d)
		} else {
			require.NotContains(a.t, []string{"retrying", "held"}, status, "delivery %s of nobody's is in no final state: %v", id, d)
		}
		a.countAttempts(id, int(d["attempts"].(float64)), posts[id])
		succeeded := slices.ContainsFunc(posts[id], func(p arrival) bool { return p.status == http.StatusOK })
		require.False(a.t, status == "delivered" && !succeeded, "delivery %s never arrived", id)
		listed := 0
		if status == "dead" && !a.ledger.unlisted {
			listed = 1
		}
		require.Len(a.t, entries[id], listed, "entries of delivery %s, which is %s", id, status)
		delete(entries, id)
		if status == "held" {
			held[d["event_id"].(string)] = true
		}
	}
	delete(entries, "") // of undecodable messages
	require.Empty(a.t, entries, "dead letters of no delivery")
	a.expiries(posts, held)
	a.jobsAndEndpoints()
	for _, f := range a.functions() {
		require.Zero(a.t, f.timedOut, "the %s function did not return in time", f.name)
	}
}

// known returns the deliveries that were promised, or posted.
func (a *account) known(posts map[string][]arrival) (ids []string) {
	for id := range a.ledger.wanted {
		ids = append(ids, id)
	}
	for id := range posts {
		if a.ledger.wanted[id] == "" {
			ids = append(ids, id)
		}
	}
	return ids
}

// maxAttempts is what the default policy allows.
const maxAttempts = 5

// countAttempts checks that no more was sent than is allowed, and that at most
// one attempt for each fault is on no record.
func (a *account) countAttempts(id string, recorded int, posts []arrival) {
	a.t.Helper()
	require.GreaterOrEqual(a.t, len(posts), recorded, "delivery %s: more attempts are recorded than were made", id)
	require.LessOrEqual(a.t, len(posts), recorded+a.ledger.faults, "delivery %s: attempts that are not recorded", id)
	require.LessOrEqual(a.t, len(posts), maxAttempts*(1+a.ledger.again)+a.ledger.faults, "delivery %s was sent too often", id)
}

// entries returns the dead letters, by delivery.
func (a *account) entries() map[string][]string {
	a.t.Helper()
	found := map[string][]string{}
	for _, e := range a.operate(http.StatusOK, "GET", "/api/v1/dlq?limit=200", nil).body["data"].([]any) {
		entry := e.(map[string]any)
		delivery, _ := entry["delivery_id"].(string)
		found[delivery] = append(found[delivery], entry["id"].(string))
	}
	return found
}

// expiries checks that the events expire of which nothing is held, and no other.
func (a *account) expiries(posts map[string][]arrival, held map[string]bool) {
	a.t.Helper()
	events := map[string]bool{}
	for _, id := range a.known(posts) {
		ref, err := hook.ParseDeliveryID("default", id)
		require.NoError(a.t, err)
		events[ref.EventID] = true
	}
	for id := range events {
		e, err := a.table.Event(context.Background(), "default", id)
		require.NoError(a.t, err)
		require.Equal(a.t, held[id], e.ExpiresAt.IsZero(), "event %s, of which something is held: %v; expires at %s", id, held[id], e.ExpiresAt)
	}
}

// jobsAndEndpoints checks that no job stands still, and that the endpoints are
// as many as are counted.
func (a *account) jobsAndEndpoints() {
	a.t.Helper()
	for _, j := range a.operate(http.StatusOK, "GET", "/api/v1/jobs", nil).body["data"].([]any) {
		require.NotEqual(a.t, "running", j.(map[string]any)["status"], "a job that nothing moves: %v", j)
	}
	byStatus := map[string]float64{"active": 0, "paused": 0, "disabled": 0}
	for cursor := ""; ; {
		page := a.operate(http.StatusOK, "GET", "/api/v1/webhooks?limit=200"+cursor, nil).body
		for _, e := range page["data"].([]any) {
			byStatus[e.(map[string]any)["status"].(string)]++
		}
		next, more := page["next_cursor"].(string)
		if !more {
			break
		}
		cursor = "&cursor=" + url.QueryEscape(next)
	}
	counted := a.operate(http.StatusOK, "GET", "/api/v1/stats", nil).body["endpoints"].(map[string]any)
	for status, n := range byStatus {
		require.EqualValues(a.t, n, counted[status], "endpoints that are %s", status)
	}
}

// told returns the events of Posthorn's own that arrived at a URL's receiver.
func (a *account) told(prefix string) map[string]bool {
	told := map[string]bool{}
	for _, p := range a.receiver.arrivals() {
		if strings.HasPrefix(p.kind, prefix) {
			told[p.event] = true
		}
	}
	return told
}
