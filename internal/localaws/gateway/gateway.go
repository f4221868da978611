package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"golang.org/x/time/rate"
)

const (
	// MaxBody is the largest request body in bytes, as in "Quotas for
	// configuring and running an HTTP API": payload size 10 MB.
	MaxBody = 10 << 20
	// MaxResponse is the largest response body in bytes a function may answer:
	// Lambda's limit of 6 MB on a synchronous answer.
	MaxResponse = 6 << 20
	// IntegrationTimeout is how long an HTTP API waits for a function.
	IntegrationTimeout = 30 * time.Second

	// keptBuffer is the capacity up to which a read buffer is used again, so
	// that one large body does not stay in memory.
	keptBuffer = 128 << 10
)

// Function is a Lambda function behind the gateway. Its context ends at the
// integration timeout, and not when the client goes away.
//
// An error answers 500; an error that says "Throttled() bool" of itself, and
// means it, answers 503.
type Function func(ctx context.Context, req events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error)

// Options are the settings of a Gateway. The zero value is ready to use.
type Options struct {
	// Logger gets one line for each failure of the function. Nil: slog.Default().
	Logger *slog.Logger
	// Timeout replaces [IntegrationTimeout] where it is positive.
	Timeout time.Duration
	// AccountID and APIID fill the fields of those names in the request
	// context. Empty: "000000000000" and "local".
	AccountID, APIID string
	// Rate is how many requests a second are taken in the long run; those over it
	// are answered 429. 0: no limit. Up to a second's worth may come at once.
	Rate float64
}

// Gateway is the HTTP side of a [Function]. It is safe for concurrent use.
type Gateway struct {
	fn      Function
	log     *slog.Logger
	timeout time.Duration
	account string
	api     string
	rate    *rate.Limiter
	buffers sync.Pool // of *bytes.Buffer
}

// New returns the gateway of fn.
func New(fn Function, o Options) *Gateway {
	g := &Gateway{fn: fn, log: o.Logger, timeout: o.Timeout, account: o.AccountID, api: o.APIID, rate: rate.NewLimiter(rate.Inf, 0)}
	if g.log == nil {
		g.log = slog.Default()
	}
	if g.timeout <= 0 {
		g.timeout = IntegrationTimeout
	}
	if g.account == "" {
		g.account = "000000000000"
	}
	if g.api == "" {
		g.api = "local"
	}
	if o.Rate > 0 {
		g.rate = rate.NewLimiter(rate.Limit(o.Rate), int(math.Ceil(o.Rate)))
	}
	g.buffers.New = func() any { return new(bytes.Buffer) }
	return g
}

// ServeHTTP implements [http.Handler].
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := newRequestID()
	w.Header().Set("Apigw-Requestid", id)
	if wait := g.wait(time.Now()); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		g.refuse(w, http.StatusTooManyRequests)
		return
	}
	body, encoded, err := g.readBody(w, r)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			g.refuse(w, http.StatusRequestEntityTooLarge)
			return
		}
		g.refuse(w, http.StatusBadRequest)
		return
	}
	req := g.event(r, id, time.Now())
	req.Body, req.IsBase64Encoded = body, encoded

	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), g.timeout)
	defer cancel()
	// At the timeout the 503 is written at once, also when the function takes
	// no notice of its context. Until stop succeeds the response belongs to
	// that write, and this goroutine has to wait for its end.
	written := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(written)
		g.log.Error("function timed out", "request_id", id, "timeout", g.timeout)
		g.refuse(w, http.StatusServiceUnavailable)
		if err := http.NewResponseController(w).Flush(); err != nil {
			g.log.Error("flush the timeout's answer", "request_id", id, "error", err)
		}
	})
	resp, err := g.call(ctx, req)
	if !stop() {
		<-written
		return
	}
	if err == nil {
		if err = g.respond(w, &resp); err == nil {
			return
		}
	}
	status := statusOf(err, ctx.Err())
	g.log.Error("function failed", "request_id", id, "status", status, "error", err)
	g.refuse(w, status)
}

// wait takes a place under the rate, or says how long there will be none.
func (g *Gateway) wait(now time.Time) time.Duration {
	place := g.rate.ReserveN(now, 1)
	wait := place.DelayFrom(now)
	if wait > 0 {
		place.CancelAt(now)
	}
	return wait
}

// statusOf returns the status for a failure of the function, whose context
// ended with ctxErr, or not.
func statusOf(err, ctxErr error) int {
	var t interface{ Throttled() bool }
	if errors.As(err, &t) && t.Throttled() {
		return http.StatusServiceUnavailable
	}
	if ctxErr != nil && errors.Is(err, ctxErr) { // it was faster than the timeout's own answer
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// call runs the function and turns a panic into an error.
func (g *Gateway) call(ctx context.Context, req events.APIGatewayV2HTTPRequest) (resp events.APIGatewayV2HTTPResponse, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return g.fn(ctx, req)
}

// refuse writes one of the service's own answers.
func (g *Gateway) refuse(w http.ResponseWriter, status int) {
	body := `{"message":"` + http.StatusText(status) + `"}`
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if _, err := w.Write([]byte(body)); err != nil {
		g.log.Debug("write a refusal", "status", status, "error", err)
	}
}
