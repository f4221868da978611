package deliver

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"posthorn/internal/deliver/breaker"
	"posthorn/internal/deliver/retry"
	"posthorn/internal/hook"
)

// Deliverer delivers batches. All fields are required.
type Deliverer struct {
	Rows      Rows
	Endpoints Endpoints
	Events    Events
	Unsealer  Unsealer
	Queue     Queue
	Poster    Poster
	Sign      Signer
	Meter     Meter
	Jobs      Jobs
	Notifier  Notifier
	Policies  *retry.Policies
	Breaker   breaker.Config
	Shares    *Shares // of the posts under way, by endpoint
	Egress    float64 // posts a second of everybody together; 0: no limit
	Keep      Limits
	// MaxReceives is the queue's maxReceiveCount: a message that was received
	// so often goes to the dead-letter queue on its next receive.
	MaxReceives int
	UserAgent   string
	NewID       func() string  // of an attempt: unique
	Rand        func() float64 // in [0, 1)
	Now         func() time.Time
	Log         *slog.Logger
}

// job is one message on its way through.
type job struct {
	received hook.Received
	message  *hook.Message
	row      *hook.Delivery
	endpoint *hook.Endpoint
	state    hook.EndpointState
	verdict  Verdict
	until    time.Time // of Wait
	gate     gate      // of Post
}

func (j *job) carrier() Carrier { return Carrier{Message: j.message, MessageID: j.received.MessageID} }

// batch is one call of Deliver.
type batch struct {
	*Deliverer
	over func(messageID string)

	mu      sync.Mutex
	failed  []string                     // ids of the messages that stay in the queue
	learned map[string]*endpointAttempts // by endpoint
	clean   []success                    // to be told of together
}

// Deliver takes a batch through and returns the ids of the messages that must
// stay in the queue. All others are done with: delivered, on their way in
// another message, or over. The visibility of those that stay has been set
// where they are to come back sooner than the queue's timeout.
//
// It returns before ctx's deadline, whatever the stores do: no post is started
// that could outlast it, and what is not settled in time stays in the queue.
// What panics is a trouble of our own: its message comes back.
func (d *Deliverer) Deliver(ctx context.Context, received []hook.Received) (failed []string) {
	return d.DeliverEach(ctx, received, func(string) {})
}

// DeliverEach is Deliver, and calls over with each message's id as soon as
// nothing more happens to it in this call, whatever became of it: from several
// goroutines, and long before the call ends where others take their time.
func (d *Deliverer) DeliverEach(ctx context.Context, received []hook.Received, over func(messageID string)) (failed []string) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-returnTime))
		defer cancel()
	}
	d.Meter.Taken()
	b := &batch{Deliverer: d, over: over, learned: map[string]*endpointAttempts{}}
	var steps sync.WaitGroup
	chains := make(map[hook.Ref][]*job, len(received))
	refs := make([]hook.Ref, 0, len(received))
	for _, r := range received {
		parcel, err := hook.Decode([]byte(r.Raw))
		switch {
		case err != nil:
			b.settled(r, b.guarded(ctx, r, func() bool { return d.buryUndecodable(ctx, r, err) }))
		case parcel.Control != nil:
			steps.Go(func() {
				b.settled(r, b.guarded(ctx, r, func() bool { return b.Jobs.Step(ctx, parcel.Control, r.MessageID) }))
			})
		default:
			m := parcel.Delivery
			if chains[m.Ref] == nil {
				refs = append(refs, m.Ref)
			}
			chains[m.Ref] = append(chains[m.Ref], &job{received: r, message: m})
		}
	}
	if len(refs) > 0 {
		b.deliver(ctx, refs, chains)
	}
	steps.Wait()
	b.learn(ctx)
	b.logClean(ctx)
	return b.failed
}

// deliver takes the deliveries of a batch through: those of different rows at
// the same time, messages of the same row one after the other.
func (b *batch) deliver(ctx context.Context, refs []hook.Ref, chains map[hook.Ref][]*job) {
	firsts := make([]*job, len(refs))
	for i, ref := range refs {
		firsts[i] = chains[ref][0]
	}
	unprepared := b.prepare(ctx, firsts)
	if unprepared != nil {
		b.Log.WarnContext(ctx, "batch deferred", "error", unprepared, "messages", len(refs))
	}
	var wg sync.WaitGroup
	for _, ref := range refs {
		wg.Go(func() {
			for n, j := range chains[ref] {
				err := unprepared
				if err == nil && n > 0 {
					// The second message of a delivery in one batch must see what
					// the first has written.
					if err = b.prepare(ctx, []*job{j}); err != nil {
						b.Log.WarnContext(ctx, "delivery deferred", "delivery_id", j.message.ID(), "error", err)
					}
				}
				b.settled(j.received, b.guarded(ctx, j.received, func() bool {
					if err != nil {
						return b.deferral(ctx, j)
					}
					return b.handle(ctx, j)
				}))
			}
		})
	}
	wg.Wait()
}

// settled keeps a message in the queue that is not done with.
func (b *batch) settled(r hook.Received, done bool) {
	if !done {
		b.mu.Lock()
		b.failed = append(b.failed, r.MessageID)
		b.mu.Unlock()
	}
	b.over(r.MessageID)
}

// guarded has something done with a message, and says whether the message is
// done with. One that makes a panic stays in the queue: it comes again, and when
// that does not help the sweeper brings it to light.
func (b *batch) guarded(ctx context.Context, r hook.Received, do func() (done bool)) (done bool) {
	err := b.guard(ctx, "message", func() error {
		done = do()
		return nil
	}, "message_id", r.MessageID)
	return err == nil && done
}

// handle does with a message what was decided, and says whether it is done with.
func (b *batch) handle(ctx context.Context, j *job) (done bool) {
	switch j.verdict {
	case Drop:
		b.Log.DebugContext(ctx, "message dropped", "delivery_id", j.message.ID(), "message_id", j.received.MessageID, "gen", j.message.Gen, "hop", j.message.Hop)
		return true
	case Cancel:
		return b.end(ctx, j, hook.Cancelled, "endpoint deleted")
	case Finish:
		return b.end(ctx, j, hook.Dead, retry.Reason(http.StatusGone))
	case Hold:
		return b.hold(ctx, j)
	case Wait:
		return b.waitOn(ctx, j)
	case Bury:
		return b.bury(ctx, j)
	case Post:
	}
	now := b.Now()
	switch {
	case j.gate.err != nil:
		b.Log.WarnContext(ctx, "delivery not let through", "delivery_id", j.message.ID(), "error", j.gate.err)
		return b.deferral(ctx, j)
	case j.gate.until.After(now):
		b.Log.DebugContext(ctx, "delivery waits", "delivery_id", j.message.ID(), "for", string(j.gate.reason), "until", hook.FormatTime(j.gate.until))
		b.Meter.Throttled(j.gate.reason)
		return b.waitAt(ctx, j)
	}
	if j.row == nil && j.message.Hop == 0 {
		b.Meter.Lag(now.Sub(j.message.CreatedAt))
	}
	body, trace, err := b.body(ctx, j)
	switch {
	case errors.Is(err, hook.ErrNotFound):
		return b.end(ctx, j, hook.Dead, "event is no longer stored")
	case err != nil:
		b.Log.WarnContext(ctx, "event not read", "delivery_id", j.message.ID(), "error", err)
		return b.deferral(ctx, j)
	}
	open, err := b.unseal(ctx, j.endpoint)
	switch {
	case errors.Is(err, hook.ErrSealed):
		b.Log.ErrorContext(ctx, "secrets cannot be opened", "delivery_id", j.message.ID(), "error", err)
		return b.end(ctx, j, hook.Dead, "the endpoint's secrets cannot be opened")
	case err != nil:
		b.Log.WarnContext(ctx, "secrets not opened", "delivery_id", j.message.ID(), "error", err)
		return b.deferral(ctx, j)
	}
	free, later, ok := b.Shares.Take(ctx, j.endpoint.ID)
	if !ok {
		b.Meter.Throttled(hook.ThrottleConcurrency)
		return b.putOff(ctx, j, later)
	}
	return b.attempt(ctx, j, material{body, trace, open}, free)
}

// returnTime is what is kept back of an invocation's time to answer: one that
// overruns its time repeats the whole batch.
const returnTime = 3 * time.Second

// settleTime is what is kept back of an invocation's time to record and
// settle after the longest post.
const settleTime = 5 * time.Second

// tooLate says whether a post that may take timeout could outlast the
// invocation, whose end would repeat every post of the batch.
func (d *Deliverer) tooLate(ctx context.Context, timeout time.Duration) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < timeout+settleTime
}
