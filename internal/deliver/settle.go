package deliver

import (
	"context"
	"errors"
	"time"

	"posthorn/internal/hook"
)

const (
	// maxVisibilityWait is the longest delay that is waited out in flight. A
	// queue has about 120,000 places in flight and goes silent when they are
	// taken, so longer waits are spent as delayed copies.
	maxVisibilityWait = 30 * time.Second
	// maxDelay is the longest DelaySeconds (SendMessage, SQS API reference).
	maxDelay = 900 * time.Second
	// deferTime is about how long a delivery waits when our own stores fail;
	// twice as long each further time in a row, up to maxDeferTime, or to the
	// default retry policy's MaxDelay where that is shorter: who wants to know of
	// an endpoint's recovery sooner wants to know of ours.
	deferTime    = 10 * time.Second
	maxDeferTime = 5 * time.Minute
)

// settle does with the message what the row as it now is asks for, and says
// whether the message is done with.
//
// SQS may give out a message twice at once. Where the other receive has recorded
// the death, this message is still the one to reach the dead-letter queue:
// acknowledged, it would be gone before the redrive policy took it.
func (d *Deliverer) settle(ctx context.Context, j *job) (done bool) {
	switch row := j.row; {
	case row == nil:
		return true
	case unburied(row, j.message, j.received.MessageID):
		return d.bury(ctx, j)
	case row.Status == hook.Retrying && Current(row, j.message, j.received.MessageID):
		return d.backOff(ctx, j, row.NextAttemptAt)
	default:
		return true // it is over, or another message carries it on
	}
}

// backOff brings the delivery back when its next attempt is due: the same
// message where it may be received once more and the wait is short, a copy
// otherwise.
func (d *Deliverer) backOff(ctx context.Context, j *job, at time.Time) (done bool) {
	wait := at.Sub(d.Now())
	if wait <= maxVisibilityWait && j.received.ReceiveCount < d.MaxReceives && d.release(ctx, j, ceilSeconds(wait)) {
		return false
	}
	next := j.next(at)
	// An outcome is on record: returns before it no longer say that the
	// delivery gets nowhere.
	next.Returns = 0
	return d.copyOn(ctx, j, next, at)
}

// next is the message that follows the job's and is posted no sooner than at.
func (j *job) next(at time.Time) hook.Message {
	next := *j.message
	next.Hop++
	next.NotBefore, next.Slot, next.Deferrals = at, false, 0
	return next
}

// copyOn sends the next message, which comes at the moment at or as near to it
// as one delay reaches, and says whether the original is done with. The original
// stays when the copy could not be sent: the rules of Decide hold it back until
// it is due.
func (d *Deliverer) copyOn(ctx context.Context, j *job, next hook.Message, at time.Time) (done bool) {
	delay := min(ceilSeconds(at.Sub(d.Now())), maxDelay)
	sent := d.Queue.Send(ctx, []hook.Outgoing{{Message: &next, Delay: delay}})
	if err := sent[0].Err; err != nil {
		d.Log.WarnContext(ctx, "copy not sent", "delivery_id", j.message.ID(), "error", err)
		return false
	}
	return true
}

// waitOn goes on with a wait that is longer than one delay, or was cut short.
func (b *batch) waitOn(ctx context.Context, j *job) (done bool) {
	next := j.next(j.until)
	next.Slot = j.message.Slot && j.until.Equal(j.message.NotBefore)
	next.Deferrals = j.message.Deferrals
	return b.copyOn(ctx, j, next, j.until)
}

// waitAt waits for what the breaker and the rate limits have said.
func (b *batch) waitAt(ctx context.Context, j *job) (done bool) {
	next := j.next(j.gate.until)
	next.Slot = j.gate.slot
	return b.copyOn(ctx, j, next, j.gate.until)
}

// putOff waits for a place among the endpoint's posts. A slot that the message
// has in the rate limits stays its own if it is back before that has long
// passed.
func (b *batch) putOff(ctx context.Context, j *job, until time.Time) (done bool) {
	now := b.Now()
	next := j.next(until)
	if at, ok := j.slot(now); ok && now.Add(ceilSeconds(until.Sub(now))).Sub(at) < slotGrace {
		next.NotBefore, next.Slot = at, true
	}
	return b.copyOn(ctx, j, next, until)
}

// deferral puts the delivery off because of a trouble of ours, by copy so that
// neither an attempt nor a receive is used up.
func (d *Deliverer) deferral(ctx context.Context, j *job) (done bool) {
	longest := max(deferTime, min(maxDeferTime, d.Policies.Default.MaxDelay))
	wait := min(deferTime<<min(j.message.Deferrals, 10), longest)
	at := d.Now().Add(ceilSeconds(wait/2 + time.Duration(d.Rand()*float64(wait))))
	next := j.next(at)
	next.Deferrals = j.message.Deferrals + 1
	return d.copyOn(ctx, j, next, at)
}

// bury brings a delivery that is recorded as dead to the dead-letter queue: by
// the redrive policy where this was the last receive, by its own hand
// otherwise.
func (d *Deliverer) bury(ctx context.Context, j *job) (done bool) {
	if j.received.ReceiveCount >= d.MaxReceives {
		// Failing to make it visible only delays the redrive.
		d.release(ctx, j, 0)
		return false
	}
	if err := d.Queue.SendDead(ctx, j.received.Raw); err != nil {
		d.Log.WarnContext(ctx, "dead letter not sent", "delivery_id", j.message.ID(), "error", err)
		return false
	}
	return true
}

// buryUndecodable sends a message that cannot be read to the dead-letter
// queue, where the sweeper makes it visible to the operator.
func (d *Deliverer) buryUndecodable(ctx context.Context, r hook.Received, cause error) (done bool) {
	d.Log.ErrorContext(ctx, "message cannot be decoded", "message_id", r.MessageID, "error", cause)
	if err := d.Queue.SendDead(ctx, r.Raw); err != nil {
		d.Log.WarnContext(ctx, "dead letter not sent", "message_id", r.MessageID, "error", err)
		return false
	}
	return true
}

// end records that the delivery is over without an attempt, and settles.
func (d *Deliverer) end(ctx context.Context, j *job, status hook.Status, reason string) (done bool) {
	_, written, err := d.record(ctx, j, func(row *hook.Delivery) (hook.DeliveryWrite, bool) {
		return End(row, j.carrier(), status, reason, d.Now(), d.Keep)
	})
	if err != nil {
		d.Log.WarnContext(ctx, "end not recorded", "delivery_id", j.message.ID(), "status", string(status), "error", err)
		return d.deferral(ctx, j)
	}
	if written {
		d.Log.InfoContext(ctx, "delivery ended", "delivery_id", j.message.ID(), "tenant", j.message.Tenant, "status", string(status), "reason", reason)
	}
	return d.settle(ctx, j)
}

// hold records that the delivery waits for its endpoint to be active again.
func (b *batch) hold(ctx context.Context, j *job) (done bool) {
	_, written, err := b.record(ctx, j, func(row *hook.Delivery) (hook.DeliveryWrite, bool) {
		return Suspend(row, j.carrier(), j.endpoint, b.Now(), b.Keep)
	})
	switch {
	case errors.Is(err, hook.ErrEventGone):
		return b.end(ctx, j, hook.Dead, "event is no longer stored")
	case errors.Is(err, hook.ErrNotHeld):
		b.Log.InfoContext(ctx, "hold refused", "delivery_id", j.message.ID(), "endpoint_id", j.message.EndpointID, "tenant", j.message.Tenant,
			"reason", "the endpoint was changed since it was read", "endpoint_status", string(j.endpoint.Status), "epoch", j.endpoint.Epoch)
		at := b.Now().Add(time.Second) // who reads it then decides again
		return b.copyOn(ctx, j, j.next(at), at)
	case err != nil:
		b.Log.WarnContext(ctx, "hold not recorded", "delivery_id", j.message.ID(), "error", err)
		return b.deferral(ctx, j)
	case !written:
		return b.settle(ctx, j)
	}
	b.Log.InfoContext(ctx, "delivery held", "delivery_id", j.message.ID(), "endpoint_id", j.message.EndpointID, "tenant", j.message.Tenant,
		"endpoint_status", string(j.endpoint.Status))
	return true
}

// release sets how long the message stays invisible; false when it could not.
func (d *Deliverer) release(ctx context.Context, j *job, after time.Duration) bool {
	errs := d.Queue.Release(ctx, []hook.Release{{ReceiptHandle: j.received.ReceiptHandle, After: after}})
	if errs[0] != nil {
		d.Log.WarnContext(ctx, "visibility not changed", "delivery_id", j.message.ID(), "error", errs[0])
		return false
	}
	return true
}

// ceilSeconds rounds up to whole seconds, at least 0.
func ceilSeconds(d time.Duration) time.Duration {
	return max(0, (d + time.Second - 1).Truncate(time.Second))
}
