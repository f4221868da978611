package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// largestDelivery is a little more than the largest body a Posthorn sends.
const largestDelivery = MaxPayload + 4096

// receiver takes the deliveries of one run: at /<run>/<endpoint's index>. It
// shares the machine with the server it measures, so it does as little as it
// can with each.
type receiver struct {
	prefix      string // "/<run>/"
	endpoints   int
	misbehaving int
	behaviour   Behaviour
	ledger      *ledger
	buffers     sync.Pool // of *[]byte

	luck struct {
		sync.Mutex
		*rand.Rand
	}

	server   *http.Server
	listener net.Listener
	closing  chan struct{}
	served   chan error
}

// listen starts a receiver at o.Listen.
func listen(ctx context.Context, o Options, run string, l *ledger) (*receiver, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("start the receiver: %w", err)
	}
	r := &receiver{
		prefix: "/" + run + "/", endpoints: o.Endpoints, misbehaving: o.misbehaving(),
		behaviour: o.Behaviour, ledger: l, listener: listener,
		closing: make(chan struct{}), served: make(chan error, 1),
	}
	r.luck.Rand = rand.New(rand.NewPCG(3, 4))
	r.buffers.New = func() any { b := make([]byte, 0, o.Payload+1024); return &b }
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute, IdleTimeout: 10 * time.Minute}
	go func() { r.served <- r.server.Serve(listener) }()
	return r, nil
}

// base is what the server reaches the receiver at, unless Options say otherwise.
func (r *receiver) base() string {
	addr := r.listener.Addr().(*net.TCPAddr)
	host := addr.IP
	if host.IsUnspecified() {
		host = net.IPv4(127, 0, 0, 1)
	}
	return "http://" + net.JoinHostPort(host.String(), strconv.Itoa(addr.Port))
}

// close ends every connection, hanging ones included.
func (r *receiver) close() error {
	close(r.closing)
	err := r.server.Close()
	if served := <-r.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// ServeHTTP counts a delivery as arrived at the moment its request was read,
// and as delivered only when it is answered 200.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	at := time.Now()
	w.Header()["Date"] = nil // not worth its cost
	endpoint, ok := r.endpoint(req.URL.Path)
	if !ok {
		r.ledger.miss(stray)
		w.WriteHeader(http.StatusNotFound)
		return
	}
	seq, ok := r.read(req)
	if !ok {
		r.ledger.miss(stray)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if endpoint < r.misbehaving && !r.misbehave(w, req) {
		return
	}
	if !r.ledger.receive(seq, endpoint, at) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (r *receiver) endpoint(path string) (int, bool) {
	rest, ok := strings.CutPrefix(path, r.prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(rest)
	return n, err == nil && n >= 0 && n < r.endpoints
}

func (r *receiver) read(req *http.Request) (int, bool) {
	if req.ContentLength > largestDelivery {
		return 0, false
	}
	buffer := r.buffers.Get().(*[]byte)
	defer r.buffers.Put(buffer)
	body, err := readInto((*buffer)[:0], io.LimitReader(req.Body, largestDelivery))
	*buffer = body
	if err != nil {
		return 0, false
	}
	return sequence(body)
}

// readInto appends all of from to b, as io.ReadAll does with a buffer of its own.
func readInto(b []byte, from io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := from.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// misbehave does what was asked for and reports whether the delivery is still
// to be answered 200.
func (r *receiver) misbehave(w http.ResponseWriter, req *http.Request) bool {
	if r.behaviour.Hang {
		r.ledger.miss(hung)
		select {
		case <-req.Context().Done():
		case <-r.closing:
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return false
	}
	if r.behaviour.Slow > 0 {
		wait := time.NewTimer(r.behaviour.Slow)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-req.Context().Done():
			r.ledger.miss(abandoned)
			return false
		case <-r.closing:
			w.WriteHeader(http.StatusServiceUnavailable)
			return false
		}
	}
	if r.behaviour.Fail > 0 && r.draw() < r.behaviour.Fail {
		r.ledger.miss(refused)
		w.WriteHeader(http.StatusServiceUnavailable)
		return false
	}
	return true
}

// draw is a random number from 0 to 1. Attempts are refused by chance and not
// by turns, which a server that works in step would meet again and again with
// the same delivery; the chances are the same in every run.
func (r *receiver) draw() float64 {
	r.luck.Lock()
	defer r.luck.Unlock()
	return r.luck.Float64()
}
