package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"posthorn/internal/hook"
)

const (
	eventsPerPage = 1000
	// rowsAtOnce is how many deliveries are looked at at a time: an event may
	// have very many.
	rowsAtOnce = 1000
)

// target is one delivery of an event.
type target struct {
	event      *hook.Event
	endpointID string
}

// events looks at the deliveries of every event, newest first, for those of
// which nothing is recorded.
func (r *run) events(ctx context.Context, tenant string, work underWork, place func(share float64)) error {
	f := hook.EventFilter{Tenant: tenant, Since: r.o.Since, Until: r.until}
	begin := r.o.Since
	if begin.IsZero() {
		begin = r.start.Add(-r.Retention)
	}
	for p := (hook.Page{Limit: eventsPerPage}); ; {
		events, next, err := r.Store.ListEvents(ctx, f, p)
		if err != nil {
			return err
		}
		if err := r.page(ctx, tenant, events, work); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		p.After = next
		place(share(hook.IDTime(next), begin, r.until))
	}
}

// share is how much of a span has been walked down to a moment.
func share(at, begin, end time.Time) float64 {
	if !begin.Before(end) {
		return 1
	}
	return min(max(end.Sub(at).Seconds()/end.Sub(begin).Seconds(), 0), 1)
}

// page looks at the deliveries of some events.
func (r *run) page(ctx context.Context, tenant string, events []*hook.Event, work underWork) error {
	gates := r.gates(tenant)
	var batch []target
	for _, e := range events {
		r.count(func(sum *Result) { sum.Events++ })
		if r.rowsMayHaveExpired(e) {
			continue
		}
		ids, err := r.Store.AllTargets(ctx, e)
		if err != nil {
			return fmt.Errorf("read targets: %w", err)
		}
		if sent, is := work.sent[e.ID]; is {
			ids = ids[:min(sent, len(ids))] // its job sees to the others
		}
		for _, id := range ids {
			if batch = append(batch, target{e, id}); len(batch) == rowsAtOnce {
				if err := r.unrecorded(ctx, tenant, batch, gates); err != nil {
					return err
				}
				batch = batch[:0]
			}
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return r.unrecorded(ctx, tenant, batch, gates)
}

// expiryMargin allows for a time to live being kept in whole seconds.
const expiryMargin = time.Minute

// rowsMayHaveExpired says whether that there is no row of an event's delivery
// proves nothing: an event that has a dead letter, or a delivery that is held,
// outlives the rows of its other deliveries. Rows are kept as long as an
// event that nothing keeps longer; what the newer events show of that counts
// where it is less than is configured here.
func (r *run) rowsMayHaveExpired(e *hook.Event) bool {
	if !e.ExpiresAt.IsZero() {
		r.rowsLive = min(r.rowsLive, e.ExpiresAt.Sub(e.CreatedAt))
	}
	return r.Now().After(e.CreatedAt.Add(r.rowsLive - expiryMargin))
}

// unrecorded sends those deliveries again of which nothing is recorded.
func (r *run) unrecorded(ctx context.Context, tenant string, batch []target, gates *gates) error {
	var (
		mu      sync.Mutex
		missing []target
	)
	err := each(slices.Collect(slices.Chunk(batch, rowsPerPage)), func(part []target) error {
		refs := make([]hook.Ref, len(part))
		for i, t := range part {
			refs[i] = t.event.Ref(t.endpointID)
		}
		rows, err := r.Store.Deliveries(ctx, refs)
		if err != nil {
			return fmt.Errorf("read rows: %w", err)
		}
		mu.Lock()
		defer mu.Unlock()
		for i, row := range rows {
			if row == nil {
				missing = append(missing, part[i])
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	r.count(func(sum *Result) { sum.Deliveries += len(batch) })
	if len(missing) == 0 {
		return nil
	}
	set, err := r.Store.EndpointSet(ctx, tenant)
	if err != nil {
		return fmt.Errorf("read endpoints: %w", err)
	}
	var lost []target
	for _, t := range missing {
		waits, err := gates.mayWait(ctx, set.ByID(t.endpointID))
		if err != nil {
			return err
		}
		if waits {
			r.count(func(sum *Result) { sum.Waiting++ })
			continue
		}
		lost = append(lost, t)
	}
	return each(lost, func(t target) error {
		return r.again(ctx, Unrecorded, t.event.Ref(t.endpointID).ID(), func() error {
			return r.Redriver.SendUnrecorded(ctx, t.event, t.endpointID)
		})
	})
}
