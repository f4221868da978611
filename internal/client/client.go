// Package client calls the API of a Posthorn that runs somewhere, as its command
// line does. What it does not take apart it leaves as it came: JSON.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Client calls one Posthorn.
type Client struct {
	URL  string // such as "http://localhost:8000"
	Key  string // an API key; empty where nobody is asked for one
	HTTP *http.Client
}

// Problem is an answer of the API that is an error (RFC 9457).
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Field  string `json:"field"`

	RetryAfter time.Duration `json:"-"` // what the answer's header asks for; 0: nothing
}

func (p *Problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("the server answered %d %s", p.Status, http.StatusText(p.Status))
	}
	return fmt.Sprintf("%s (%d %s)", strings.TrimSuffix(p.Detail, "."), p.Status, p.Code)
}

// ErrNotPosthorn: what answers at the URL is something else.
var ErrNotPosthorn = errors.New("what answers there is not Posthorn")

// Elsewhere is an answer that sends to another address. It is not followed: the key
// is for the one that was named, and a POST would become a GET on the way.
type Elsewhere struct {
	From, To string // To is a scheme and a host
}

func (e *Elsewhere) Error() string {
	return fmt.Sprintf("%s sends to %s: name that address, if it is Posthorn's", e.From, e.To)
}

// maxAnswer bounds what is read of an answer, in bytes. Posthorn's own stay under
// 6 MB, which is as much as Lambda returns.
const maxAnswer = 8 << 20

// Call makes a request, with body as JSON unless it is nil, and decodes the
// answer into out unless that is nil. An answer of 400 and more is a *Problem, one
// that sends to another host, or to https, an *Elsewhere, and any other of 300 to 399
// is ErrNotPosthorn, such as a proxy's that asks a browser to sign in. A json.RawMessage in the body is sent as it is, but
// for white space.
func (c *Client) Call(ctx context.Context, method, path string, query url.Values, body, out any) error {
	_, err := c.CallWithHeader(ctx, method, path, query, body, out)
	return err
}

// CallWithHeader is Call, and returns the header of an answer that is no error.
func (c *Client) CallWithHeader(ctx context.Context, method, path string, query url.Values, body, out any) (http.Header, error) {
	target := strings.TrimSuffix(c.URL, "/") + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var sent io.Reader
	if body != nil {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(body); err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		sent = &b
	}
	req, err := http.NewRequestWithContext(ctx, method, target, sent)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", path, err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	direct := *c.HTTP
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := direct.Do(req)
	if err != nil {
		if failed := (*url.Error)(nil); errors.As(err, &failed) {
			err = failed.Err // without the URL, which may hold more than one wants to see
		}
		return nil, fmt.Errorf("reach %s: %w", c.URL, err)
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if closed := resp.Body.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c.URL, err)
	}
	if resp.StatusCode >= http.StatusMultipleChoices && resp.StatusCode < http.StatusBadRequest {
		if to := sentTo(resp); to != "" {
			return nil, &Elsewhere{From: c.URL, To: to}
		}
		return nil, fmt.Errorf("%s: %w", c.URL, ErrNotPosthorn)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		p := &Problem{}
		if err := json.Unmarshal(answer, p); err != nil {
			p = &Problem{}
		}
		if p.Code == "" && notPosthorns(resp.StatusCode, answer) {
			return nil, fmt.Errorf("%s: %w", c.URL, ErrNotPosthorn)
		}
		p.Status = resp.StatusCode
		p.RetryAfter = retryAfter(resp.Header)
		return nil, p
	}
	if out == nil {
		return resp.Header, nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return nil, fmt.Errorf("%s: %w", c.URL, ErrNotPosthorn)
	}
	return resp.Header, nil
}

// sentTo is where an answer sends, without what is behind the host; empty where it
// sends nowhere else.
func sentTo(resp *http.Response) string {
	to, err := resp.Location()
	if err != nil || to.Scheme == resp.Request.URL.Scheme && to.Host == resp.Request.URL.Host {
		return ""
	}
	return to.Scheme + "://" + to.Host
}

// notPosthorns says whether somebody else answered so: Posthorn, and the gateway
// before it, say in JSON what is wrong with a request, or that nothing is there.
func notPosthorns(status int, answer []byte) bool {
	var said struct {
		Message string `json:"message"`
	}
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return json.Unmarshal(answer, &said) != nil || said.Message == ""
	}
	return false
}

// retryAfter is what a header asks for in seconds, the one form that Posthorn uses.
func retryAfter(h http.Header) time.Duration {
	seconds, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// pageSize is the most that a page may hold.
const pageSize = 200

// Page returns up to limit items of a list, from cursor on, which is empty for the
// first page. next is the cursor of the page after it; empty: there is none.
func Page[T any](ctx context.Context, c *Client, path string, query url.Values, limit int, cursor string) (items []T, next string, err error) {
	asked := maps.Clone(query)
	if asked == nil {
		asked = url.Values{}
	}
	asked.Set("limit", strconv.Itoa(limit))
	if cursor != "" {
		asked.Set("cursor", cursor)
	}
	var page struct {
		Data []T    `json:"data"`
		Next string `json:"next_cursor"`
	}
	if err := c.Call(ctx, http.MethodGet, path, asked, nil, &page); err != nil {
		return nil, "", err
	}
	return page.Data, page.Next, nil
}

// List returns up to so many items of a list, newest first, from as many pages as
// that takes. 0: all of them.
func List[T any](ctx context.Context, c *Client, path string, query url.Values, most int) ([]T, error) {
	all := []T{}
	for cursor := ""; ; {
		size := pageSize
		if most > 0 {
			size = min(size, most-len(all))
		}
		items, next, err := Page[T](ctx, c, path, query, size, cursor)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if next == "" || most > 0 && len(all) >= most {
			return all, nil
		}
		cursor = next
	}
}

// Job is long work, as the API shows it.
type Job struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`
	Status    string    `json:"status"`
	Done      int       `json:"done"`
	Total     int       `json:"total"`
	Error     string    `json:"error"`
	CreatedAt time.Time `json:"created_at"`
}

// Wait looks at a job until it is over, calls told with each look, and returns
// how it ended.
func (c *Client) Wait(ctx context.Context, id string, every time.Duration, told func(Job)) (Job, error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		var j Job
		if err := c.Call(ctx, http.MethodGet, "/api/v1/jobs/"+url.PathEscape(id), nil, nil, &j); err != nil {
			return j, err
		}
		told(j)
		if j.Status != "running" {
			return j, nil
		}
		select {
		case <-ctx.Done():
			return j, ctx.Err()
		case <-tick.C:
		}
	}
}
