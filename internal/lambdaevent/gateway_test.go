package lambdaevent

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

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
	var origin Origin
	var through bool
	serve := Gateway(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = seen{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Get("Idempotency-Key"), r.Host, string(b)}
		origin, through = RequestOrigin(r.Context())
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
	require.True(t, through)
	require.Equal(t, Origin{SourceIP: "192.0.2.1", RequestID: "JKJaXmPLvHcESHA="}, origin)
	require.Equal(t, 202, resp.StatusCode)
	require.Equal(t, `{"id":"evt_1"}`, resp.Body)
	require.Equal(t, "application/json", resp.Headers["Content-Type"])
	require.False(t, resp.IsBase64Encoded)

	encoded := gatewayEvent("POST", "/api/v1/events", "a=1&a=2&b=%2F", base64.StdEncoding.EncodeToString([]byte(want.Body)))
	encoded.IsBase64Encoded = true
	got = seen{}
	_, err = serve(t.Context(), encoded)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestARequestFromElsewhereHasNoOrigin(t *testing.T) {
	t.Parallel()
	_, ok := RequestOrigin(t.Context())
	require.False(t, ok)
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	var e events.EventBridgeEvent
	require.NoError(t, json.Unmarshal([]byte(`{"version":"0","id":"53dc4d37","detail-type":"Scheduled Event","source":"aws.events","account":"123456789012",
		"time":"2026-03-01T13:00:00+01:00","region":"us-east-1","resources":["arn:aws:events:us-east-1:123456789012:rule/sweep"],"detail":{}}`), &e))
	require.Equal(t, Tick{ID: "53dc4d37", At: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, Schedule(e))
	require.NotPanics(t, func() { Schedule(events.EventBridgeEvent{}) })
}
