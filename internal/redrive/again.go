package redrive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"posthorn/internal/hook"
)

// Store is what sending again reads and writes.
type Store interface {
	EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error)
	Event(ctx context.Context, tenant, id string) (*hook.Event, error)
	// ExtendEvent lets an event, and what is kept beside it, expire no sooner
	// than until.
	ExtendEvent(ctx context.Context, tenant, id string, until time.Time) error
	// Recipients returns the ids of all endpoints that the event matched or was
	// resent to, AddRecipients notes more of the latter until a time.
	Recipients(ctx context.Context, e *hook.Event) ([]string, error)
	AddRecipients(ctx context.Context, e *hook.Event, endpointIDs []string, until time.Time) error
	Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error)
	SaveDelivery(ctx context.Context, w hook.DeliveryWrite) error
	DeadLetter(ctx context.Context, tenant, id string) (*hook.DeadLetter, error)
	DeleteDeadLetter(ctx context.Context, tenant, id string) error
}

// Queue takes messages.
type Queue interface {
	Send(ctx context.Context, out []hook.Outgoing) []hook.Sent
}

// Redriver sends deliveries again. All fields are required.
type Redriver struct {
	Store Store
	Queue Queue
	// Retention is how long a delivery is kept from its event's acceptance,
	// DeadLetters how long at least from when it is sent again.
	Retention   time.Duration
	DeadLetters time.Duration
	Now         func() time.Time
	Log         *slog.Logger
}

// Retry sends a delivery again, whatever its state, with a fresh budget of
// attempts; its attempts go on counting. hook.ErrNotFound: there is no such
// delivery. hook.ErrNotReplayable: its endpoint was deleted.
func (r *Redriver) Retry(ctx context.Context, ref hook.Ref) error {
	row, err := r.row(ctx, ref)
	if err != nil {
		return err
	}
	if row == nil {
		event, err := r.Store.Event(ctx, ref.Tenant, ref.EventID)
		if err != nil {
			return fmt.Errorf("retry %s: %w", ref.ID(), err)
		}
		recipients, err := r.Store.Recipients(ctx, event)
		if err != nil {
			return fmt.Errorf("retry %s: %w", ref.ID(), err)
		}
		if !slices.Contains(recipients, ref.EndpointID) {
			return fmt.Errorf("delivery %s: %w", ref.ID(), hook.ErrNotFound)
		}
	}
	if err := r.Again(ctx, ref, row); err != nil {
		return err
	}
	r.Log.InfoContext(ctx, "retry", "delivery_id", ref.ID(), "tenant", ref.Tenant)
	return nil
}

// Again sends a delivery again whose row was just read (nil: there is none),
// with a fresh budget of attempts. hook.ErrNotReplayable: its endpoint was
// deleted, or its event has expired.
func (r *Redriver) Again(ctx context.Context, ref hook.Ref, row *hook.Delivery) error {
	event, err := r.material(ctx, ref)
	if err != nil {
		return fmt.Errorf("send %s again: %w", ref.ID(), err)
	}
	gen := 1
	if row != nil {
		gen = row.Gen + 1
	}
	return r.send(ctx, ref, row, event, gen)
}

// send puts a message of generation gen into the queue, and moves the row
// there.
func (r *Redriver) send(ctx context.Context, ref hook.Ref, row *hook.Delivery, event *hook.Event, gen int) error {
	if err := r.keepEvent(ctx, ref, event.CreatedAt); err != nil {
		return fmt.Errorf("send %s again: %w", ref.ID(), err)
	}
	sent := r.Queue.Send(ctx, []hook.Outgoing{{Message: &hook.Message{
		Ref: ref, EventType: event.Type, CreatedAt: event.CreatedAt, Gen: gen, Body: hook.InlineBody(event.Body), Trace: event.Trace,
	}}})[0]
	if sent.Err != nil {
		return fmt.Errorf("send %s again: %w", ref.ID(), sent.Err)
	}
	// The delivery is on its way: its own first record makes up for a move that
	// fails here.
	if err := r.requeue(ctx, ref, row, event, gen, sent.MessageID); err != nil {
		r.Log.WarnContext(ctx, "row of a delivery sent again not moved yet", "delivery_id", ref.ID(), "error", err)
	}
	return nil
}

// keepEvent lets an event live as long as the row of a delivery that is sent
// again: its payload has to be there when the last attempt comes, and one that
// is made later extends it further.
func (r *Redriver) keepEvent(ctx context.Context, ref hook.Ref, createdAt time.Time) error {
	until := r.Now().Add(r.DeadLetters)
	if !until.After(createdAt.Add(r.Retention)) {
		return nil // it does so by itself
	}
	return r.Store.ExtendEvent(ctx, ref.Tenant, ref.EventID, until)
}

func (r *Redriver) row(ctx context.Context, ref hook.Ref) (*hook.Delivery, error) {
	rows, err := r.Store.Deliveries(ctx, []hook.Ref{ref})
	if err != nil {
		return nil, fmt.Errorf("read row of %s: %w", ref.ID(), err)
	}
	return rows[0], nil
}

// material makes sure that the delivery can be made, and returns its event.
func (r *Redriver) material(ctx context.Context, ref hook.Ref) (*hook.Event, error) {
	set, err := r.Store.EndpointSet(ctx, ref.Tenant)
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	if set.ByID(ref.EndpointID) == nil {
		return nil, fmt.Errorf("the endpoint was deleted: %w", hook.ErrNotReplayable)
	}
	event, err := r.Store.Event(ctx, ref.Tenant, ref.EventID)
	if errors.Is(err, hook.ErrNotFound) {
		return nil, fmt.Errorf("the event has expired: %w", hook.ErrNotReplayable)
	}
	if err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	return event, nil
}

// requeueTries bounds how often a row is moved again that has changed
// meanwhile.
const requeueTries = 4

// requeue moves the row into its new generation, in one transaction with the
// end of what belonged to the old one, unless the message has done so itself
// meanwhile.
func (r *Redriver) requeue(ctx context.Context, ref hook.Ref, row *hook.Delivery, event *hook.Event, gen int, messageID string) error {
	for range requeueTries {
		if row != nil && row.Gen >= gen {
			return nil
		}
		err := r.Store.SaveDelivery(ctx, r.queued(ref, row, event, gen, messageID))
		if err == nil {
			return nil
		}
		if !errors.Is(err, hook.ErrConflict) {
			return err
		}
		if row, err = r.row(ctx, ref); err != nil {
			return err
		}
	}
	return hook.ErrConflict
}

// queued is the write that puts a row into a generation of which nothing has
// been tried.
func (r *Redriver) queued(ref hook.Ref, row *hook.Delivery, event *hook.Event, gen int, messageID string) hook.DeliveryWrite {
	next := &hook.Delivery{Ref: ref, EventType: event.Type, CreatedAt: event.CreatedAt}
	w := hook.DeliveryWrite{Delivery: next}
	if row != nil {
		*next = *row
		w.DropDeadLetter, w.Unhold = row.DeadLetterID, row.Status == hook.Held
	}
	next.Rev++
	next.Gen, next.Hop, next.MessageID, next.GenAttempts = gen, 0, messageID, 0
	next.Status, next.CompletedAt, next.NextAttemptAt, next.DeadLetterID = hook.Queued, time.Time{}, time.Time{}, ""
	next.RequeuedAt = r.now()
	next.ExpiresAt = latest(next.ExpiresAt, event.CreatedAt.Add(r.Retention), r.Now().Add(r.DeadLetters))
	return w
}

// now is the moment as a row keeps it.
func (r *Redriver) now() time.Time { return r.Now().UTC().Truncate(time.Millisecond) }

func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, func(a, b time.Time) int { return a.Compare(b) })
}
