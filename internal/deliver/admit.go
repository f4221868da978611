package deliver

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"posthorn/internal/deliver/breaker"
	"posthorn/internal/deliver/ratelimit"
	"posthorn/internal/hook"
)

// gate is what the breaker and the rate limits say to one message.
type gate struct {
	until  time.Time     // no post before; now or the zero time: at once
	slot   bool          // until is a slot that is reserved for it
	probe  bool          // it is the breaker's probe
	reason hook.Throttle // what it waits for
	err    error         // they could not be asked
}

// admit asks the breakers and rate limits for those jobs that are to be posted,
// by endpoint. Those of one endpoint are asked for together: a batch takes one
// write, however many of its messages are of one endpoint.
func (b *batch) admit(ctx context.Context, posts map[string][]*job, now time.Time) {
	var wg sync.WaitGroup
	for _, group := range posts {
		wg.Go(func() {
			err := b.guard(ctx, "admission", func() error {
				b.admitEndpoint(ctx, group, now)
				return nil
			}, "endpoint_id", group[0].endpoint.ID)
			if err != nil {
				refuse(group, err)
			}
		})
	}
	wg.Wait()
}

// admitEndpoint asks for the jobs of one endpoint. Everybody's limit comes
// first, so that the endpoint's own slots are none before that one's: then a
// post is made at the very slot of its endpoint, and the endpoint's rate is
// kept exactly, whatever everybody's limit has it wait for.
func (b *batch) admitEndpoint(ctx context.Context, group []*job, now time.Time) {
	var asking []*job
	for _, j := range b.throughBreaker(ctx, group, now) {
		if !j.hasSlot(now) {
			asking = append(asking, j)
		}
	}
	if len(asking) == 0 {
		return
	}
	from := now
	if b.Egress > 0 {
		if from = b.reserve(ctx, asking, "", "", b.Egress, now); from.IsZero() {
			return
		}
	}
	if e := asking[0].endpoint; e.RateLimit > 0 {
		b.reserve(ctx, asking, e.Tenant, e.ID, e.RateLimit, from)
	}
}

// refuse puts jobs off for a trouble of ours.
func refuse(group []*job, err error) {
	for _, j := range group {
		j.gate.err = err
	}
}

// probeLease is how long after a probe's own timeout it counts as lost.
const probeLease = 15 * time.Second

// throughBreaker lets those through that the breaker lets through, and makes
// the others wait.
func (b *batch) throughBreaker(ctx context.Context, group []*job, now time.Time) (through []*job) {
	e, s := group[0].endpoint, group[0].state
	g, until := breaker.Look(s, now)
	switch g {
	case breaker.Pass:
		return group
	case breaker.Probe:
		probing := breaker.TakeProbe(s, now, e.Timeout+probeLease)
		_, until = breaker.Look(probing, now) // for the others, and if somebody else takes it
		err := b.saveState(ctx, e, &probing, s)
		if err == nil {
			for _, j := range group {
				j.state = probing
			}
			group[0].gate.probe = true
			b.wait(group[1:], until)
			return group[:1]
		}
		if !errors.Is(err, hook.ErrConflict) {
			refuse(group, err)
			return nil
		}
	case breaker.Wait:
	}
	b.wait(group, until)
	return nil
}

// wait makes jobs wait for the breaker, spread over as long again: they would
// all come at the same moment.
func (b *batch) wait(group []*job, until time.Time) {
	spread := max(until.Sub(b.Now()), time.Second)
	for _, j := range group {
		j.gate.until, j.gate.reason = until.Add(time.Duration(b.Rand()*float64(spread))), hook.ThrottleBreaker
	}
}

// slotGrace is how long after its slot a message may come and still use it. Who
// comes later asks again: after an outage all slots have passed, and what
// waited would come at once.
const slotGrace = 3 * time.Second

// hasSlot says whether the message has come for the slot that is reserved for
// it. The slot is that of its first receive: who comes back after a failure is
// posted once more.
func (j *job) hasSlot(now time.Time) bool {
	return j.message.Slot && j.received.ReceiveCount == 1 && now.Sub(j.message.NotBefore) < slotGrace
}

// slot is the moment of the slot that the job has in the rate limits, reserved
// now or before.
func (j *job) slot(now time.Time) (at time.Time, ok bool) {
	switch {
	case j.gate.slot:
		return j.gate.until, true
	case j.hasSlot(now):
		return j.message.NotBefore, true
	default:
		return time.Time{}, false
	}
}

// reserve reserves a slot of a limit for each of the jobs, none before a moment,
// and has them wait for it. It returns the first of them; the zero time where
// none could be reserved.
func (b *batch) reserve(ctx context.Context, asking []*job, tenant, id string, rate float64, from time.Time) (first time.Time) {
	limit := ratelimit.PerSecond(rate)
	begin, err := b.Endpoints.ReserveSlots(ctx, tenant, id, len(asking), limit.Interval(), from)
	if err != nil {
		refuse(asking, fmt.Errorf("reserve a slot: %w", err))
		return time.Time{}
	}
	slots := limit.Slots(begin, from, len(asking))
	for i, j := range asking {
		if slots[i].After(j.gate.until) {
			j.gate.until, j.gate.reason = slots[i], hook.ThrottleRateLimit
		}
		j.gate.slot = true
	}
	return slots[0]
}
