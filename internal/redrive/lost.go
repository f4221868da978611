package redrive

import (
	"context"
	"errors"
	"fmt"

	"posthorn/internal/hook"
)

// SendUnrecorded sends a delivery of which nothing is recorded once more, as
// the acceptance of its event did, and then makes a row that says so.
//
// Should the message be in the queue that seemed lost, it is as good as this
// one: the row names neither, and the first of the two that records drops the
// other. So what waits for a slot of a rate limit keeps its place.
func (r *Redriver) SendUnrecorded(ctx context.Context, event *hook.Event, endpointID string) error {
	ref := event.Ref(endpointID)
	if err := r.keepEvent(ctx, ref, event.CreatedAt); err != nil {
		return fmt.Errorf("send %s once more: %w", ref.ID(), err)
	}
	sent := r.Queue.Send(ctx, []hook.Outgoing{{Message: &hook.Message{
		Ref: ref, EventType: event.Type, CreatedAt: event.CreatedAt, Body: hook.InlineBody(event.Body), Trace: event.Trace,
	}}})[0]
	if sent.Err != nil {
		return fmt.Errorf("send %s once more: %w", ref.ID(), sent.Err)
	}
	r.noteSent(ctx, &hook.Delivery{
		Ref: ref, EventType: event.Type, CreatedAt: event.CreatedAt, Status: hook.Queued, Rev: 1, RequeuedAt: r.now(),
		ExpiresAt: latest(event.CreatedAt.Add(r.Retention), event.ExpiresAt, r.Now().Add(r.DeadLetters)),
	})
	r.Log.InfoContext(ctx, "delivery sent once more", "delivery_id", ref.ID(), "tenant", ref.Tenant, "status", "")
	return nil
}

// SendOn sends a delivery on whose row was just read and which no message seems
// to carry, within the budget that it has left: whoever takes the message does
// what the row and the endpoint ask for. A row that is queued or retrying then
// says that it was sent again; any other stays as it is.
//
// The message is the next hop's, and so counts whatever the row says of the one
// before. The row goes on naming the one that seems lost: should it come, it
// counts too, and the first of them that records a higher hop drops the others.
func (r *Redriver) SendOn(ctx context.Context, row *hook.Delivery) error {
	if err := r.keepEvent(ctx, row.Ref, row.CreatedAt); err != nil {
		return fmt.Errorf("send %s on: %w", row.ID(), err)
	}
	// The body is read from the event by who posts it.
	sent := r.Queue.Send(ctx, []hook.Outgoing{{Message: &hook.Message{
		Ref: row.Ref, EventType: row.EventType, CreatedAt: row.CreatedAt, Gen: row.Gen, Hop: row.Hop + 1,
	}}})[0]
	if sent.Err != nil {
		return fmt.Errorf("send %s on: %w", row.ID(), sent.Err)
	}
	if row.Status == hook.Queued || row.Status == hook.Retrying {
		next := *row
		next.Rev++
		next.RequeuedAt = r.now()
		next.ExpiresAt = latest(row.ExpiresAt, r.Now().Add(r.DeadLetters))
		r.noteSent(ctx, &next)
	}
	r.Log.InfoContext(ctx, "delivery sent on", "delivery_id", row.ID(), "tenant", row.Tenant, "status", string(row.Status))
	return nil
}

// noteSent writes a row that says when its delivery was sent again. A row that has
// changed meanwhile tells more than that. The delivery is on its way whatever
// comes of it: without the note it may be sent once more than it need be.
func (r *Redriver) noteSent(ctx context.Context, row *hook.Delivery) {
	err := r.Store.SaveDelivery(ctx, hook.DeliveryWrite{Delivery: row})
	if err != nil && !errors.Is(err, hook.ErrConflict) {
		r.Log.WarnContext(ctx, "not noted that a delivery was sent again", "delivery_id", row.ID(), "error", err)
	}
}
