package httpapi

import (
	"context"
	"net/http"

	"posthorn/internal/hook"
)

// Jobs starts long work, and shows it.
type Jobs interface {
	// Start starts a job, and fills in its id and times.
	Start(ctx context.Context, j *hook.Job) error
	// Job returns hook.ErrNotFound when there is none.
	Job(ctx context.Context, tenant, id string) (*hook.Job, error)
	ListJobs(ctx context.Context, tenant string, p hook.Page) (jobs []*hook.Job, next string, err error)
	// Cancel ends a job before it is done: hook.ErrNotFound when there is none,
	// hook.ErrNotCancellable when it is over or has to be done.
	Cancel(ctx context.Context, tenant, id string) (*hook.Job, error)
}

// jobAnswer is a job as callers see it.
type jobAnswer struct {
	ID         string         `json:"id"`
	Kind       hook.JobKind   `json:"kind"`
	Status     hook.JobStatus `json:"status"`
	EndpointID text           `json:"endpoint_id"`
	EventID    text           `json:"event_id"`
	Done       int            `json:"done"`
	Total      int            `json:"total"` // as far as it is known
	Error      text           `json:"error"`
	CreatedAt  moment         `json:"created_at"`
	UpdatedAt  moment         `json:"updated_at"`
}

func answerJob(j *hook.Job) jobAnswer {
	return jobAnswer{
		ID: j.ID, Kind: j.Kind, Status: j.Status, EndpointID: text(j.EndpointID), EventID: text(j.EventID),
		Done: j.Done, Total: max(j.Total, j.Done), Error: text(j.Error), CreatedAt: moment(j.CreatedAt), UpdatedAt: moment(j.UpdatedAt),
	}
}

// startJob starts a job and answers with it.
func (a *API) startJob(w http.ResponseWriter, r *http.Request, j *hook.Job) error {
	if err := a.o.Jobs.Start(r.Context(), j); err != nil {
		return err
	}
	return a.answerStarted(w, r, j)
}

// answerStarted says where the progress of a job shows.
func (a *API) answerStarted(w http.ResponseWriter, r *http.Request, j *hook.Job) error {
	w.Header().Set("Location", "/api/v1/jobs/"+j.ID)
	return a.answer(w, r, http.StatusAccepted, struct {
		Job jobAnswer `json:"job"`
	}{answerJob(j)})
}

func (a *API) listJobs(w http.ResponseWriter, r *http.Request) error {
	q, err := a.listQuery(r)
	if err != nil {
		return err
	}
	tenant := tenantOf(r)
	return writeList(a, w, r, q, source[*hook.Job]{
		fetch: func(ctx context.Context, p hook.Page) ([]*hook.Job, string, error) {
			return a.o.Jobs.ListJobs(ctx, tenant, p)
		},
		id:     func(j *hook.Job) string { return j.ID },
		prefix: hook.JobPrefix,
		encode: encodeEach(func(j *hook.Job) any { return answerJob(j) }),
	})
}

func (a *API) getJob(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.JobPrefix, "job")
	if err != nil {
		return err
	}
	j, err := a.o.Jobs.Job(r.Context(), tenantOf(r), id)
	if err != nil {
		return named(err, "job")
	}
	return a.answer(w, r, http.StatusOK, answerJob(j))
}

// cancelJob ends a job before it is done. What a resume has not released yet is
// held again: the endpoint is paused.
func (a *API) cancelJob(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.JobPrefix, "job")
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	j, err := a.o.Jobs.Cancel(r.Context(), tenantOf(r), id)
	if err != nil {
		return named(err, "job")
	}
	if j.Kind == hook.JobResume {
		if err := a.undoResume(r.Context(), j, hook.EndpointPaused, "its resume was cancelled"); err != nil {
			return err
		}
	}
	return a.answer(w, r, http.StatusOK, answerJob(j))
}

// undoResume gives a status to the endpoint that a resume has made active which
// does not go on, unless it is gone or has been paused meanwhile.
func (a *API) undoResume(ctx context.Context, j *hook.Job, status hook.EndpointStatus, reason string) error {
	now := a.o.Now().UTC()
	_, err := a.o.Endpoints.UpdateEndpoint(ctx, j.Tenant, j.EndpointID, func(e *hook.Endpoint) error {
		if e.Epoch == j.Epoch && e.Status == hook.EndpointActive {
			e.SetStatus(status, reason)
			e.UpdatedAt = now
		}
		return nil
	})
	return ignore(err, hook.ErrNotFound)
}
