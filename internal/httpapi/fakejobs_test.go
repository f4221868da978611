package httpapi

import (
	"bytes"
	"context"

	"posthorn/internal/hook"
)

func (w *world) Start(_ context.Context, j *hook.Job) error {
	j.ID = w.newID(hook.JobPrefix, w.clock())
	j.Status, j.CreatedAt, j.UpdatedAt = hook.JobRunning, w.clock(), w.clock()
	return w.call("start", func() { w.jobs[j.ID] = j })
}

func (w *world) Job(_ context.Context, tenant, id string) (j *hook.Job, err error) {
	if err := w.call("job", func() { j = w.jobs[id] }); err != nil {
		return nil, err
	}
	if j == nil || j.Tenant != tenant {
		return nil, hook.ErrNotFound
	}
	return j, nil
}

func (w *world) ListJobs(_ context.Context, tenant string, p hook.Page) (page []*hook.Job, next string, err error) {
	err = w.call("list jobs", func() {
		var all []*hook.Job
		for _, j := range w.jobs {
			if j.Tenant == tenant {
				all = append(all, j)
			}
		}
		page, next = pageOf(all, func(j *hook.Job) string { return j.ID }, p)
	})
	return page, next, err
}

func (w *world) Cancel(ctx context.Context, tenant, id string) (*hook.Job, error) {
	j, err := w.Job(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	if !j.Kind.Cancellable() || j.Status == hook.JobDone {
		return nil, hook.ErrNotCancellable
	}
	return j, w.call("cancel", func() { j.Status = hook.JobCancelled })
}

func (w *world) Counts(context.Context) (c Counts, err error) {
	err = w.call("counts", func() { c = w.counts })
	return c, err
}

func (w *world) WriteMetrics(_ context.Context, b *bytes.Buffer) error {
	return w.call("metrics", func() { b.WriteString("webhook_queue_size 7\n") })
}

func (w *world) askStore(context.Context) error { return w.call("ask store", func() {}) }
func (w *world) askQueue(context.Context) error { return w.call("ask queue", func() {}) }
