package gateway

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
)

// event builds the event of a request without its body.
func (g *Gateway) event(r *http.Request, id string, now time.Time) events.APIGatewayV2HTTPRequest {
	now = now.UTC()
	ip := sourceIP(r.RemoteAddr)
	domain := hostname(r.Host)
	prefix, _, _ := strings.Cut(domain, ".")
	req := events.APIGatewayV2HTTPRequest{
		Version:  "2.0",
		RouteKey: "$default",
		// The service hands on the path decoded, in spite of the field's name,
		// and the query string as it came.
		RawPath:               r.URL.Path,
		RawQueryString:        r.URL.RawQuery,
		Cookies:               cookies(r.Header["Cookie"]),
		Headers:               headers(r, ip),
		QueryStringParameters: query(r.URL.RawQuery),
	}
	req.RequestContext = events.APIGatewayV2HTTPRequestContext{
		RouteKey:     "$default",
		AccountID:    g.account,
		Stage:        "$default",
		RequestID:    id,
		APIID:        g.api,
		DomainName:   domain,
		DomainPrefix: prefix,
		Time:         now.Format("02/Jan/2006:15:04:05 -0700"),
		TimeEpoch:    now.UnixMilli(),
		HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
			Method:    r.Method,
			Path:      r.URL.Path,
			Protocol:  r.Proto,
			SourceIP:  ip,
			UserAgent: r.UserAgent(),
		},
	}
	return req
}

// readBody reads the whole body. encoded says that it had to be base64
// encoded: the service keeps text/* and the JSON, XML and JavaScript
// application types as text, and encodes everything else, a form and a body
// without a type too. What claims to be text and is not UTF-8 is encoded as
// well: an event is JSON, and could not carry it unharmed.
func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request) (body string, encoded bool, err error) {
	if r.Body == nil || r.Body == http.NoBody {
		return "", false, nil
	}
	if r.ContentLength > MaxBody {
		return "", false, &http.MaxBytesError{Limit: MaxBody}
	}
	buf := g.buffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= keptBuffer {
			buf.Reset()
			g.buffers.Put(buf)
		}
	}()
	if r.ContentLength > 0 { // what a client announces is believed up to a bound
		buf.Grow(int(min(r.ContentLength, keptBuffer/2)) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody)); err != nil {
		return "", false, fmt.Errorf("read the request body: %w", err)
	}
	b := buf.Bytes()
	switch {
	case len(b) == 0:
		return "", false, nil
	case isText(r.Header.Get("Content-Type")) && r.Header.Get("Content-Encoding") == "" && utf8.Valid(b):
		return string(b), false, nil
	default:
		return base64.StdEncoding.EncodeToString(b), true, nil
	}
}

// isText reports whether a body of this content type travels as text.
func isText(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.TrimSpace(media)
	if len(media) > 5 && strings.EqualFold(media[:5], "text/") {
		return true
	}
	return strings.EqualFold(media, "application/json") ||
		strings.EqualFold(media, "application/xml") ||
		strings.EqualFold(media, "application/javascript")
}

// headers returns the request's headers with lower-case names, repeated ones
// joined with commas, together with those the service adds. Cookies travel in
// a field of their own; hop-by-hop headers (RFC 9110, section 7.6.1) do not
// travel at all.
func headers(r *http.Request, ip string) map[string]string {
	h := make(map[string]string, len(r.Header)+6)
	for name, values := range r.Header {
		if name == "Cookie" || hopByHop(name) {
			continue
		}
		if len(values) == 1 {
			h[lower(name)] = values[0]
		} else {
			h[lower(name)] = strings.Join(values, ",")
		}
	}
	h["host"] = r.Host
	if r.ContentLength >= 0 && r.Body != nil && r.Body != http.NoBody {
		h["content-length"] = strconv.FormatInt(r.ContentLength, 10)
	}
	if before := h["x-forwarded-for"]; before != "" {
		h["x-forwarded-for"] = before + ", " + ip
	} else {
		h["x-forwarded-for"] = ip
	}
	proto, port := "http", "80"
	if r.TLS != nil {
		proto, port = "https", "443"
	}
	if _, p, err := net.SplitHostPort(r.Host); err == nil {
		port = p
	}
	h["x-forwarded-proto"], h["x-forwarded-port"] = proto, port
	if h["x-amzn-trace-id"] == "" {
		h["x-amzn-trace-id"] = newTraceID(time.Now())
	}
	return h
}

// hopByHop takes a canonical header name.
func hopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade", "Expect":
		return true
	}
	return false
}

// lower returns a canonical header name in lower case; the names that most
// requests carry cost no allocation.
func lower(name string) string {
	switch name {
	case "Accept":
		return "accept"
	case "Accept-Encoding":
		return "accept-encoding"
	case "Authorization":
		return "authorization"
	case "Content-Length":
		return "content-length"
	case "Content-Type":
		return "content-type"
	case "Idempotency-Key":
		return "idempotency-key"
	case "Origin":
		return "origin"
	case "Traceparent":
		return "traceparent"
	case "User-Agent":
		return "user-agent"
	case "X-Api-Key":
		return "x-api-key"
	}
	return strings.ToLower(name)
}

// cookies splits Cookie headers into their cookies.
func cookies(values []string) []string {
	var all []string
	for _, v := range values {
		for c := range strings.SplitSeq(v, ";") {
			if c = strings.TrimSpace(c); c != "" {
				all = append(all, c)
			}
		}
	}
	return all
}

// query returns the decoded parameters, the values of a repeated one joined
// with commas, and nil where there are none. What cannot be decoded stays as it
// came.
func query(raw string) map[string]string {
	if raw == "" {
		return nil
	}
	params := make(map[string]string, strings.Count(raw, "&")+1)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if before, repeated := params[name]; repeated {
			value = before + "," + value
		}
		params[name] = value
	}
	return params
}

func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// sourceIP returns the address without its port.
func sourceIP(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// hostname returns host without its port; an IPv6 address keeps its brackets.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

// newRequestID returns an id of the form the service gives its requests. It
// names a request in logs and is no secret.
func newRequestID() string {
	var raw [11]byte
	binary.LittleEndian.PutUint64(raw[:], rand.Uint64())
	binary.LittleEndian.PutUint32(raw[7:], rand.Uint32())
	return base64.StdEncoding.EncodeToString(raw[:])
}

// newTraceID returns the X-Ray tracing header of a request that brought none.
func newTraceID(now time.Time) string {
	var raw [12]byte
	binary.LittleEndian.PutUint64(raw[:], rand.Uint64())
	binary.LittleEndian.PutUint32(raw[8:], rand.Uint32())
	b := make([]byte, 0, len("Root=1-00000000-000000000000000000000000"))
	b = append(b, "Root=1-"...)
	b = hex.AppendEncode(b, binary.BigEndian.AppendUint32(nil, uint32(now.Unix())))
	b = append(b, '-')
	b = hex.AppendEncode(b, raw[:])
	return string(b)
}
