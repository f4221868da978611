package bulk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"posthorn/internal/hook"
)

// What cannot be done of a page, while the rest of it can, is set aside and tried
// again when everything else is done: one row that cannot be written, or message
// that cannot be sent, does not stop a job. Where nothing of a page can be done,
// the trouble is no row's: the page is tried again, and only after many tries
// taken for what it is.
const (
	// maxTries is how often a page is tried, and what was set aside: with the
	// waits between them, for more than half an hour.
	maxTries = 12
	// maxWait is the longest of those waits.
	maxWait = 5 * time.Minute
	// maxAside is how much is set aside at most. Where more fails, the job does.
	maxAside = 100
	// maxNamed is how much of it a job's error names.
	maxNamed = 5
)

// backoff is the wait after so many tries.
func backoff(tries int) time.Duration { return min(strayDelay<<min(tries, 10), maxWait) }

// setAside takes in what failed of a page of which so many were done: by id, why
// each of them did. After an error the page is to be done again.
func (b *Jobs) setAside(ctx context.Context, j *hook.Job, done int, failed map[string]error) error {
	if len(failed) == 0 {
		j.Tries = 0
		return nil
	}
	ids := slices.Sorted(maps.Keys(failed))
	tooMany := len(j.Aside)+len(ids) > maxAside
	if j.Tries < maxTries && (tooMany || done == 0 && len(ids) > 1) {
		j.Tries++
		return fmt.Errorf("%d could not be done: %w", len(ids), failed[ids[0]])
	}
	if tooMany {
		return fmt.Errorf("%w, among them %s", errTooMany, named(append(slices.Clone(j.Aside), ids...)))
	}
	for _, id := range ids {
		b.Log.WarnContext(ctx, "set aside by a job", "job_id", j.ID, "kind", string(j.Kind), "tenant", j.Tenant, "id", id, "error", failed[id])
	}
	j.Tries = 0
	j.Aside = append(slices.Clone(j.Aside), ids...)
	return nil
}

// errTooMany: more would be set aside than a job keeps.
var errTooMany = fmt.Errorf("more than %d could not be done", maxAside)

// again tries what was set aside once more. Of what can still not be done after
// the last round the job says so, and has failed.
func (b *Jobs) again(ctx context.Context, j *hook.Job) (page, error) {
	do, p, err := b.one(ctx, j)
	if err != nil || p != (page{}) {
		return p, err
	}
	done, failed := each(b.Log, j.Aside, func(id string) string { return id }, func(id string) (bool, error) { return do(ctx, id) })
	j.Done += done
	j.Aside = slices.Sorted(maps.Keys(failed))
	for id, err := range failed {
		b.Log.WarnContext(ctx, "not done by a job", "job_id", j.ID, "kind", string(j.Kind), "tenant", j.Tenant, "id", id, "round", j.Rounds, "error", err)
	}
	switch {
	case len(j.Aside) == 0:
		return page{over: true}, nil
	case j.Rounds >= maxTries:
		return page{failed: asideError(j)}, nil
	default:
		j.Rounds++
		return page{wait: backoff(j.Rounds - 1)}, nil
	}
}

// asideError names what is set aside; empty where nothing is.
func asideError(j *hook.Job) string {
	if len(j.Aside) == 0 {
		return ""
	}
	return fmt.Sprintf("%d could not be done: %s", len(j.Aside), named(j.Aside))
}

// named names some ids, or as many as an error holds.
func named(ids []string) string {
	names := strings.Join(ids[:min(len(ids), maxNamed)], ", ")
	if more := len(ids) - maxNamed; more > 0 {
		names += fmt.Sprintf(" and %d more", more)
	}
	return names
}

// one returns what does a single thing, by the id under which it was set aside;
// or, where nothing is to be done any more, the page that says so.
func (b *Jobs) one(ctx context.Context, j *hook.Job) (do func(ctx context.Context, id string) (bool, error), p page, err error) {
	byRow := func(do rowWork) func(ctx context.Context, id string) (bool, error) {
		return func(ctx context.Context, id string) (bool, error) {
			ref, err := hook.ParseDeliveryID(j.Tenant, id)
			if err != nil {
				return false, err
			}
			rows, err := b.Store.Deliveries(ctx, []hook.Ref{ref})
			if err != nil || rows[0] == nil {
				return false, err
			}
			return do(ctx, rows[0])
		}
	}
	switch j.Kind {
	case hook.JobFanOut:
		event, p, err := b.event(ctx, j)
		if event == nil {
			return nil, p, err
		}
		send := b.sendTo
		if j.Resend {
			send = b.resendTo
		}
		return func(ctx context.Context, id string) (bool, error) {
			failed, err := send(ctx, j, event, []string{id})
			return true, errors.Join(err, failed[id])
		}, page{}, nil
	case hook.JobResume:
		p, err := b.resumable(ctx, j)
		return byRow(b.release), p, err
	case hook.JobCancel:
		return byRow(b.cancel), page{}, nil
	case hook.JobRecover:
		return byRow(b.recovery(j)), page{}, nil
	case hook.JobReplay:
		return func(ctx context.Context, id string) (bool, error) {
			entry, err := b.Store.DeadLetter(ctx, j.Tenant, id)
			if err != nil {
				return false, err
			}
			return b.replayOne(ctx, j, entry)
		}, page{}, nil
	default:
		return nil, page{failed: unknownKind(j)}, nil
	}
}

// each calls do for every item, some at a time, and counts those it did. Items
// that are gone, or cannot be sent again, are passed over; failed says by id what
// else went wrong with one, a panic among it.
func each[T any](log *slog.Logger, items []T, id func(item T) string, do func(item T) (bool, error)) (done int, failed map[string]error) {
	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)
	failed = map[string]error{}
	places := make(chan struct{}, together)
	for _, item := range items {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			did, err := guarded(log, func() (bool, error) { return do(item) })
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, hook.ErrNotReplayable), errors.Is(err, hook.ErrNotFound):
			case err != nil:
				failed[id(item)] = err
			case did:
				done++
			}
		})
	}
	wg.Wait()
	return done, failed
}

// guarded turns a panic into an error.
func guarded(log *slog.Logger, do func() (bool, error)) (did bool, err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("part of a job panicked", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			did, err = false, fmt.Errorf("panic: %v", p)
		}
	}()
	return do()
}
