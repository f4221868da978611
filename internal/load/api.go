package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// api speaks to the Posthorn under load.
type api struct {
	base      string
	events    *url.URL    // where posts go
	batches   bool        // posts are answered event by event
	header    http.Header // of every request with a body; read only
	transport *http.Transport
	timeout   time.Duration
}

func newAPI(o Options) (*api, error) {
	base := strings.TrimRight(o.URL, "/")
	path := "/api/v1/events"
	if o.Batch > 1 {
		path += "/batch"
	}
	events, err := url.Parse(base + path)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	header := http.Header{"Content-Type": {"application/json"}, "User-Agent": {"posthorn-loadtest"}}
	if o.Key != "" {
		header.Set("Authorization", "Bearer "+o.Key)
	}
	// HTTP/1.1 alone: a connection is a connection, and none is opened anew
	// while the run lasts.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &api{
		base: base, events: events, header: header, timeout: o.Timeout, batches: o.Batch > 1,
		transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			Protocols:           &protocols,
			MaxIdleConns:        o.Connections + 1,
			MaxIdleConnsPerHost: o.Connections + 1,
			IdleConnTimeout:     5 * time.Minute,
			TLSHandshakeTimeout: 10 * time.Second,
			DisableCompression:  true,
		},
	}, nil
}

func (a *api) close() { a.transport.CloseIdleConnections() }

// register makes an endpoint and returns its id.
func (a *api) register(ctx context.Context, target, eventType string, timeout int) (string, error) {
	in := map[string]any{"url": target, "events": []string{eventType}, "description": "loadtest"}
	if timeout > 0 {
		in["timeout"] = timeout
	}
	body, err := json.Marshal(in)
	if err != nil {
		return "", fmt.Errorf("endpoint as JSON: %w", err)
	}
	var out struct {
		ID string `json:"id"`
	}
	if err := a.call(ctx, http.MethodPost, "/api/v1/webhooks", body, http.StatusCreated, &out); err != nil {
		return "", err
	}
	if out.ID == "" {
		return "", fmt.Errorf("POST %s/api/v1/webhooks answered 201 without an id: is this a Posthorn?", a.base)
	}
	return out.ID, nil
}

// remove deletes an endpoint. One that is gone already is no error.
func (a *api) remove(ctx context.Context, id string) error {
	err := a.call(ctx, http.MethodDelete, "/api/v1/webhooks/"+id, nil, http.StatusNoContent, nil)
	var answer *answerError
	if errors.As(err, &answer) && answer.status == http.StatusNotFound {
		return nil
	}
	return err
}

// answerError is an answer with another status than the one hoped for.
type answerError struct {
	method, url string
	status      int
	detail      string
}

func (e *answerError) Error() string {
	s := fmt.Sprintf("%s %s answered %d", e.method, e.url, e.status)
	if e.detail != "" {
		s += ": " + e.detail
	}
	return s
}

func (a *api) call(ctx context.Context, method, path string, body []byte, want int, out any) error {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	target := a.base + path
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, target, err)
	}
	req.Header = a.header
	res, err := a.transport.RoundTrip(req)
	if err != nil && errorKind(err) == "timeout" {
		return fmt.Errorf("cannot reach %s: no answer within %s: %w", a.base, a.timeout, err)
	}
	if err != nil {
		return fmt.Errorf("cannot reach %s: %w", a.base, err)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return fmt.Errorf("%s %s: reading the answer: %w", method, target, err)
	}
	if res.StatusCode != want {
		return &answerError{method: method, url: target, status: res.StatusCode, detail: problem(answer)}
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: the answer is not the expected JSON: %w", method, target, err)
	}
	return nil
}

// problem is the sentence in a problem document, or the start of what else the
// answer says, on one line.
func problem(answer []byte) string {
	var p struct{ Title, Detail, Field string }
	if err := json.Unmarshal(answer, &p); err != nil || p.Title+p.Detail == "" {
		return strings.Join(strings.Fields(string(answer[:min(len(answer), 200)])), " ")
	}
	s := p.Detail
	if s == "" {
		s = p.Title
	}
	if p.Field != "" && !strings.Contains(s, p.Field) {
		s = p.Field + ": " + s
	}
	return s
}

// post sends a body of so many events. It returns nil when all of them were
// accepted, else what became of each: "" for accepted, the status, or the kind
// of error. It returns as soon as the whole answer is in.
func (a *api) post(ctx context.Context, body []byte, events int) []string {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	req := (&http.Request{
		Method: http.MethodPost, URL: a.events, Host: a.events.Host, Header: a.header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: int64(len(body)),
		Body:          io.NopCloser(bytes.NewReader(body)),
		GetBody:       func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}).WithContext(ctx)
	res, err := a.transport.RoundTrip(req)
	if err != nil {
		return slices.Repeat([]string{errorKind(err)}, events)
	}
	var answer []byte
	if a.batches {
		answer, err = io.ReadAll(io.LimitReader(res.Body, MaxBatchBody))
	} else {
		_, err = io.Copy(io.Discard, io.LimitReader(res.Body, 1<<20))
	}
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return slices.Repeat([]string{errorKind(err)}, events)
	}
	if res.StatusCode != http.StatusAccepted {
		return slices.Repeat([]string{strconv.Itoa(res.StatusCode)}, events)
	}
	if !a.batches {
		return nil
	}
	return refusals(answer, events)
}

// acceptedEvent is in the answer to each event that was accepted, and in no
// problem document.
var acceptedEvent = []byte(`"deliveries_total":`)

// refusals reads the answer to a batch: nil when it accepts every event. It is
// not parsed then, since the generator shares the machine with what it
// measures.
func refusals(answer []byte, events int) []string {
	if bytes.Count(answer, acceptedEvent) == events {
		return nil
	}
	var batch struct {
		Data []struct {
			Status int `json:"status"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer, &batch); err != nil || len(batch.Data) != events {
		return slices.Repeat([]string{"answer"}, events)
	}
	kinds := make([]string, events)
	for i, one := range batch.Data {
		if one.Status != 0 {
			kinds[i] = strconv.Itoa(one.Status)
		}
	}
	return kinds
}

func errorKind(err error) string {
	var timeout net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() {
		return "timeout"
	}
	return "connection"
}

// The payload starts with the sequence number, in a width that never changes,
// so that a body is made by copying a template and writing ten digits, and the
// receiver finds it without parsing JSON.
const (
	seqKey    = `"loadtest_seq":"`
	seqDigits = 10
)

// What a POST of several events has around them, and the most that an event has
// around its payload.
const (
	batchOpen    = `{"events":[`
	batchClose   = `]}`
	bodyOverhead = 80
)

// bodies makes the bodies of a run's events.
type bodies struct {
	template []byte
	digits   int // offset of the sequence number
}

// newBodies makes payloads of exactly size bytes. What fills them up is random
// hexadecimal text, the same in every run, so that compressing it saves no more
// than it would with real data.
func newBodies(eventType string, size int) bodies {
	var b bytes.Buffer
	b.WriteString(`{"event_type":"` + eventType + `","payload":`)
	from := b.Len()
	b.WriteString(`{` + seqKey)
	digits := b.Len()
	b.WriteString(strings.Repeat("0", seqDigits) + `","filler":"`)
	random := rand.New(rand.NewPCG(1, 2))
	for b.Len()-from < size-len(`"}`) {
		b.WriteByte("0123456789abcdef"[random.IntN(16)])
	}
	b.WriteString(`"}}`)
	return bodies{template: b.Bytes(), digits: digits}
}

// of is a fresh body: a transport may read the last one a little longer than
// its answer takes to arrive.
func (b bodies) of(seq int) []byte {
	return b.event(make([]byte, 0, len(b.template)), seq)
}

// batch is a fresh body of n events, numbered from first.
func (b bodies) batch(first, n int) []byte {
	body := make([]byte, 0, len(batchOpen)+n*(len(b.template)+1)+len(batchClose))
	body = append(body, batchOpen...)
	for i := range n {
		if i > 0 {
			body = append(body, ',')
		}
		body = b.event(body, first+i)
	}
	return append(body, batchClose...)
}

// event appends one event.
func (b bodies) event(to []byte, seq int) []byte {
	start := len(to)
	to = append(to, b.template...)
	for i := start + b.digits + seqDigits - 1; i >= start+b.digits; i-- {
		to[i] = byte('0' + seq%10)
		seq /= 10
	}
	return to
}

// sequence finds the sequence number in a delivery's body.
func sequence(body []byte) (int, bool) {
	i := bytes.Index(body, []byte(seqKey))
	if i < 0 {
		return 0, false
	}
	digits := body[i+len(seqKey):]
	if len(digits) < seqDigits {
		return 0, false
	}
	seq := 0
	for _, c := range digits[:seqDigits] {
		if c < '0' || c > '9' {
			return 0, false
		}
		seq = seq*10 + int(c-'0')
	}
	return seq, true
}
