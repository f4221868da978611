package deadletter

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"posthorn/internal/hook"
)

// Rows keeps the deliveries' rows, and entries together with them.
type Rows interface {
	Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error)
	// SaveDelivery makes all of the write or nothing; hook.ErrConflict when
	// the row has changed meanwhile.
	SaveDelivery(ctx context.Context, w hook.DeliveryWrite) error
}

// Entries keeps entries that belong to no delivery.
type Entries interface {
	// PutDeadLetter stores the entry; the same entry again changes nothing.
	PutDeadLetter(ctx context.Context, e *hook.DeadLetter) error
}

// Events keeps accepted events.
type Events interface {
	// ExtendEvent lets the event expire no sooner than until.
	ExtendEvent(ctx context.Context, tenant, id string, until time.Time) error
}

// Endpoints knows a tenant's endpoints.
type Endpoints interface {
	EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error)
}

// Queues are the dead-letter queue and the queue it belongs to.
type Queues interface {
	ReceiveDead(ctx context.Context, limit int) ([]hook.Received, error)
	// DeleteDead removes messages; an error, or none, for each.
	DeleteDead(ctx context.Context, receiptHandles []string) []error
	Send(ctx context.Context, out []hook.Outgoing) []hook.Sent
}

// Jobs knows the long work that control messages belong to.
type Jobs interface {
	// Job returns hook.ErrNotFound when there is none.
	Job(ctx context.Context, tenant, id string) (*hook.Job, error)
}

// Growth counts the entries that are made, by hour.
type Growth interface {
	// GrowDeadLetters adds to an hour's number, and returns it.
	GrowDeadLetters(ctx context.Context, tenant string, hour time.Time, n int) (total int, err error)
}

// Notifier tells a tenant's endpoints what has happened to others of them.
type Notifier interface {
	// Notify sends a notice to those that subscribe to its type by name. The
	// same notice again is the same event.
	Notify(ctx context.Context, n hook.Notice) error
}

// Meter counts deliveries that end.
type Meter interface {
	Ended(s hook.Status)
}

// Sweeper drains the dead-letter queue. All fields are required but Watch.
type Sweeper struct {
	Rows      Rows
	Entries   Entries
	Events    Events
	Endpoints Endpoints
	Queues    Queues
	Jobs      Jobs
	Growth    Growth
	Notifier  Notifier
	Meter     Meter
	Retention time.Duration // of an entry, from the death
	// GrowthNotice is how many new entries within an hour are told of; 0: none
	// are.
	GrowthNotice int
	// EventRetention is how long an event is kept from its acceptance, if
	// nothing extends it.
	EventRetention time.Duration
	// OperatorTenant owns the entries of undecodable messages.
	OperatorTenant string
	// Watch looks whether anybody takes what is ready in the queue; nil: nobody
	// looks.
	Watch func(ctx context.Context) error
	// EntryID makes an entry's id from a moment and a digest of what it stands
	// for: the same of the same.
	EntryID func(at time.Time, digest [32]byte) string
	Now     func() time.Time
	Log     *slog.Logger
}

// Result counts what one sweep did with the messages it found.
type Result struct {
	Buried    int // got an entry
	SentBack  int // went back to the queue
	Discarded int // were over already
	Failed    int // stay in the dead-letter queue until the next sweep
}

func (r Result) total() int { return r.Buried + r.SentBack + r.Discarded + r.Failed }

const (
	batchSize = 10 // of ReceiveMessage
	// sweepMargin is kept back of an invocation's time: no batch is begun with
	// less.
	sweepMargin = 10 * time.Second
	// maxRawBody is how much of an undecodable message is kept, in bytes; an
	// item holds 400 KB.
	maxRawBody = 256 << 10
	// maxReason bounds a reason that quotes such a message, in bytes.
	maxReason = 512
)

// Sweep drains the dead-letter queue until it finds it empty, a batch fails as
// a whole, or the time is nearly up.
func (s *Sweeper) Sweep(ctx context.Context) (Result, error) {
	var sum Result
	start, grown := s.Now(), map[string]int{}
	s.watch(ctx)
	for {
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < sweepMargin {
			break
		}
		batch, err := s.Queues.ReceiveDead(ctx, batchSize)
		if err != nil {
			return sum, fmt.Errorf("sweep: %w", err)
		}
		if len(batch) == 0 {
			break
		}
		before := sum.Failed
		s.sweepBatch(ctx, batch, &sum, grown)
		if sum.Failed-before == len(batch) {
			break // nothing works at the moment; the next sweep tries again
		}
	}
	s.tellGrowth(ctx, start, grown)
	if sum.total() > 0 {
		s.Log.InfoContext(ctx, "sweep", "dead_letters", sum.Buried, "sent_back", sum.SentBack, "discarded", sum.Discarded, "failed", sum.Failed,
			"duration_ms", s.Now().Sub(start).Milliseconds())
	}
	return sum, nil
}

// watchTime bounds how long a sweep waits for the watch.
const watchTime = 5 * time.Second

func (s *Sweeper) watch(ctx context.Context) {
	if s.Watch == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, watchTime)
	defer cancel()
	if err := s.Watch(ctx); err != nil {
		s.Log.WarnContext(ctx, "queue not watched", "error", err)
	}
}

// sweepBatch handles each message and deletes those that are done with. One
// whose delete fails is seen again, and discarded then.
// grown counts the entries that were made, by tenant.
func (s *Sweeper) sweepBatch(ctx context.Context, batch []hook.Received, sum *Result, grown map[string]int) {
	done := make([]string, 0, len(batch))
	var mu sync.Mutex // of done, sum and grown
	var wg sync.WaitGroup
	for _, r := range batch {
		wg.Go(func() {
			one, tenant, err := s.guarded(ctx, r)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				sum.Failed++
				s.Log.WarnContext(ctx, "dead letter not swept", "message_id", r.MessageID, "error", err)
				return
			}
			sum.Buried += one.Buried
			if one.Buried > 0 {
				grown[tenant] += one.Buried
			}
			sum.SentBack += one.SentBack
			sum.Discarded += one.Discarded
			done = append(done, r.ReceiptHandle)
		})
	}
	wg.Wait()
	if len(done) == 0 {
		return
	}
	if err := errors.Join(s.Queues.DeleteDead(ctx, done)...); err != nil {
		s.Log.WarnContext(ctx, "swept messages not deleted", "error", err)
	}
}

// guarded is sweepOne for one of several: a panic is a failure of that message,
// which stays until the next sweep.
func (s *Sweeper) guarded(ctx context.Context, r hook.Received) (one Result, tenant string, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.ErrorContext(ctx, "sweep panicked", "message_id", r.MessageID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("sweep %s: panic: %v", r.MessageID, p)
		}
	}()
	return s.sweepOne(ctx, r)
}

// sweepOne handles one message and says, as a count of one, what it did, and to
// whose.
func (s *Sweeper) sweepOne(ctx context.Context, r hook.Received) (one Result, tenant string, err error) {
	parcel, err := hook.Decode([]byte(r.Raw))
	switch {
	case err != nil:
		return Result{Buried: 1}, s.OperatorTenant, s.buryUndecodable(ctx, r, err)
	case parcel.Control != nil:
		one, err = s.sweepControl(ctx, parcel.Control)
		return one, parcel.Control.Tenant, err
	}
	// A conflict means that somebody decided meanwhile: look again, twice.
	for range 3 {
		if one, err = s.decide(ctx, r, parcel.Delivery); !errors.Is(err, hook.ErrConflict) {
			break
		}
	}
	return one, parcel.Delivery.Tenant, err
}

// strayTime is how long a control message is sent back whose job is not there.
const strayTime = 10 * time.Minute

// sweepControl sends a job's message back, however often: crashes took its
// receives, and without it the job would stand still.
func (s *Sweeper) sweepControl(ctx context.Context, c *hook.Control) (Result, error) {
	j, err := s.Jobs.Job(ctx, c.Tenant, c.JobID)
	switch {
	case errors.Is(err, hook.ErrNotFound):
		if s.Now().Sub(c.SentAt) > strayTime {
			return Result{Discarded: 1}, nil
		}
	case err != nil:
		return Result{}, fmt.Errorf("read job %s: %w", c.JobID, err)
	case j.Status != hook.JobRunning || c.Hop < j.Hop:
		return Result{Discarded: 1}, nil
	}
	next := *c
	next.Hop++
	if err := s.Queues.Send(ctx, []hook.Outgoing{{Control: &next}})[0].Err; err != nil {
		return Result{}, fmt.Errorf("send message of job %s back: %w", c.JobID, err)
	}
	return Result{SentBack: 1}, nil
}

func (s *Sweeper) decide(ctx context.Context, r hook.Received, m *hook.Message) (Result, error) {
	rows, err := s.Rows.Deliveries(ctx, []hook.Ref{m.Ref})
	if err != nil {
		return Result{}, fmt.Errorf("read row of %s: %w", m.ID(), err)
	}
	row := rows[0]
	switch Judge(row, m, r.MessageID) {
	case Bury:
		return Result{Buried: 1}, s.bury(ctx, row)
	case GiveUp:
		return Result{Buried: 1}, s.giveUp(ctx, row, m, r)
	case SendBack:
		next := *m
		next.Hop++
		next.Returns++
		if err := s.Queues.Send(ctx, []hook.Outgoing{{Message: &next}})[0].Err; err != nil {
			return Result{}, fmt.Errorf("send %s back: %w", m.ID(), err)
		}
		return Result{SentBack: 1}, nil
	default:
		return Result{Discarded: 1}, nil
	}
}

// bury makes the entry of a dead row, and marks the row with it.
func (s *Sweeper) bury(ctx context.Context, row *hook.Delivery) error {
	next := *row
	next.Rev++
	return s.save(ctx, &next, false)
}

// giveUp ends an undecided delivery as dead, and makes its entry.
func (s *Sweeper) giveUp(ctx context.Context, row *hook.Delivery, m *hook.Message, r hook.Received) error {
	next := &hook.Delivery{Ref: m.Ref, EventType: m.EventType, CreatedAt: m.CreatedAt, Rev: 1}
	if row != nil {
		replaced := *row
		next = &replaced
		next.Rev++
	}
	next.Gen, next.Hop, next.MessageID = m.Gen, m.Hop, r.MessageID
	unhold := next.Status == hook.Held
	next.Status = hook.Dead
	next.NextAttemptAt = time.Time{}
	next.CompletedAt = s.Now().UTC().Truncate(time.Millisecond)
	next.FailureReason = fmt.Sprintf("no outcome could be recorded in %d rounds through the queue", m.Returns+1)
	next.ExpiresAt = later(later(next.ExpiresAt, m.CreatedAt.Add(s.EventRetention)), next.CompletedAt.Add(s.Retention))
	if err := s.save(ctx, next, unhold); err != nil {
		return err
	}
	s.Meter.Ended(hook.Dead)
	return nil
}

// save writes a dead row together with its entry, after making sure that the
// event, which holds the payload, lives as long. unhold says that it was held.
func (s *Sweeper) save(ctx context.Context, row *hook.Delivery, unhold bool) error {
	set, err := s.Endpoints.EndpointSet(ctx, row.Tenant)
	if err != nil {
		return fmt.Errorf("read endpoints: %w", err)
	}
	e := &hook.DeadLetter{
		ID:        s.EntryID(row.CompletedAt, sha256.Sum256([]byte(row.ID()+"#"+strconv.Itoa(row.Gen)))),
		Ref:       row.Ref,
		Gen:       row.Gen,
		EventType: row.EventType, FailureReason: row.FailureReason, Attempts: row.Attempts,
		CreatedAt: row.CompletedAt, ExpiresAt: row.CompletedAt.Add(s.Retention),
	}
	if endpoint := set.ByID(row.EndpointID); endpoint != nil {
		e.EndpointURL = endpoint.URL
	}
	if e.ExpiresAt.After(row.CreatedAt.Add(s.EventRetention)) {
		if err := s.Events.ExtendEvent(ctx, row.Tenant, row.EventID, e.ExpiresAt); err != nil {
			return fmt.Errorf("extend event: %w", err)
		}
	}
	if err := s.tellDeath(ctx, e); err != nil {
		return err
	}
	w := hook.DeliveryWrite{Delivery: row, AddDeadLetter: e, Unhold: unhold}
	if row.DeadLetterID != "" { // of an earlier generation
		w.DropDeadLetter = row.DeadLetterID
	}
	row.DeadLetterID = e.ID
	if err := s.Rows.SaveDelivery(ctx, w); err != nil {
		return fmt.Errorf("save dead letter of %s: %w", row.ID(), err)
	}
	s.Log.InfoContext(ctx, "dead letter", "dead_letter_id", e.ID, "delivery_id", row.ID(), "tenant", row.Tenant, "event_type", row.EventType,
		"failure_reason", row.FailureReason, "attempts", row.Attempts)
	return nil
}

// buryUndecodable makes an entry of the operator's.
func (s *Sweeper) buryUndecodable(ctx context.Context, r hook.Received, cause error) error {
	at := r.SentAt.UTC().Truncate(time.Millisecond)
	e := &hook.DeadLetter{
		ID:            s.EntryID(at, sha256.Sum256([]byte(r.MessageID))),
		Ref:           hook.Ref{Tenant: s.OperatorTenant},
		FailureReason: cut(cause.Error(), maxReason),
		RawBody:       cut(r.Raw, maxRawBody),
		CreatedAt:     at,
		ExpiresAt:     s.Now().Add(s.Retention),
	}
	if err := s.Entries.PutDeadLetter(ctx, e); err != nil {
		return fmt.Errorf("save undecodable message %s: %w", r.MessageID, err)
	}
	s.Log.ErrorContext(ctx, "dead letter", "dead_letter_id", e.ID, "message_id", r.MessageID, "failure_reason", e.FailureReason)
	return nil
}

// cut shortens s to at most n bytes of whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
