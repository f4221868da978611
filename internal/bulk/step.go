package bulk

import (
	"context"
	"errors"
	"fmt"
	"time"

	"posthorn/internal/hook"
)

const (
	// stepTime is how long a step goes on: it shares its batch with deliveries.
	stepTime = 5 * time.Second
	// stepMargin is what it keeps back of an invocation's time.
	stepMargin = 10 * time.Second
	// strayTime is how long a message is kept going whose job is not there: it
	// may be about to be stored.
	strayTime  = 10 * time.Minute
	strayDelay = 5 * time.Second
	// maxDelay is the longest DelaySeconds (SendMessage, SQS API reference).
	maxDelay = 900 * time.Second
)

// Step does what a control message asks for, and says whether the message is
// done with.
func (b *Jobs) Step(ctx context.Context, c *hook.Control, messageID string) (done bool) {
	j, err := b.Store.Job(ctx, c.Tenant, c.JobID)
	switch {
	case errors.Is(err, hook.ErrNotFound):
		return b.stray(ctx, c)
	case err != nil:
		b.Log.WarnContext(ctx, "job not read", "job_id", c.JobID, "error", err)
		return false
	case !current(j, c, messageID) || j.Status != hook.JobRunning:
		return true
	}
	next, ok := b.work(ctx, j, c, messageID)
	switch {
	case !ok:
		return false
	case j.Status != hook.JobRunning:
		return true
	}
	if err := b.send(ctx, &hook.Control{Tenant: c.Tenant, JobID: c.JobID, Hop: c.Hop + 1, SentAt: c.SentAt}, next); err != nil {
		b.Log.WarnContext(ctx, "job not carried on", "job_id", c.JobID, "error", err)
		return false // this message comes again, and goes on from where the job is
	}
	return true
}

// current says whether a message is the one that carries the job on.
func current(j *hook.Job, c *hook.Control, messageID string) bool {
	return c.Hop > j.Hop || c.Hop == j.Hop && (j.MessageID == "" || j.MessageID == messageID)
}

// stray keeps a message going whose job is not there yet.
func (b *Jobs) stray(ctx context.Context, c *hook.Control) (done bool) {
	if b.Now().Sub(c.SentAt) > strayTime {
		b.Log.WarnContext(ctx, "message of no job dropped", "job_id", c.JobID, "tenant", c.Tenant)
		return true
	}
	if err := b.send(ctx, c, strayDelay); err != nil {
		b.Log.WarnContext(ctx, "message of no job not sent on", "job_id", c.JobID, "error", err)
		return false
	}
	return true
}

// work takes a job further, page after page, until it is over or the step's
// time is. next is when its next step is to be made. ok is false when nothing
// was saved that another message could go on from.
func (b *Jobs) work(ctx context.Context, j *hook.Job, c *hook.Control, messageID string) (next time.Duration, ok bool) {
	end := b.Now().Add(stepTime)
	if deadline, has := ctx.Deadline(); has {
		if last := b.Now().Add(time.Until(deadline) - stepMargin); last.Before(end) {
			end = last
		}
	}
	before := j.Done
	for {
		p, err := b.page(ctx, j)
		j.Error = asideError(j)
		switch {
		case errors.Is(err, errTooMany):
			j.Status, j.Error = hook.JobFailed, err.Error()
		case err != nil:
			j.Error = "a step failed and is tried again"
			b.Log.WarnContext(ctx, "job step failed", "job_id", j.ID, "kind", string(j.Kind), "tenant", j.Tenant, "error", err)
			p.wait = backoff(j.Tries)
		case p.failed != "":
			j.Status, j.Error = hook.JobFailed, p.failed
		case p.cutOff != "":
			j.Status, j.Error = hook.JobCancelled, p.cutOff
		case p.over:
			j.Status = hook.JobDone
		}
		j.Hop, j.MessageID = c.Hop, messageID
		if err := b.save(ctx, j); err != nil {
			if !errors.Is(err, hook.ErrConflict) {
				b.Log.WarnContext(ctx, "job not saved", "job_id", j.ID, "error", err)
				return 0, false
			}
			// Somebody cancelled it, or a second message is at it.
			found, err := b.Store.Job(ctx, j.Tenant, j.ID)
			if err != nil {
				b.Log.WarnContext(ctx, "job not read", "job_id", j.ID, "error", err)
				return 0, false
			}
			*j = *found
			if j.Status != hook.JobRunning || !current(j, c, messageID) {
				j.Status = hook.JobCancelled // for this message: it goes no further
				return 0, true
			}
			continue
		}
		if j.Status != hook.JobRunning {
			b.Log.InfoContext(ctx, "job ended", "job_id", j.ID, "kind", string(j.Kind), "tenant", j.Tenant, "status", string(j.Status), "done", j.Done, "total", j.Total)
			return 0, true
		}
		if p.wait > 0 || !b.Now().Before(end) {
			b.Log.InfoContext(ctx, "job step", "job_id", j.ID, "kind", string(j.Kind), "tenant", j.Tenant, "done", j.Done, "in_step", j.Done-before, "total", j.Total)
			return min(b.wholeSeconds(p.wait), maxDelay), true
		}
	}
}

// wholeSeconds rounds up or down at random, such that the mean is d: queues
// count in whole seconds.
func (b *Jobs) wholeSeconds(d time.Duration) time.Duration {
	whole := d.Truncate(time.Second)
	if b.Rand() < (d - whole).Seconds() {
		whole += time.Second
	}
	return whole
}

// page is what came of a page.
type page struct {
	over   bool          // there is nothing left to do
	failed string        // it cannot be done, and why
	cutOff string        // there is nothing to do any more, and why
	wait   time.Duration // before the next page
}

// page does the next page of a job, and moves its cursor; once there is none, it
// tries again what was set aside. After an error the cursor is where it was: the
// page is done again.
func (b *Jobs) page(ctx context.Context, j *hook.Job) (page, error) {
	if j.Rounds > 0 {
		return b.again(ctx, j)
	}
	p, err := b.advance(ctx, j)
	if err == nil && p.over && len(j.Aside) > 0 {
		j.Rounds = 1
		return page{}, nil
	}
	return p, err
}

// advance does the next page of what a job has not come to yet.
func (b *Jobs) advance(ctx context.Context, j *hook.Job) (page, error) {
	switch j.Kind {
	case hook.JobFanOut:
		return b.fanOut(ctx, j)
	case hook.JobResume:
		return b.resume(ctx, j)
	case hook.JobCancel:
		return b.cancelHeld(ctx, j)
	case hook.JobRecover:
		return b.recover(ctx, j)
	case hook.JobReplay:
		return b.replay(ctx, j)
	default:
		return page{failed: unknownKind(j)}, nil
	}
}

func unknownKind(j *hook.Job) string { return fmt.Sprintf("no such kind of job: %.40q", j.Kind) }
