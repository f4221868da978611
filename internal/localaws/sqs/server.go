package sqs

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"posthorn/internal/localaws/store"
)

// Options say where and as whom a Server works.
type Options struct {
	// Store keeps the queues and their messages; required.
	Store *store.DB
	// Now is the clock; time.Now when nil. Long polls wait in real time.
	Now func() time.Time
	// Account is the account id in queue URLs and ARNs; 000000000000 when empty.
	Account string
	// Region is the region in ARNs; us-east-1 when empty.
	Region string
	// InFlightLimit is how many messages of a queue may be in flight; 120,000,
	// the service's quota, when 0.
	InFlightLimit int
}

// Server is the stand-in. It is an [http.Handler], safe for concurrent use.
type Server struct {
	store           *store.DB
	now             func() time.Time
	account, region string
	inFlightLimit   int
	epoch           uint32

	calls sync.Pool // of *call

	// mu guards what follows and every queue. One lock for all keeps moves
	// between queues plain; it is held for microseconds, and never while
	// waiting for the disk.
	mu      sync.Mutex
	seq     uint64
	queues  map[string]*queue
	deleted map[string]int64 // when queues of late were deleted, Unix milliseconds
	moves   map[string][]*moveTask
	closed  bool

	closing context.Context
	close   context.CancelFunc
	running sync.WaitGroup
}

// New returns a server with the queues and messages of the store. What was in
// flight when the last process ended is visible; delays remain. The store must
// be closed after the server.
func New(o Options) (*Server, error) {
	s := &Server{
		store: o.Store, now: o.Now, account: o.Account, region: o.Region, inFlightLimit: o.InFlightLimit,
		queues: map[string]*queue{}, deleted: map[string]int64{}, moves: map[string][]*moveTask{},
	}
	if s.store == nil {
		return nil, errors.New("sqs: no store given")
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.account == "" {
		s.account = "000000000000"
	}
	if s.region == "" {
		s.region = "us-east-1"
	}
	if s.inFlightLimit == 0 {
		s.inFlightLimit = 120_000
	}
	s.calls.New = func() any { return new(call) }
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("start local SQS: %w", err)
	}
	s.closing, s.close = context.WithCancel(context.Background())
	return s, nil
}

// Close ends waiting long polls with an empty answer and stops message move
// tasks, which leave in their source what they have not moved. The server must
// not be used afterwards.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.close()
	s.running.Wait()
	return nil
}

func (s *Server) millis() int64 { return s.now().UnixMilli() }

// call is a request on its way through. It is used again for later requests.
type call struct {
	ctx  context.Context
	base string // scheme and host that were asked
	body bytes.Buffer
	in   request
	out  []byte // the answer
	work []byte // scratch
}

const (
	targetPrefix = "AmazonSQS."
	contentType  = "application/x-amz-json-1.0"
	// maxRequest bounds a request: a batch of 1 MiB whose every byte is escaped.
	maxRequest = 8 << 20
	// maxKept bounds the buffers that are kept for later requests.
	maxKept = 256 << 10
)

// ServeHTTP answers one request of the AWS JSON 1.0 protocol. Signatures are
// not checked.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := s.calls.Get().(*call)
	defer s.recycle(c)
	c.ctx, c.base = r.Context(), baseURL(r)
	header := w.Header()
	header["Content-Type"] = []string{contentType}
	header["X-Amzn-Requestid"] = []string{requestID()}
	status := http.StatusOK
	if err := s.serve(c, r); err != nil {
		e := asAPIError(err)
		status = e.status
		fault := ";Sender"
		if !e.sender() {
			fault = ";Receiver"
		}
		header["X-Amzn-Query-Error"] = []string{e.code + fault}
		c.out = appendText(append(c.out[:0], `{"__type":`...), e.shape)
		c.out = appendText(append(c.out, `,"message":`...), e.message)
		c.out = append(c.out, '}')
	}
	header["Content-Length"] = []string{strconv.Itoa(len(c.out))}
	w.WriteHeader(status)
	if _, err := w.Write(c.out); err != nil {
		// The client is gone; what it received comes back after its
		// visibility timeout, as with the service.
		return
	}
}

func (s *Server) recycle(c *call) {
	if c.body.Cap() > maxKept || cap(c.out) > maxKept || cap(c.work) > maxKept {
		return
	}
	c.ctx = nil
	c.body.Reset()
	c.in.reset()
	c.out, c.work = c.out[:0], c.work[:0]
	s.calls.Put(c)
}

func baseURL(r *http.Request) string {
	scheme, host := "http://", r.Host
	if r.TLS != nil {
		scheme = "https://"
	}
	if host == "" { // the handler was called without a server in between
		host = r.URL.Host
	}
	return scheme + host
}

func requestID() string {
	return string(appendUUID(nil, newID(rand.Uint64(), rand.Uint64())))
}

// newID returns the UUID (version 4) of two random numbers.
func newID(high, low uint64) (id [16]byte) {
	for i := range 8 {
		id[i], id[8+i] = byte(high>>(8*i)), byte(low>>(8*i))
	}
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return id
}

func appendUUID(b []byte, id [16]byte) []byte {
	b = append(hex.AppendEncode(b, id[:4]), '-')
	b = append(hex.AppendEncode(b, id[4:6]), '-')
	b = append(hex.AppendEncode(b, id[6:8]), '-')
	b = append(hex.AppendEncode(b, id[8:10]), '-')
	return hex.AppendEncode(b, id[10:])
}

func (s *Server) serve(c *call, r *http.Request) error {
	target := r.Header.Get("X-Amz-Target")
	op, ok := strings.CutPrefix(target, targetPrefix)
	if !ok || r.Method != http.MethodPost {
		return errUnknownOperation(target)
	}
	if r.ContentLength > 0 && r.ContentLength <= maxRequest {
		c.body.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	n, err := c.body.ReadFrom(io.LimitReader(r.Body, maxRequest+1))
	if err != nil {
		return errSerialization("The request could not be read: %v.", err)
	}
	if n > maxRequest {
		return errSerialization("The request is longer than %d bytes.", maxRequest)
	}
	if err := c.in.decode(c.body.Bytes()); err != nil {
		return err
	}
	return s.do(op, c)
}

func (s *Server) do(op string, c *call) error {
	switch op {
	case "SendMessageBatch":
		return s.sendMessageBatch(c)
	case "ReceiveMessage":
		return s.receiveMessage(c)
	case "DeleteMessageBatch":
		return s.deleteMessageBatch(c)
	case "SendMessage":
		return s.sendMessage(c)
	case "DeleteMessage":
		return s.deleteMessage(c)
	case "ChangeMessageVisibility":
		return s.changeMessageVisibility(c)
	case "ChangeMessageVisibilityBatch":
		return s.changeMessageVisibilityBatch(c)
	case "GetQueueUrl":
		return s.getQueueURL(c)
	case "GetQueueAttributes":
		return s.getQueueAttributes(c)
	case "SetQueueAttributes":
		return s.setQueueAttributes(c)
	case "CreateQueue":
		return s.createQueue(c)
	case "DeleteQueue":
		return s.deleteQueue(c)
	case "ListQueues":
		return s.listQueues(c)
	case "PurgeQueue":
		return s.purgeQueue(c)
	case "ListDeadLetterSourceQueues":
		return s.listSourceQueues(c)
	case "StartMessageMoveTask":
		return s.startMove(c)
	case "ListMessageMoveTasks":
		return s.listMoves(c)
	case "CancelMessageMoveTask":
		return s.cancelMove(c)
	case "TagQueue":
		return s.tagQueue(c)
	case "UntagQueue":
		return s.untagQueue(c)
	case "ListQueueTags":
		return s.listTags(c)
	case "AddPermission", "RemovePermission":
		return errUnsupported("The operation %s is", op)
	}
	return errUnknownOperation(op)
}
