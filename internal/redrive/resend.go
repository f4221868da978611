package redrive

import (
	"context"
	"fmt"

	"posthorn/internal/hook"
)

// Resend sends an event to endpoints again, or for the first time: to each a
// delivery with a fresh budget of attempts. Endpoints that have been deleted
// meanwhile are passed over. It stops at the first that cannot be sent to.
func (r *Redriver) Resend(ctx context.Context, event *hook.Event, endpointIDs []string) error {
	set, err := r.Store.EndpointSet(ctx, event.Tenant)
	if err != nil {
		return fmt.Errorf("resend %s: read endpoints: %w", event.ID, err)
	}
	var refs []hook.Ref
	for _, id := range endpointIDs {
		if set.ByID(id) != nil {
			refs = append(refs, event.Ref(id))
		}
	}
	rows, err := r.Store.Deliveries(ctx, refs)
	if err != nil {
		return fmt.Errorf("resend %s: %w", event.ID, err)
	}
	for i, ref := range refs {
		gen := 1
		if rows[i] != nil {
			gen = rows[i].Gen + 1
		}
		if err := r.send(ctx, ref, rows[i], event, gen); err != nil {
			return fmt.Errorf("resend %s: %w", event.ID, err)
		}
	}
	r.Log.InfoContext(ctx, "resend", "event_id", event.ID, "tenant", event.Tenant, "endpoints", len(refs))
	return nil
}
