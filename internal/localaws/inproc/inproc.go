// Package inproc carries HTTP requests to a handler in the same process: the
// SDK's clients stay what they are in an account, and a call costs no socket.
package inproc

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"strconv"
)

// Client returns an HTTP client all of whose requests handler answers, in the
// goroutine of the caller. Handlers must heed the request's context. Whole
// answers only: nothing is streamed.
func Client(handler http.Handler) *http.Client {
	return &http.Client{Transport: Transport{Handler: handler}}
}

// Transport is an http.RoundTripper that ends in Handler.
type Transport struct {
	Handler http.Handler
}

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (_ *http.Response, err error) {
	if err := r.Context().Err(); err != nil {
		return nil, closeBody(r, err)
	}
	in := *r
	in.RequestURI = r.URL.RequestURI()
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	in.RemoteAddr = "127.0.0.1:0"
	a := &answer{header: make(http.Header, 4)}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	t.Handler.ServeHTTP(a, &in)
	if err := closeBody(r, nil); err != nil {
		return nil, err
	}
	return a.response(r)
}

func closeBody(r *http.Request, err error) error {
	if r.Body == nil {
		return err
	}
	if e := r.Body.Close(); e != nil && err == nil {
		return fmt.Errorf("close request body: %w", e)
	}
	return err
}

// answer collects what the handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	err    error
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

func (a *answer) response(r *http.Request) (*http.Response, error) {
	if a.err != nil {
		return nil, a.err
	}
	a.WriteHeader(http.StatusOK)
	return &http.Response{
		Status: strconv.Itoa(a.status) + " " + http.StatusText(a.status), StatusCode: a.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: a.header, Body: io.NopCloser(&a.body), ContentLength: int64(a.body.Len()), Request: r,
	}, nil
}
