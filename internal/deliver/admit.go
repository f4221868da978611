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
	until  time.Time // no post before; now or the zero time: at once
	slot   bool      // until is a slot that is reserved for it
	probe  bool      // it is the breaker's probe
	reason string    // what it waits for
	err    error     // they could not be asked
}

// admit asks the breakers and rate limits for all those jobs that are to be
// posted. Those of one endpoint are asked for together: a batch takes one
// write, however many of its messages are of one endpoint.
func (b *batch) admit(ctx context.Context, jobs []*job) {
	now := b.Now()
	groups := make(map[string][]*job, 1)
	for _, j := range jobs {
		if v, _ := Decide(j.row, j.message, j.received.MessageID, j.endpoint, now); v == Post {
			groups[j.endpoint.ID] = append(groups[j.endpoint.ID], j)
		}
	}
	var wg sync.WaitGroup
	for _, group := range groups {
		wg.Go(func() { b.admitEndpoint(ctx, group, now) })
	}
	wg.Wait()
}

// admitEndpoint asks for the jobs of one endpoint.
func (b *batch) admitEndpoint(ctx context.Context, group []*job, now time.Time) {
	group = b.throughBreaker(ctx, group, now)
	e := group0(group)
	if e == nil {
		return
	}
	if e.RateLimit > 0 {
		b.throughLimit(ctx, group, now, e.Tenant, e.ID, e.RateLimit)
	}
	if b.Egress > 0 {
		b.throughLimit(ctx, group, now, "", "", b.Egress)
	}
}

// group0 is the endpoint of a group, nil when it is empty.
func group0(group []*job) *hook.Endpoint {
	if len(group) == 0 {
		return nil
	}
	return group[0].endpoint
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
		taken, err := b.saveState(ctx, e, &probing, s)
		if err == nil && taken {
			for _, j := range group {
				j.state = probing
			}
			group[0].gate.probe = true
			b.wait(group[1:], until)
			return group[:1]
		}
		if err != nil && !errors.Is(err, hook.ErrConflict) {
			for _, j := range group {
				j.gate.err = err
			}
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
		j.gate.until, j.gate.reason = until.Add(time.Duration(b.Rand()*float64(spread))), "breaker"
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

// throughLimit reserves slots for those jobs that have none, and makes those
// wait whose slot is still to come.
func (b *batch) throughLimit(ctx context.Context, group []*job, now time.Time, tenant, id string, rate float64) {
	var asking []*job
	for _, j := range group {
		if j.gate.err == nil && !j.hasSlot(now) {
			asking = append(asking, j)
		}
	}
	if len(asking) == 0 {
		return
	}
	limit := ratelimit.PerSecond(rate)
	begin, err := b.Endpoints.ReserveSlots(ctx, tenant, id, len(asking), limit.Interval(), now)
	for i, at := range limit.Slots(begin, now, len(asking)) {
		j := asking[i]
		switch {
		case err != nil:
			j.gate.err = fmt.Errorf("reserve a slot: %w", err)
		case at.After(j.gate.until):
			j.gate.until, j.gate.slot, j.gate.reason = at, true, "rate_limit"
		}
	}
}
