package deliver

import (
	"context"
	"fmt"
	"net/http"

	"posthorn/internal/hook"
)

// material is what a request is made of.
type material struct {
	body  []byte
	trace string // the producer's traceparent; empty: none
	opened
}

// body is what is sent, and the producer's traceparent: out of the message, or
// out of its event where the message does not carry it.
func (d *Deliverer) body(ctx context.Context, j *job) (body []byte, trace string, err error) {
	if j.message.Body != nil {
		return j.message.Body, j.message.Trace, nil
	}
	e, err := d.Events.Event(ctx, j.message.Tenant, j.message.EventID)
	if err != nil {
		return nil, "", fmt.Errorf("read event: %w", err)
	}
	return e.Body, e.Trace, nil
}

// opened is what was sealed of an endpoint.
type opened struct {
	secrets []hook.Secret
	headers http.Header
}

// unseal opens what is sealed of an endpoint.
func (d *Deliverer) unseal(ctx context.Context, e *hook.Endpoint) (opened, error) {
	o := opened{secrets: make([]hook.Secret, len(e.Secrets)), headers: make(http.Header, len(e.Headers))}
	for i, s := range e.Secrets {
		plain, err := d.Unsealer.Open(ctx, e.Tenant, e.ID, s.Sealed)
		if err != nil {
			return opened{}, fmt.Errorf("open a secret of %s: %w", e.ID, err)
		}
		o.secrets[i] = hook.Secret{Value: string(plain), ExpiresAt: s.ExpiresAt}
	}
	for _, h := range e.Headers {
		plain, err := d.Unsealer.Open(ctx, e.Tenant, e.ID, h.Sealed)
		if err != nil {
			return opened{}, fmt.Errorf("open header %s of %s: %w", h.Name, e.ID, err)
		}
		o.headers.Set(h.Name, string(plain))
	}
	return o, nil
}
