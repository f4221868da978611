package wire

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/config"
	"posthorn/internal/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// hung is an App whose services never answer.
func hung(t *testing.T) *App {
	t.Helper()
	cfg, err := config.Load(config.Local, config.Environment())
	require.NoError(t, err)
	account := Local(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	})}, "http://localhost:4566")
	cfg.Seal.Key = make([]byte, seal.KeySize)
	app, err := New(cfg, account, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return app
}

// request is a call of the HTTP API as its function is handed it.
func request(method, path, body string) events.APIGatewayV2HTTPRequest {
	e := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: path, Body: body, Headers: map[string]string{"content-type": "application/json"}}
	e.RequestContext.DomainName = "abc.execute-api.us-east-1.amazonaws.com"
	e.RequestContext.HTTP.Method = method
	return e
}

const functionTimeout = 29 * time.Second // as in template.yaml

func TestHungServicesAreAnsweredWithAProblemInTime(t *testing.T) {
	t.Parallel()
	const delivery = "/api/v1/deliveries/dlv_01M85VZD685G3RJHNP2PV5MMPE_01M85VZD5FXFFYTWSX4SS5W6D7"
	for name, req := range map[string]events.APIGatewayV2HTTPRequest{
		"accept":          request("POST", "/api/v1/events", `{"event_type":"a","payload":{}}`),
		"accept with key": request("POST", "/api/v1/events", `{"event_type":"a","payload":{},"id":"k"}`),
		"register":        request("POST", "/api/v1/webhooks", `{"url":"https://example.com","events":["*"]}`),
		"read":            request("GET", delivery, ""),
		"list":            request("GET", "/api/v1/events", ""),
		"count":           request("GET", "/api/v1/stats", ""),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				app := hung(t)
				app.Counts().EventAccepted("earlier") // what is counted cannot be stored either
				ctx, cancel := context.WithTimeout(t.Context(), functionTimeout)
				defer cancel()
				began := time.Now()
				resp, err := app.APIFunction()(ctx, req)
				require.NoError(t, err)
				require.NoError(t, ctx.Err(), "answered while there was time")
				require.Less(t, time.Since(began), functionTimeout)
				// Calls that travel together are given up after five seconds, others at the deadline.
				require.GreaterOrEqual(t, time.Since(began), 5*time.Second, "and not before the services had a fair chance")
				require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode, resp.Body)
				require.Equal(t, "application/problem+json", resp.Headers["Content-Type"])
				require.Equal(t, "1", resp.Headers["Retry-After"])
				var problem struct{ Code string }
				require.NoError(t, json.Unmarshal([]byte(resp.Body), &problem))
				require.Equal(t, "unavailable", problem.Code)
				time.Sleep(time.Hour) // of the bubble's clock: what was under way ends
			})
		})
	}
}

func TestASweepOfAHungQueueReturnsInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 55*time.Second) // as in template.yaml
		defer cancel()
		app := hung(t)
		app.Counts().Ended("dead") // what is counted cannot be stored either
		require.ErrorIs(t, app.SweepFunction()(ctx, events.EventBridgeEvent{}), context.DeadlineExceeded)
		require.NoError(t, ctx.Err(), "returned while there was time")
	})
}

func TestAFunctionWithoutADeadlineServes(t *testing.T) {
	t.Parallel()
	resp, err := hung(t).APIFunction()(t.Context(), request("GET", "/health", ""))
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
}
