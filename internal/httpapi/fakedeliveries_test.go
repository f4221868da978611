package httpapi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"posthorn/internal/hook"
)

func (w *world) Deliveries(_ context.Context, refs []hook.Ref) (rows []*hook.Delivery, err error) {
	err = w.call("deliveries", func() {
		for _, ref := range refs {
			rows = append(rows, w.rows[ref])
		}
	})
	return rows, err
}

func (w *world) Attempts(_ context.Context, ref hook.Ref, newest int) (attempts []hook.Attempt, err error) {
	err = w.call("attempts", func() {
		attempts = slices.Clone(w.later[ref])
		slices.Reverse(attempts)
		attempts = attempts[:min(len(attempts), newest)]
	})
	return attempts, err
}

func (w *world) ListDeliveries(_ context.Context, f hook.DeliveryFilter, p hook.Page) (page []*hook.Delivery, next string, err error) {
	err = w.call("list deliveries", func() {
		var all []*hook.Delivery
		for _, d := range w.rows {
			if d.Tenant == f.Tenant && d.EndpointID == f.EndpointID && (f.Status == "" || f.Status == d.Status) &&
				(f.EventType == "" || f.EventType == d.EventType) && inSpan(d.CreatedAt, f.Since, f.Until) {
				all = append(all, d)
			}
		}
		page, next = pageOf(all, func(d *hook.Delivery) string { return d.EventID }, p)
	})
	return page, next, err
}

func (w *world) DeadLetter(_ context.Context, tenant, id string) (d *hook.DeadLetter, err error) {
	if err = w.call("dead", func() { d = w.dead[id] }); err != nil {
		return nil, err
	}
	if d == nil || d.Tenant != tenant {
		return nil, hook.ErrNotFound
	}
	return d, nil
}

func (w *world) ListDeadLetters(_ context.Context, f hook.DeadLetterFilter, p hook.Page) (page []*hook.DeadLetter, next string, err error) {
	err = w.call("list dead", func() {
		var all []*hook.DeadLetter
		for _, d := range w.dead {
			if d.Tenant == f.Tenant && (f.EndpointID == "" || f.EndpointID == d.EndpointID) &&
				(f.EventType == "" || f.EventType == d.EventType) && inSpan(d.CreatedAt, f.Since, f.Until) {
				all = append(all, d)
			}
		}
		page, next = pageOf(all, func(d *hook.DeadLetter) string { return d.ID }, p)
	})
	return page, next, err
}

func (w *world) DeleteDeadLetter(ctx context.Context, tenant, id string) error {
	if _, err := w.DeadLetter(ctx, tenant, id); err != nil {
		return err
	}
	return w.call("delete dead", func() { delete(w.dead, id) })
}

func (w *world) CountDeadLetters(_ context.Context, f hook.DeadLetterFilter) (n int, err error) {
	err = w.call("count dead", func() {
		for _, d := range w.dead {
			if d.Tenant == f.Tenant && (f.EndpointID == "" || f.EndpointID == d.EndpointID) && (f.Reason == "" || f.Reason == d.FailureReason) &&
				(f.EventType == "" || f.EventType == d.EventType) && inSpan(d.CreatedAt, f.Since, f.Until) {
				n++
			}
		}
	})
	return n, err
}

func (w *world) Replay(ctx context.Context, tenant, id string) (string, error) {
	d, err := w.DeadLetter(ctx, tenant, id)
	if err != nil {
		return "", fmt.Errorf("replay %s: %w", id, err)
	}
	if !d.Replayable() {
		return "", fmt.Errorf("replay %s: %w", id, hook.ErrNotReplayable)
	}
	return d.Ref.ID(), w.call("replay", func() { delete(w.dead, id) })
}

// API keys

func (w *world) Retry(_ context.Context, ref hook.Ref) error {
	d := w.rows[ref]
	if d == nil {
		return hook.ErrNotFound
	}
	if w.eps[ref.EndpointID] == nil {
		return hook.ErrNotReplayable
	}
	return w.call("retry", func() { w.retried = append(w.retried, ref) })
}

func (w *world) Resend(_ context.Context, _ *hook.Event, ids []string, since time.Time) (failed map[string]error, err error) {
	if !since.IsZero() {
		return nil, errors.New("a caller's own resend is always one more")
	}
	failed = map[string]error{}
	if err := w.call("resend one", func() {}); err != nil {
		failed[ids[len(ids)-1]] = err
	}
	if len(failed) > 0 {
		return failed, nil
	}
	return nil, w.call("resend", func() { w.resent = append(w.resent, ids...) })
}
