package redrive

import (
	"context"
	"fmt"
	"slices"
	"time"

	"posthorn/internal/hook"
)

// Resend sends an event to endpoints again, or for the first time: to each a
// delivery with a fresh budget of attempts. Endpoints that have been deleted
// meanwhile are passed over, and so is a delivery that was sent again at since or
// later: with the moment when a step began that may be repeated, it is sent once
// all the same. The zero time passes over none.
//
// failed says of which endpoints the delivery could not be sent, and why; after
// err none was.
func (r *Redriver) Resend(ctx context.Context, event *hook.Event, endpointIDs []string, since time.Time) (failed map[string]error, err error) {
	set, err := r.Store.EndpointSet(ctx, event.Tenant)
	if err != nil {
		return nil, fmt.Errorf("resend %s: read endpoints: %w", event.ID, err)
	}
	var refs []hook.Ref
	for _, id := range endpointIDs {
		if set.ByID(id) != nil {
			refs = append(refs, event.Ref(id))
		}
	}
	if err := r.note(ctx, event, refs); err != nil {
		return nil, fmt.Errorf("resend %s: %w", event.ID, err)
	}
	rows, err := r.Store.Deliveries(ctx, refs)
	if err != nil {
		return nil, fmt.Errorf("resend %s: %w", event.ID, err)
	}
	sent := 0
	for i, ref := range refs {
		gen := 1
		if row := rows[i]; row != nil {
			if !since.IsZero() && !row.RequeuedAt.Before(since) {
				continue
			}
			gen = row.Gen + 1
		}
		if err := r.send(ctx, ref, rows[i], event, gen); err != nil {
			if failed == nil {
				failed = map[string]error{}
			}
			failed[ref.EndpointID] = fmt.Errorf("resend %s: %w", event.ID, err)
			continue
		}
		sent++
	}
	r.Log.InfoContext(ctx, "resend", "event_id", event.ID, "tenant", event.Tenant, "endpoints", sent, "failed", len(failed))
	return failed, nil
}

// note adds to the event's recipients those that it did not have, before
// anything is sent to them: their deliveries are seen from then on.
func (r *Redriver) note(ctx context.Context, event *hook.Event, refs []hook.Ref) error {
	known, err := r.Store.Recipients(ctx, event)
	if err != nil {
		return err
	}
	var fresh []string
	for _, ref := range refs {
		if !slices.Contains(known, ref.EndpointID) {
			fresh = append(fresh, ref.EndpointID)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return r.Store.AddRecipients(ctx, event, fresh, latest(event.CreatedAt.Add(r.Retention), r.Now().Add(r.DeadLetters)))
}
