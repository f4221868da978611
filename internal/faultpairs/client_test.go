package faultpairs

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
)

// answer is an answer of the API, read.
type answer struct {
	status int
	header map[string]string
	body   map[string]any
	raw    string
}

// delivery ids of an accepted event.
func (a answer) deliveries() (ids []string) {
	for _, d := range a.body["deliveries"].([]any) {
		ids = append(ids, d.(map[string]any)["id"].(string))
	}
	return ids
}

func (a answer) id() string { return a.body["id"].(string) }

func (a *account) request(method, path string, body any, header []string) events.APIGatewayV2HTTPRequest {
	e := events.APIGatewayV2HTTPRequest{Version: "2.0", Headers: map[string]string{"host": "api.test"}}
	e.RawPath, e.RawQueryString, _ = strings.Cut(path, "?")
	e.RequestContext.HTTP.Method = method
	e.RequestContext.DomainName = "api.test"
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(a.t, err)
		e.Body, e.Headers["content-type"] = string(raw), "application/json"
	}
	if a.key != "" {
		e.Headers["authorization"] = "Bearer " + a.key
	}
	for i := 0; i+1 < len(header); i += 2 {
		e.Headers[strings.ToLower(header[i])] = header[i+1]
	}
	return e
}

func read(r events.APIGatewayV2HTTPResponse) answer {
	a := answer{status: r.StatusCode, header: r.Headers, raw: r.Body, body: map[string]any{}}
	if json.Unmarshal([]byte(r.Body), &a.body) != nil {
		a.body = map[string]any{}
	}
	return a
}

// once makes a request of the API, as API Gateway hands it on.
func (a *account) once(method, path string, body any, header ...string) answer {
	req := a.request(method, path, body, header)
	resp, err := call(a.api, func(ctx context.Context, e *environment) (events.APIGatewayV2HTTPResponse, error) {
		return e.api(ctx, req)
	})
	if err != nil {
		return answer{status: http.StatusInternalServerError, raw: `{"message":"Internal Server Error"}`}
	}
	return read(resp)
}

// operate makes a request that meets no fault, and has to be answered so.
func (a *account) operate(status int, method, path string, body any, header ...string) answer {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), apiTimeout)
	defer cancel()
	resp, err := a.operator.api(ctx, a.request(method, path, body, header))
	require.NoError(a.t, err)
	got := read(resp)
	require.Equal(a.t, status, got.status, "%s %s: %s", method, path, got.raw)
	return got
}

// insist makes a request until it is answered with one of the statuses, as a
// client does that heeds what it is told. What it is told has to be clear.
func (a *account) insist(method, path string, body any, statuses []int, header ...string) answer {
	a.t.Helper()
	for range 10 {
		got := a.once(method, path, body, header...)
		if slices.Contains(statuses, got.status) {
			return got
		}
		time.Sleep(a.refused(fmt.Sprintf("%s %s", method, path), got))
	}
	require.Fail(a.t, "it is not answered", "%s %s", method, path)
	return answer{}
}

// refused checks an answer that says that something does not work, and returns
// how long it asks to wait.
func (a *account) refused(what string, got answer) time.Duration {
	a.t.Helper()
	if got.header == nil { // by API Gateway, for a function that died
		require.Positive(a.t, a.api.killed, "%s: the function failed", what)
		return time.Second
	}
	require.Equal(a.t, http.StatusServiceUnavailable, got.status, "%s: %s", what, got.raw)
	require.Equal(a.t, "application/problem+json", got.header["Content-Type"], what)
	require.Contains(a.t, []any{"unavailable", "not_ready"}, got.body["code"], what)
	require.NotContains(a.t, got.raw, "faultwire", "nothing internal is told")
	seconds, err := strconv.Atoi(got.header["Retry-After"])
	require.NoError(a.t, err, what)
	require.Positive(a.t, seconds, what)
	return time.Duration(seconds) * time.Second
}

var (
	ok       = []int{http.StatusOK}
	created  = []int{http.StatusCreated}
	accepted = []int{http.StatusAccepted}
)

// settled are the answers of a request that may have been carried out before,
// by one whose answer was lost.
func settled(status int) []int { return []int{status, http.StatusNotFound} }

// register makes an endpoint, past all faults, and returns its id.
func (a *account) register(fields map[string]any) string {
	a.t.Helper()
	return a.operate(http.StatusCreated, "POST", "/api/v1/webhooks", endpoint(fields)).id()
}

// endpoint is the body of a registration.
func endpoint(fields map[string]any) map[string]any {
	for name, value := range map[string]any{"url": "https://receiver.test/hook", "events": []string{"*"}, "secret": secret} {
		if fields[name] == nil {
			fields[name] = value
		}
	}
	return fields
}

func event(kind string) map[string]any {
	return map[string]any{"event_type": kind, "payload": map[string]any{"n": 1}}
}

// emit posts an event past all faults, and returns its id and its deliveries.
func (a *account) emit(kind string) (id string, deliveries []string) {
	a.t.Helper()
	got := a.operate(http.StatusAccepted, "POST", "/api/v1/events", event(kind))
	return got.id(), got.deliveries()
}

// acknowledged notes that deliveries are owed, and how each is to end.
func (a *account) acknowledged(status string, deliveries ...string) {
	for _, id := range deliveries {
		a.ledger.wanted[id] = status
	}
}
