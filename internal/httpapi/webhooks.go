package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"posthorn/internal/hook"
)

// Endpoints keeps the endpoints of all tenants. A change counts for everything
// that is accepted or delivered after the call has returned.
type Endpoints interface {
	CreateEndpoint(ctx context.Context, endpoint *hook.Endpoint) error
	// Endpoint returns hook.ErrNotFound when there is none.
	Endpoint(ctx context.Context, tenant, id string) (*hook.Endpoint, error)
	// UpdateEndpoint reads, calls change and writes what it made, again from
	// the start when somebody else was faster: change may be called repeatedly.
	UpdateEndpoint(ctx context.Context, tenant, id string, change func(*hook.Endpoint) error) (*hook.Endpoint, error)
	DeleteEndpoint(ctx context.Context, tenant, id string) error
	ListEndpoints(ctx context.Context, tenant string, p hook.Page) (endpoints []*hook.Endpoint, next string, err error)
	// EndpointSet returns all of a tenant's, which are not to be changed.
	EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error)
	// EndpointState reads what deliveries have shown of an endpoint; the zero
	// state where that is nothing.
	EndpointState(ctx context.Context, tenant, id string) (hook.EndpointState, error)
	// EndpointStates is EndpointState of several, in the order of ids.
	EndpointStates(ctx context.Context, tenant string, ids []string) ([]hook.EndpointState, error)
	// EndpointCounts counts those of all tenants.
	EndpointCounts(ctx context.Context) (hook.EndpointCounts, error)
}

// Sealer seals what is secret of an endpoint, and opens it.
type Sealer interface {
	Seal(ctx context.Context, tenant, endpointID string, plain []byte) ([]byte, error)
	Open(ctx context.Context, tenant, endpointID string, sealed []byte) ([]byte, error)
}

// endpointAnswer is an endpoint as callers see it. Its secret is in the answer
// to its registration and in no other.
type endpointAnswer struct {
	ID           string              `json:"id"`
	URL          string              `json:"url"`
	Events       []string            `json:"events"`
	MaxRetries   *int                `json:"max_retries"`
	Timeout      float64             `json:"timeout"` // seconds
	RetryPolicy  text                `json:"retry_policy"`
	Description  string              `json:"description"`
	Headers      map[string]string   `json:"headers"`
	RateLimit    *float64            `json:"rate_limit"` // deliveries a second
	Metadata     map[string]string   `json:"metadata"`
	Status       hook.EndpointStatus `json:"status"`
	StatusReason text                `json:"status_reason"`
	LeftAlone    moment              `json:"left_alone_until"`
	Secret       string              `json:"secret,omitempty"`
	CreatedAt    moment              `json:"created_at"`
	UpdatedAt    moment              `json:"updated_at"`
}

func answerEndpoint(e *hook.Endpoint, state hook.EndpointState) endpointAnswer {
	metadata := e.Metadata
	if metadata == nil {
		metadata = map[string]string{}
	}
	headers := make(map[string]string, len(e.Headers))
	for _, h := range e.Headers {
		headers[h.Name] = hiddenValue
	}
	var rate *float64
	if e.RateLimit > 0 {
		rate = &e.RateLimit
	}
	return endpointAnswer{
		ID: e.ID, URL: e.URL, Events: e.Filters, MaxRetries: e.MaxRetries, Timeout: e.Timeout.Seconds(),
		RetryPolicy: text(e.RetryPolicy), Description: e.Description, Headers: headers, RateLimit: rate, Metadata: metadata,
		Status: e.Status, StatusReason: text(e.StatusReason), LeftAlone: moment(leftAloneUntil(e, state)),
		CreatedAt: moment(e.CreatedAt), UpdatedAt: moment(e.UpdatedAt),
	}
}

// leftAloneUntil is when the breaker of an endpoint lets its next probe through,
// zero where it is closed. It may have passed: the breaker stays what it is until
// a probe has succeeded. One that was open before the endpoint was paused,
// disabled, resumed or mended says nothing of it now.
func leftAloneUntil(e *hook.Endpoint, state hook.EndpointState) time.Time {
	if state.Epoch < e.Seen() {
		return time.Time{}
	}
	return state.OpenUntil
}

func (a *API) createEndpoint(w http.ResponseWriter, r *http.Request) error {
	id := a.o.NewID(hook.EndpointPrefix, a.o.Now())
	at := hook.IDTime(id)
	e := &hook.Endpoint{
		ID: id, Tenant: tenantOf(r), Timeout: defaultTimeout, Status: hook.EndpointActive, CreatedAt: at, UpdatedAt: at,
	}
	var f endpointFields
	err := readObject(w, r, func(name, value []byte) error { return f.newField(a, name, value) })
	if err != nil {
		return err
	}
	for _, change := range f.changes {
		change(e)
	}
	switch {
	case e.URL == "":
		return missing("url")
	case len(e.Filters) == 0:
		return missing("events")
	}
	if err := f.check(e); err != nil {
		return err
	}
	if f.secret == "" {
		if f.secret, err = a.o.NewSecret(); err != nil {
			return err
		}
	}
	f.changes = nil
	if err := f.seal(r.Context(), a, e.Tenant, e.ID); err != nil {
		return err
	}
	for _, change := range f.changes {
		change(e)
	}
	if err := a.o.Endpoints.CreateEndpoint(r.Context(), e); err != nil {
		return err
	}
	a.logChange(r, "endpoint created", e.ID)
	shown := answerEndpoint(e, hook.EndpointState{}) // nothing was delivered to it yet
	shown.Secret = f.secret
	w.Header().Set("Location", "/api/v1/webhooks/"+e.ID)
	return a.answer(w, r, http.StatusCreated, shown)
}

// logChange writes the line of a change of an endpoint.
func (a *API) logChange(r *http.Request, what, id string) {
	a.o.Log.LogAttrs(r.Context(), slog.LevelInfo, what, slog.String("endpoint_id", id), slog.String("tenant", tenantOf(r)))
}

func missing(field string) error {
	return &hook.InvalidError{Field: field, Code: "missing_field", Reason: "is required"}
}

func (a *API) getEndpoint(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.EndpointPrefix, "endpoint")
	if err != nil {
		return err
	}
	e, err := a.o.Endpoints.Endpoint(r.Context(), tenantOf(r), id)
	if err != nil {
		return named(err, "endpoint")
	}
	state, err := a.o.Endpoints.EndpointState(r.Context(), e.Tenant, id)
	if err != nil {
		return err
	}
	return a.answer(w, r, http.StatusOK, answerEndpoint(e, state))
}

func (a *API) changeEndpoint(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.EndpointPrefix, "endpoint")
	if err != nil {
		return err
	}
	var f endpointFields
	err = readObject(w, r, func(name, value []byte) error { return f.changedField(a, name, value) })
	if err != nil {
		return err
	}
	if len(f.changes) == 0 && !f.hasHeaders {
		return a.getEndpoint(w, r)
	}
	// What is shown of the breaker is read before the change, so that a change
	// that was made is answered.
	state, err := a.o.Endpoints.EndpointState(r.Context(), tenantOf(r), id)
	if err != nil {
		return err
	}
	if err := f.seal(r.Context(), a, tenantOf(r), id); err != nil {
		return err
	}
	now := a.o.Now().UTC().Truncate(time.Millisecond)
	e, err := a.o.Endpoints.UpdateEndpoint(r.Context(), tenantOf(r), id, func(e *hook.Endpoint) error {
		if err := f.check(e); err != nil {
			return err
		}
		before := e.URL
		for _, change := range f.changes {
			change(e)
		}
		if e.URL != before || f.hasHeaders {
			e.Mended++ // what its breaker has seen says nothing of it
		}
		e.UpdatedAt = now
		return nil
	})
	if err != nil {
		return named(err, "endpoint")
	}
	a.logChange(r, "endpoint changed", id)
	return a.answer(w, r, http.StatusOK, answerEndpoint(e, state))
}

func (a *API) deleteEndpoint(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.EndpointPrefix, "endpoint")
	if err != nil {
		return err
	}
	tenant := tenantOf(r)
	if _, err := a.o.Endpoints.Endpoint(r.Context(), tenant, id); err != nil {
		return named(err, "endpoint")
	}
	// The job that cancels what is held comes first: it waits for the endpoint
	// to be gone, and nothing would start it afterwards.
	if err := a.o.Jobs.Start(r.Context(), &hook.Job{Tenant: tenant, Kind: hook.JobCancel, EndpointID: id}); err != nil {
		return err
	}
	if err := a.o.Endpoints.DeleteEndpoint(r.Context(), tenant, id); err != nil {
		return named(err, "endpoint")
	}
	a.logChange(r, "endpoint deleted", id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) listEndpoints(w http.ResponseWriter, r *http.Request) error {
	q, err := a.listQuery(r)
	if err != nil {
		return err
	}
	return writeList(a, w, r, q, source[endpointAnswer]{
		fetch: func(ctx context.Context, p hook.Page) ([]endpointAnswer, string, error) {
			return a.endpointPage(ctx, tenantOf(r), p)
		},
		id:     func(e endpointAnswer) string { return e.ID },
		prefix: hook.EndpointPrefix,
		encode: encodeEach(func(e endpointAnswer) any { return e }),
	})
}

// endpointPage reads a page of endpoints, and the states of all of them together.
func (a *API) endpointPage(ctx context.Context, tenant string, p hook.Page) ([]endpointAnswer, string, error) {
	endpoints, next, err := a.o.Endpoints.ListEndpoints(ctx, tenant, p)
	if err != nil || len(endpoints) == 0 {
		return nil, next, err
	}
	ids := make([]string, len(endpoints))
	for i, e := range endpoints {
		ids[i] = e.ID
	}
	states, err := a.o.Endpoints.EndpointStates(ctx, tenant, ids)
	if err != nil {
		return nil, "", err
	}
	shown := make([]endpointAnswer, len(endpoints))
	for i, e := range endpoints {
		shown[i] = answerEndpoint(e, states[i])
	}
	return shown, next, nil
}
