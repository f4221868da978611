package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
)

type (
	request  = events.APIGatewayV2HTTPRequest
	response = events.APIGatewayV2HTTPResponse
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// capture returns a gateway that keeps the events its function was called with.
func capture(t *testing.T) (*Gateway, *[]request) {
	t.Helper()
	var got []request
	return New(func(_ context.Context, req request) (response, error) {
		got = append(got, req)
		return response{StatusCode: 200}, nil
	}, Options{Logger: quiet()}), &got
}

func answer(resp response, err error) *Gateway {
	return New(func(context.Context, request) (response, error) { return resp, err }, Options{Logger: quiet()})
}

func do(h http.Handler, method, target string, body io.Reader, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestEventCarriesTheRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, got := capture(t)
		now := time.Now().UTC()
		w := do(g, "POST", "http://api.example.com:8000/a%20b/c?x=1&x=2&y=a%2Fb&z&x=3", strings.NewReader(`{"a":1}`),
			"Content-Type", "application/json; charset=utf-8",
			"X-Many", "one", "X-Many", "two",
			"Cookie", "a=1; b=2", "Cookie", "c=3",
			"Connection", "keep-alive", "Te", "trailers",
			"X-Forwarded-For", "198.51.100.7",
			"User-Agent", "test/1")

		require.Len(t, *got, 1)
		req := (*got)[0]
		require.Equal(t, "2.0", req.Version)
		require.Equal(t, "$default", req.RouteKey)
		require.Equal(t, "/a b/c", req.RawPath)
		require.Equal(t, "x=1&x=2&y=a%2Fb&z&x=3", req.RawQueryString)
		require.Equal(t, map[string]string{"x": "1,2,3", "y": "a/b", "z": ""}, req.QueryStringParameters)
		require.Equal(t, []string{"a=1", "b=2", "c=3"}, req.Cookies)
		require.Equal(t, `{"a":1}`, req.Body)
		require.False(t, req.IsBase64Encoded)

		trace := req.Headers["x-amzn-trace-id"]
		require.Regexp(t, `^Root=1-[0-9a-f]{8}-[0-9a-f]{24}$`, trace)
		require.Equal(t, map[string]string{
			"content-type": "application/json; charset=utf-8", "content-length": "7",
			"x-many": "one,two", "user-agent": "test/1", "host": "api.example.com:8000",
			"x-forwarded-for": "198.51.100.7, 192.0.2.1", "x-forwarded-proto": "http", "x-forwarded-port": "8000",
			"x-amzn-trace-id": trace,
		}, req.Headers)

		c := req.RequestContext
		require.Equal(t, events.APIGatewayV2HTTPRequestContextHTTPDescription{
			Method: "POST", Path: "/a b/c", Protocol: "HTTP/1.1", SourceIP: "192.0.2.1", UserAgent: "test/1",
		}, c.HTTP)
		require.Equal(t, "$default", c.Stage)
		require.Equal(t, "$default", c.RouteKey)
		require.Equal(t, "api.example.com", c.DomainName)
		require.Equal(t, "api", c.DomainPrefix)
		require.Equal(t, now.UnixMilli(), c.TimeEpoch)
		require.Equal(t, now.Format("02/Jan/2006:15:04:05 +0000"), c.Time)
		require.Regexp(t, `^[A-Za-z0-9+/]{15}=$`, c.RequestID)
		require.Equal(t, c.RequestID, w.Header().Get("Apigw-Requestid"))
	})
}

func TestEventOfABareRequest(t *testing.T) {
	g, got := capture(t)
	do(g, "GET", "http://localhost/health", nil)
	req := (*got)[0]
	require.Nil(t, req.QueryStringParameters)
	require.Nil(t, req.Cookies)
	require.Empty(t, req.Body)
	require.False(t, req.IsBase64Encoded)
	require.NotContains(t, req.Headers, "content-length")
	require.Equal(t, "80", req.Headers["x-forwarded-port"])
}

func TestRequestIDsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		seen[newRequestID()] = true
	}
	require.Len(t, seen, 1000)
}

func TestOnlyTextTravelsAsText(t *testing.T) {
	for _, tc := range []struct {
		contentType, encoding, body string
		encoded                     bool
	}{
		{"application/json", "", `{}`, false},
		{"Application/JSON;charset=utf-8", "", `{}`, false},
		{"text/plain", "", "x", false},
		{"text/", "", "x", true},
		{"application/xml", "", "<a/>", false},
		{"application/javascript", "", "1", false},
		{"application/x-www-form-urlencoded", "", "a=1", true},
		{"application/octet-stream", "", "x", true},
		{"", "", "x", true},
		{"application/json", "gzip", "x", true},
		{"application/json", "", "\"\xff\"", true},
	} {
		g, got := capture(t)
		h := []string{}
		if tc.contentType != "" {
			h = append(h, "Content-Type", tc.contentType)
		}
		if tc.encoding != "" {
			h = append(h, "Content-Encoding", tc.encoding)
		}
		do(g, "POST", "/", strings.NewReader(tc.body), h...)
		req := (*got)[0]
		require.Equal(t, tc.encoded, req.IsBase64Encoded, "%q %q", tc.contentType, tc.body)
		if tc.encoded {
			// What a function gets from encoding/json is the body's bytes again.
			var back []byte
			require.NoError(t, json.Unmarshal([]byte(`"`+req.Body+`"`), &back))
			require.Equal(t, tc.body, string(back))
		} else {
			require.Equal(t, tc.body, req.Body)
		}
	}
}

func TestBodyLimit(t *testing.T) {
	exact := bytes.Repeat([]byte("a"), MaxBody)
	for name, tc := range map[string]struct {
		body   io.Reader
		status int
	}{
		"at the limit":              {bytes.NewReader(exact), 200},
		"over, announced":           {bytes.NewReader(append(exact, 'a')), 413},
		"at the limit, in chunks":   {io.MultiReader(bytes.NewReader(exact)), 200},
		"over, in chunks":           {io.MultiReader(bytes.NewReader(exact), strings.NewReader("a")), 413},
		"body that breaks half-way": {io.MultiReader(strings.NewReader("a"), brokenReader{}), 400},
	} {
		t.Run(name, func(t *testing.T) {
			g, got := capture(t)
			w := do(g, "POST", "/", tc.body, "Content-Type", "text/plain")
			require.Equal(t, tc.status, w.Code)
			switch tc.status {
			case 200:
				require.Len(t, (*got)[0].Body, MaxBody)
			case 413:
				require.Empty(t, *got)
				require.Equal(t, `{"message":"Request Entity Too Large"}`, w.Body.String())
			default:
				require.Empty(t, *got)
			}
		})
	}
}

func TestABodyAnnouncedTooLargeIsNotRead(t *testing.T) {
	g, _ := capture(t)
	r := httptest.NewRequest("POST", "/", brokenReader{})
	r.ContentLength = MaxBody + 1
	w := httptest.NewRecorder()
	g.ServeHTTP(w, r)
	require.Equal(t, 413, w.Code)
}

func TestBodiesDoNotMix(t *testing.T) {
	g, got := capture(t)
	for _, body := range []string{"first and longer", "second", strings.Repeat("x", 2*keptBuffer), "last"} {
		do(g, "POST", "/", strings.NewReader(body), "Content-Type", "text/plain")
		require.Equal(t, body, (*got)[len(*got)-1].Body)
	}
}

func TestRequestsOverTheRateAreTurnedAwayUntilTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		g := New(func(context.Context, request) (response, error) { calls++; return response{StatusCode: 200}, nil }, Options{Logger: quiet(), Rate: 2.5})
		for range 3 { // a second's worth at once
			require.Equal(t, http.StatusOK, do(g, "GET", "/", nil).Code)
		}
		for range 5 { // turned away, they take no place of those to come
			w := do(g, "GET", "/", nil)
			require.Equal(t, http.StatusTooManyRequests, w.Code)
			require.JSONEq(t, `{"message":"Too Many Requests"}`, w.Body.String())
			require.Equal(t, "1", w.Header().Get("Retry-After"))
		}
		time.Sleep(400 * time.Millisecond)
		require.Equal(t, http.StatusOK, do(g, "GET", "/", nil).Code)
		require.Equal(t, http.StatusTooManyRequests, do(g, "GET", "/", nil).Code)
		require.Equal(t, 4, calls)

		slow := New(func(context.Context, request) (response, error) { return response{StatusCode: 200}, nil }, Options{Logger: quiet(), Rate: 0.1})
		require.Equal(t, http.StatusOK, do(slow, "GET", "/", nil).Code)
		require.Equal(t, "10", do(slow, "GET", "/", nil).Header().Get("Retry-After"))
	})
}

func TestStatusOfAFailure(t *testing.T) {
	late := context.DeadlineExceeded
	require.Equal(t, 500, statusOf(errors.New("no"), nil))
	require.Equal(t, 500, statusOf(late, nil), "a deadline of the function's own")
	require.Equal(t, 500, statusOf(errors.New("no"), late))
	require.Equal(t, 503, statusOf(fmt.Errorf("query: %w", late), late))
	require.Equal(t, 503, statusOf(fmt.Errorf("invoke: %w", throttle{}), nil))
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

type throttle struct{}

func (throttle) Error() string   { return "rate exceeded" }
func (throttle) Throttled() bool { return true }

func TestFailuresOfTheFunction(t *testing.T) {
	for name, tc := range map[string]struct {
		fn     Function
		status int
		body   string
	}{
		"error":     {func(context.Context, request) (response, error) { return response{StatusCode: 200}, errors.New("no") }, 500, `{"message":"Internal Server Error"}`},
		"panic":     {func(context.Context, request) (response, error) { panic("no") }, 500, `{"message":"Internal Server Error"}`},
		"throttled": {func(context.Context, request) (response, error) { return response{}, throttle{} }, 503, `{"message":"Service Unavailable"}`},
	} {
		t.Run(name, func(t *testing.T) {
			w := do(New(tc.fn, Options{Logger: quiet()}), "GET", "/", nil)
			require.Equal(t, tc.status, w.Code)
			require.Equal(t, tc.body, w.Body.String())
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
		})
	}
}

func TestTimeoutAnswersWhileTheFunctionStillRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		g := New(func(context.Context, request) (response, error) {
			<-release // takes no notice of its context
			return response{StatusCode: 200, Body: "late"}, nil
		}, Options{Logger: quiet()})
		w := flusher{httptest.NewRecorder(), make(chan time.Time, 1)}
		begin := time.Now()
		returned := make(chan struct{})
		go func() {
			defer close(returned)
			g.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		}()
		require.Equal(t, IntegrationTimeout, (<-w.flushed).Sub(begin))
		require.Equal(t, 503, w.Code)
		close(release)
		<-returned
		require.Equal(t, `{"message":"Service Unavailable"}`, w.Body.String())
	})
}

// flusher says when it was flushed.
type flusher struct {
	*httptest.ResponseRecorder
	flushed chan time.Time
}

func (f flusher) Flush() { f.flushed <- time.Now() }

func TestTimeoutOfAFunctionThatHeedsItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(func(ctx context.Context, _ request) (response, error) {
			<-ctx.Done()
			return response{}, ctx.Err()
		}, Options{Logger: quiet(), Timeout: time.Second})
		start := time.Now()
		w := do(g, "GET", "/", nil)
		require.Equal(t, time.Second, time.Since(start))
		require.Equal(t, 503, w.Code)
		require.Equal(t, `{"message":"Service Unavailable"}`, w.Body.String())
	})
}

func TestAClientThatGoesAwayDoesNotStopTheFunction(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	finished := false
	g := New(func(ctx context.Context, _ request) (response, error) {
		cancel()
		finished = ctx.Err() == nil
		return response{StatusCode: 200}, nil
	}, Options{Logger: quiet()})
	g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	require.True(t, finished)
}

func TestAnswerIsWritten(t *testing.T) {
	w := do(answer(response{
		StatusCode:        201,
		Headers:           map[string]string{"content-type": "application/json", "X-One": "1", "x-many": "lost", "content-length": "999", "connection": "close"},
		MultiValueHeaders: map[string][]string{"X-Many": {"a", "b"}},
		Cookies:           []string{"a=1; Path=/", "b=2"},
		Body:              `{"ok":true}`,
	}, nil), "GET", "/", nil)
	require.Equal(t, 201, w.Code)
	require.Equal(t, `{"ok":true}`, w.Body.String())
	h := w.Header().Clone()
	h.Del("Apigw-Requestid")
	require.Equal(t, http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {"11"}, "X-One": {"1"}, "X-Many": {"a", "b"},
		"Set-Cookie": {"a=1; Path=/", "b=2"},
	}, h)
}

func TestAnswerForms(t *testing.T) {
	internal := `{"message":"Internal Server Error"}`
	for name, tc := range map[string]struct {
		resp        response
		status      int
		contentType string
		body        string
	}{
		"base64":               {response{StatusCode: 200, Body: "/wAB", IsBase64Encoded: true, Headers: map[string]string{"Content-Type": "image/png"}}, 200, "image/png", "\xff\x00\x01"},
		"base64 that is none":  {response{StatusCode: 200, Body: "%", IsBase64Encoded: true}, 500, "application/json", internal},
		"no content type":      {response{StatusCode: 200, Body: "<html>"}, 200, "text/plain;charset=UTF-8", "<html>"},
		"no body":              {response{StatusCode: 202}, 202, "", ""},
		"no content":           {response{StatusCode: 204, Body: "dropped"}, 204, "", ""},
		"no status code":       {response{Body: "x"}, 500, "application/json", internal},
		"informational status": {response{StatusCode: 100}, 500, "application/json", internal},
		"status out of range":  {response{StatusCode: 600}, 500, "application/json", internal},
		"as large as may be":   {response{StatusCode: 200, Body: strings.Repeat("a", MaxResponse)}, 200, "text/plain;charset=UTF-8", strings.Repeat("a", MaxResponse)},
		"too large":            {response{StatusCode: 200, Body: strings.Repeat("a", MaxResponse+1)}, 500, "application/json", internal},
	} {
		t.Run(name, func(t *testing.T) {
			w := do(answer(tc.resp, nil), "GET", "/", nil)
			require.Equal(t, tc.status, w.Code)
			require.Equal(t, tc.contentType, w.Header().Get("Content-Type"))
			require.True(t, tc.body == w.Body.String(), "body %.80q", w.Body.String())
		})
	}
}

func TestOverARealConnection(t *testing.T) {
	g := New(func(_ context.Context, req request) (response, error) {
		return response{StatusCode: 200, Headers: map[string]string{"content-type": "text/plain"}, Body: req.Body}, nil
	}, Options{Logger: quiet()})
	srv := httptest.NewServer(g)
	defer srv.Close()
	client := srv.Client()

	big := strings.Repeat("x", 100_000)
	resp, err := client.Post(srv.URL+"/", "text/plain", strings.NewReader(big))
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, big, string(body))
	require.Equal(t, int64(len(big)), resp.ContentLength)

	resp, err = client.Head(srv.URL + "/")
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, 200, resp.StatusCode)
}

func TestRawAnswers(t *testing.T) {
	jsonType := map[string]string{"content-type": "application/json"}
	for answer, want := range map[string]response{
		`{"statusCode":201,"body":"x","headers":{"a":"b"},"cookies":["c"]}`: {StatusCode: 201, Body: "x", Headers: map[string]string{"a": "b"}, Cookies: []string{"c"}},
		`{"message":"Hello"}`: {StatusCode: 200, Headers: jsonType, Body: `{"message":"Hello"}`},
		`"Hello"`:             {StatusCode: 200, Headers: jsonType, Body: `Hello`},
		`[1]`:                 {StatusCode: 200, Headers: jsonType, Body: `[1]`},
	} {
		resp, err := Raw(func(context.Context, []byte) ([]byte, error) { return []byte(answer), nil })(t.Context(), request{})
		require.NoError(t, err, answer)
		require.Equal(t, want, resp, answer)
	}
	for _, answer := range []string{``, `{`, `hello`, `{"statusCode":"x"}`, `{"statusCode":200,"body":{}}`, `{"statusCode":200} x`} {
		_, err := Raw(func(context.Context, []byte) ([]byte, error) { return []byte(answer), nil })(t.Context(), request{})
		require.Error(t, err, answer)
	}
}

func TestRawCarriesEventAndError(t *testing.T) {
	var got request
	fn := Raw(func(_ context.Context, payload []byte) ([]byte, error) {
		require.NoError(t, json.Unmarshal(payload, &got))
		return nil, throttle{}
	})
	_, err := fn(t.Context(), request{Version: "2.0", RawPath: "/x"})
	require.Equal(t, "/x", got.RawPath)
	require.Equal(t, 503, statusOf(err, nil))
}

// discard is a ResponseWriter that keeps nothing.
type discard struct{ h http.Header }

func (d discard) Header() http.Header               { return d.h }
func (d discard) Write(p []byte) (int, error)       { return len(p), nil }
func (d discard) WriteString(s string) (int, error) { return len(s), nil }
func (d discard) WriteHeader(int)                   {}

func BenchmarkGateway(b *testing.B) {
	resp := response{StatusCode: 202, Headers: map[string]string{"content-type": "application/json"}, Body: `{"id":"evt_01"}`}
	g := New(func(context.Context, request) (response, error) { return resp, nil }, Options{Logger: quiet()})
	payload := strings.Repeat("x", 500)
	body := strings.NewReader(payload)
	r := httptest.NewRequest("POST", "http://127.0.0.1:8000/api/v1/events", body)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "load/1")
	r.Header.Set("Accept-Encoding", "gzip")
	closer := io.NopCloser(body)
	w := discard{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(payload)
		r.Body = closer
		clear(w.h)
		g.ServeHTTP(w, r)
	}
}
