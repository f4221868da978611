package post

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"posthorn/internal/deliver/retry"
	"posthorn/internal/hook"
)

const (
	// maxLoggedBody is how much of an answer's body is kept, in bytes.
	maxLoggedBody = 1 << 10
	// maxDrainedBody is how much of an answer's body is read at most, so that a
	// connection whose answer is short can be used again.
	maxDrainedBody = 16 << 10
	// maxBodyWait is how long an answer's body is waited for once its headers
	// are in. The outcome does not depend on it.
	maxBodyWait = time.Second
	// maxResponseHeader is how large an answer's headers may be, in bytes.
	maxResponseHeader = 64 << 10
	// Connections that wait to be used again: in all, and to one host. An
	// environment has about a thousand file descriptors.
	maxIdle        = 512
	maxIdlePerHost = 64
	idleTimeout    = 90 * time.Second
	// An HTTP/2 connection that has been silent for pingAfter is asked for a
	// sign of life, and closed when none comes within pingTimeout: all posts to
	// a host share it, so a dead one would let each of them time out.
	pingAfter   = 10 * time.Second
	pingTimeout = 5 * time.Second
)

// Options are what a Client is made of. The zero value is strict and trusts
// what the system trusts.
type Options struct {
	Rules    Rules
	Resolver *net.Resolver  // nil: the system's
	RootCAs  *x509.CertPool // nil: the system's
}

// Client posts to endpoints. It is safe for concurrent use and keeps
// connections for the next request to the same host.
type Client struct {
	rules     Rules
	transport *http.Transport
}

// New makes a Client.
func New(o Options) *Client {
	dialer := &net.Dialer{Resolver: o.Resolver, Control: o.Rules.control, KeepAlive: 30 * time.Second}
	return &Client{rules: o.Rules, transport: &http.Transport{
		Proxy:                  nil, // the environment's would dial for us, unchecked
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
		ForceAttemptHTTP2:      true, // a dialer of one's own turns it off otherwise
		DisableCompression:     true, // nothing of an answer needs unpacking
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    maxIdlePerHost,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxResponseHeader,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}}
}

// Close closes the connections that wait to be used again.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Request is one post.
type Request struct {
	URL     string
	Header  http.Header // as it is to be sent; Post takes it over
	Body    []byte
	Timeout time.Duration // from the dial to the answer's headers; must be positive
}

// Result is what came of a post.
type Result struct {
	StatusCode   int           // 0: no answer
	Outcome      hook.Outcome  // success for a 2xx
	Reason       string        // why it is no success, short and stable, without URL or address
	RetryAfter   string        // the answer's Retry-After, as it came
	ResponseBody string        // the first 1 KB of the answer's body, as valid UTF-8
	Duration     time.Duration // until the answer's headers, or the failure
}

// errTimeout is why a post's context ends when its time is over.
var errTimeout = errors.New("timeout")

// Post makes the request and waits for its answer's headers, which decide the
// outcome; of the body it takes what comes within a second. It does not fail:
// whatever happens is in the Result. A post cut short by ctx says nothing
// about the endpoint; callers tell it by ctx.Err().
//
// Where a kept connection turns out to be dead before it has answered, the
// request is made once more on another: an environment that was frozen finds
// its connections closed. An endpoint that dies while it answers may so see
// one attempt twice, with the same webhook-id.
func (c *Client) Post(ctx context.Context, r Request) Result {
	start := time.Now()
	timed, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(r.Timeout, func() { cancel(errTimeout) })
	defer timer.Stop()

	req, err := c.request(timed, r)
	if err != nil {
		return Result{Outcome: hook.OutcomeBlocked, Reason: err.Error()}
	}
	// The transport alone, without http.Client: no redirects, no cookies.
	resp, err := c.transport.RoundTrip(req)
	took := time.Since(start)
	if err != nil {
		res := Result{Duration: took}
		switch {
		case errors.Is(context.Cause(timed), errTimeout):
			res.Outcome, res.Reason = hook.OutcomeTimeout, timeoutReason(r.Timeout)
		case ctx.Err() != nil:
			res.Outcome, res.Reason = hook.OutcomeOther, "cancelled"
		default:
			res.Outcome, res.Reason = explain(err)
		}
		return res
	}
	timer.Reset(min(maxBodyWait, max(r.Timeout-took, 0)))
	body := readBody(resp.Body)
	return Result{
		StatusCode:   resp.StatusCode,
		Outcome:      retry.Outcome(resp.StatusCode),
		Reason:       retry.Reason(resp.StatusCode),
		RetryAfter:   resp.Header.Get("Retry-After"),
		ResponseBody: body,
		Duration:     took,
	}
}

// request builds the request. The URL was checked when it was registered, but
// perhaps under other rules.
func (c *Client) request(ctx context.Context, r Request) (*http.Request, error) {
	u, err := c.rules.parse(r.URL)
	if err != nil {
		return nil, errors.New("URL is not allowed")
	}
	req := (&http.Request{
		Method:        http.MethodPost,
		URL:           u,
		Host:          u.Host,
		Header:        r.Header,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		ContentLength: int64(len(r.Body)),
		Body:          http.NoBody,
	}).WithContext(ctx)
	if len(r.Body) > 0 {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(r.Body)), nil }
		req.Body = io.NopCloser(bytes.NewReader(r.Body))
	}
	if req.Header == nil {
		req.Header = make(http.Header, 1)
	}
	// No header is sent for an empty list, but the transport takes it as leave
	// to repeat the request after a kept connection died (see http.Transport).
	if _, own := req.Header["Idempotency-Key"]; !own {
		req.Header["Idempotency-Key"] = []string{}
	}
	return req, nil
}

// readBody returns the start of a body as text, reads a little on so that the
// connection may be used again, and closes it. Whatever stops it, the outcome
// stands.
func readBody(body io.ReadCloser) string {
	var buf bytes.Buffer
	read, err := io.Copy(&buf, io.LimitReader(body, maxLoggedBody))
	if err == nil && read == maxLoggedBody {
		_, err = io.CopyN(io.Discard, body, maxDrainedBody-maxLoggedBody)
	}
	if closeErr := body.Close(); err != nil || closeErr != nil {
		return text(buf.Bytes()) // what came is all there is to show
	}
	return text(buf.Bytes())
}

// text makes valid UTF-8 of b, which may end inside a character.
func text(b []byte) string {
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
