package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"posthorn/internal/deliver/breaker"
	"posthorn/internal/deliver/post"
	"posthorn/internal/deliver/retry"
	"posthorn/internal/hook"
)

// Rows keeps the deliveries' rows, and what deliveries have shown of endpoints.
type Rows interface {
	// Deliveries reads the rows of refs strongly consistently, in their order,
	// nil where there is none.
	Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error)
	// DeliveriesAndStates is Deliveries together with the states of the refs'
	// endpoints, in the same order; the zero state where there is none.
	DeliveriesAndStates(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, []hook.EndpointState, error)
	// SaveDelivery makes all of the write or nothing. It returns
	// hook.ErrConflict when the row is not at the revision before the write's,
	// and nil when it carries this very write already. For a write that holds:
	// hook.ErrNotHeld when the endpoint is not what the write says, and
	// hook.ErrEventGone when the event is no longer stored.
	SaveDelivery(ctx context.Context, w hook.DeliveryWrite) error
}

// Endpoints knows a tenant's endpoints as of a moment after the call began, and
// keeps their states.
type Endpoints interface {
	EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error)
	// DisableEndpoint disables an endpoint that is active, and says whether it
	// has; one that is paused, disabled or gone stays as it is.
	DisableEndpoint(ctx context.Context, tenant, id, reason string) (changed bool, err error)
	// EndpointState reads a state; the zero one where there is none.
	EndpointState(ctx context.Context, tenant, id string) (hook.EndpointState, error)
	// SaveEndpointState writes a state, whose Rev is the new revision: only
	// where the state is at Rev-1, or, for Rev 1, where there is none;
	// hook.ErrConflict otherwise. NextSlot is not written.
	SaveEndpointState(ctx context.Context, tenant, id string, s hook.EndpointState) error
	// ReserveSlots takes n slots, so far apart, of an endpoint's rate limit, or,
	// where id is empty, of everybody's, and returns where they begin: where
	// those taken before end, or now where that has passed.
	ReserveSlots(ctx context.Context, tenant, id string, n int, interval time.Duration, now time.Time) (begin time.Time, err error)
}

// Events reads accepted events; hook.ErrNotFound when one has expired.
type Events interface {
	Event(ctx context.Context, tenant, id string) (*hook.Event, error)
}

// Unsealer opens what is sealed of an endpoint. hook.ErrSealed: it cannot be
// opened; anything else may pass when tried again.
type Unsealer interface {
	Open(ctx context.Context, tenant, endpointID string, sealed []byte) ([]byte, error)
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

// Jobs takes long work further.
type Jobs interface {
	// Step does the next step that a control message asks for, and says whether
	// the message is done with.
	Step(ctx context.Context, c *hook.Control, messageID string) (done bool)
}

// Notifier tells a tenant's endpoints what has happened to others of them.
type Notifier interface {
	// Notify sends a notice to those that subscribe to its type by name. The
	// same notice again is the same event.
	Notify(ctx context.Context, n hook.Notice) error
}

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
	gate     gate
}

func (j *job) carrier() Carrier { return Carrier{Message: j.message, MessageID: j.received.MessageID} }

// batch is one call of Deliver.
type batch struct {
	*Deliverer

	mu      sync.Mutex
	failed  []string                     // ids of the messages that stay in the queue
	learned map[string]*endpointAttempts // by endpoint
}

func (b *batch) stays(r hook.Received) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed = append(b.failed, r.MessageID)
}

// Deliver takes a batch through and returns the ids of the messages that must
// stay in the queue. All others are done with: delivered, on their way in
// another message, or over. The visibility of those that stay has been set
// where they are to come back sooner than the queue's timeout.
//
// It returns before ctx's deadline, whatever the stores do: no post is started
// that could outlast it, and what is not settled in time stays in the queue.
func (d *Deliverer) Deliver(ctx context.Context, received []hook.Received) (failed []string) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, deadline.Add(-returnTime))
		defer cancel()
	}
	b := &batch{Deliverer: d, learned: map[string]*endpointAttempts{}}
	var steps sync.WaitGroup
	chains := make(map[hook.Ref][]*job, len(received))
	refs := make([]hook.Ref, 0, len(received))
	for _, r := range received {
		parcel, err := hook.Decode([]byte(r.Raw))
		switch {
		case err != nil:
			if !d.buryUndecodable(ctx, r, err) {
				b.stays(r)
			}
		case parcel.Control != nil:
			steps.Go(func() { b.step(ctx, r, parcel.Control) })
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
	return b.failed
}

// step has a job's next step done.
func (b *batch) step(ctx context.Context, r hook.Received, c *hook.Control) {
	defer func() {
		if p := recover(); p != nil {
			b.Log.ErrorContext(ctx, "job panicked", "job_id", c.JobID, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			b.stays(r)
		}
	}()
	if !b.Jobs.Step(ctx, c, r.MessageID) {
		b.stays(r)
	}
}

// deliver takes the deliveries of a batch through: those of different rows at
// the same time, messages of the same row one after the other.
func (b *batch) deliver(ctx context.Context, refs []hook.Ref, chains map[hook.Ref][]*job) {
	firsts := make([]*job, len(refs))
	for i, ref := range refs {
		firsts[i] = chains[ref][0]
	}
	err := b.read(ctx, firsts)
	if err != nil {
		b.Log.WarnContext(ctx, "batch deferred", "error", err, "messages", len(refs))
	} else {
		b.admit(ctx, firsts)
	}
	var wg sync.WaitGroup
	for _, ref := range refs {
		wg.Go(func() {
			for n, j := range chains[ref] {
				// The second message of a delivery in one batch must see what
				// the first has written.
				if err == nil && n > 0 {
					if again := b.read(ctx, []*job{j}); again != nil {
						b.Log.WarnContext(ctx, "row not read", "delivery_id", j.message.ID(), "error", again)
						b.settled(j, b.deferral(ctx, j))
						continue
					}
					b.admit(ctx, []*job{j})
				}
				if err != nil {
					b.settled(j, b.deferral(ctx, j))
					continue
				}
				b.settled(j, b.guarded(ctx, j))
			}
		})
	}
	wg.Wait()
}

// settled keeps a message in the queue that is not done with.
func (b *batch) settled(j *job, done bool) {
	if !done {
		b.stays(j.received)
	}
}

// read gets the rows, states and endpoints of some jobs, at the same time.
func (b *batch) read(ctx context.Context, jobs []*job) error {
	refs := make([]hook.Ref, len(jobs))
	sets := make(map[string]*hook.EndpointSet, 1)
	for i, j := range jobs {
		refs[i] = j.message.Ref
		sets[j.message.Tenant] = nil
	}
	var (
		wg      sync.WaitGroup
		rows    []*hook.Delivery
		states  []hook.EndpointState
		rowsErr error
		setErr  error
	)
	wg.Go(func() { rows, states, rowsErr = b.Rows.DeliveriesAndStates(ctx, refs) })
	for tenant := range sets {
		set, err := b.Endpoints.EndpointSet(ctx, tenant)
		if err != nil {
			setErr = fmt.Errorf("read endpoints: %w", err)
			break
		}
		sets[tenant] = set
	}
	wg.Wait()
	if rowsErr != nil {
		rowsErr = fmt.Errorf("read rows: %w", rowsErr)
	}
	if err := errors.Join(rowsErr, setErr); err != nil {
		return err
	}
	for i, j := range jobs {
		j.row, j.state, j.endpoint = rows[i], states[i], sets[j.message.Tenant].ByID(j.message.EndpointID)
		if j.endpoint != nil {
			j.state = breaker.In(j.state, j.endpoint.Epoch)
		}
	}
	return nil
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
func (b *batch) guarded(ctx context.Context, j *job) (done bool) {
	defer func() {
		if p := recover(); p != nil {
			b.Log.ErrorContext(ctx, "delivery panicked", "delivery_id", j.message.ID(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			done = false
		}
	}()
	return b.handle(ctx, j)
}

// handle takes one message through and says whether it is done with.
func (b *batch) handle(ctx context.Context, j *job) (done bool) {
	now := b.Now()
	verdict, until := Decide(j.row, j.message, j.received.MessageID, j.endpoint, now)
	switch verdict {
	case Drop:
		b.Log.DebugContext(ctx, "message dropped", "delivery_id", j.message.ID(), "message_id", j.received.MessageID, "gen", j.message.Gen, "hop", j.message.Hop)
		return true
	case Cancel:
		return b.end(ctx, j, hook.Cancelled, "endpoint deleted")
	case Hold:
		return b.hold(ctx, j)
	case Wait:
		return b.copyOn(ctx, j, until, j.message.Slot)
	case Bury:
		return b.bury(ctx, j)
	case Post:
	}
	switch {
	case j.gate.err != nil:
		b.Log.WarnContext(ctx, "delivery not let through", "delivery_id", j.message.ID(), "error", j.gate.err)
		return b.deferral(ctx, j)
	case j.gate.until.After(now):
		b.Log.DebugContext(ctx, "delivery waits", "delivery_id", j.message.ID(), "for", j.gate.reason, "until", hook.FormatTime(j.gate.until))
		return b.copyOn(ctx, j, j.gate.until, j.gate.slot)
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
		return b.copyOn(ctx, j, later, false)
	}
	if b.tooLate(ctx, j.endpoint.Timeout) {
		free()
		return b.deferral(ctx, j)
	}
	return b.attempt(ctx, j, body, trace, open, free)
}

// body is what is sent, and the producer's traceparent: out of the message, or
// out of its event where the message does not carry it.
func (d *Deliverer) body(ctx context.Context, j *job) (body []byte, trace string, err error) {
	if j.message.Body != nil {
		return j.message.Body, j.message.Trace, nil
	}
	e, err := d.Events.Event(ctx, j.message.Tenant, j.message.EventID)
	if err != nil {
		return nil, "", fmt.Errorf("read event: %w", err)
	}
	return e.Body, e.Trace, nil
}

// opened is what was sealed of an endpoint.
type opened struct {
	secrets []hook.Secret
	headers http.Header
}

// unseal opens what is sealed of an endpoint.
func (d *Deliverer) unseal(ctx context.Context, e *hook.Endpoint) (opened, error) {
	o := opened{secrets: make([]hook.Secret, len(e.Secrets)), headers: make(http.Header, len(e.Headers))}
	for i, s := range e.Secrets {
		plain, err := d.Unsealer.Open(ctx, e.Tenant, e.ID, s.Sealed)
		if err != nil {
			return opened{}, fmt.Errorf("open a secret of %s: %w", e.ID, err)
		}
		o.secrets[i] = hook.Secret{Value: string(plain), ExpiresAt: s.ExpiresAt}
	}
	for _, h := range e.Headers {
		plain, err := d.Unsealer.Open(ctx, e.Tenant, e.ID, h.Sealed)
		if err != nil {
			return opened{}, fmt.Errorf("open header %s of %s: %w", h.Name, e.ID, err)
		}
		o.headers.Set(h.Name, string(plain))
	}
	return o, nil
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
