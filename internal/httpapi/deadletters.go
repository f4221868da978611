package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"posthorn/internal/hook"
	"posthorn/internal/ingest"
)

// DeadLetters keeps the entries of the dead-letter list. What has expired is
// not there.
type DeadLetters interface {
	// DeadLetter returns hook.ErrNotFound when there is none.
	DeadLetter(ctx context.Context, tenant, id string) (*hook.DeadLetter, error)
	ListDeadLetters(ctx context.Context, f hook.DeadLetterFilter, p hook.Page) (entries []*hook.DeadLetter, next string, err error)
	// DeleteDeadLetter returns hook.ErrNotFound when there is none.
	DeleteDeadLetter(ctx context.Context, tenant, id string) error
	CountDeadLetters(ctx context.Context, f hook.DeadLetterFilter) (int, error)
}

// Redriver sends deliveries again, each with a fresh budget of attempts.
// hook.ErrNotFound: there is nothing of that id; hook.ErrNotReplayable: it is
// no delivery, or its endpoint was deleted.
type Redriver interface {
	// Replay sends a dead letter's delivery; the entry is gone once that is in
	// the queue.
	Replay(ctx context.Context, tenant, id string) (deliveryID string, err error)
	// Retry sends a delivery, whatever its state.
	Retry(ctx context.Context, ref hook.Ref) error
	// Resend sends an event to endpoints, whether it was sent to them or not,
	// unless that was done since a time, where there is one. failed says to which
	// it could not be sent; after err it was sent to none.
	Resend(ctx context.Context, event *hook.Event, endpointIDs []string, since time.Time) (failed map[string]error, err error)
}

// deadLetterAnswer is a dead letter as callers see it. An undecodable message
// has no ids and no payload, but the body it came with.
type deadLetterAnswer struct {
	ID            string          `json:"id"`
	DeliveryID    text            `json:"delivery_id"`
	EventID       text            `json:"event_id"`
	EndpointID    text            `json:"endpoint_id"`
	EventType     text            `json:"event_type"`
	Payload       json.RawMessage `json:"payload"` // null: the event is gone
	EndpointURL   text            `json:"endpoint_url"`
	FailureReason string          `json:"failure_reason"`
	Attempts      int             `json:"attempts"`
	RawBody       string          `json:"raw_body,omitempty"`
	CreatedAt     moment          `json:"created_at"`
	ExpiresAt     moment          `json:"expires_at"`
}

func answerDeadLetter(d *hook.DeadLetter, payload []byte) deadLetterAnswer {
	shown := deadLetterAnswer{
		ID: d.ID, EventID: text(d.EventID), EndpointID: text(d.EndpointID), EventType: text(d.EventType),
		Payload: payload, EndpointURL: text(d.EndpointURL), FailureReason: d.FailureReason, Attempts: d.Attempts,
		RawBody: d.RawBody, CreatedAt: moment(d.CreatedAt), ExpiresAt: moment(d.ExpiresAt),
	}
	if d.Replayable() {
		shown.DeliveryID = text(d.Ref.ID())
	}
	return shown
}

// encodeDeadLetters joins entries with the payloads of their events, which it
// reads at the same time: callers hand in few.
func (a *API) encodeDeadLetters(ctx context.Context, entries []*hook.DeadLetter) ([][]byte, error) {
	out := make([][]byte, len(entries))
	reads := make([]func() error, len(entries))
	for i, d := range entries {
		reads[i] = func() (err error) { out[i], err = a.encodeDeadLetter(ctx, d); return err }
	}
	return out, together(reads...)
}

func (a *API) encodeDeadLetter(ctx context.Context, d *hook.DeadLetter) ([]byte, error) {
	var payload []byte
	if d.Replayable() {
		e, err := a.o.Events.Event(ctx, d.Tenant, d.EventID)
		switch {
		case err == nil:
			payload = e.Payload()
		case !errors.Is(err, hook.ErrNotFound):
			return nil, err
		}
	}
	return encode(answerDeadLetter(d, payload))
}

func (a *API) listDeadLetters(w http.ResponseWriter, r *http.Request) error {
	q, err := a.listQuery(r, "endpoint_id", "event_type", "since", "until")
	if err != nil {
		return err
	}
	f := hook.DeadLetterFilter{Tenant: tenantOf(r)}
	if f.EndpointID, err = q.id("endpoint_id", hook.EndpointPrefix, "endpoint"); err != nil {
		return err
	}
	if f.EventType, err = q.eventType(); err != nil {
		return err
	}
	if f.Since, f.Until, err = q.span(); err != nil {
		return err
	}
	return writeList(a, w, r, q, source[*hook.DeadLetter]{
		fetch: func(ctx context.Context, p hook.Page) ([]*hook.DeadLetter, string, error) {
			return a.o.DeadLetters.ListDeadLetters(ctx, f, p)
		},
		id:     func(d *hook.DeadLetter) string { return d.ID },
		prefix: hook.DeadLetterPrefix,
		encode: a.encodeDeadLetters,
	})
}

func (a *API) getDeadLetter(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.DeadLetterPrefix, "dead letter")
	if err != nil {
		return err
	}
	d, err := a.o.DeadLetters.DeadLetter(r.Context(), tenantOf(r), id)
	if err != nil {
		return named(err, "dead letter")
	}
	body, err := a.encodeDeadLetter(r.Context(), d)
	if err != nil {
		return err
	}
	a.write(w, r, http.StatusOK, "application/json", body)
	return nil
}

func (a *API) deleteDeadLetter(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.DeadLetterPrefix, "dead letter")
	if err != nil {
		return err
	}
	if err := a.o.DeadLetters.DeleteDeadLetter(r.Context(), tenantOf(r), id); err != nil {
		return named(err, "dead letter")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) replayDeadLetter(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.DeadLetterPrefix, "dead letter")
	if err != nil {
		return err
	}
	if err := noBody(w, r); err != nil {
		return err
	}
	delivery, err := a.o.Redriver.Replay(r.Context(), tenantOf(r), id)
	if err != nil {
		return named(err, "dead letter")
	}
	return a.answer(w, r, http.StatusAccepted, struct {
		DeliveryID string `json:"delivery_id"`
	}{delivery})
}

// replayDeadLetters sends all dead letters again that a filter lets through, or
// says how many that would be.
func (a *API) replayDeadLetters(w http.ResponseWriter, r *http.Request) error {
	job := &hook.Job{Tenant: tenantOf(r), Kind: hook.JobReplay}
	filtered, dryRun := false, false
	err := readObject(w, r, func(name, value []byte) (err error) {
		switch field := string(name); field {
		case "filter":
			filtered = true
			job.Filter, err = deadLetterFilter(job.Tenant, value)
		case "dry_run":
			if !isNull(value) {
				dryRun, err = boolValue(field, value)
			}
		case "limit":
			if !isNull(value) {
				job.Limit, err = wholeNumber(field, value, 1, maxReplay)
			}
		case "rate":
			if !isNull(value) {
				job.Rate, err = number(field, value, minRate, maxReplayRate)
			}
		default:
			err = unknownField(name, value)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case !filtered: // an empty one means all, and has to be written
		return missing("filter")
	case dryRun:
		n, err := a.o.DeadLetters.CountDeadLetters(r.Context(), job.Filter)
		if err != nil {
			return err
		}
		if job.Limit > 0 {
			n = min(n, job.Limit)
		}
		return a.answer(w, r, http.StatusOK, struct {
			Matched int `json:"matched"`
		}{n})
	}
	return a.startJob(w, r, job)
}

const (
	maxReplay     = 10_000_000 // entries
	maxReplayRate = 1000       // entries a second
	maxReason     = 512        // bytes
)

// deadLetterFilter decodes the filter of a replay.
func deadLetterFilter(tenant string, value []byte) (f hook.DeadLetterFilter, err error) {
	f.Tenant = tenant
	err = object("filter", value, func(name, value []byte) (err error) {
		path := join("filter", name)
		switch string(name) {
		case "endpoint_id":
			if f.EndpointID, err = stringValue(path, value); err == nil && !hook.ValidID(hook.EndpointPrefix, f.EndpointID) {
				err = &hook.InvalidError{Field: path, Code: "invalid_id", Reason: "must be an endpoint's id"}
			}
		case "event_type":
			if f.EventType, err = stringValue(path, value); err == nil && ingest.ValidateEventType(f.EventType) != nil {
				err = &hook.InvalidError{Field: path, Code: "invalid_event_type", Reason: "must be 1 to 128 letters, digits, \".\", \"_\" or \"-\""}
			}
		case "failure_reason":
			if f.Reason, err = stringValue(path, value); err == nil && (f.Reason == "" || len(f.Reason) > maxReason) {
				err = &hook.InvalidError{Field: path, Code: "too_long", Reason: "must be 1 to 512 bytes long"}
			}
		case "since":
			f.Since, err = timeValue(path, value)
		case "until":
			f.Until, err = timeValue(path, value)
		default:
			err = &hook.InvalidError{Field: path, Code: "unknown_field", Reason: "there is no such field here"}
		}
		return err
	})
	if err == nil {
		err = inOrder("filter.until", f.Since, f.Until)
	}
	return f, err
}
