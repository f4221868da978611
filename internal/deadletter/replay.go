package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"posthorn/internal/hook"
)

// Store is what a replay reads and writes.
type Store interface {
	DeadLetter(ctx context.Context, tenant, id string) (*hook.DeadLetter, error)
	DeleteDeadLetter(ctx context.Context, tenant, id string) error
	Endpoint(ctx context.Context, tenant, id string) (*hook.Endpoint, error)
	Event(ctx context.Context, tenant, id string) (*hook.Event, error)
	Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error)
	SaveDelivery(ctx context.Context, w hook.DeliveryWrite) error
}

// Queue takes messages.
type Queue interface {
	Send(ctx context.Context, out []hook.Outgoing) []hook.Sent
}

// Replayer sends dead deliveries again. All fields are required.
type Replayer struct {
	Store Store
	Queue Queue
	Log   *slog.Logger
}

// Replay sends the delivery of a dead letter again, with a fresh budget, and
// removes the entry. It returns the delivery's id. The message is in the queue
// before anything else changes: should the rest fail, the delivery goes its
// way all the same, and its first record removes the entry.
//
// hook.ErrNotFound: there is no such entry. hook.ErrNotReplayable: the entry
// is no delivery, or its endpoint or event is gone.
func (r *Replayer) Replay(ctx context.Context, tenant, id string) (deliveryID string, err error) {
	entry, err := r.Store.DeadLetter(ctx, tenant, id)
	if err != nil {
		return "", fmt.Errorf("replay: %w", err)
	}
	if !entry.Replayable() {
		return "", fmt.Errorf("replay %s: no delivery: %w", id, hook.ErrNotReplayable)
	}
	row, err := r.row(ctx, entry)
	if err != nil {
		return "", err
	}
	if row != nil && (row.Gen > entry.Gen || row.Status == hook.Delivered) {
		return entry.Ref.ID(), r.clear(ctx, entry) // replayed already, or late success
	}
	event, err := r.material(ctx, entry)
	if err != nil {
		return "", err
	}
	sent := r.Queue.Send(ctx, []hook.Outgoing{{Message: &hook.Message{
		Ref: entry.Ref, EventType: event.Type, CreatedAt: event.CreatedAt, Gen: entry.Gen + 1, Body: hook.InlineBody(event.Body),
	}}})[0]
	if sent.Err != nil {
		return "", fmt.Errorf("replay %s: %w", id, sent.Err)
	}
	// The delivery is on its way: what it records takes the entry along, should
	// this fail.
	if err := r.requeue(ctx, entry, row, sent.MessageID); err != nil {
		r.Log.WarnContext(ctx, "replayed entry not cleared yet", "dead_letter_id", id, "error", err)
	}
	r.Log.InfoContext(ctx, "replay", "dead_letter_id", id, "delivery_id", entry.Ref.ID(), "tenant", tenant, "gen", entry.Gen+1)
	return entry.Ref.ID(), nil
}

func (r *Replayer) row(ctx context.Context, entry *hook.DeadLetter) (*hook.Delivery, error) {
	rows, err := r.Store.Deliveries(ctx, []hook.Ref{entry.Ref})
	if err != nil {
		return nil, fmt.Errorf("replay %s: %w", entry.ID, err)
	}
	return rows[0], nil
}

// material makes sure that the delivery can be made, and returns its event.
func (r *Replayer) material(ctx context.Context, entry *hook.DeadLetter) (*hook.Event, error) {
	_, err := r.Store.Endpoint(ctx, entry.Tenant, entry.EndpointID)
	if errors.Is(err, hook.ErrNotFound) {
		return nil, fmt.Errorf("replay %s: the endpoint was deleted: %w", entry.ID, hook.ErrNotReplayable)
	}
	if err != nil {
		return nil, fmt.Errorf("replay %s: %w", entry.ID, err)
	}
	event, err := r.Store.Event(ctx, entry.Tenant, entry.EventID)
	if errors.Is(err, hook.ErrNotFound) {
		return nil, fmt.Errorf("replay %s: the event has expired: %w", entry.ID, hook.ErrNotReplayable)
	}
	if err != nil {
		return nil, fmt.Errorf("replay %s: %w", entry.ID, err)
	}
	return event, nil
}

// requeue moves the row into its new generation and removes the entry, in one
// transaction, unless the message has done so itself meanwhile.
func (r *Replayer) requeue(ctx context.Context, entry *hook.DeadLetter, row *hook.Delivery, messageID string) error {
	for range 3 {
		if row == nil || row.Gen > entry.Gen {
			return r.clear(ctx, entry)
		}
		next := *row
		next.Rev++
		next.Gen, next.Hop, next.MessageID = entry.Gen+1, 0, messageID
		next.GenAttempts = 0
		next.Status, next.CompletedAt, next.NextAttemptAt = hook.Queued, time.Time{}, time.Time{}
		next.DeadLetterID = ""
		err := r.Store.SaveDelivery(ctx, hook.DeliveryWrite{Delivery: &next, DropDeadLetter: entry.ID})
		if err == nil {
			return nil
		}
		if !errors.Is(err, hook.ErrConflict) {
			return fmt.Errorf("replay %s: %w", entry.ID, err)
		}
		if row, err = r.row(ctx, entry); err != nil {
			return err
		}
	}
	return fmt.Errorf("replay %s: %w", entry.ID, hook.ErrConflict)
}

// clear removes an entry whose delivery is on its way.
func (r *Replayer) clear(ctx context.Context, entry *hook.DeadLetter) error {
	err := r.Store.DeleteDeadLetter(ctx, entry.Tenant, entry.ID)
	if err != nil && !errors.Is(err, hook.ErrNotFound) {
		return fmt.Errorf("replay %s: %w", entry.ID, err)
	}
	return nil
}
