package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"posthorn/internal/hook"
)

// receiveTest is an endpoint to try things with: it answers 204 to a delivery
// that is signed with its endpoint's secret. Which endpoint that is stands in
// the delivery's id, X-Webhook-Delivery, and in the URL, as ?tenant=, where it
// is not one of DefaultTenant's: a delivery carries no key.
func (a *API) receiveTest(w http.ResponseWriter, r *http.Request) error {
	body, err := readAll(w, r, maxBody)
	if err != nil {
		return err
	}
	if r.Header.Get("X-Webhook-Signature") == "" && r.Header.Get("Webhook-Signature") == "" {
		return &hook.InvalidError{Code: "not_signed", Reason: "the request carries neither X-Webhook-Signature nor webhook-signature"}
	}
	secrets, err := a.secretsOf(r)
	if err != nil {
		return err
	}
	if !a.o.Verify(r.Header, body, secrets, a.o.Now()) {
		return &problem{kind: kindBadSignature}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// secretsOf returns the secrets of the endpoint that a delivery is for.
func (a *API) secretsOf(r *http.Request) ([]string, error) {
	unknown := &problem{kind: kindBadSignature, detail: "X-Webhook-Delivery names no delivery to an endpoint of this server."}
	tenant := DefaultTenant
	if q := r.URL.Query(); q.Has("tenant") {
		tenant = q.Get("tenant")
	}
	ref, err := hook.ParseDeliveryID(tenant, r.Header.Get("X-Webhook-Delivery"))
	if err != nil || !hook.ValidTenant(tenant) {
		return nil, unknown
	}
	e, err := a.o.Endpoints.Endpoint(r.Context(), ref.Tenant, ref.EndpointID)
	if err != nil {
		if errors.Is(err, hook.ErrNotFound) {
			return nil, unknown
		}
		return nil, err
	}
	// Those that sign: when all have expired, the newest still does.
	signing := slices.DeleteFunc(slices.Clone(e.Secrets), func(s hook.SealedSecret) bool {
		return !s.ExpiresAt.IsZero() && !s.ExpiresAt.After(a.o.Now())
	})
	if len(signing) == 0 {
		signing = e.Secrets[:min(len(e.Secrets), 1)]
	}
	secrets := make([]string, len(signing))
	for i, s := range signing {
		plain, err := a.o.Sealer.Open(r.Context(), e.Tenant, e.ID, s.Sealed)
		if err != nil {
			return nil, fmt.Errorf("open a secret of %s: %w", e.ID, err)
		}
		secrets[i] = string(plain)
	}
	return secrets, nil
}
