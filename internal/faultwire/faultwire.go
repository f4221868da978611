// Package faultwire makes chosen AWS calls fail, for tests. It stands between
// an SDK client and its service and knows an operation by the X-Amz-Target
// header of the JSON protocols. Of every write both halves of a fault can be
// had: it was never applied, and it was applied but its answer was lost.
package faultwire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
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
	AnswerLate             // not answered until the caller gives up; then the service takes the call all the same
)

func (m Mode) String() string {
	return [...]string{"fail before", "lose answer", "throttle", "answer late"}[m]
}

// Fault makes calls of one operation fail.
type Fault struct {
	Operation string // as in the API reference, such as "PutItem"
	Call      int    // the first call to fail, counted from 1 when the fault is added; 0 is 1
	Times     int    // how many calls fail from there on; 0 is 1, negative all
	Mode      Mode
	// Whole lets a call fail with all the retries that the SDK makes of it, so
	// that its caller sees the fault. Retries are then not counted.
	Whole bool
	// Struck is told when a call has failed, before its caller is; nil: nobody.
	Struck func(*http.Request)
	// Match narrows the fault to calls whose body it takes; the others are not
	// counted. nil: all.
	Match func(body []byte) bool

	seen, hit int
	struck    map[string]bool // calls that failed, of a fault that is Whole
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
	made   map[string]int
	known  map[string]bool // calls that were made, for their retries
}

// New returns a Transport that hands calls on to next, but for the faults.
func New(next http.RoundTripper, faults ...Fault) *Transport {
	t := &Transport{next: next, calls: make(map[string]int), made: make(map[string]int), known: make(map[string]bool)}
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
		f.Call, f.seen, f.hit, f.struck = max(f.Call, 1), 0, 0, make(map[string]bool)
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

// Made says how often each operation was called, the SDK's own retries not
// counted.
func (t *Transport) Made() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.made)
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
	f := t.due(operation, r.Header.Get(callHeader), body)
	if f == nil {
		return t.next.RoundTrip(r)
	}
	answer, err := t.fail(r, f.Mode)
	if f.Struck != nil {
		f.Struck(r)
	}
	return answer, err
}

// callHeader names a call of the SDK's: its retries carry the same.
const callHeader = "Amz-Sdk-Invocation-Id"

// fail makes a call fail.
func (t *Transport) fail(r *http.Request, how Mode) (*http.Response, error) {
	switch how {
	case LoseAnswer:
		if err := t.unheard(r); err != nil {
			return nil, err
		}
		return nil, ErrLost
	case Throttle:
		return refusal(r, http.StatusBadRequest, "ThrottlingException"), nil
	case AnswerLate:
		<-r.Context().Done()
		if err := t.unheard(r.WithContext(context.WithoutCancel(r.Context()))); err != nil {
			return nil, err
		}
		return nil, r.Context().Err()
	default:
		return refusal(r, http.StatusInternalServerError, "InternalServerError"), nil
	}
}

// unheard lets the service take a call whose answer nobody gets.
func (t *Transport) unheard(r *http.Request) error {
	answer, err := t.next.RoundTrip(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return errors.Join(err, answer.Body.Close())
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

// due counts the call and returns the fault by which it is to fail; nil: none.
func (t *Transport) due(operation, id string, body []byte) (due *Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls[operation]++
	retry := id != "" && t.known[id]
	if !retry {
		t.made[operation]++
		t.known[id] = true
	}
	for _, f := range t.faults {
		if f.Operation != operation || f.Match != nil && !f.Match(body) {
			continue
		}
		if f.Whole && retry {
			if due == nil && f.struck[id] {
				due = f
			}
			continue
		}
		f.seen++
		if due == nil && f.seen >= f.Call && (f.Times < 0 || f.hit < f.Times) {
			f.hit++
			f.struck[id] = true
			due = f
		}
	}
	return due
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
