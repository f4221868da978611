package httpapi

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
	"posthorn/internal/sign"
)

func TestTestReceiverChecksSignatures(t *testing.T) {
	t.Parallel()
	const body = `{"id":"evt","event":"a","timestamp":"t","data":{}}`
	w := newWorld()
	endpoint := w.register(t, `{"url":"https://example.com","events":["*"],"secret":"test-secret"}`)
	other := w.register(t, `{"url":"https://example.com","events":["*"],"secret":"other-secret"}`)
	w.eps[endpoint].Secrets = append(w.eps[endpoint].Secrets, hook.SealedSecret{Sealed: sealedFor(DefaultTenant, endpoint, "old-secret"), ExpiresAt: start.Add(time.Minute)})
	event := testID(hook.EventPrefix, start, 5)
	delivery := hook.Ref{EventID: event, EndpointID: endpoint}.ID()

	signed := func(secret string) http.Header {
		h := http.Header{}
		sign.Headers(h, []hook.Secret{{Value: secret}}, event, start, []byte(body))
		h.Set("X-Webhook-Delivery", delivery)
		return h
	}
	without := func(h http.Header, names ...string) http.Header {
		for _, name := range names {
			h.Del(name)
		}
		return h
	}
	with := func(h http.Header, name, value string) http.Header { h.Set(name, value); return h }
	standard := []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}

	for name, c := range map[string]struct {
		header http.Header
		body   string
		status int
		code   string
	}{
		"both schemes":       {signed("test-secret"), body, 204, ""},
		"plain alone":        {without(signed("test-secret"), standard...), body, 204, ""},
		"standard alone":     {without(signed("test-secret"), "X-Webhook-Signature"), body, 204, ""},
		"a secret's overlap": {signed("old-secret"), body, 204, ""},
		"other secret":       {signed("wrong-secret"), body, 401, "bad_signature"},
		"other body":         {signed("test-secret"), body + " ", 401, "bad_signature"},
		"garbage":            {http.Header{"X-Webhook-Signature": {"x"}, "X-Webhook-Delivery": {delivery}}, body, 401, "bad_signature"},
		"other endpoint":     {with(signed("test-secret"), "X-Webhook-Delivery", hook.Ref{EventID: event, EndpointID: other}.ID()), body, 401, "bad_signature"},
		"unknown endpoint":   {with(signed("test-secret"), "X-Webhook-Delivery", hook.Ref{EventID: event, EndpointID: testID(hook.EndpointPrefix, start, 99)}.ID()), body, 401, "bad_signature"},
		"no delivery":        {without(signed("test-secret"), "X-Webhook-Delivery"), body, 401, "bad_signature"},
		"malformed delivery": {with(signed("test-secret"), "X-Webhook-Delivery", "dlv_x"), body, 401, "bad_signature"},
		"no signature":       {without(signed("test-secret"), append(standard, "X-Webhook-Signature")...), body, 400, "not_signed"},
		"nothing at all":     {http.Header{}, body, 400, "not_signed"},
	} {
		t.Run(name, func(t *testing.T) {
			var headers []string
			for k := range c.header {
				headers = append(headers, k, c.header.Get(k))
			}
			rec := w.do("POST", "/test/webhook", c.body, headers...)
			if c.code != "" {
				requireProblem(t, rec, c.status, c.code, "")
				require.NotContains(t, rec.Body.String(), "test-secret")
				return
			}
			require.Equal(t, c.status, rec.Code, rec.Body.String())
		})
	}

	w.sleep(2 * time.Minute)
	headers := []string{"X-Webhook-Delivery", delivery, "X-Webhook-Signature", signed("old-secret").Get("X-Webhook-Signature")}
	requireProblem(t, w.do("POST", "/test/webhook", body, headers...), 401, "bad_signature", "")

	w.eps[endpoint].Secrets = []hook.SealedSecret{{Sealed: sealedFor(DefaultTenant, endpoint, "last-secret"), ExpiresAt: start}}
	rec := w.do("POST", "/test/webhook", body, "X-Webhook-Delivery", delivery, "X-Webhook-Signature", signed("last-secret").Get("X-Webhook-Signature"))
	require.Equal(t, 204, rec.Code, "the newest signs when all have expired")

	requireProblem(t, w.do("POST", "/test/webhook", body+strings.Repeat(" ", maxBody), headers...), 413, "body_too_large", "")
	w.faults["endpoint"] = failed
	requireProblem(t, w.do("POST", "/test/webhook", body, headers...), 503, "unavailable", "")
	require.NotContains(t, w.log.String(), strconv.Quote(body), "no body is logged")
}

// A delivery carries no key, so whose endpoint it is for stands in the URL.
func TestTestReceiverIsToldTheTenantByTheURL(t *testing.T) {
	t.Parallel()
	const body = `{"id":"evt","event":"a","timestamp":"t","data":{}}`
	w := newWorld()
	endpoint := w.register(t, `{"url":"https://example.com","events":["*"],"secret":"test-secret"}`, "X-Tenant", "acme")
	event := testID(hook.EventPrefix, start, 5)
	h := http.Header{}
	sign.Headers(h, []hook.Secret{{Value: "test-secret"}}, event, start, []byte(body))
	h.Set("X-Webhook-Delivery", hook.Ref{EventID: event, EndpointID: endpoint}.ID())
	h.Set("Authorization", "") // anybody may call
	var headers []string
	for k := range h {
		headers = append(headers, k, h.Get(k))
	}
	require.Equal(t, http.StatusNoContent, w.do("POST", "/test/webhook?tenant=acme", body, headers...).Code)
	for _, query := range []string{"", "?tenant=other", "?tenant=", "?tenant=acme%23EP"} {
		requireProblem(t, w.do("POST", "/test/webhook"+query, body, headers...), 401, "bad_signature", "")
	}
	require.Equal(t, 3, w.calls["endpoint"], "what cannot be a tenant ends in no key")
}
