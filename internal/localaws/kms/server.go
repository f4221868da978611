package kms

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"posthorn/internal/localaws/store"
)

// Options are what a Server is made of.
type Options struct {
	// Store keeps the keys; required.
	Store *store.DB
	// Now is the clock, which dates keys; time.Now when nil.
	Now func() time.Time
	// Region and Account appear in ARNs; us-east-1 and 000000000000 when empty.
	Region  string
	Account string
}

// Server is the stand-in. It is an [http.Handler], safe for concurrent use.
type Server struct {
	store    *store.DB
	now      func() time.Time
	account  string
	arn      string // what the ARN of everything here begins with
	requests atomic.Uint64

	mu   sync.RWMutex
	keys map[string]*key // by id
}

// New returns a server with the keys of the store.
func New(o Options) (*Server, error) {
	if o.Store == nil {
		return nil, errors.New("kms: no store given")
	}
	s := &Server{store: o.Store, now: o.Now, account: o.Account, keys: make(map[string]*key)}
	if s.now == nil {
		s.now = time.Now
	}
	if s.account == "" {
		s.account = "000000000000"
	}
	region := o.Region
	if region == "" {
		region = "us-east-1"
	}
	s.arn = "arn:aws:kms:" + region + ":" + s.account + ":"
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("load keys: %w", err)
	}
	return s, nil
}

const (
	targetPrefix = "TrentService." // what KMS is called on the wire
	contentType  = "application/x-amz-json-1.1"
	// maxRequest bounds a request: its largest members have a few KiB.
	maxRequest = 64 << 10
)

// ServeHTTP answers one operation.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	out, err := s.answer(r)
	if err != nil {
		e := asAPIError(err)
		status = e.status
		out, err = json.Marshal(struct {
			Type    string `json:"__type"`
			Message string `json:"message,omitempty"`
		}{e.code, e.message})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(out)))
	h.Set("X-Amzn-Requestid", strconv.FormatUint(s.requests.Add(1), 10))
	w.WriteHeader(status)
	if _, err := w.Write(out); err != nil {
		return // the caller has gone; there is nobody to tell
	}
}

// answer reads a request, does what it asks, and returns the answer.
func (s *Server) answer(r *http.Request) ([]byte, error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok || r.Method != http.MethodPost {
		return nil, refuse("UnknownOperationException", "The request is no POST whose X-Amz-Target names an operation of %s", strings.TrimSuffix(targetPrefix, "."))
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return nil, refuse("SerializationException", "The request body cannot be read: %v", err)
	}
	if len(body) > maxRequest {
		return nil, refuse("SerializationException", "The request body is larger than %d bytes", maxRequest)
	}
	var out any
	switch name {
	case "CreateKey":
		out, err = operation(body, s.createKey)
	case "DescribeKey":
		out, err = operation(body, s.describeKey)
	case "GenerateDataKey":
		out, err = operation(body, s.generateDataKey)
	case "Encrypt":
		out, err = operation(body, s.encrypt)
	case "Decrypt":
		out, err = operation(body, s.decrypt)
	default:
		err = refuse("UnknownOperationException", "The operation %s is not implemented by the local stand-in for KMS", name)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(out)
}

// operation reads what an operation is asked, and does it. Members that are not
// known are refused: what they ask for would be left out.
func operation[In, Out any](body []byte, do func(*In) (*Out, error)) (any, error) {
	in := new(In)
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		if what, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return nil, notImplemented("The parameter " + strings.Trim(what, `"`))
		}
		return nil, refuse("SerializationException", "The request is not as expected: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse("SerializationException", "Something follows the request")
	}
	return do(in)
}
