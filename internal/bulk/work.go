package bulk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	event, err := b.Store.Event(ctx, j.Tenant, j.EventID)
	if errors.Is(err, hook.ErrNotFound) {
		return page{failed: "the event is no longer stored"}, nil
	}
	if err != nil {
		return page{}, fmt.Errorf("read event: %w", err)
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
	body := hook.InlineBody(event.Body)
	out := make([]hook.Outgoing, 0, to-from)
	for _, id := range targets[from:to] {
		out = append(out, hook.Outgoing{Message: &hook.Message{Ref: event.Ref(id), EventType: event.Type, CreatedAt: event.CreatedAt, Body: body, Trace: event.Trace}})
	}
	for _, s := range b.Queue.Send(ctx, out) {
		if s.Err != nil {
			return page{}, fmt.Errorf("send: %w", s.Err)
		}
	}
	j.Cursor = strconv.Itoa(to)
	j.Done += to - from
	return page{over: to == len(targets)}, nil
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
	if err := b.Redriver.Resend(ctx, event, ids); err != nil {
		return page{}, err
	}
	j.Cursor = ids[len(ids)-1]
	j.Done += len(ids)
	return page{over: len(ids) < pageSize}, nil
}

// resume releases the next of what is held at an endpoint that is active again,
// until two passes a while apart find nothing. It ends when the endpoint is
// paused again, or gone.
func (b *Jobs) resume(ctx context.Context, j *hook.Job) (page, error) {
	e, err := b.endpoint(ctx, j)
	if err != nil {
		return page{}, err
	}
	if e == nil || e.Epoch != j.Epoch {
		j.Error = "the endpoint was paused, disabled or deleted meanwhile"
		return page{over: true}, nil
	}
	return b.held(ctx, j, func(ctx context.Context, row *hook.Delivery) (bool, error) {
		return row.Status == hook.Held, b.Redriver.Release(ctx, row)
	})
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
	p, err := b.held(ctx, j, func(ctx context.Context, row *hook.Delivery) (bool, error) {
		cancelled, err := b.Redriver.Cancel(ctx, row)
		if cancelled {
			b.Meter.Ended(hook.Cancelled)
		}
		return cancelled, err
	})
	if err == nil && p.over {
		if err := b.Store.DeleteEndpointState(ctx, j.Tenant, j.EndpointID); err != nil {
			return page{}, fmt.Errorf("remove state: %w", err)
		}
	}
	return p, err
}

func (b *Jobs) endpoint(ctx context.Context, j *hook.Job) (*hook.Endpoint, error) {
	set, err := b.Store.EndpointSet(ctx, j.Tenant)
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	return set.ByID(j.EndpointID), nil
}

// held takes the next page of what is held at an endpoint.
func (b *Jobs) held(ctx context.Context, j *hook.Job, do func(ctx context.Context, row *hook.Delivery) (bool, error)) (page, error) {
	q := hook.StateQuery{Tenant: j.Tenant, EndpointID: j.EndpointID, Status: hook.Held, After: j.Cursor, Limit: pageSize}
	if !j.Counted {
		return b.count(j, func() (int, error) { return b.Store.CountByState(ctx, q) })
	}
	done, next, err := b.eachByState(ctx, q, do)
	if err != nil {
		return page{}, err
	}
	j.Done += done
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
	done, next, err := b.eachByState(ctx, q, func(ctx context.Context, row *hook.Delivery) (bool, error) {
		// What died after the job began may do so again and again.
		if row.Status != hook.Dead || row.CompletedAt.Before(j.Since) || row.CompletedAt.After(j.CreatedAt) {
			return false, nil
		}
		return true, b.Redriver.Again(ctx, row.Ref, row)
	})
	if err != nil {
		return page{}, err
	}
	j.Done += done
	j.Cursor = next
	return page{over: next == ""}, nil
}

// eachByState calls do for the deliveries of a page of the index whose rows are
// still there, several at once. Those that cannot be sent again are passed
// over.
func (b *Jobs) eachByState(ctx context.Context, q hook.StateQuery, do func(ctx context.Context, row *hook.Delivery) (bool, error)) (done int, next string, err error) {
	refs, next, err := b.Store.ByState(ctx, q)
	if err != nil {
		return 0, "", fmt.Errorf("list what is %s: %w", q.Status, err)
	}
	rows, err := b.Store.Deliveries(ctx, refs)
	if err != nil {
		return 0, "", fmt.Errorf("read rows: %w", err)
	}
	rows = slices.DeleteFunc(rows, func(row *hook.Delivery) bool { return row == nil })
	done, err = each(rows, func(row *hook.Delivery) (bool, error) { return do(ctx, row) })
	return done, next, err
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
		size = min(size, j.Limit-j.Done)
	}
	if size <= 0 {
		return page{over: true}, nil
	}
	entries, next, err := b.Store.ListDeadLetters(ctx, j.Filter, hook.Page{Limit: size, After: j.Cursor})
	if err != nil {
		return page{}, fmt.Errorf("list dead letters: %w", err)
	}
	done, err := each(entries, func(e *hook.DeadLetter) (bool, error) {
		if e.CreatedAt.After(j.CreatedAt) {
			return false, nil // it died after the job began
		}
		_, err := b.Redriver.ReplayEntry(ctx, e)
		return true, err
	})
	if err != nil {
		return page{}, err
	}
	j.Done += done
	j.Cursor = next
	p := page{over: next == "" || j.Limit > 0 && j.Done >= j.Limit}
	if j.Rate > 0 && done > 0 {
		p.wait = time.Duration(float64(done) / j.Rate * float64(time.Second))
	}
	return p, nil
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

// each calls do for every item, some at a time, and counts those it did. Items
// that are gone, or cannot be sent again, are passed over; any other error is
// returned once all are done.
func each[T any](items []T, do func(item T) (bool, error)) (done int, err error) {
	var (
		mu   sync.Mutex
		errs []error
		wg   sync.WaitGroup
	)
	places := make(chan struct{}, together)
	for _, item := range items {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			did, err := do(item)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && did:
				done++
			case errors.Is(err, hook.ErrNotReplayable), errors.Is(err, hook.ErrNotFound), err == nil:
			default:
				errs = append(errs, err)
			}
		})
	}
	wg.Wait()
	return done, errors.Join(errs...)
}
