package redrive

import (
	"context"
	"errors"
	"fmt"

	"posthorn/internal/hook"
)

// Replay sends the delivery of a dead letter again, with a fresh budget, and
// removes the entry. It returns the delivery's id.
//
// hook.ErrNotFound: there is no such entry. hook.ErrNotReplayable: the entry
// is no delivery, or its endpoint or event is gone.
func (r *Redriver) Replay(ctx context.Context, tenant, id string) (deliveryID string, err error) {
	entry, err := r.Store.DeadLetter(ctx, tenant, id)
	if err != nil {
		return "", fmt.Errorf("replay: %w", err)
	}
	return r.ReplayEntry(ctx, entry)
}

// ReplayEntry is Replay for an entry that was just read.
func (r *Redriver) ReplayEntry(ctx context.Context, entry *hook.DeadLetter) (deliveryID string, err error) {
	if !entry.Replayable() {
		return "", fmt.Errorf("replay %s: no delivery: %w", entry.ID, hook.ErrNotReplayable)
	}
	row, err := r.row(ctx, entry.Ref)
	if err != nil {
		return "", fmt.Errorf("replay %s: %w", entry.ID, err)
	}
	if row != nil && (row.Gen > entry.Gen || row.Status == hook.Delivered) {
		return entry.Ref.ID(), r.clear(ctx, entry) // replayed already, or late success
	}
	event, err := r.material(ctx, entry.Ref)
	if err != nil {
		return "", fmt.Errorf("replay %s: %w", entry.ID, err)
	}
	if err := r.send(ctx, entry.Ref, row, event, entry.Gen+1); err != nil {
		return "", fmt.Errorf("replay %s: %w", entry.ID, err)
	}
	// The row takes the entry along, where it names it. Should that have failed,
	// the first record of the new generation does.
	if row == nil || row.DeadLetterID != entry.ID {
		if err := r.clear(ctx, entry); err != nil {
			r.Log.WarnContext(ctx, "replayed entry not cleared yet", "dead_letter_id", entry.ID, "error", err)
		}
	}
	r.Log.InfoContext(ctx, "replay", "dead_letter_id", entry.ID, "delivery_id", entry.Ref.ID(), "tenant", entry.Tenant, "gen", entry.Gen+1)
	return entry.Ref.ID(), nil
}

// clear removes an entry whose delivery is on its way.
func (r *Redriver) clear(ctx context.Context, entry *hook.DeadLetter) error {
	err := r.Store.DeleteDeadLetter(ctx, entry.Tenant, entry.ID)
	if err != nil && !errors.Is(err, hook.ErrNotFound) {
		return fmt.Errorf("remove entry %s: %w", entry.ID, err)
	}
	return nil
}
