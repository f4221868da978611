package dynamodb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"posthorn/internal/localaws/store"
)

// maxBody is the largest request the service takes, in bytes.
const maxBody = 16 << 20

// Options are what a Server is made of.
type Options struct {
	// Store keeps tables and items. Required. The server uses the keys that
	// begin with 'd'.
	Store *store.DB
	// Now tells the time; time.Now when nil. It decides what has expired.
	Now func() time.Time
	// Region and Account appear in ARNs; us-east-1 and 000000000000 when empty.
	Region  string
	Account string
}

// Server answers DynamoDB requests. It is safe for concurrent use and starts
// no goroutine: expired items go when SweepExpired is called.
type Server struct {
	store *store.DB
	now   func() time.Time
	arn   string

	// mu guards tables: operations on items hold it for reading while they
	// work, operations on tables for writing.
	mu     sync.RWMutex
	tables map[string]*table

	locks       locks
	expressions cache
	buffers     sync.Pool
	requests    atomic.Uint64
}

// New returns a server over the tables that are in the store.
func New(o Options) (*Server, error) {
	if o.Store == nil {
		return nil, errors.New("dynamodb: no store given")
	}
	s := &Server{store: o.Store, now: o.Now, tables: make(map[string]*table)}
	if s.now == nil {
		s.now = time.Now
	}
	region, account := o.Region, o.Account
	if region == "" {
		region = "us-east-1"
	}
	if account == "" {
		account = "000000000000"
	}
	s.arn = "arn:aws:dynamodb:" + region + ":" + account + ":table/"
	s.buffers.New = func() any { return new(buffers) }
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("load tables: %w", err)
	}
	return s, nil
}

// buffers are what a request needs to work in.
type buffers struct {
	in  bytes.Buffer
	out []byte
	key []byte
}

// keepBuffers is the size beyond which a buffer is not kept for the next request.
const keepBuffers = 256 << 10

const targetPrefix = "DynamoDB_20120810."

// ServeHTTP answers one operation.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	buf, ok := s.buffers.Get().(*buffers)
	if !ok {
		buf = new(buffers)
	}
	defer func() {
		if buf.in.Cap() <= keepBuffers && cap(buf.out) <= keepBuffers {
			s.buffers.Put(buf)
		}
	}()
	out, err := s.answer(r, buf)
	status := http.StatusOK
	if err != nil {
		e := asAPIError(err)
		status = e.status()
		out = appendError(buf.out[:0], e)
	}
	buf.out = out
	h := w.Header()
	h.Set("Content-Type", "application/x-amz-json-1.0")
	h.Set("Content-Length", strconv.Itoa(len(out)))
	h.Set("X-Amzn-Requestid", strconv.FormatUint(s.requests.Add(1), 10))
	// The SDK checks the body against this, and takes a missing one for zero.
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE(out)), 10))
	w.WriteHeader(status)
	if _, err := w.Write(out); err != nil {
		return // the caller has gone; there is nobody to tell
	}
}

// answer reads a request, does what it asks, and appends the answer to buf.out.
func (s *Server) answer(r *http.Request, buf *buffers) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, &apiError{code: "UnknownOperationException", message: "Only POST is served"}
	}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if !ok {
		return nil, &apiError{code: "UnknownOperationException", message: "The X-Amz-Target header names no operation of " + strings.TrimSuffix(targetPrefix, ".")}
	}
	buf.in.Reset()
	n, err := buf.in.ReadFrom(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, unserializable("The request body cannot be read: %v", err)
	}
	if n > maxBody {
		return nil, unserializable("The request body is larger than %d bytes", maxBody)
	}
	// One copy, which every string that is read from the request shares.
	body := buf.in.String()
	if !utf8.ValidString(body) {
		return nil, unserializable("The request body is not valid UTF-8")
	}
	d := &decoder{s: body}
	out, err := s.perform(r.Context(), name, d, buf)
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *Server) perform(ctx context.Context, name string, d *decoder, buf *buffers) ([]byte, error) {
	switch name {
	case "PutItem":
		return s.writeItem(d, buf, actionPut)
	case "UpdateItem":
		return s.writeItem(d, buf, actionUpdate)
	case "DeleteItem":
		return s.writeItem(d, buf, actionDelete)
	case "GetItem":
		return s.getItem(d, buf)
	case "Query":
		return s.search(ctx, d, buf, true)
	case "Scan":
		return s.search(ctx, d, buf, false)
	case "BatchGetItem":
		return s.batchGet(d, buf)
	case "BatchWriteItem":
		return s.batchWrite(d, buf)
	case "TransactWriteItems":
		return s.transactWrite(d, buf)
	case "TransactGetItems":
		return s.transactGet(d, buf)
	}
	return s.performOnTable(name, d, buf)
}

// finish checks that nothing follows a request.
func finish(d *decoder, err error) error {
	if err != nil {
		return err
	}
	return d.end()
}
