package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"posthorn/internal/deliver/breaker"
	"posthorn/internal/hook"
)

// endpointAttempts is what a batch has seen of one endpoint.
type endpointAttempts struct {
	endpoint *hook.Endpoint
	state    hook.EndpointState // as it was read
	attempts []breaker.Attempt
}

// saw notes what came of a post.
func (b *batch) saw(j *job, at time.Time, failed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e := b.learned[j.endpoint.ID]
	if e == nil {
		e = &endpointAttempts{endpoint: j.endpoint, state: j.state}
		b.learned[j.endpoint.ID] = e
	}
	e.attempts = append(e.attempts, breaker.Attempt{At: at, Failed: failed, Probe: j.gate.probe})
}

// learn brings the breakers up to date with what the batch has seen: one write
// an endpoint, and none for one that all goes well with.
func (b *batch) learn(ctx context.Context) {
	var wg sync.WaitGroup
	for _, e := range b.learned {
		wg.Go(func() {
			err := b.guard(ctx, "breaker", func() error { return b.learnOf(ctx, e) }, "endpoint_id", e.endpoint.ID)
			if err != nil {
				// The breaker is a little late: nothing is lost.
				b.Log.WarnContext(ctx, "breaker not brought up to date", "endpoint_id", e.endpoint.ID, "error", err)
			}
		})
	}
	wg.Wait()
}

// learnTries bounds how often a state is computed again that others have
// changed meanwhile.
const learnTries = 5

func (b *batch) learnOf(ctx context.Context, e *endpointAttempts) error {
	state := e.state
	for try := range learnTries {
		next, changes := b.recorded(state, e.attempts)
		if next == state {
			return nil
		}
		if slices.Contains(changes, breaker.Closed) {
			// First, and under a key that follows from the state: whoever closes
			// this breaker tells the same.
			if err := b.tellRecovered(ctx, e.endpoint, state); err != nil {
				return err
			}
		}
		err := b.saveState(ctx, e.endpoint, &next, state)
		if err == nil {
			return b.react(ctx, e.endpoint, next, changes)
		}
		if !errors.Is(err, hook.ErrConflict) {
			return err
		}
		if try > 0 && !b.pause(ctx, time.Duration(20<<try)*time.Millisecond) {
			break
		}
		if state, err = b.Endpoints.EndpointState(ctx, e.endpoint.Tenant, e.endpoint.ID); err != nil {
			return fmt.Errorf("read state: %w", err)
		}
		state = breaker.In(state, e.endpoint.Seen())
	}
	return hook.ErrConflict
}

func (b *batch) tellRecovered(ctx context.Context, e *hook.Endpoint, open hook.EndpointState) error {
	fields := map[string]any{"endpoint_id": e.ID, "endpoint_url": e.URL}
	if !open.FailingSince.IsZero() { // what was posted before it opened may have succeeded since
		fields["failing_since"] = hook.FormatTime(open.FailingSince)
	}
	err := b.Notifier.Notify(ctx, hook.Notice{
		Tenant: e.Tenant, Type: hook.NoticeRecovered, EndpointID: e.ID, Key: fmt.Sprintf("%s recovered %d", e.ID, open.OpenUntil.UnixMilli()),
		Fields: fields,
	})
	if err != nil {
		return fmt.Errorf("tell that %s has recovered: %w", e.ID, err)
	}
	return nil
}

// recorded is a state after the batch's attempts.
func (b *batch) recorded(s hook.EndpointState, attempts []breaker.Attempt) (next hook.EndpointState, changes []breaker.Change) {
	next = s
	for _, a := range attempts {
		if !a.Failed && breaker.Quiet(next) {
			continue // all goes well: nothing is counted
		}
		var c breaker.Change
		next, c = breaker.Record(b.Breaker, next, a)
		if c != breaker.None {
			changes = append(changes, c)
		}
	}
	return next, changes
}

// saveState writes next over before; hook.ErrConflict when somebody else was
// faster. A write whose answer was lost is recognised by its mark.
func (b *batch) saveState(ctx context.Context, e *hook.Endpoint, next *hook.EndpointState, before hook.EndpointState) error {
	next.Rev, next.Mark = before.Rev+1, b.NewID()
	err := b.Endpoints.SaveEndpointState(ctx, e.Tenant, e.ID, *next)
	if err == nil {
		return nil
	}
	if !errors.Is(err, hook.ErrConflict) {
		return fmt.Errorf("save state: %w", err)
	}
	found, err := b.Endpoints.EndpointState(ctx, e.Tenant, e.ID)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if found.Mark != next.Mark {
		return hook.ErrConflict
	}
	return nil
}

// react does what a changed state asks for.
func (b *batch) react(ctx context.Context, e *hook.Endpoint, s hook.EndpointState, changes []breaker.Change) error {
	for _, c := range changes {
		switch c {
		case breaker.Opened:
			b.Log.WarnContext(ctx, "breaker opened", "endpoint_id", e.ID, "tenant", e.Tenant, "until", hook.FormatTime(s.OpenUntil), "times", s.Opened)
		case breaker.Closed:
			b.Log.InfoContext(ctx, "breaker closed", "endpoint_id", e.ID, "tenant", e.Tenant)
		case breaker.None:
		}
	}
	if breaker.Exhausted(b.Breaker, s, b.Now()) {
		return b.disable(ctx, e, fmt.Sprintf("nothing but failures for %s", days(b.Breaker.DisableAfter)))
	}
	return nil
}

// days writes a time for people: "5 days", "36h0m0s".
func days(d time.Duration) string {
	const day = 24 * time.Hour
	if d >= 2*day && d%day == 0 {
		return fmt.Sprintf("%d days", d/day)
	}
	return d.String()
}

// disable tells that an endpoint is disabled, and disables it, unless it was
// changed since it was posted to: it may have been mended. It tells first, and
// under a key that follows from the endpoint: whoever disables it tells the
// same, and so does the next failure where this one got no further.
func (b *batch) disable(ctx context.Context, e *hook.Endpoint, reason string) error {
	set, err := b.Endpoints.EndpointSet(ctx, e.Tenant)
	if err != nil {
		return fmt.Errorf("read endpoints: %w", err)
	}
	if now := set.ByID(e.ID); now == nil || now.Rev != e.Rev || now.Status != hook.EndpointActive {
		b.Log.InfoContext(ctx, "endpoint not disabled: it was changed meanwhile", "endpoint_id", e.ID, "tenant", e.Tenant, "reason", reason)
		return nil
	}
	err = b.Notifier.Notify(ctx, hook.Notice{
		Tenant: e.Tenant, Type: hook.NoticeDisabled, EndpointID: e.ID, Key: fmt.Sprintf("%s disabled %d", e.ID, e.Epoch),
		Fields: map[string]any{"endpoint_id": e.ID, "endpoint_url": e.URL, "reason": reason},
	})
	if err != nil {
		return fmt.Errorf("tell that %s is disabled: %w", e.ID, err)
	}
	changed, err := b.Endpoints.DisableEndpoint(ctx, e, reason)
	if err != nil {
		return fmt.Errorf("disable %s: %w", e.ID, err)
	}
	if changed {
		b.Log.WarnContext(ctx, "endpoint disabled", "endpoint_id", e.ID, "tenant", e.Tenant, "reason", reason)
	}
	return nil
}
