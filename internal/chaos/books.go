package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// deliveryShown is a delivery as the API shows it.
type deliveryShown struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Attempts int    `json:"attempts"`
}

// entryShown is a dead letter as the API shows it.
type entryShown struct {
	Delivery string `json:"delivery_id"`
	Reason   string `json:"failure_reason"`
	Attempts int    `json:"attempts"`
}

// books compares what was promised, what arrived, and what is on record.
func (r *run) books(ctx context.Context) Result {
	rows, entries, err := r.recorded(ctx)
	l := r.ledger
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.note("what is on record cannot be read: %v", err)
	}
	result := Result{Options: r.o, Took: time.Since(r.began), Events: len(l.accepted), Posts: l.posts, Replays: r.operator.replays, LogLines: int(r.secrecy.lines.Load())}
	l.balanceEvents(&result, rows)
	l.balanceDeliveries(&result, rows, entries)
	r.tally.into(&result)
	result.Wrong, result.WrongMore = slices.Clone(l.wrong), l.misses
	return result
}

// recorded reads all deliveries, and all dead letters by delivery.
func (r *run) recorded(ctx context.Context) (map[string]deliveryShown, map[string][]entryShown, error) {
	rows := map[string]deliveryShown{}
	for _, id := range r.operator.ids {
		found, err := list[deliveryShown](ctx, r.operator.client, "/api/v1/deliveries?endpoint_id="+id)
		if err != nil {
			return nil, nil, err
		}
		for _, d := range found {
			if _, twice := rows[d.ID]; twice {
				r.ledger.wrongf("delivery %s is listed twice", d.ID)
			}
			rows[d.ID] = d
		}
	}
	found, err := list[entryShown](ctx, r.operator.client, "/api/v1/dlq")
	if err != nil {
		return nil, nil, err
	}
	entries := map[string][]entryShown{}
	for _, e := range found {
		entries[e.Delivery] = append(entries[e.Delivery], e)
	}
	return rows, entries, nil
}

// balanceEvents checks that every event was accepted, is the same event however
// often it was posted under its key, and that each of its deliveries has ended.
func (l *ledger) balanceEvents(result *Result, rows map[string]deliveryShown) {
	if len(l.accepted) != result.Options.Events {
		l.note("%d of %d events were accepted", len(l.accepted), result.Options.Events)
	}
	for n, a := range l.accepted {
		if a.total != a.endpoints || len(a.listed) != a.total {
			l.note("event %d goes to %d endpoints, and was acknowledged for %d, of which %d are listed", n, a.endpoints, a.total, len(a.listed))
		}
		for id := range l.ids[n] {
			if a.keyed && id != a.event {
				l.note("event %d was accepted as %s, and arrived as %s too", n, a.event, id)
			}
		}
		for _, id := range a.listed {
			result.Owed++
			switch row, recorded := rows[id]; {
			case !recorded:
				result.Lost++
				l.note("delivery %s of event %d is lost: nothing is recorded of it, and it arrived %d times", id, n, len(l.arrivalsOf(id)))
			case row.Status == "delivered":
				result.Delivered++
			case row.Status == "dead":
				result.Dead++
			default:
				result.Lost++
				l.note("delivery %s of event %d is %s in the end", id, n, row.Status)
			}
		}
	}
}

func (l *ledger) arrivalsOf(delivery string) []arrived {
	if d := l.arrivals[delivery]; d != nil {
		return d.posts
	}
	return nil
}

// balanceDeliveries checks each delivery, those that were not acknowledged
// included: what is on record against what arrived.
func (l *ledger) balanceDeliveries(result *Result, rows map[string]deliveryShown, entries map[string][]entryShown) {
	for id, row := range rows {
		posts := attemptsOf(l.arrivalsOf(id))
		successes := 0
		for _, p := range l.arrivalsOf(id) {
			if p.how == fine || p.how == late {
				successes++
			}
		}
		if row.Status == "delivered" && successes == 0 {
			l.note("delivery %s is delivered, and was never answered with 200", id)
		}
		if successes > 1 {
			result.Duplicates++
		}
		l.balanceAttempts(result, id, row, posts)
		l.balanceEntries(id, row, entries[id])
		delete(entries, id)
	}
	for id, left := range entries {
		l.note("%d dead letters of %q, of which nothing is recorded", len(left), id)
	}
	for id, a := range l.arrivals {
		if _, recorded := rows[id]; !recorded {
			l.note("delivery %s of event %d arrived %d times, and nothing is recorded of it", id, a.event, len(a.posts))
		}
	}
}

// history is what is known of a delivery.
func (l *ledger) history(delivery string) string {
	var b strings.Builder
	b.WriteString("; it arrived")
	for _, p := range l.arrivalsOf(delivery) {
		fmt.Fprintf(&b, " [%s: attempt %s]", p.how, strings.Fields(p.stamp + " ?")[0])
	}
	fmt.Fprintf(&b, "; %d environments died with it, %d attempts were not recorded, %d were overtaken", l.died[delivery], l.unrecorded[delivery], l.overtaken[delivery])
	return b.String()
}

// attemptsOf counts the attempts among posts. A connection that is reset before
// an answer came is tried once more with the same request: that is one attempt.
func attemptsOf(posts []arrived) int {
	n := 0
	for i, p := range posts {
		again := slices.ContainsFunc(posts[i+1:], func(later arrived) bool { return later.stamp == p.stamp })
		if !(p.how == resetting && again) {
			n++
		}
	}
	return n
}

// balanceAttempts checks that no more was posted than is allowed, and that what
// is on no record has a reason: its environment died, the store did not take
// it, or another message had ended the delivery meanwhile.
func (l *ledger) balanceAttempts(result *Result, id string, row deliveryShown, posts int) {
	died, unrecorded, overtaken := l.died[id], l.unrecorded[id], l.overtaken[id]
	uncounted := posts - row.Attempts
	if uncounted > 0 {
		result.Uncounted += uncounted
		result.UncountedDied += min(uncounted, died)
		result.UncountedRefused += min(max(uncounted-died, 0), unrecorded)
		result.UncountedOvertaken += min(max(uncounted-died-unrecorded, 0), overtaken)
		if uncounted > died+unrecorded+overtaken {
			l.note("delivery %s: %d attempts arrived and %d are recorded%s", id, posts, row.Attempts, l.history(id))
		}
	}
	allowed := (1 + maxRetries) * (1 + result.Replays)
	if row.Attempts > allowed {
		result.TooMany++
		l.note("delivery %s: %d attempts are recorded, %d are allowed", id, row.Attempts, allowed)
	}
}

// noOutcome begins the reason of a death that no attempt has brought: crashes
// have taken all its rounds through the queue.
const noOutcome = "no outcome could be recorded"

// balanceEntries checks that a delivery has an entry if it is dead, and else
// none.
func (l *ledger) balanceEntries(id string, row deliveryShown, entries []entryShown) {
	want := 0
	if row.Status == "dead" {
		want = 1
	}
	if len(entries) != want {
		l.note("delivery %s is %s and has %d dead letters%s", id, row.Status, len(entries), l.history(id))
		return
	}
	if want == 0 {
		return
	}
	e := entries[0]
	early := row.Attempts < 1+maxRetries && !strings.HasPrefix(e.Reason, noOutcome) && !strings.HasPrefix(e.Reason, "HTTP 410")
	if e.Attempts != row.Attempts || early {
		l.note("delivery %s died after %d attempts of %d, of which its dead letter shows %d: %s", id, row.Attempts, 1+maxRetries, e.Attempts, e.Reason)
	}
}

// ErrUnbalanced says that the books do not balance.
var ErrUnbalanced = errors.New("the books do not balance")

// Verdict is nil when the books balance.
func (r Result) Verdict() error {
	if len(r.Wrong) == 0 {
		return nil
	}
	return ErrUnbalanced
}
