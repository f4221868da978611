package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"posthorn/internal/deliver/post"
	"posthorn/internal/deliver/retry"
	"posthorn/internal/hook"
)

// attempt posts, records, and settles. It calls free once the post has ended.
func (b *batch) attempt(ctx context.Context, j *job, with material, free func()) (done bool) {
	a, result, made := b.post(ctx, j, with, free)
	if !made {
		return b.deferral(ctx, j)
	}
	if ctx.Err() != nil && result.Outcome != hook.OutcomeSuccess {
		return false // we were stopped, not the endpoint: the message comes back by itself
	}
	b.Meter.Attempt(a.Outcome, a.Duration)
	b.saw(j, a.At.Add(a.Duration), a.Outcome != hook.OutcomeSuccess)

	plan := b.plan(j, result)
	w, written, err := b.record(ctx, j, func(row *hook.Delivery) (hook.DeliveryWrite, bool) {
		return Apply(row, j.carrier(), a, plan, b.Keep)
	})
	if written && clean(j, w.Delivery) {
		b.succeeded(j, a)
	} else {
		b.logAttempt(ctx, j, a, w, written, err)
	}
	if result.StatusCode == http.StatusGone {
		return b.gone(ctx, j, a.Error, err)
	}
	if err != nil {
		// What happened is not on record: the delivery is tried again, and no
		// attempt is used up.
		return b.deferral(ctx, j)
	}
	if written && w.Delivery.Status == hook.Delivered && w.Delivery.Gen == 0 {
		b.Meter.EndToEnd(w.Delivery.CompletedAt.Sub(w.Delivery.CreatedAt))
	}
	return b.settle(ctx, j)
}

// post makes the request of an attempt, unless the invocation could end before
// it does, and calls free, whatever happens.
func (b *batch) post(ctx context.Context, j *job, with material, free func()) (a hook.Attempt, result post.Result, made bool) {
	defer free()
	if b.tooLate(ctx, j.endpoint.Timeout) {
		return hook.Attempt{}, post.Result{}, false
	}
	a = hook.Attempt{ID: b.NewID(), At: b.Now()}
	number := 1
	if j.row != nil {
		number = j.row.Attempts + 1
	}
	result = b.Poster.Post(ctx, post.Request{
		URL:     j.endpoint.URL,
		Header:  b.header(j, with, a.At, number),
		Body:    with.body,
		Timeout: j.endpoint.Timeout,
	})
	a.Duration, a.Outcome, a.StatusCode = result.Duration, result.Outcome, result.StatusCode
	a.Error, a.ResponseBody = result.Reason, result.ResponseBody
	return a, result, true
}

// gone ends a delivery whose endpoint has answered that it is gone, and disables
// the endpoint: once the death is on record, or on its way with a copy, which
// would be held otherwise.
func (b *batch) gone(ctx context.Context, j *job, reason string, unrecorded error) (done bool) {
	if unrecorded != nil {
		m := *j.message
		m.Gone = true
		j.message = &m
		if !b.deferral(ctx, j) {
			return false // the next answer disables it
		}
	}
	if err := b.disable(ctx, j.endpoint, reason); err != nil {
		b.Log.WarnContext(ctx, "endpoint not disabled", "endpoint_id", j.endpoint.ID, "error", err)
	}
	return unrecorded != nil || b.settle(ctx, j)
}

// plan is the retry policy for the job's delivery after an answer. Its delays
// do not change however often they are asked for, so that a write that is made
// again is the same write.
func (d *Deliverer) plan(j *job, answer post.Result) Plan {
	spread, rounding := d.Rand(), d.Rand()
	p := d.Policies.For(j.endpoint.MaxRetries, j.endpoint.RetryPolicy, j.message.EventType)
	meaning := retry.MeaningOf(answer.StatusCode)
	if meaning == retry.Gone {
		return Plan{} // no attempt is left
	}
	now := d.Now()
	return Plan{
		MaxAttempts: p.MaxAttempts,
		Delay: func(failed int) time.Duration {
			delay := retry.WholeSeconds(retry.Delay(p, failed, spread), rounding)
			if meaning == retry.Busy {
				delay = retry.After(p, delay, answer.RetryAfter, now)
			}
			return delay
		},
	}
}

// header is what is sent along with a body. What is Posthorn's own wins over
// what the endpoint's owner has set.
func (d *Deliverer) header(j *job, with material, at time.Time, number int) http.Header {
	h := with.headers
	h["Content-Type"] = []string{"application/json"}
	h["User-Agent"] = []string{d.UserAgent}
	h["X-Webhook-Event"] = []string{j.message.EventType}
	h["X-Webhook-Delivery"] = []string{j.message.ID()}
	h["X-Webhook-Attempt"] = []string{strconv.Itoa(number)}
	h["X-Webhook-Timestamp"] = []string{strconv.FormatInt(at.Unix(), 10)}
	if with.trace != "" {
		h["Traceparent"] = []string{with.trace}
	}
	d.Sign(h, with.secrets, j.message.EventID, at, with.body)
	return h
}

// recordTries bounds how often a write is tried that the store refused or
// that met a row changed meanwhile; the store's client has its own retries.
const recordTries = 5

// record makes the write that change computes from the row. After a conflict
// it reads again and computes again. written is false when, with what the row
// says now, nothing is to be written.
func (d *Deliverer) record(ctx context.Context, j *job, change func(row *hook.Delivery) (hook.DeliveryWrite, bool)) (w hook.DeliveryWrite, written bool, err error) {
	for try := range recordTries {
		var ok bool
		if w, ok = change(j.row); !ok {
			return w, false, nil
		}
		if err = d.save(ctx, j.row, w); err == nil {
			j.row = w.Delivery
			if w.Delivery.Status.Final() || w.Hold != nil && !w.Hold.Again {
				d.Meter.Ended(w.Delivery.Status)
			}
			return w, true, nil
		}
		if errors.Is(err, hook.ErrNotHeld) || errors.Is(err, hook.ErrEventGone) {
			return w, false, err
		}
		if errors.Is(err, hook.ErrConflict) && d.reread(ctx, j) {
			continue
		}
		if !d.pause(ctx, time.Duration(50<<try)*time.Millisecond) {
			break
		}
		// The answer may have been lost: the row tells whether the write is in,
		// and SaveDelivery recognises it.
	}
	return w, false, err
}

// save makes a write, after making sure that the event, which holds the payload,
// lives as long as the delivery may need it: as long as its row, where that is
// longer than events live by themselves.
func (d *Deliverer) save(ctx context.Context, row *hook.Delivery, w hook.DeliveryWrite) error {
	next := w.Delivery
	needed := next.Status == hook.Retrying || next.Status == hook.Dead
	if longer := next.ExpiresAt.After(next.CreatedAt.Add(d.Keep.Retention)); needed && longer && (row == nil || next.ExpiresAt.After(row.ExpiresAt)) {
		if err := d.Events.ExtendEvent(ctx, next.Tenant, next.EventID, next.ExpiresAt); err != nil {
			return fmt.Errorf("extend event: %w", err)
		}
	}
	return d.Rows.SaveDelivery(ctx, w)
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

// pause waits, jittered; false when ctx ended first.
func (d *Deliverer) pause(ctx context.Context, at time.Duration) bool {
	t := time.NewTimer(at/2 + time.Duration(d.Rand()*float64(at)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// logAttempt writes the one wide line of an attempt.
func (d *Deliverer) logAttempt(ctx context.Context, j *job, a hook.Attempt, w hook.DeliveryWrite, written bool, err error) {
	level := slog.LevelInfo
	attrs := make([]slog.Attr, 0, 20)
	attrs = append(attrs,
		slog.String("delivery_id", j.message.ID()), slog.String("event_id", j.message.EventID), slog.String("endpoint_id", j.message.EndpointID),
		slog.String("tenant", j.message.Tenant), slog.String("event_type", j.message.EventType), slog.String("outcome", string(a.Outcome)))
	if a.StatusCode != 0 {
		attrs = append(attrs, slog.Int("status_code", a.StatusCode))
	}
	if a.Error != "" {
		attrs = append(attrs, slog.String("failure_reason", a.Error))
	}
	if next := w.Delivery; written {
		if next.Status == hook.Dead {
			level = slog.LevelWarn
		}
		attrs = append(attrs, slog.String("status", string(next.Status)), slog.Int("attempt", next.Attempts))
		if !next.NextAttemptAt.IsZero() {
			attrs = append(attrs, slog.String("next_attempt_at", hook.FormatTime(next.NextAttemptAt)))
		}
	}
	attrs = append(attrs,
		slog.Float64("duration_ms", float64(a.Duration.Microseconds())/1000),
		slog.Int("gen", j.message.Gen), slog.Int("hop", j.message.Hop),
		slog.Int("receive", j.received.ReceiveCount), slog.String("message_id", j.received.MessageID))
	if err != nil {
		level = slog.LevelError
		attrs = append(attrs, slog.String("record_error", err.Error()))
	}
	d.Log.LogAttrs(ctx, level, "attempt", attrs...)
}
