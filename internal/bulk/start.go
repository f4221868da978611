package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"posthorn/internal/hook"
)

// Store keeps jobs, and what they work on.
type Store interface {
	// PutJob stores a new job. After an error it may be stored or not.
	PutJob(ctx context.Context, j *hook.Job) error
	// Job reads a job strongly consistently; hook.ErrNotFound when there is none.
	Job(ctx context.Context, tenant, id string) (*hook.Job, error)
	// SaveJob writes a job whose Rev is the new revision, only where it is at
	// Rev-1: hook.ErrConflict otherwise.
	SaveJob(ctx context.Context, j *hook.Job) error

	Event(ctx context.Context, tenant, id string) (*hook.Event, error)
	AllTargets(ctx context.Context, e *hook.Event) ([]string, error)
	EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error)
	// DeleteEndpointState removes what deliveries have shown of an endpoint.
	DeleteEndpointState(ctx context.Context, tenant, id string) error
	// ByState lists an endpoint's deliveries that are held, oldest event first,
	// or dead, oldest death first, from where after ends and for the dead from
	// since on. next is empty at the end. It may miss what was written in the
	// last moment, and name what is in that state no more.
	ByState(ctx context.Context, q hook.StateQuery) (refs []hook.Ref, next string, err error)
	// CountByState counts them.
	CountByState(ctx context.Context, q hook.StateQuery) (int, error)
	Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error)
	ListDeadLetters(ctx context.Context, f hook.DeadLetterFilter, p hook.Page) (entries []*hook.DeadLetter, next string, err error)
	CountDeadLetters(ctx context.Context, f hook.DeadLetterFilter) (int, error)
	// DeadLetter reads an entry; hook.ErrNotFound when there is none.
	DeadLetter(ctx context.Context, tenant, id string) (*hook.DeadLetter, error)
}

// Redriver sends deliveries again; see package redrive. hook.ErrNotReplayable
// and hook.ErrNotFound: this one cannot be, and the others may.
type Redriver interface {
	Again(ctx context.Context, ref hook.Ref, row *hook.Delivery) error
	// Resend sends an event to endpoints to which it was not sent again since a
	// time. failed says to which it could not be sent; after err to none.
	Resend(ctx context.Context, event *hook.Event, endpointIDs []string, since time.Time) (failed map[string]error, err error)
	ReplayEntry(ctx context.Context, entry *hook.DeadLetter) (deliveryID string, err error)
	Release(ctx context.Context, row *hook.Delivery) error
	Cancel(ctx context.Context, row *hook.Delivery) (cancelled bool, err error)
}

// Queue takes messages.
type Queue interface {
	Send(ctx context.Context, out []hook.Outgoing) []hook.Sent
}

// Meter counts deliveries that end.
type Meter interface {
	Ended(s hook.Status)
}

// Jobs starts and does long work. All fields are required.
type Jobs struct {
	Store    Store
	Redriver Redriver
	Queue    Queue
	Meter    Meter
	// Retention is how long a job is kept from its last step.
	Retention time.Duration
	NewID     func(prefix string, at time.Time) string // prefix and a ULID of that moment
	Rand      func() float64                           // in [0, 1)
	Now       func() time.Time
	Log       *slog.Logger
}

// startDelay keeps a job's first message from being received before the job is
// stored.
const startDelay = time.Second

// Start starts a job of which Tenant, Kind and what it works on are set, and
// fills in the rest. Its message is in the queue before the job is stored, so
// that there is no job that nothing moves: after an error there may be a
// message of a job that never was, which is dropped.
func (b *Jobs) Start(ctx context.Context, j *hook.Job) error {
	now := b.Now().UTC().Truncate(time.Millisecond)
	j.ID = b.NewID(hook.JobPrefix, now)
	j.Status, j.Rev = hook.JobRunning, 1
	j.CreatedAt, j.UpdatedAt, j.ExpiresAt = now, now, now.Add(b.Retention)
	if err := b.send(ctx, &hook.Control{Tenant: j.Tenant, JobID: j.ID, SentAt: now}, startDelay); err != nil {
		return fmt.Errorf("start %s: %w", j.Kind, err)
	}
	if err := b.Store.PutJob(ctx, j); err != nil {
		return fmt.Errorf("start %s: %w", j.Kind, err)
	}
	b.Log.InfoContext(ctx, "job started", "job_id", j.ID, "kind", string(j.Kind), "tenant", j.Tenant, "event_id", j.EventID, "endpoint_id", j.EndpointID)
	return nil
}

// Nudge sends the message for a running job's next step once more, for a job
// that no message seems to carry on. Should one do so after all, only the first
// of the two goes on.
func (b *Jobs) Nudge(ctx context.Context, j *hook.Job) error {
	c := &hook.Control{Tenant: j.Tenant, JobID: j.ID, Hop: j.Hop + 1, SentAt: b.Now().UTC().Truncate(time.Millisecond)}
	if err := b.send(ctx, c, 0); err != nil {
		return fmt.Errorf("nudge job %s: %w", j.ID, err)
	}
	b.Log.InfoContext(ctx, "job nudged", "job_id", j.ID, "kind", string(j.Kind), "tenant", j.Tenant)
	return nil
}

// Cancel ends a job before it is done, and returns it as it then is. What it
// did stays done. hook.ErrNotFound: there is none; hook.ErrNotCancellable: it
// is over, or of a kind that has to be done.
func (b *Jobs) Cancel(ctx context.Context, tenant, id string) (*hook.Job, error) {
	for {
		j, err := b.Store.Job(ctx, tenant, id)
		if err != nil {
			return nil, fmt.Errorf("cancel job: %w", err)
		}
		if j.Status == hook.JobCancelled {
			return j, nil
		}
		if j.Status != hook.JobRunning || !j.Kind.Cancellable() {
			return nil, fmt.Errorf("cancel job %s: %w", id, hook.ErrNotCancellable)
		}
		j.Status = hook.JobCancelled
		err = b.save(ctx, j)
		if err == nil {
			b.Log.InfoContext(ctx, "job cancelled", "job_id", j.ID, "kind", string(j.Kind), "tenant", j.Tenant, "done", j.Done)
			return j, nil
		}
		if !errors.Is(err, hook.ErrConflict) {
			return nil, fmt.Errorf("cancel job %s: %w", id, err)
		}
	}
}

// save writes a job's next revision.
func (b *Jobs) save(ctx context.Context, j *hook.Job) error {
	j.Rev++
	j.UpdatedAt = b.Now().UTC().Truncate(time.Millisecond)
	j.ExpiresAt = j.UpdatedAt.Add(b.Retention)
	return b.Store.SaveJob(ctx, j)
}

// send puts a control message into the queue.
func (b *Jobs) send(ctx context.Context, c *hook.Control, delay time.Duration) error {
	if err := b.Queue.Send(ctx, []hook.Outgoing{{Control: c, Delay: delay}})[0].Err; err != nil {
		return fmt.Errorf("send control message: %w", err)
	}
	return nil
}
