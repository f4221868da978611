package reconcile

import (
	"context"
	"fmt"
	"strconv"

	"posthorn/internal/hook"
)

// underWork is what a tenant's running jobs see to themselves.
type underWork struct {
	sent map[string]int  // by event that is fanned out: how many of its targets were sent to
	held map[string]bool // endpoints whose held deliveries are released or cancelled
	// endpoints are all those that jobs, running or over, were about: among them
	// are the deleted ones.
	endpoints []string
}

const jobsPerPage = 100

// jobs nudges the jobs of a tenant whose next step nobody makes.
func (r *run) jobs(ctx context.Context, tenant string, set *hook.EndpointSet) (underWork, error) {
	work := underWork{sent: map[string]int{}, held: map[string]bool{}}
	for p := (hook.Page{Limit: jobsPerPage}); ; {
		all, next, err := r.Store.ListJobs(ctx, tenant, p)
		if err != nil {
			return work, fmt.Errorf("list jobs: %w", err)
		}
		for _, j := range all {
			if err := r.job(ctx, j, set, &work); err != nil {
				return work, err
			}
		}
		if next == "" {
			return work, nil
		}
		p.After = next
	}
}

func (r *run) job(ctx context.Context, j *hook.Job, set *hook.EndpointSet, work *underWork) error {
	if j.EndpointID != "" {
		work.endpoints = append(work.endpoints, j.EndpointID)
	}
	if j.Status != hook.JobRunning {
		return nil
	}
	r.count(func(sum *Result) { sum.Jobs++ })
	endpoint := set.ByID(j.EndpointID)
	switch {
	case j.Kind == hook.JobFanOut && !j.Resend:
		sent, err := strconv.Atoi(j.Cursor)
		if err == nil && sent >= 0 {
			work.sent[j.EventID] = sent
		}
	case j.Kind == hook.JobResume && endpoint != nil && endpoint.Epoch == j.Epoch, j.Kind == hook.JobCancel && endpoint == nil:
		work.held[j.EndpointID] = true
	}
	if !r.within(j.CreatedAt) || !stopped(j, r.start.Add(-r.o.OlderThan)) {
		return nil
	}
	return r.again(ctx, Stopped, j.ID, func() error { return r.Jobs.Nudge(ctx, j) })
}
