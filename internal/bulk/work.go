package bulk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"posthorn/internal/hook"
)

const (
	// pageSize is how many deliveries are taken at a time.
	pageSize = 100
	// quietTime is how far apart the two passes are that have to find nothing
	// held: the index that names what is held trails the table by a moment.
	quietTime = time.Minute
	// together is how many deliveries of a page are worked on at once.
	together = 10
)

// fanOut sends an event to the next of its endpoints: those it matched, or, to
// resend it, those that match now.
func (b *Jobs) fanOut(ctx context.Context, j *hook.Job) (page, error) {
	event, p, err := b.event(ctx, j)
	if event == nil {
		return p, err
	}
	if j.Resend {
		return b.resend(ctx, j, event)
	}
	targets, err := b.Store.AllTargets(ctx, event)
	if err != nil {
		return page{}, fmt.Errorf("read targets: %w", err)
	}
	from, ok := place(j.Cursor)
	if !ok {
		return page{failed: fmt.Sprintf("no such place among the targets: %.40q", j.Cursor)}, nil
	}
	to := min(from+pageSize, len(targets))
	if from >= to {
		return page{over: true}, nil
	}
	failed, err := b.sendTo(ctx, j, event, targets[from:to])
	if err != nil {
		return page{}, err
	}
	if err := b.setAside(ctx, j, to-from-len(failed), failed); err != nil {
		return page{}, err
	}
	j.Cursor = strconv.Itoa(to)
	j.Done += to - from - len(failed)
	return page{over: to == len(targets)}, nil
}

// event reads the event of a fan_out; nil, with what came of the page, where it
// is gone or cannot be read.
func (b *Jobs) event(ctx context.Context, j *hook.Job) (*hook.Event, page, error) {
	event, err := b.Store.Event(ctx, j.Tenant, j.EventID)
	if errors.Is(err, hook.ErrNotFound) {
		return nil, page{failed: "the event is no longer stored"}, nil
	}
	if err != nil {
		return nil, page{}, fmt.Errorf("read event: %w", err)
	}
	return event, page{}, nil
}

// sendTo sends an event to endpoints that it matched. failed says to which it
// could not be sent.
func (b *Jobs) sendTo(ctx context.Context, _ *hook.Job, event *hook.Event, endpointIDs []string) (failed map[string]error, err error) {
	body := hook.InlineBody(event.Body)
	out := make([]hook.Outgoing, 0, len(endpointIDs))
	for _, id := range endpointIDs {
		out = append(out, hook.Outgoing{Message: &hook.Message{Ref: event.Ref(id), EventType: event.Type, CreatedAt: event.CreatedAt, Body: body, Trace: event.Trace}})
	}
	failed = map[string]error{}
	for i, s := range b.Queue.Send(ctx, out) {
		if s.Err != nil {
			failed[endpointIDs[i]] = fmt.Errorf("send: %w", s.Err)
		}
	}
	return failed, nil
}

// resendTo sends an event again to endpoints to which this job has not done so.
func (b *Jobs) resendTo(ctx context.Context, j *hook.Job, event *hook.Event, endpointIDs []string) (failed map[string]error, err error) {
	return b.Redriver.Resend(ctx, event, endpointIDs, j.CreatedAt)
}

// place reads a cursor that counts targets.
func place(cursor string) (n int, ok bool) {
	n, err := strconv.Atoi(cursor)
	return n, err == nil && n >= 0
}

// resend sends an event to the next of the endpoints that match it now. The
// cursor is the last endpoint's id.
func (b *Jobs) resend(ctx context.Context, j *hook.Job, event *hook.Event) (page, error) {
	set, err := b.Store.EndpointSet(ctx, j.Tenant)
	if err != nil {
		return page{}, fmt.Errorf("read endpoints: %w", err)
	}
	var ids []string
	for _, e := range set.Endpoints {
		if len(ids) < pageSize && strings.Compare(e.ID, j.Cursor) > 0 && e.Matches(event.Type) {
			ids = append(ids, e.ID)
		}
	}
	if len(ids) == 0 {
		return page{over: true}, nil
	}
	failed, err := b.resendTo(ctx, j, event, ids)
	if err != nil {
		return page{}, err
	}
	if err := b.setAside(ctx, j, len(ids)-len(failed), failed); err != nil {
		return page{}, err
	}
	j.Cursor = ids[len(ids)-1]
	j.Done += len(ids) - len(failed)
	return page{over: len(ids) < pageSize}, nil
}

// rowWork does something with a delivery, and says whether it did.
type rowWork func(ctx context.Context, row *hook.Delivery) (bool, error)

// resume releases the next of what is held at an endpoint that is active again,
// until two passes a while apart find nothing. It is cut off when the endpoint is
// paused again, or gone.
func (b *Jobs) resume(ctx context.Context, j *hook.Job) (page, error) {
	if p, err := b.resumable(ctx, j); err != nil || p.cutOff != "" {
		return p, err
	}
	return b.held(ctx, j, b.release)
}

// resumable says whether a resume is cut off.
func (b *Jobs) resumable(ctx context.Context, j *hook.Job) (page, error) {
	e, err := b.endpoint(ctx, j)
	if err != nil {
		return page{}, err
	}
	if e == nil || e.Epoch != j.Epoch {
		return page{cutOff: "the endpoint was paused, disabled or deleted meanwhile"}, nil
	}
	return page{}, nil
}

func (b *Jobs) release(ctx context.Context, row *hook.Delivery) (bool, error) {
	return row.Status == hook.Held, b.Redriver.Release(ctx, row)
}

// cancelHeld ends the next of what is held at an endpoint that was deleted.
func (b *Jobs) cancelHeld(ctx context.Context, j *hook.Job) (page, error) {
	e, err := b.endpoint(ctx, j)
	if err != nil {
		return page{}, err
	}
	if e != nil {
		// It is about to be deleted, or that failed.
		if b.Now().Sub(j.CreatedAt) > quietTime {
			return page{failed: "the endpoint was not deleted"}, nil
		}
		return page{wait: strayDelay}, nil
	}
	p, err := b.held(ctx, j, b.cancel)
	if err == nil && p.over {
		if err := b.Store.DeleteEndpointState(ctx, j.Tenant, j.EndpointID); err != nil {
			return page{}, fmt.Errorf("remove state: %w", err)
		}
	}
	return p, err
}

func (b *Jobs) cancel(ctx context.Context, row *hook.Delivery) (bool, error) {
	cancelled, err := b.Redriver.Cancel(ctx, row)
	if cancelled {
		b.Meter.Ended(hook.Cancelled)
	}
	return cancelled, err
}

func (b *Jobs) endpoint(ctx context.Context, j *hook.Job) (*hook.Endpoint, error) {
	set, err := b.Store.EndpointSet(ctx, j.Tenant)
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	return set.ByID(j.EndpointID), nil
}

// held takes the next page of what is held at an endpoint.
func (b *Jobs) held(ctx context.Context, j *hook.Job, do rowWork) (page, error) {
	q := hook.StateQuery{Tenant: j.Tenant, EndpointID: j.EndpointID, Status: hook.Held, After: j.Cursor, Limit: pageSize}
	if !j.Counted {
		return b.count(j, func() (int, error) { return b.Store.CountByState(ctx, q) })
	}
	done, next, err := b.eachByState(ctx, j, q, do)
	j.Done += done
	if err != nil {
		return page{}, err
	}
	j.Total = max(j.Total, j.Done)
	if done > 0 {
		j.QuietAt = time.Time{}
	}
	if j.Cursor = next; next != "" {
		return page{}, nil
	}
	// The end of a pass.
	now := b.Now()
	switch {
	case done > 0:
		return page{}, nil
	case j.QuietAt.IsZero():
		j.QuietAt = now
		return page{wait: quietTime}, nil
	case now.Sub(j.QuietAt) < quietTime:
		return page{wait: quietTime - now.Sub(j.QuietAt)}, nil
	default:
		return page{over: true}, nil
	}
}

// recover sends the next of what ended dead at an endpoint again.
func (b *Jobs) recover(ctx context.Context, j *hook.Job) (page, error) {
	q := hook.StateQuery{Tenant: j.Tenant, EndpointID: j.EndpointID, Status: hook.Dead, Since: j.Since, After: j.Cursor, Limit: pageSize}
	if !j.Counted {
		return b.count(j, func() (int, error) { return b.Store.CountByState(ctx, q) })
	}
	done, next, err := b.eachByState(ctx, j, q, b.recovery(j))
	j.Done += done
	if err != nil {
		return page{}, err
	}
	j.Cursor = next
	return page{over: next == ""}, nil
}

// recovery sends a delivery again that died in the time that the job is for.
func (b *Jobs) recovery(j *hook.Job) rowWork {
	return func(ctx context.Context, row *hook.Delivery) (bool, error) {
		// What died after the job began may do so again and again.
		if row.Status != hook.Dead || row.CompletedAt.Before(j.Since) || row.CompletedAt.After(j.CreatedAt) {
			return false, nil
		}
		return true, b.Redriver.Again(ctx, row.Ref, row)
	}
}

// eachByState calls do for the deliveries of a page of the index whose rows are
// still there, several at once. Those that cannot be sent again, or are set aside
// already, are passed over.
func (b *Jobs) eachByState(ctx context.Context, j *hook.Job, q hook.StateQuery, do rowWork) (done int, next string, err error) {
	refs, next, err := b.Store.ByState(ctx, q)
	if err != nil {
		return 0, "", fmt.Errorf("list what is %s: %w", q.Status, err)
	}
	rows, err := b.Store.Deliveries(ctx, refs)
	if err != nil {
		return 0, "", fmt.Errorf("read rows: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(row *hook.Delivery) bool { return row == nil || slices.Contains(j.Aside, row.ID()) })
	done, failed := each(b.Log, rows, func(row *hook.Delivery) string { return row.ID() }, func(row *hook.Delivery) (bool, error) { return do(ctx, row) })
	return done, next, b.setAside(ctx, j, done, failed)
}

// replay sends the next dead letters again that the filter lets through, newest
// first.
func (b *Jobs) replay(ctx context.Context, j *hook.Job) (page, error) {
	if !j.Counted {
		return b.count(j, func() (int, error) {
			n, err := b.Store.CountDeadLetters(ctx, j.Filter)
			if j.Limit > 0 {
				n = min(n, j.Limit)
			}
			return n, err
		})
	}
	size := pageSize
	if j.Rate > 0 {
		size = max(1, min(size, int(j.Rate)))
	}
	if j.Limit > 0 {
		size = min(size, j.Limit-j.Done-len(j.Aside))
	}
	if size <= 0 {
		return page{over: true}, nil
	}
	entries, next, err := b.Store.ListDeadLetters(ctx, j.Filter, hook.Page{Limit: size, After: j.Cursor})
	if err != nil {
		return page{}, fmt.Errorf("list dead letters: %w", err)
	}
	done, failed := each(b.Log, entries, func(e *hook.DeadLetter) string { return e.ID }, func(e *hook.DeadLetter) (bool, error) {
		return b.replayOne(ctx, j, e)
	})
	j.Done += done
	if err := b.setAside(ctx, j, done, failed); err != nil {
		return page{}, err
	}
	j.Cursor = next
	p := page{over: next == "" || j.Limit > 0 && j.Done+len(j.Aside) >= j.Limit}
	if j.Rate > 0 && done > 0 {
		p.wait = time.Duration(float64(done) / j.Rate * float64(time.Second))
	}
	return p, nil
}

// replayOne sends a dead letter again that was there when the job began.
func (b *Jobs) replayOne(ctx context.Context, j *hook.Job, e *hook.DeadLetter) (bool, error) {
	if e.CreatedAt.After(j.CreatedAt) {
		return false, nil
	}
	_, err := b.Redriver.ReplayEntry(ctx, e)
	return true, err
}

// count is the first page of a job: it finds out how much there is to do, and
// does nothing yet.
func (b *Jobs) count(j *hook.Job, count func() (int, error)) (page, error) {
	n, err := count()
	if err != nil {
		return page{}, fmt.Errorf("count: %w", err)
	}
	j.Total, j.Counted = n, true
	return page{}, nil
}
