package lambdaevent

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
)

func gatewayEvent(method, path, query, body string) events.APIGatewayV2HTTPRequest {
	e := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "$default", RawPath: path, RawQueryString: query, Body: body,
		Headers: map[string]string{"content-type": "application/json", "idempotency-key": "k1"},
	}
	e.RequestContext.DomainName = "abc.execute-api.us-east-1.amazonaws.com"
	e.RequestContext.RequestID = "JKJaXmPLvHcESHA="
	e.RequestContext.HTTP.Method = method
	e.RequestContext.HTTP.Path = path
	e.RequestContext.HTTP.SourceIP = "192.0.2.1"
	return e
}

func TestARequestThroughTheGateway(t *testing.T) {
	t.Parallel()
	type seen struct{ Method, Path, Query, Key, Host, Body string }
	var got seen
	serve := Gateway(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = seen{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Idempotency-Key"), r.Host, string(b)}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusAccepted)
		if _, err := io.WriteString(w, `{"id":"evt_1"}`); err != nil {
			t.Error(err)
		}
	}))
	want := seen{"POST", "/api/v1/events", "a=1&a=2&b=%2F", "k1", "abc.execute-api.us-east-1.amazonaws.com", `{"payload":{"ü":1.0}}`}

	resp, err := serve(t.Context(), gatewayEvent("POST", "/api/v1/events", "a=1&a=2&b=%2F", want.Body))
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, 202, resp.StatusCode)
	require.Equal(t, `{"id":"evt_1"}`, resp.Body)
	require.Equal(t, "application/json", resp.Headers["Content-Type"])
	require.False(t, resp.IsBase64Encoded)

	named := gatewayEvent("POST", "/api/v1/events", "a=1&a=2&b=%2F", want.Body)
	named.Headers["host"] = "hooks.example:8000"
	_, err = serve(t.Context(), named)
	require.NoError(t, err)
	require.Equal(t, "hooks.example:8000", got.Host, "with its port, which the domain's name has not")

	encoded := gatewayEvent("POST", "/api/v1/events", "a=1&a=2&b=%2F", base64.StdEncoding.EncodeToString([]byte(want.Body)))
	encoded.IsBase64Encoded = true
	got = seen{}
	_, err = serve(t.Context(), encoded)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestHeadersAreNotSplitAtTheirCommas(t *testing.T) {
	t.Parallel()
	var got http.Header
	serve := Gateway(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		w.WriteHeader(http.StatusNoContent)
	}))
	e := gatewayEvent("POST", "/test/webhook", "", "{}")
	e.Headers = map[string]string{
		"idempotency-key": "7, 7", "webhook-signature": "v1,abc= v1,def=", "content-type": "application/json",
		"date": "Sun, 01 Mar 2026 12:00:00 GMT", "x-empty": "", "x-spaced": " \ta, b ",
	}
	e.Cookies = []string{"a=1,2", "b=3"}
	_, err := serve(t.Context(), e)
	require.NoError(t, err)
	require.Equal(t, http.Header{
		"Idempotency-Key": {"7, 7"}, "Webhook-Signature": {"v1,abc= v1,def="}, "Content-Type": {"application/json"},
		"Date": {"Sun, 01 Mar 2026 12:00:00 GMT"}, "X-Empty": {""}, "X-Spaced": {"a, b"},
		"Cookie": {"a=1,2", "b=3"},
	}, got)
}

func TestConcurrentRequestsKeepTheirOwnHeaders(t *testing.T) {
	t.Parallel()
	serve := Gateway(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.WriteString(w, r.Header.Get("Idempotency-Key")); err != nil {
			t.Error(err)
		}
	}))
	var wg sync.WaitGroup
	for n := range 50 {
		wg.Go(func() {
			e := gatewayEvent("POST", "/", "", "")
			e.Headers["idempotency-key"] = fmt.Sprint(n, ",", n)
			resp, err := serve(t.Context(), e)
			if err != nil || resp.Body != fmt.Sprint(n, ",", n) {
				t.Error(n, resp.Body, err)
			}
		})
	}
	wg.Wait()
}

func TestThePathIsTheDecodedOneWhateverIsInIt(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/api/v1/webhooks/a\x00b", "/a\nb", "/a?b#c", "/100%", "/%2e", "/ü /x", "/a;b"} {
		var gotPath, gotQuery string
		serve := Gateway(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			gotPath, gotQuery = r.URL.Path, r.URL.RawQuery
			w.WriteHeader(http.StatusNotFound)
		}))
		resp, err := serve(t.Context(), gatewayEvent("GET", path, "limit=1", ""))
		require.NoError(t, err, "%q", path)
		require.Equal(t, http.StatusNotFound, resp.StatusCode)
		require.Equal(t, path, gotPath)
		require.Equal(t, "limit=1", gotQuery)
	}
}
