// Package faultwire makes chosen AWS calls fail, for tests. It stands between
// an SDK client and its service and knows an operation by the X-Amz-Target
// header of the JSON protocols. Of every write both halves of a fault can be
// had: it was never applied, and it was applied but its answer was lost.
package faultwire

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Mode is how a call fails.
type Mode int

// The modes.
const (
	FailBefore Mode = iota // answered 500; the service never sees the call
	LoseAnswer             // the service takes the call, and the connection breaks
	Throttle               // answered 400 ThrottlingException; the service never sees the call
)

func (m Mode) String() string {
	return [...]string{"fail before", "lose answer", "throttle"}[m]
}

// Fault makes calls of one operation fail.
type Fault struct {
	Operation string // as in the API reference, such as "PutItem"
	Call      int    // the first call to fail, counted from 1 when the fault is added; 0 is 1
	Times     int    // how many calls fail from there on; 0 is 1, negative all
	Mode      Mode
	// Match narrows the fault to calls whose body it takes; the others are not
	// counted. nil: all.
	Match func(body []byte) bool

	seen, hit int
}

// Always is a Times for every call.
const Always = -1

// ErrLost is how a lost answer shows, inside the HTTP client's own error.
var ErrLost = errors.New("faultwire: connection reset by peer")

// Transport is an http.RoundTripper with faults. It is safe for concurrent use.
type Transport struct {
	next http.RoundTripper

	mu     sync.Mutex
	faults []*Fault
	calls  map[string]int
}

// New returns a Transport that hands calls on to next, but for the faults.
func New(next http.RoundTripper, faults ...Fault) *Transport {
	t := &Transport{next: next, calls: make(map[string]int)}
	t.Add(faults...)
	return t
}

// Wrap returns an HTTP client that is client with faults, and its Transport.
func Wrap(client *http.Client, faults ...Fault) (*http.Client, *Transport) {
	next := client.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	t := New(next, faults...)
	return &http.Client{Transport: t}, t
}

// Add adds faults. Where several are due, the first added one is used up.
func (t *Transport) Add(faults ...Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range faults {
		f.Call, f.seen, f.hit = max(f.Call, 1), 0, 0
		if f.Times == 0 {
			f.Times = 1
		}
		t.faults = append(t.faults, &f)
	}
}

// Clear takes all faults away.
func (t *Transport) Clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.faults = nil
}

// Calls says how often an operation was called, failed calls and the SDK's own
// retries included.
func (t *Transport) Calls(operation string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls[operation]
}

// Pending says how many calls of the faults with an end have not failed yet,
// so that a test can make sure that it met its faults.
func (t *Transport) Pending() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, f := range t.faults {
		if f.Times > 0 {
			n += f.Times - f.hit
		}
	}
	return n
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := readBody(r)
	if err != nil {
		return nil, err
	}
	mode, faulty := t.due(operation, body)
	if !faulty {
		return t.next.RoundTrip(r)
	}
	switch mode {
	case LoseAnswer:
		answer, err := t.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			return nil, errors.Join(ErrLost, err, answer.Body.Close())
		}
		return nil, errors.Join(ErrLost, answer.Body.Close())
	case Throttle:
		return refusal(r, http.StatusBadRequest, "ThrottlingException"), nil
	default:
		return refusal(r, http.StatusInternalServerError, "InternalServerError"), nil
	}
}

// readBody reads the request's body and leaves a fresh one in its place.
func readBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	body, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, fmt.Errorf("faultwire: read request: %w", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return body, nil
}

// due counts the call and says whether, and how, it is to fail.
func (t *Transport) due(operation string, body []byte) (m Mode, faulty bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[operation]++
	for _, f := range t.faults {
		if f.Operation != operation || f.Match != nil && !f.Match(body) {
			continue
		}
		f.seen++
		if !faulty && f.seen >= f.Call && (f.Times < 0 || f.hit < f.Times) {
			f.hit++
			m, faulty = f.Mode, true
		}
	}
	return m, faulty
}

// refusal is the answer of a service that did nothing.
func refusal(r *http.Request, status int, code string) *http.Response {
	body := []byte(`{"__type":"` + code + `","message":"made to fail by a test"}`)
	h := http.Header{}
	h.Set("Content-Type", "application/x-amz-json-1.0")
	h.Set("X-Amzn-Errortype", code)
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(body)), 10))
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r,
	}
}
