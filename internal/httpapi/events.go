package httpapi

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"posthorn/internal/hook"
	"posthorn/internal/ingest"
)

// Ingest accepts events; see ingest.Ingester.
type Ingest interface {
	Accept(ctx context.Context, tenant string, req ingest.Request) (ingest.Accepted, error)
	AcceptBatch(ctx context.Context, tenant string, reqs []ingest.Request) []ingest.Result
	// Test sends a test event to one endpoint.
	Test(ctx context.Context, e *hook.Endpoint) (ingest.Accepted, error)
}

// Events reads what was accepted. What has expired is not there.
type Events interface {
	// Event returns hook.ErrNotFound when there is none.
	Event(ctx context.Context, tenant, id string) (*hook.Event, error)
	// Recipients returns the ids of all endpoints that the event matched or was
	// resent to.
	Recipients(ctx context.Context, e *hook.Event) ([]string, error)
	ListEvents(ctx context.Context, f hook.EventFilter, p hook.Page) (events []*hook.Event, next string, err error)
}

// maxListed is how many of an event's deliveries its answer lists.
const maxListed = 100

func (a *API) postEvent(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r, maxBody)
	if err != nil {
		return err
	}
	req, idField, err := decodeEvent(body, r.Header)
	if err != nil {
		return err
	}
	accepted, err := a.o.Ingest.Accept(r.Context(), tenantOf(r), req)
	if err != nil {
		if invalid := (*hook.InvalidError)(nil); errors.As(err, &invalid) && invalid.Field == "id" {
			return &hook.InvalidError{Field: idField, Code: invalid.Code, Reason: invalid.Reason}
		}
		return err
	}
	if accepted.Replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	a.write(w, r, http.StatusAccepted, "application/json", appendEvent(nil, accepted.Event, false))
	return nil
}

const keyHeader = "Idempotency-Key"

// decodeEvent reads the body of POST /api/v1/events and the headers that go
// with it. idField is where the producer's id was given.
func decodeEvent(body []byte, header http.Header) (req ingest.Request, idField string, err error) {
	req, hasID, err := decodeFields(body)
	if err != nil {
		return req, "", err
	}
	req.Trace = header.Get("Traceparent")

	idField = "id"
	if keys := header.Values(keyHeader); len(keys) > 0 {
		// Several are one list (RFC 9110, section 5.3), which API Gateway makes of them.
		key := strings.Join(keys, ",")
		if hasID && key != req.ProducerID {
			return req, "", &hook.InvalidError{Field: "id", Code: "idempotency_key_mismatch", Reason: "differs from the Idempotency-Key; they are the same thing"}
		}
		if !hasID {
			idField = keyHeader
		}
		hasID = true
		req.ProducerID = key
	}
	if hasID && req.ProducerID == "" {
		return req, "", emptyKey(idField)
	}
	return req, idField, nil
}

func emptyKey(field string) error {
	return &hook.InvalidError{Field: field, Code: "invalid_idempotency_key", Reason: "must be 1 to 255 printable ASCII characters"}
}

// decodeFields reads an event's own fields. The payload is cut out, not
// decoded: what it may hold is for ingest to check. hasID says that the producer's
// id was given.
func decodeFields(body []byte) (req ingest.Request, hasID bool, err error) {
	var hasType bool
	err = object("", body, func(name, value []byte) (err error) {
		switch string(name) {
		case "event_type":
			hasType = true
			req.EventType, err = stringValue("event_type", value)
		case "payload":
			if value[0] != '{' {
				return wrongType("payload", "an object", value)
			}
			req.Payload = value
		case "id":
			if !isNull(value) {
				hasID = true
				req.ProducerID, err = stringValue("id", value)
			}
		default:
			err = unknownField(name, value)
		}
		return err
	})
	switch {
	case err != nil:
		return req, false, err
	case !hasType:
		return req, false, missing("event_type")
	case req.Payload == nil:
		return req, false, missing("payload")
	}
	return req, hasID, nil
}

// appendEvent writes an event as callers see it. By hand, since it is the
// answer to every POST: ids, types and times need no escapes, and the payload
// stays byte for byte what it is.
func appendEvent(b []byte, e *hook.Event, withPayload bool) []byte {
	if b == nil {
		const head, perDelivery = 160, 125
		size := head + len(e.Type) + perDelivery*min(len(e.EndpointIDs), maxListed)
		if withPayload {
			size += len(e.Body)
		}
		b = make([]byte, 0, size)
	}
	b = append(b, `{"id":"`...)
	b = append(b, e.ID...)
	b = append(b, `","event_type":"`...)
	b = append(b, e.Type...)
	b = append(b, `","created_at":"`...)
	b = append(b, hook.FormatTime(e.CreatedAt)...)
	b = append(b, `","deliveries":[`...)
	for i, endpoint := range e.EndpointIDs[:min(len(e.EndpointIDs), maxListed)] {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"id":"`...)
		b = append(b, e.Ref(endpoint).ID()...)
		b = append(b, `","endpoint_id":"`...)
		b = append(b, endpoint...)
		b = append(b, `"}`...)
	}
	b = append(b, `],"deliveries_total":`...)
	b = strconv.AppendInt(b, int64(e.Targets), 10)
	if withPayload {
		b = append(b, `,"payload":`...)
		b = append(b, payloadOf(e)...)
	}
	return append(b, '}')
}

// payloadOf returns the event's payload as JSON.
func payloadOf(e *hook.Event) []byte {
	if p := e.Payload(); p != nil {
		return p
	}
	return []byte("null")
}

func (a *API) getEvent(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.EventPrefix, "event")
	if err != nil {
		return err
	}
	e, err := a.o.Events.Event(r.Context(), tenantOf(r), id)
	if err != nil {
		return named(err, "event")
	}
	a.write(w, r, http.StatusOK, "application/json", appendEvent(nil, e, true))
	return nil
}

func (a *API) listEvents(w http.ResponseWriter, r *http.Request) error {
	q, err := a.listQuery(r, "event_type", "since", "until")
	if err != nil {
		return err
	}
	f := hook.EventFilter{Tenant: tenantOf(r)}
	if f.Type, err = q.eventType(); err != nil {
		return err
	}
	if f.Since, f.Until, err = q.span(); err != nil {
		return err
	}
	return writeList(a, w, r, q, source[*hook.Event]{
		fetch: func(ctx context.Context, p hook.Page) ([]*hook.Event, string, error) {
			return a.o.Events.ListEvents(ctx, f, p)
		},
		id:     func(e *hook.Event) string { return e.ID },
		prefix: hook.EventPrefix,
		encode: func(_ context.Context, events []*hook.Event) ([][]byte, error) {
			out := make([][]byte, len(events))
			for i, e := range events {
				out[i] = appendEvent(nil, e, true)
			}
			return out, nil
		},
	})
}

// resendEvent sends an event again: to one endpoint, or to all that match it
// now.
func (a *API) resendEvent(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, hook.EventPrefix, "event")
	if err != nil {
		return err
	}
	endpointID := ""
	err = optionalObject(w, r, func(name, value []byte) (err error) {
		if string(name) != "endpoint_id" {
			return unknownField(name, value)
		}
		if isNull(value) {
			return nil
		}
		if endpointID, err = stringValue("endpoint_id", value); err == nil && !hook.ValidID(hook.EndpointPrefix, endpointID) {
			err = &problem{kind: kindNotFound, field: "endpoint_id", detail: "There is no such endpoint."}
		}
		return err
	})
	if err != nil {
		return err
	}
	event, err := a.o.Events.Event(r.Context(), tenantOf(r), id)
	if err != nil {
		return named(err, "event")
	}
	if endpointID != "" {
		if _, err := a.o.Endpoints.Endpoint(r.Context(), event.Tenant, endpointID); errors.Is(err, hook.ErrNotFound) {
			return &problem{kind: kindNotFound, field: "endpoint_id", detail: "There is no such endpoint."}
		} else if err != nil {
			return err
		}
		if err := a.resendTo(r.Context(), event, []string{endpointID}); err != nil {
			return err
		}
		return a.answerResent(w, r, event, []string{endpointID})
	}
	set, err := a.o.Endpoints.EndpointSet(r.Context(), event.Tenant)
	if err != nil {
		return err
	}
	var ids []string
	for _, e := range set.Endpoints {
		if e.Matches(event.Type) {
			ids = append(ids, e.ID)
		}
	}
	now := ids[:min(len(ids), hook.MaxInlineTargets)]
	if err := a.resendTo(r.Context(), event, now); err != nil {
		return err
	}
	if len(ids) > len(now) {
		err := a.o.Jobs.Start(r.Context(), &hook.Job{
			Tenant: event.Tenant, Kind: hook.JobFanOut, EventID: event.ID, Resend: true, Cursor: now[len(now)-1], Total: len(ids) - len(now),
		})
		if err != nil {
			return err
		}
	}
	return a.answerResent(w, r, event, ids)
}

// resendTo sends an event to some endpoints, or says why it could not to one.
func (a *API) resendTo(ctx context.Context, event *hook.Event, endpointIDs []string) error {
	failed, err := a.o.Redriver.Resend(ctx, event, endpointIDs, time.Time{})
	for _, id := range endpointIDs {
		err = cmp.Or(err, failed[id])
	}
	return err
}

// answerResent answers as a POST of the event would, with the deliveries that
// are made now.
func (a *API) answerResent(w http.ResponseWriter, r *http.Request, e *hook.Event, endpointIDs []string) error {
	sent := *e
	sent.EndpointIDs, sent.Targets = endpointIDs, len(endpointIDs)
	a.write(w, r, http.StatusAccepted, "application/json", appendEvent(nil, &sent, false))
	return nil
}
