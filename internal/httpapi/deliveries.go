package httpapi

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"posthorn/internal/hook"
)

// Deliveries reads what is recorded of deliveries. What has expired is not there.
type Deliveries interface {
	// Deliveries returns the records in the order of refs, nil where there is none.
	Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error)
	// Attempts returns the attempts after the first, newest first.
	Attempts(ctx context.Context, ref hook.Ref, newest int) ([]hook.Attempt, error)
	// ListDeliveries lists the records of one endpoint's deliveries. What a page
	// starts after, and next, is the id of a delivery's event.
	ListDeliveries(ctx context.Context, f hook.DeliveryFilter, p hook.Page) (deliveries []*hook.Delivery, next string, err error)
}

// maxAttemptLog is how many attempts a delivery's answer shows: the newest.
const maxAttemptLog = 20

// deliveryAnswer is a delivery as callers see it. The log and the traceparent are
// in the answer to its id alone, not in lists.
type deliveryAnswer struct {
	ID            string           `json:"id"`
	EventID       string           `json:"event_id"`
	EndpointID    string           `json:"endpoint_id"`
	EventType     string           `json:"event_type"`
	Status        hook.Status      `json:"status"`
	WaitingFor    text             `json:"waiting_for"`
	Attempts      int              `json:"attempts"`
	NextAttemptAt moment           `json:"next_attempt_at"`
	AttemptLog    *[]attemptAnswer `json:"attempt_log,omitempty"`
	Traceparent   *text            `json:"traceparent,omitempty"`
	CreatedAt     moment           `json:"created_at"`
	CompletedAt   moment           `json:"completed_at"`
}

type attemptAnswer struct {
	Number       int     `json:"number"`
	At           moment  `json:"at"`
	DurationMS   float64 `json:"duration_ms"`
	StatusCode   *int    `json:"status_code"` // null: no answer came
	Error        text    `json:"error"`
	ResponseBody *string `json:"response_body"` // null: no answer came
}

func (a *API) answerDelivery(d *hook.Delivery) deliveryAnswer {
	shown := deliveryAnswer{
		ID: d.ID(), EventID: d.EventID, EndpointID: d.EndpointID, EventType: d.EventType, Status: d.Status,
		Attempts: d.Attempts, CreatedAt: moment(d.CreatedAt), CompletedAt: moment(d.CompletedAt),
	}
	if d.Status == hook.Retrying {
		shown.NextAttemptAt = moment(d.NextAttemptAt)
		if d.NextAttemptAt.After(a.o.Now()) {
			shown.WaitingFor = "backoff"
		}
	}
	return shown
}

// waitingFor says what a delivery waits for, as its endpoint stands: nothing is
// recorded of a wait that uses no attempt.
func (a *API) waitingFor(ctx context.Context, d *hook.Delivery) (text, error) {
	if d.Status != hook.Queued && d.Status != hook.Retrying {
		return "", nil
	}
	now := a.o.Now()
	state, err := a.o.Endpoints.EndpointState(ctx, d.Tenant, d.EndpointID)
	if err != nil {
		return "", err
	}
	open, err := a.breakerOpen(ctx, d, state)
	switch {
	case err != nil:
		return "", err
	case open:
		return "breaker", nil
	case d.NextAttemptAt.After(now):
		return "backoff", nil
	case state.NextSlot.Sub(now) > time.Second: // more is waiting than a second's worth
		return "rate_limit", nil
	default:
		return "", nil
	}
}

// breakerOpen says whether the breaker of a delivery's endpoint is open. One
// that was, before the endpoint was resumed or mended, is not.
func (a *API) breakerOpen(ctx context.Context, d *hook.Delivery, state hook.EndpointState) (bool, error) {
	if state.OpenUntil.IsZero() {
		return false, nil
	}
	e, err := a.o.Endpoints.Endpoint(ctx, d.Tenant, d.EndpointID)
	if errors.Is(err, hook.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !leftAloneUntil(e, state).IsZero(), nil
}

func answerAttempt(t hook.Attempt) attemptAnswer {
	shown := attemptAnswer{
		Number: t.Number, At: moment(t.At), DurationMS: float64(t.Duration.Microseconds()) / 1000, Error: text(t.Error),
	}
	if t.StatusCode != 0 {
		shown.StatusCode, shown.ResponseBody = &t.StatusCode, &t.ResponseBody
	}
	return shown
}

// queued is the delivery of which nothing is recorded yet.
func queued(e *hook.Event, endpointID string) *hook.Delivery {
	return &hook.Delivery{Ref: e.Ref(endpointID), EventType: e.Type, Status: hook.Queued, CreatedAt: e.CreatedAt}
}

func (a *API) getDelivery(w http.ResponseWriter, r *http.Request) error {
	ref, err := hook.ParseDeliveryID(tenantOf(r), r.PathValue("id"))
	if err != nil {
		return named(err, "delivery")
	}
	d, event, err := a.delivery(r.Context(), ref)
	if err != nil {
		return named(err, "delivery")
	}
	log, err := a.attemptLog(r.Context(), d)
	if err != nil {
		return err
	}
	shown := a.answerDelivery(d)
	shown.AttemptLog, shown.Traceparent = &log, new(text)
	if event != nil {
		*shown.Traceparent = text(event.Trace)
	}
	if shown.WaitingFor, err = a.waitingFor(r.Context(), d); err != nil {
		return err
	}
	return a.answer(w, r, http.StatusOK, shown)
}

// retryDelivery sends a delivery again, whatever its state.
func (a *API) retryDelivery(w http.ResponseWriter, r *http.Request) error {
	ref, err := hook.ParseDeliveryID(tenantOf(r), r.PathValue("id"))
	if err != nil {
		return named(err, "delivery")
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	if err := a.o.Redriver.Retry(r.Context(), ref); err != nil {
		return named(err, "delivery")
	}
	return a.answer(w, r, http.StatusAccepted, struct {
		DeliveryID string `json:"delivery_id"`
	}{ref.ID()})
}

// delivery returns the record of a delivery and its event, which is nil where it
// is no longer stored. Without a record it is what the event says: that it waits
// in the queue.
func (a *API) delivery(ctx context.Context, ref hook.Ref) (*hook.Delivery, *hook.Event, error) {
	rows, err := a.o.Deliveries.Deliveries(ctx, []hook.Ref{ref})
	if err != nil {
		return nil, nil, err
	}
	e, err := a.o.Events.Event(ctx, ref.Tenant, ref.EventID)
	switch d := rows[0]; {
	case d != nil && errors.Is(err, hook.ErrNotFound):
		return d, nil, nil
	case err != nil:
		return nil, nil, err
	case d != nil:
		return d, e, nil
	}
	recipients, err := a.o.Events.Recipients(ctx, e)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Contains(recipients, ref.EndpointID) {
		return nil, nil, notFound("delivery")
	}
	return queued(e, ref.EndpointID), e, nil
}

// attemptLog returns the newest attempts, in the order in which they were made.
func (a *API) attemptLog(ctx context.Context, d *hook.Delivery) ([]attemptAnswer, error) {
	log := []attemptAnswer{}
	if d.Attempts > 1 {
		later, err := a.o.Deliveries.Attempts(ctx, d.Ref, maxAttemptLog)
		if err != nil {
			return nil, err
		}
		for _, t := range later[:min(len(later), maxAttemptLog)] {
			log = append(log, answerAttempt(t))
		}
	}
	if d.First.Number > 0 && len(log) < maxAttemptLog {
		log = append(log, answerAttempt(d.First))
	}
	slices.Reverse(log)
	return log, nil
}

func (a *API) listDeliveries(w http.ResponseWriter, r *http.Request) error {
	q, err := a.listQuery(r, "endpoint_id", "event_id", "status", "event_type", "since", "until")
	if err != nil {
		return err
	}
	byEndpoint, byEvent := q.values.Has("endpoint_id"), q.values.Has("event_id")
	if byEndpoint == byEvent {
		return &hook.InvalidError{Code: "endpoint_or_event_required", Reason: "give either endpoint_id or event_id: deliveries are listed of one endpoint or of one event"}
	}
	f := hook.DeliveryFilter{Tenant: tenantOf(r), Status: hook.Status(q.values.Get("status"))}
	if f.Status != "" && !slices.Contains(statuses, f.Status) {
		return &hook.InvalidError{Field: "status", Code: "invalid_status", Reason: "must be one of queued, retrying, delivered, dead, held, cancelled"}
	}
	if f.EventType, err = q.eventType(); err != nil {
		return err
	}
	if f.Since, f.Until, err = q.span(); err != nil {
		return err
	}
	from := source[*hook.Delivery]{
		id: func(d *hook.Delivery) string { return d.EventID }, prefix: hook.EventPrefix,
		encode: encodeEach(func(d *hook.Delivery) any { return a.answerDelivery(d) }),
	}
	if byEndpoint {
		if f.EndpointID, err = q.id("endpoint_id", hook.EndpointPrefix, "endpoint"); err != nil {
			return err
		}
		from.fetch = func(ctx context.Context, p hook.Page) ([]*hook.Delivery, string, error) {
			return a.o.Deliveries.ListDeliveries(ctx, f, p)
		}
		return writeList(a, w, r, q, from)
	}

	id, err := q.id("event_id", hook.EventPrefix, "event")
	if err != nil {
		return err
	}
	e, err := a.o.Events.Event(r.Context(), f.Tenant, id)
	if errors.Is(err, hook.ErrNotFound) {
		return &problem{kind: kindNotFound, field: "event_id", detail: "There is no such event."}
	}
	if err != nil {
		return err
	}
	from.id, from.prefix = func(d *hook.Delivery) string { return d.EndpointID }, hook.EndpointPrefix
	recipients, err := a.o.Events.Recipients(r.Context(), e)
	if err != nil {
		return err
	}
	from.fetch = a.ofEvent(e, recipients, f)
	return writeList(a, w, r, q, from)
}

var statuses = []hook.Status{hook.Queued, hook.Retrying, hook.Delivered, hook.Dead, hook.Held, hook.Cancelled}

// ofEvent lists the deliveries of one event: that of the newest endpoint first,
// since they were all made at the same moment. A page starts after an
// endpoint's id.
func (a *API) ofEvent(e *hook.Event, recipients []string, f hook.DeliveryFilter) func(context.Context, hook.Page) ([]*hook.Delivery, string, error) {
	refs := make([]hook.Ref, 0, len(recipients))
	if (f.EventType == "" || f.EventType == e.Type) && within(e.CreatedAt, f.Since, f.Until) {
		for _, endpoint := range recipients {
			refs = append(refs, e.Ref(endpoint))
		}
	}
	slices.SortFunc(refs, func(x, y hook.Ref) int { return strings.Compare(y.EndpointID, x.EndpointID) })
	return func(ctx context.Context, p hook.Page) ([]*hook.Delivery, string, error) {
		rest := refs
		if p.After != "" {
			rest = rest[len(rest):]
			for i, ref := range refs {
				if ref.EndpointID < p.After {
					rest = refs[i:]
					break
				}
			}
		}
		size := p.Limit
		if f.Status != "" {
			size = fetchSize // of which few may pass
		}
		chunk := rest[:min(len(rest), size)]
		if len(chunk) == 0 {
			return nil, "", nil
		}
		rows, err := a.o.Deliveries.Deliveries(ctx, chunk)
		if err != nil {
			return nil, "", err
		}
		var found []*hook.Delivery
		looked := 0
		for i, d := range rows {
			if len(found) == p.Limit {
				break
			}
			looked++
			if d == nil {
				d = queued(e, chunk[i].EndpointID)
			}
			if f.Status == "" || f.Status == d.Status {
				found = append(found, d)
			}
		}
		next := ""
		if len(rest) > looked {
			next = chunk[looked-1].EndpointID
		}
		return found, next, nil
	}
}

// within says whether t is in the span from since (inclusive) to until
// (exclusive), either of which may be open.
func within(t, since, until time.Time) bool {
	return (since.IsZero() || !t.Before(since)) && (until.IsZero() || t.Before(until))
}
