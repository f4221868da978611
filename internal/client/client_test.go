package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server answers the calls of a client.
type server func(*http.Request) *http.Response

// RoundTrip implements http.RoundTripper.
func (s server) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return s(r), nil
}

// of is a client of a server.
func of(s server) *client.Client {
	return &client.Client{URL: "https://hooks.example/base/", Key: "ph_id_secret", HTTP: &http.Client{Transport: s}}
}

func answer(status int, body string, header ...string) *http.Response {
	h := http.Header{}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

func TestWhatIsSentIsWhatWasAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		key    string
		query  url.Values
		body   any
		url    string
		header http.Header
		sent   string
	}{
		"nothing but the path": {url: "https://hooks.example/base/api/v1/x", header: http.Header{}},
		"a key": {
			key: "ph_id_secret", url: "https://hooks.example/base/api/v1/x",
			header: http.Header{"Authorization": {"Bearer ph_id_secret"}},
		},
		"a query": {
			query: url.Values{"since": {"2026-11-24T04:00:00Z"}, "event_type": {"a&b"}}, header: http.Header{},
			url: "https://hooks.example/base/api/v1/x?event_type=a%26b&since=2026-11-24T04%3A00%3A00Z",
		},
		"a body": {
			body: map[string]string{"url": "http://a/?b=<c>&d"}, url: "https://hooks.example/base/api/v1/x",
			header: http.Header{"Content-Type": {"application/json"}}, sent: `{"url":"http://a/?b=<c>&d"}` + "\n",
		},
		"a body that is JSON already": {
			body: map[string]json.RawMessage{"payload": json.RawMessage(`{"n":1.50,"n":2e400}`)}, url: "https://hooks.example/base/api/v1/x",
			header: http.Header{"Content-Type": {"application/json"}}, sent: `{"payload":{"n":1.50,"n":2e400}}` + "\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			api := of(func(r *http.Request) *http.Response {
				calls++
				require.Equal(t, http.MethodPut, r.Method)
				require.Equal(t, c.url, r.URL.String())
				require.Equal(t, c.header, r.Header)
				if c.sent == "" {
					require.Nil(t, r.Body)
				} else {
					sent, err := io.ReadAll(r.Body)
					require.NoError(t, err)
					require.Equal(t, c.sent, string(sent))
				}
				return answer(http.StatusOK, `{"id":"x"}`, "Etag", "7")
			})
			api.Key = c.key
			var out struct{ ID string }
			header, err := api.CallWithHeader(t.Context(), http.MethodPut, "/api/v1/x", c.query, c.body, &out)
			require.NoError(t, err)
			require.Equal(t, "x", out.ID)
			require.Equal(t, "7", header.Get("Etag"))
			require.Equal(t, 1, calls)
		})
	}
}

func TestAnAnswerThatNobodyReadsMayBeEmpty(t *testing.T) {
	api := of(func(*http.Request) *http.Response { return answer(http.StatusNoContent, "") })
	require.NoError(t, api.Call(t.Context(), http.MethodDelete, "/api/v1/x", nil, nil, nil))
}

func TestWhatCannotBeAskedForIsNotSent(t *testing.T) {
	asked := func(*http.Request) *http.Response {
		require.Fail(t, "it is sent")
		return nil
	}
	err := of(asked).Call(t.Context(), http.MethodPost, "/api/v1/x", nil, make(chan int), nil)
	require.ErrorContains(t, err, "encode the request: ")
	err = of(asked).Call(t.Context(), "A B", "/api/v1/x", nil, nil, nil)
	require.ErrorContains(t, err, "call /api/v1/x: ")
}

func TestAnAnswerThatIsAnErrorIsAProblem(t *testing.T) {
	const busy = `{"type":"about:blank","title":"Too Many Requests","status":429,"detail":"The queue is full.","code":"queue_full"}`
	for name, c := range map[string]struct {
		answer *http.Response
		want   client.Problem
		says   string
	}{
		"a problem document": {
			answer(400, `{"title":"Bad Request","status":400,"detail":"events[1]: must be a filter.","code":"invalid_filter","field":"events[1]"}`),
			client.Problem{Status: 400, Title: "Bad Request", Detail: "events[1]: must be a filter.", Code: "invalid_filter", Field: "events[1]"},
			"events[1]: must be a filter (400 invalid_filter)",
		},
		"one that says when to come again": {
			answer(429, busy, "Retry-After", "3"),
			client.Problem{Status: 429, Title: "Too Many Requests", Detail: "The queue is full.", Code: "queue_full", RetryAfter: 3 * time.Second},
			"The queue is full (429 queue_full)",
		},
		"one that says so in words": {
			answer(429, busy, "Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"),
			client.Problem{Status: 429, Title: "Too Many Requests", Detail: "The queue is full.", Code: "queue_full"},
			"The queue is full (429 queue_full)",
		},
		"one that is past": {
			answer(429, busy, "Retry-After", "-3"),
			client.Problem{Status: 429, Title: "Too Many Requests", Detail: "The queue is full.", Code: "queue_full"},
			"The queue is full (429 queue_full)",
		},
		"the status is the answer's": {
			answer(503, `{"status":200,"detail":"The table does not answer.","code":"unavailable"}`),
			client.Problem{Status: 503, Detail: "The table does not answer.", Code: "unavailable"},
			"The table does not answer (503 unavailable)",
		},
		"the gateway's own":    {answer(404, `{"message":"Not Found"}`), client.Problem{Status: 404}, "the server answered 404 Not Found"},
		"nothing at all":       {answer(500, ""), client.Problem{Status: 500}, "the server answered 500 Internal Server Error"},
		"a proxy's page":       {answer(502, "<html>"), client.Problem{Status: 502}, "the server answered 502 Bad Gateway"},
		"a field of odd form":  {answer(503, `{"status":"x","detail":"d","code":"c"}`), client.Problem{Status: 503}, "the server answered 503 Service Unavailable"},
		"nobody may come here": {answer(403, `[]`), client.Problem{Status: 403}, "the server answered 403 Forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			out := json.RawMessage(nil)
			err := of(func(*http.Request) *http.Response { calls++; return c.answer }).Call(t.Context(), http.MethodGet, "/api/v1/x", nil, nil, &out)
			var p *client.Problem
			require.ErrorAs(t, err, &p)
			require.Equal(t, c.want, *p)
			require.EqualError(t, err, c.says)
			require.Nil(t, out)
			require.Equal(t, 1, calls, "whoever calls decides whether to try again")
		})
	}
}

func TestWhatIsNotPosthornIsToldApart(t *testing.T) {
	for name, c := range map[string]*http.Response{
		"a page of somebody's":      answer(200, "<html>"),
		"nothing":                   answer(200, ""),
		"another form":              answer(200, `[1]`),
		"no such page":              answer(404, "<html>not found</html>"),
		"no such page, as JSON":     answer(404, `{"error":"nope"}`),
		"no such method":            answer(405, "Method Not Allowed"),
		"a request it cannot read":  answer(400, "Client sent an HTTP request to an HTTPS server."),
		"a method of another world": answer(501, ""),
		"an answer without an end":  answer(200, `{"id":"`+strings.Repeat("x", 8<<20)+`"}`),
	} {
		t.Run(name, func(t *testing.T) {
			var out struct{ ID string }
			err := of(func(*http.Request) *http.Response { return c }).Call(t.Context(), http.MethodGet, "/api/v1/x", nil, nil, &out)
			require.ErrorIs(t, err, client.ErrNotPosthorn)
			require.ErrorContains(t, err, "https://hooks.example/base/: ")
		})
	}
}

func TestAServerThatIsNotThereIsNamedWithoutTheQuery(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	api := &client.Client{URL: gone.URL, Key: "ph_id_secret", HTTP: &http.Client{Transport: &http.Transport{}}}
	err := api.Call(t.Context(), http.MethodGet, "/api/v1/events", url.Values{"cursor": {"private"}}, nil, nil)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.ErrorContains(t, err, "reach "+gone.URL+": ")
	require.NotContains(t, err.Error(), "private")
	require.NotContains(t, err.Error(), "ph_id_secret")
}

func TestAnAnswerThatBreaksOffIsNoAnswer(t *testing.T) {
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"id":"x"}`)
	}))
	defer broken.Close()
	api := &client.Client{URL: broken.URL, HTTP: broken.Client()}
	var out struct{ ID string }
	err := api.Call(t.Context(), http.MethodGet, "/api/v1/x", nil, nil, &out)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorContains(t, err, "read the answer of "+broken.URL)
	require.Empty(t, out.ID)
}

// A key is for the address that was named, whatever that one answers.
func TestAKeyGoesToNoOtherAddress(t *testing.T) {
	asked := 0
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = io.WriteString(w, `{}`)
	}))
	defer other.Close()
	for name, c := range map[string]struct {
		status   int
		location string
		says     string
	}{
		"for good":      {http.StatusMovedPermanently, other.URL + "/api/v1/x?token=private", " sends to " + other.URL + ": name that address, if it is Posthorn's"},
		"for now":       {http.StatusFound, other.URL, " sends to " + other.URL + ": name that address, if it is Posthorn's"},
		"with the body": {http.StatusTemporaryRedirect, other.URL, " sends to " + other.URL + ": name that address, if it is Posthorn's"},
		"to no address": {http.StatusSeeOther, "", ": what answers there is not Posthorn"},
		"to sign in":    {http.StatusFound, "/login?next=x", ": what answers there is not Posthorn"},
		"not at all":    {http.StatusNotModified, "", ": what answers there is not Posthorn"},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls++
				if c.location != "" {
					w.Header().Set("Location", c.location)
				}
				w.WriteHeader(c.status)
			}))
			defer first.Close()
			api := &client.Client{URL: first.URL, Key: "ph_id_secret", HTTP: first.Client()}
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
				err := api.Call(t.Context(), method, "/api/v1/x", nil, map[string]int{"a": 1}, nil)
				require.EqualError(t, err, first.URL+c.says)
				if elsewhere := (*client.Elsewhere)(nil); !errors.As(err, &elsewhere) {
					require.ErrorIs(t, err, client.ErrNotPosthorn)
				}
			}
			require.Equal(t, 3, calls)
			require.Zero(t, asked)
		})
	}
}

func TestACallThatIsCancelledEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel() // while the answer is waited for
		<-r.Context().Done()
		close(over)
	}))
	defer silent.Close()
	api := &client.Client{URL: silent.URL, HTTP: silent.Client()}
	err := api.Call(ctx, http.MethodGet, "/api/v1/x", nil, nil, nil)
	require.ErrorIs(t, err, context.Canceled)
	<-over

	calls := 0
	of := of(func(*http.Request) *http.Response { calls++; return answer(200, `{}`) })
	require.ErrorIs(t, of.Call(ctx, http.MethodGet, "/api/v1/x", nil, nil, nil), context.Canceled)
	require.Zero(t, calls)
}

// --- lists

// listing has so many items, and remembers how it was asked.
type listing struct {
	t     *testing.T
	items int
	fails int // from this page on; 0: none
	asked []string
}

func (l *listing) answer(r *http.Request) *http.Response {
	l.asked = append(l.asked, r.URL.RawQuery)
	if l.fails > 0 && len(l.asked) >= l.fails {
		return answer(503, `{"detail":"Later.","code":"unavailable"}`)
	}
	from, limit := 0, 0
	require.NoError(l.t, json.Unmarshal([]byte(r.URL.Query().Get("limit")), &limit))
	if cursor := r.URL.Query().Get("cursor"); cursor != "" {
		require.NoError(l.t, json.Unmarshal([]byte(cursor), &from))
	}
	page := struct {
		Data []int `json:"data"`
		Next *int  `json:"next_cursor"`
	}{Data: []int{}}
	for i := from; i < min(from+limit, l.items); i++ {
		page.Data = append(page.Data, i)
	}
	if next := from + limit; next < l.items {
		page.Next = &next
	}
	text, err := json.Marshal(page)
	require.NoError(l.t, err)
	if page.Next != nil { // a cursor is a text
		text = []byte(strings.Replace(string(text), `"next_cursor":`, `"next_cursor":"`, 1))
		text = []byte(strings.TrimSuffix(string(text), "}") + `"}`)
	}
	return answer(200, string(text))
}

func TestAListIsAsManyPagesAsItTakes(t *testing.T) {
	for name, c := range map[string]struct {
		items, most, want int
		asked             []string
	}{
		"nothing":                   {0, 0, 0, []string{"limit=200&status=dead"}},
		"one page":                  {7, 0, 7, []string{"limit=200&status=dead"}},
		"just a page":               {200, 0, 200, []string{"limit=200&status=dead"}},
		"all of three":              {401, 0, 401, []string{"limit=200&status=dead", "cursor=200&limit=200&status=dead", "cursor=400&limit=200&status=dead"}},
		"fewer than there are":      {401, 50, 50, []string{"limit=50&status=dead"}},
		"a page, and there is more": {401, 200, 200, []string{"limit=200&status=dead"}},
		"a page and a bit":          {401, 250, 250, []string{"limit=200&status=dead", "cursor=200&limit=50&status=dead"}},
		"more than there are":       {201, 500, 201, []string{"limit=200&status=dead", "cursor=200&limit=200&status=dead"}},
	} {
		t.Run(name, func(t *testing.T) {
			l := &listing{t: t, items: c.items}
			query := url.Values{"status": {"dead"}}
			items, err := client.List[int](t.Context(), of(l.answer), "/api/v1/x", query, c.most)
			require.NoError(t, err)
			require.NotNil(t, items, "an empty list is a list")
			require.Len(t, items, c.want)
			for i, item := range items {
				require.Equal(t, i, item)
			}
			require.Equal(t, c.asked, l.asked)
			require.Equal(t, url.Values{"status": {"dead"}}, query, "the caller's own")
		})
	}
}

func TestAPageSaysWhereTheNextOneBegins(t *testing.T) {
	l := &listing{t: t, items: 5}
	items, next, err := client.Page[int](t.Context(), of(l.answer), "/api/v1/x", nil, 3, "")
	require.NoError(t, err)
	require.Equal(t, []int{0, 1, 2}, items)
	require.Equal(t, "3", next)
	items, next, err = client.Page[int](t.Context(), of(l.answer), "/api/v1/x", nil, 3, next)
	require.NoError(t, err)
	require.Equal(t, []int{3, 4}, items)
	require.Empty(t, next)
}

// Half a list is taken for a whole one.
func TestAListThatFailsHalfwayIsNoList(t *testing.T) {
	l := &listing{t: t, items: 401, fails: 2}
	items, err := client.List[int](t.Context(), of(l.answer), "/api/v1/x", nil, 0)
	var p *client.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, "unavailable", p.Code)
	require.Nil(t, items)
	require.Len(t, l.asked, 2)
}

// --- jobs

func TestAJobIsLookedAtUntilItIsOver(t *testing.T) {
	for _, end := range []string{"done", "cancelled", "failed"} {
		t.Run(end, func(t *testing.T) {
			looks := 0
			api := of(func(r *http.Request) *http.Response {
				require.Equal(t, "/base/api/v1/jobs/job_x", r.URL.EscapedPath())
				looks++
				if looks < 3 {
					return answer(200, `{"id":"job_x","status":"running","done":1}`)
				}
				return answer(200, `{"id":"job_x","status":"`+end+`","done":2,"error":"e"}`)
			})
			var told []string
			j, err := api.Wait(t.Context(), "job_x", time.Millisecond, func(j client.Job) { told = append(told, j.Status) })
			require.NoError(t, err)
			require.Equal(t, client.Job{ID: "job_x", Status: end, Done: 2, Error: "e"}, j)
			require.Equal(t, []string{"running", "running", end}, told)
		})
	}
}

func TestAWaitEndsWithItsContextOrAnError(t *testing.T) {
	running := func(*http.Request) *http.Response { return answer(200, `{"id":"job_x","status":"running","done":7}`) }
	ctx, cancel := context.WithCancel(t.Context())
	j, err := of(running).Wait(ctx, "job_x", time.Hour, func(client.Job) { cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 7, j.Done, "as it was seen last")

	gone := func(r *http.Request) *http.Response {
		require.Equal(t, "/base/api/v1/jobs/..%2Fkeys", r.URL.EscapedPath(), "an id is no path")
		return answer(404, `{"detail":"There is no such job.","code":"not_found"}`)
	}
	_, err = of(gone).Wait(t.Context(), "../keys", time.Hour, func(client.Job) { require.Fail(t, "nothing was seen") })
	var p *client.Problem
	require.True(t, errors.As(err, &p) && p.Status == http.StatusNotFound)
}
