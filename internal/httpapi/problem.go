package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"posthorn/internal/hook"
	"posthorn/internal/ingest"
)

// kind is a kind of problem as a caller sees it.
type kind struct {
	status     int
	code       string        // stable, for programs
	detail     string        // what is said when nothing more exact is known
	retryAfter time.Duration // whole seconds; 0: not said
}

var (
	kindInvalid          = kind{status: http.StatusBadRequest, code: "invalid_request", detail: "The request is not valid."}
	kindUnauthorized     = kind{status: http.StatusUnauthorized, code: "unauthorized", detail: "This takes an API key, as Authorization: Bearer or as X-API-Key: none was sent, or no such key exists."}
	kindForbidden        = kind{status: http.StatusForbidden, code: "forbidden", detail: "This key may not do this."}
	kindForeignOrigin    = kind{status: http.StatusForbidden, code: "foreign_origin", detail: "A session counts for requests of this server's own pages alone; this one comes from another site."}
	kindNotFound         = kind{status: http.StatusNotFound, code: "not_found", detail: "There is no such thing."}
	kindMethodNotAllowed = kind{status: http.StatusMethodNotAllowed, code: "method_not_allowed", detail: "This path does not take this method."}
	kindConflict         = kind{status: http.StatusConflict, code: "conflict", detail: "It was changed by somebody else at the same time. Try again."}
	kindKeyReused        = kind{status: http.StatusConflict, code: "idempotency_key_reused", detail: "This idempotency key was used before, for another event type or payload."}
	kindNotReplayable    = kind{status: http.StatusConflict, code: "not_replayable", detail: "It cannot be sent again: its endpoint was deleted, its event has expired, or it is no delivery."}
	kindNotCancellable   = kind{status: http.StatusConflict, code: "not_cancellable", detail: "This job cannot be cancelled: it is over, or has to be done."}
	kindTooManySecrets   = kind{status: http.StatusConflict, code: "too_many_secrets", detail: "Five secrets sign at the moment, as many as may. Wait until one of them has expired, or rotate with an overlap of 0."}
	kindSameSecret       = kind{status: http.StatusConflict, code: "same_secret", detail: "This secret signs already. Rotate to another one, or leave it out and have one made."}
	kindPayloadTooLarge  = kind{status: http.StatusRequestEntityTooLarge, code: "payload_too_large", detail: "The payload is over 256 KB."}
	kindBodyTooLarge     = kind{status: http.StatusRequestEntityTooLarge, code: "body_too_large", detail: "The body is too large."}
	kindMediaType        = kind{status: http.StatusUnsupportedMediaType, code: "unsupported_media_type", detail: "The body has to be sent as Content-Type: application/json, in UTF-8 and without a Content-Encoding."}
	kindBadSignature     = kind{status: http.StatusUnauthorized, code: "bad_signature", detail: "The signature is not that of this body under the secret of the endpoint."}
	kindQueueFull        = kind{status: http.StatusTooManyRequests, code: "queue_full", detail: "The queue holds as many messages as is allowed. Try again later.", retryAfter: 5 * time.Second}
	kindUnknownKeys      = kind{status: http.StatusTooManyRequests, code: "too_many_unknown_keys", detail: "Too many keys that do not exist were sent; others are not looked up for the moment. Try again.", retryAfter: time.Second}
	kindInternal         = kind{status: http.StatusInternalServerError, code: "internal_error", detail: "Something went wrong on our side."}
	kindNotReady         = kind{status: http.StatusServiceUnavailable, code: "not_ready", detail: "A service that this one needs does not answer.", retryAfter: 5 * time.Second}
	kindUnavailable      = kind{status: http.StatusServiceUnavailable, code: "unavailable", detail: "Something this needs does not work at the moment. Nothing was acknowledged. Try again.", retryAfter: time.Second}
)

// kindOf is the one table from kinds of error to what callers see of them. What
// stands in no row is a failure of a store, which may pass when tried again.
func kindOf(err error) (k kind, field, detail string) {
	var (
		p       *problem
		invalid *hook.InvalidError
		paniced *panicError
	)
	switch {
	case errors.As(err, &p):
		return p.kind, p.field, p.detail
	case errors.As(err, &invalid):
		k = kindInvalid
		if invalid.Code != "" {
			k.code = invalid.Code
		}
		return k, invalid.Field, sentence(invalid)
	case errors.As(err, &paniced):
		return kindInternal, "", ""
	}
	for _, row := range []struct {
		err   error
		kind  kind
		field string
	}{
		{hook.ErrNotFound, kindNotFound, ""},
		{hook.ErrConflict, kindConflict, ""},
		{hook.ErrKeyReused, kindKeyReused, ""},
		{hook.ErrNotReplayable, kindNotReplayable, ""},
		{hook.ErrNotCancellable, kindNotCancellable, ""},
		{hook.ErrTooManySecrets, kindTooManySecrets, ""},
		{hook.ErrQueueFull, kindQueueFull, ""},
		{ingest.ErrTooLarge, kindPayloadTooLarge, "payload"},
	} {
		if errors.Is(err, row.err) {
			return row.kind, row.field, ""
		}
	}
	return kindUnavailable, "", ""
}

// sentence is what is wrong, for people: "events[1]: must be …", or, where no
// field is at fault, a sentence of its own.
func sentence(e *hook.InvalidError) string {
	if e.Field != "" {
		return e.Error()
	}
	return strings.ToUpper(e.Reason[:1]) + e.Reason[1:] + "."
}

// problem is an error of this package's own.
type problem struct {
	kind   kind
	field  string
	detail string // for the caller; empty: the kind's
	cause  error  // for the log; nil: none but itself
}

func (p *problem) Unwrap() error { return p.cause }

func (p *problem) Error() string {
	if p.detail == "" {
		return p.kind.detail
	}
	return p.detail
}

var (
	errNoPath    = &problem{kind: kindNotFound, detail: "There is nothing at this path."}
	errMediaType = &problem{kind: kindMediaType}
)

// bodyTooLarge is the answer to a body of more than so many bytes, whole MB.
func bodyTooLarge(most int64) error {
	return &problem{kind: kindBodyTooLarge, detail: fmt.Sprintf("The body is over %d MB.", most>>20)}
}

// notFound is the answer about an id that names nothing.
func notFound(what string) error {
	return &problem{kind: kindNotFound, detail: "There is no such " + what + "."}
}

// named says of hook.ErrNotFound what was not found; other errors stay.
func named(err error, what string) error {
	if errors.Is(err, hook.ErrNotFound) {
		return notFound(what)
	}
	return err
}

// ignore passes an error on, unless it is of that kind.
func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

// fail answers with a problem document (RFC 9457). A failure of ours is logged
// with an id that the caller gets to see; what failed stays in the log.
func (a *API) fail(w http.ResponseWriter, r *http.Request, start time.Time, err error) {
	k, _, _ := kindOf(err)
	if k.status >= http.StatusInternalServerError {
		w.Header().Set("X-Request-Id", a.logFailure(r, k, start, err))
	}
	if k.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(k.retryAfter/time.Second)))
	}
	a.write(w, r, k.status, "application/problem+json", a.document(r, err))
}

// problemOf is a problem document among other answers.
func (a *API) problemOf(r *http.Request, err error) []byte {
	if k, _, _ := kindOf(err); k.status >= http.StatusInternalServerError {
		a.logFailure(r, k, a.o.Now(), err)
	}
	return a.document(r, err)
}

// logFailure logs a failure of ours, and returns the id it is found by.
func (a *API) logFailure(r *http.Request, k kind, start time.Time, err error) (id string) {
	now := a.o.Now()
	id = a.o.NewID("req_", now)
	level := slog.LevelError
	if errors.Is(r.Context().Err(), context.Canceled) {
		level = slog.LevelWarn // the caller has gone
	}
	cause := err
	if p := (*problem)(nil); errors.As(err, &p) && p.cause != nil {
		cause = p.cause
	}
	a.o.Log.LogAttrs(r.Context(), level, "request failed",
		slog.String("request_id", id), slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", k.status), slog.String("code", k.code), slog.String("error", cause.Error()),
		slog.Float64("duration_ms", float64(now.Sub(start).Microseconds())/1000))
	return id
}

// document writes an error as a caller sees it.
func (a *API) document(r *http.Request, err error) []byte {
	k, field, detail := kindOf(err)
	if detail == "" {
		detail = k.detail
	}
	body, encodeErr := encode(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Code   string `json:"code"`
		Field  string `json:"field,omitempty"`
	}{"about:blank", http.StatusText(k.status), k.status, detail, k.code, field})
	if encodeErr != nil {
		a.o.Log.LogAttrs(r.Context(), slog.LevelError, "problem not encoded", slog.String("error", encodeErr.Error()))
	}
	return body
}
