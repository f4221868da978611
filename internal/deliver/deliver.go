package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"posthorn/internal/deliver/post"
	"posthorn/internal/deliver/retry"
	"posthorn/internal/hook"
)

// Rows keeps the deliveries' rows.
type Rows interface {
	// Deliveries reads the rows of refs strongly consistently, in their order,
	// nil where there is none.
	Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error)
	// SaveDelivery makes all of the write or nothing. It returns
	// hook.ErrConflict when the row is not at the revision before the write's,
	// and nil when it carries this very write already.
	SaveDelivery(ctx context.Context, w hook.DeliveryWrite) error
}

// Endpoints knows a tenant's endpoints as of a moment after the call began.
type Endpoints interface {
	EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error)
}

// Events reads accepted events; hook.ErrNotFound when one has expired.
type Events interface {
	Event(ctx context.Context, tenant, id string) (*hook.Event, error)
}

// Queue is the queue that the messages came from and its dead-letter queue.
type Queue interface {
	// Send puts messages into the queue, each of them or not: a nil Err says
	// that it is durably there.
	Send(ctx context.Context, out []hook.Outgoing) []hook.Sent
	// SendDead puts a message body into the dead-letter queue.
	SendDead(ctx context.Context, raw string) error
	// Release sets how long received messages stay invisible; an error, or
	// none, for each.
	Release(ctx context.Context, rs []hook.Release) []error
}

// Poster posts a request to an endpoint and tells what came of it.
type Poster interface {
	Post(ctx context.Context, r post.Request) post.Result
}

// Signer adds the signature headers for a body sent at a moment.
type Signer func(h http.Header, secrets []hook.Secret, eventID string, at time.Time, body []byte)

// Meter counts what happened.
type Meter interface {
	Attempt(o hook.Outcome, d time.Duration)
	Ended(s hook.Status)
	// Lag is the age of a delivery when it was first taken up.
	Lag(d time.Duration)
}

// Deliverer delivers batches. All fields are required.
type Deliverer struct {
	Rows      Rows
	Endpoints Endpoints
	Events    Events
	Queue     Queue
	Poster    Poster
	Sign      Signer
	Meter     Meter
	Policies  *retry.Policies
	Shares    *Shares // of the posts under way, by endpoint
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
}

func (j *job) carrier() Carrier { return Carrier{Message: j.message, MessageID: j.received.MessageID} }

// Deliver takes a batch through and returns the ids of the messages that must
// stay in the queue. All others are done with: delivered, on their way in
// another message, or over. The visibility of those that stay has been set
// where they are to come back sooner than the queue's timeout.
//
// It returns before ctx's deadline, whatever the stores do: no post is started
// that could outlast it, and what is not settled in time stays in the queue.
func (d *Deliverer) Deliver(ctx context.Context, batch []hook.Received) (failed []string) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-returnTime))
		defer cancel()
	}
	var mu sync.Mutex
	stays := func(r hook.Received) {
		mu.Lock()
		defer mu.Unlock()
		failed = append(failed, r.MessageID)
	}
	chains := make(map[hook.Ref][]*job, len(batch))
	refs := make([]hook.Ref, 0, len(batch))
	for _, r := range batch {
		m, err := hook.DecodeMessage([]byte(r.Raw))
		if err != nil {
			if !d.buryUndecodable(ctx, r, err) {
				stays(r)
			}
			continue
		}
		if chains[m.Ref] == nil {
			refs = append(refs, m.Ref)
		}
		chains[m.Ref] = append(chains[m.Ref], &job{received: r, message: m})
	}
	if len(refs) == 0 {
		return failed
	}
	rows, sets, err := d.read(ctx, refs)
	if err != nil {
		d.Log.WarnContext(ctx, "batch deferred", "error", err, "messages", len(batch))
	}
	var wg sync.WaitGroup
	for i, ref := range refs {
		wg.Go(func() {
			for n, j := range chains[ref] {
				if err == nil {
					j.row, j.endpoint = rows[i], sets[ref.Tenant].ByID(ref.EndpointID)
				}
				// The second message of a delivery in one batch must see what
				// the first has written.
				if err != nil || n > 0 && !d.reread(ctx, j) {
					if !d.deferral(ctx, j) {
						stays(j.received)
					}
					continue
				}
				if !d.guarded(ctx, j) {
					stays(j.received)
				}
			}
		})
	}
	wg.Wait()
	return failed
}

// read gets the rows of refs and the endpoint sets of their tenants, at the
// same time.
func (d *Deliverer) read(ctx context.Context, refs []hook.Ref) (rows []*hook.Delivery, sets map[string]*hook.EndpointSet, err error) {
	var wg sync.WaitGroup
	var rowsErr error
	wg.Go(func() { rows, rowsErr = d.Rows.Deliveries(ctx, refs) })
	sets = make(map[string]*hook.EndpointSet, 1)
	for _, ref := range refs {
		if sets[ref.Tenant] != nil || err != nil {
			continue
		}
		var set *hook.EndpointSet
		if set, err = d.Endpoints.EndpointSet(ctx, ref.Tenant); err != nil {
			err = fmt.Errorf("read endpoints of a batch: %w", err)
		}
		sets[ref.Tenant] = set
	}
	wg.Wait()
	if rowsErr != nil {
		return nil, nil, fmt.Errorf("read rows of a batch: %w", rowsErr)
	}
	return rows, sets, err
}

// reread brings the job's row up to date; false when it cannot be read.
func (d *Deliverer) reread(ctx context.Context, j *job) bool {
	rows, err := d.Rows.Deliveries(ctx, []hook.Ref{j.message.Ref})
	if err != nil {
		d.Log.WarnContext(ctx, "row not read", "delivery_id", j.message.ID(), "error", err)
		return false
	}
	j.row = rows[0]
	return true
}

// guarded handles one message; a panic costs that message its turn, not the
// batch its answer.
func (d *Deliverer) guarded(ctx context.Context, j *job) (done bool) {
	defer func() {
		if p := recover(); p != nil {
			d.Log.ErrorContext(ctx, "delivery panicked", "delivery_id", j.message.ID(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			done = false
		}
	}()
	return d.handle(ctx, j)
}

// handle takes one message through and says whether it is done with.
func (d *Deliverer) handle(ctx context.Context, j *job) (done bool) {
	now := d.Now()
	verdict, until := Decide(j.row, j.message, j.received.MessageID, j.endpoint, now)
	switch verdict {
	case Drop:
		d.Log.DebugContext(ctx, "message dropped", "delivery_id", j.message.ID(), "message_id", j.received.MessageID, "gen", j.message.Gen, "hop", j.message.Hop)
		return true
	case Cancel:
		return d.end(ctx, j, hook.Cancelled, "endpoint deleted")
	case Wait:
		return d.copyOn(ctx, j, until)
	case Bury:
		return d.bury(ctx, j)
	case Post:
	}
	if j.row == nil && j.message.Hop == 0 {
		d.Meter.Lag(now.Sub(j.message.CreatedAt))
	}
	body, err := d.body(ctx, j)
	switch {
	case err != nil && isNotFound(err):
		return d.end(ctx, j, hook.Dead, "event is no longer stored")
	case err != nil:
		d.Log.WarnContext(ctx, "event not read", "delivery_id", j.message.ID(), "error", err)
		return d.deferral(ctx, j)
	}
	free, until, ok := d.Shares.Take(ctx, j.endpoint.ID)
	if !ok {
		return d.copyOn(ctx, j, until)
	}
	if d.tooLate(ctx, j.endpoint.Timeout) {
		free()
		return d.deferral(ctx, j)
	}
	return d.attempt(ctx, j, body, free)
}

func (d *Deliverer) body(ctx context.Context, j *job) ([]byte, error) {
	if j.message.Body != nil {
		return j.message.Body, nil
	}
	e, err := d.Events.Event(ctx, j.message.Tenant, j.message.EventID)
	if err != nil {
		return nil, fmt.Errorf("read event: %w", err)
	}
	return e.Body, nil
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
