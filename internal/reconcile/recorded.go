package reconcile

import (
	"context"
	"fmt"
	"slices"

	"posthorn/internal/hook"
)

const rowsPerPage = 100

// recorded looks at the deliveries of which something is recorded and that are
// not over, or that are dead, of every endpoint there is or was.
func (r *run) recorded(ctx context.Context, tenant string, set *hook.EndpointSet, work underWork) error {
	ids := slices.Clone(work.endpoints)
	for _, e := range set.Endpoints {
		ids = append(ids, e.ID)
	}
	slices.Sort(ids)
	return each(slices.Compact(ids), func(id string) error {
		// What is released here is queued afterwards, and would be seen twice.
		for _, status := range []hook.Status{hook.Queued, hook.Retrying, hook.Held, hook.Dead} {
			if status == hook.Held && work.held[id] {
				continue
			}
			q := hook.StateQuery{Tenant: tenant, EndpointID: id, Status: status, Limit: rowsPerPage}
			if status == hook.Dead {
				q.Since = r.start.Add(-r.DeadLetters) // its entry would have expired
			}
			if err := r.byState(ctx, q); err != nil {
				return err
			}
		}
		return nil
	})
}

// byState looks at an endpoint's deliveries in one state.
func (r *run) byState(ctx context.Context, q hook.StateQuery) error {
	for {
		refs, next, err := r.Store.ByState(ctx, q)
		if err != nil {
			return fmt.Errorf("list what is %s: %w", q.Status, err)
		}
		refs = slices.DeleteFunc(refs, func(ref hook.Ref) bool { return !r.within(hook.IDTime(ref.EventID)) })
		if len(refs) > 0 {
			if err := r.rows(ctx, refs); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		q.After = next
	}
}

// rows sends those deliveries of one endpoint again that are lost.
func (r *run) rows(ctx context.Context, refs []hook.Ref) error {
	rows, err := r.Store.Deliveries(ctx, refs)
	if err != nil {
		return fmt.Errorf("read rows: %w", err)
	}
	set, err := r.Store.EndpointSet(ctx, refs[0].Tenant)
	if err != nil {
		return fmt.Errorf("read endpoints: %w", err)
	}
	endpoint, gates := set.ByID(refs[0].EndpointID), r.gates(refs[0].Tenant)
	for _, row := range rows {
		if row == nil {
			continue
		}
		r.count(func(sum *Result) { sum.Recorded++ })
		reason := Lost(row, endpoint, r.start.Add(-r.o.OlderThan))
		if reason == "" {
			continue
		}
		if reason == Requeued || reason == Overdue {
			waits, err := gates.mayWait(ctx, endpoint)
			if err != nil {
				return err
			}
			if waits {
				r.count(func(sum *Result) { sum.Waiting++ })
				continue
			}
		}
		err := r.again(ctx, reason, row.ID(), func() error {
			if reason == Unreleased {
				return r.Redriver.Release(ctx, row)
			}
			return r.Redriver.SendOn(ctx, row)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// gates remembers, for a page, what endpoints' deliveries may be waiting for.
type gates struct {
	*run
	tenant string
	waits  map[string]bool // by endpoint; the empty one is everybody
}

func (r *run) gates(tenant string) *gates {
	return &gates{run: r, tenant: tenant, waits: map[string]bool{}}
}

// mayWait says whether deliveries to an endpoint may be waiting. Nobody waits
// for an endpoint that is gone, or not active: that is recorded at once.
func (g *gates) mayWait(ctx context.Context, e *hook.Endpoint) (bool, error) {
	if e == nil || e.Status != hook.EndpointActive {
		return false, nil
	}
	everybody, err := g.ask(ctx, "", "", 0)
	if everybody || err != nil {
		return everybody, err
	}
	return g.ask(ctx, g.tenant, e.ID, e.Epoch)
}

func (g *gates) ask(ctx context.Context, tenant, id string, epoch int64) (bool, error) {
	if waits, known := g.waits[id]; known {
		return waits, nil
	}
	s, err := g.Store.EndpointState(ctx, tenant, id)
	if err != nil {
		return false, fmt.Errorf("read state: %w", err)
	}
	g.waits[id] = mayWait(s, epoch, g.Now(), g.o.OlderThan)
	return g.waits[id], nil
}
