package redrive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"posthorn/internal/hook"
)

// Release sends a held delivery on its way again, within the budget it has
// left, and moves its row out of what is held. A row that is held no more stays
// as it is.
func (r *Redriver) Release(ctx context.Context, row *hook.Delivery) error {
	if row.Status != hook.Held {
		return nil
	}
	// The body is read from the event by who posts it.
	sent := r.Queue.Send(ctx, []hook.Outgoing{{Message: &hook.Message{
		Ref: row.Ref, EventType: row.EventType, CreatedAt: row.CreatedAt, Gen: row.Gen, Hop: row.Hop + 1,
	}}})[0]
	if sent.Err != nil {
		return fmt.Errorf("release %s: %w", row.ID(), sent.Err)
	}
	next := *row
	next.Rev++
	next.Hop, next.MessageID = row.Hop+1, sent.MessageID
	next.Status, next.RequeuedAt = hook.Queued, r.now()
	if row.GenAttempts > 0 {
		next.Status, next.NextAttemptAt = hook.Retrying, r.Now()
	}
	next.ExpiresAt = latest(row.CreatedAt.Add(r.Retention), r.Now().Add(r.DeadLetters))
	err := r.Store.SaveDelivery(ctx, hook.DeliveryWrite{Delivery: &next, Unhold: true})
	if errors.Is(err, hook.ErrConflict) {
		return nil // the message, or somebody else, was faster
	}
	if err != nil {
		return fmt.Errorf("release %s: %w", row.ID(), err)
	}
	return nil
}

// Cancel ends a held delivery whose endpoint was deleted. A row that is held no
// more stays as it is.
func (r *Redriver) Cancel(ctx context.Context, row *hook.Delivery) (cancelled bool, err error) {
	if row.Status != hook.Held {
		return false, nil
	}
	next := *row
	next.Rev++
	next.Status, next.CompletedAt, next.NextAttemptAt, next.FailureReason = hook.Cancelled, r.now(), time.Time{}, "endpoint deleted"
	next.ExpiresAt = latest(row.CreatedAt.Add(r.Retention), r.Now().Add(r.DeadLetters))
	err = r.Store.SaveDelivery(ctx, hook.DeliveryWrite{Delivery: &next, Unhold: true})
	if errors.Is(err, hook.ErrConflict) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cancel %s: %w", row.ID(), err)
	}
	return true, nil
}
