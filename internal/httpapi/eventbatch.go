package httpapi

import (
	"errors"
	"fmt"
	"net/http"

	"posthorn/internal/hook"
	"posthorn/internal/ingest"
)

// maxBatchBody is the largest body of a batch of events, in bytes.
const maxBatchBody = 4 << 20

// batched is one event of a batch: a request, or what is wrong with it.
type batched struct {
	req ingest.Request
	err error
}

// postEvents takes a batch of events. Each of them is answered for by itself:
// what is wrong with one is nothing to the others.
func (a *API) postEvents(w http.ResponseWriter, r *http.Request) error {
	if r.Header.Get(keyHeader) != "" {
		return &hook.InvalidError{Field: keyHeader, Code: "invalid_idempotency_key", Reason: "is of a single event: give each event of a batch its id"}
	}
	body, err := readBody(w, r, maxBatchBody)
	if err != nil {
		return err
	}
	batch, err := decodeBatch(body, r.Header.Get("Traceparent"))
	if err != nil {
		return err
	}
	var reqs []ingest.Request
	for _, b := range batch {
		if b.err == nil {
			reqs = append(reqs, b.req)
		}
	}
	var results []ingest.Result
	if len(reqs) > 0 {
		results = a.o.Ingest.AcceptBatch(r.Context(), tenantOf(r), reqs)
		if err := allUnavailable(results); err != nil && len(results) == len(batch) {
			return err // nothing was accepted, and all of it may be tried again
		}
	}
	out := []byte(`{"data":[`)
	for i, b := range batch {
		if i > 0 {
			out = append(out, ',')
		}
		var one ingest.Result
		if one.Err = b.err; b.err == nil {
			one, results = results[0], results[1:]
		}
		if one.Err == nil {
			out = appendEvent(out, one.Event, false)
			continue
		}
		out = append(out, a.problemOf(r, inBatch(one.Err, i))...)
	}
	a.write(w, r, http.StatusAccepted, "application/json", append(out, "]}"...))
	return nil
}

// allUnavailable returns the error of the first result when all failed for
// reasons that may pass.
func allUnavailable(results []ingest.Result) error {
	for _, r := range results {
		if r.Err == nil {
			return nil
		}
		if k, _, _ := kindOf(r.Err); k.status < http.StatusTooManyRequests {
			return nil
		}
	}
	return results[0].Err
}

// inBatch says of an error which event of a batch it is of.
func inBatch(err error, i int) error {
	path := fmt.Sprintf("events[%d]", i)
	if invalid := (*hook.InvalidError)(nil); errors.As(err, &invalid) {
		within := *invalid
		within.Field = path
		if invalid.Field != "" {
			within.Field = path + "." + invalid.Field
		}
		return &within
	}
	k, field, detail := kindOf(err)
	if field != "" {
		path += "." + field
	}
	return &problem{kind: k, field: path, detail: detail, cause: err}
}

// decodeBatch reads the body of a batch. What is wrong with the batch itself is
// an error; what is wrong with one event is that event's.
func decodeBatch(body []byte, trace string) (batch []batched, err error) {
	err = object("", body, func(name, value []byte) error {
		if string(name) != "events" {
			return unknownField(name, value)
		}
		return array("events", value, func(_ int, item []byte) error {
			if len(batch) == ingest.MaxBatch {
				return &hook.InvalidError{Field: "events", Code: "invalid_events", Reason: "must hold 1 to 100 events"}
			}
			batch = append(batch, decodeBatched(item, trace))
			return nil
		})
	})
	switch {
	case err != nil:
		return nil, err
	case batch == nil:
		return nil, &hook.InvalidError{Field: "events", Code: "invalid_events", Reason: "must hold 1 to 100 events"}
	}
	return batch, nil
}

func decodeBatched(item []byte, trace string) batched {
	if item[0] != '{' {
		return batched{err: wrongType("", "an object", item)}
	}
	req, hasID, err := decodeFields(item)
	if err == nil && hasID && req.ProducerID == "" {
		err = emptyKey("id")
	}
	req.Trace = trace
	return batched{req, err}
}
