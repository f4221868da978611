package httpapi

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"posthorn/internal/hook"
)

// Options says what an API works with. Everything is required unless its
// comment says otherwise.
type Options struct {
	Ingest      Ingest
	Endpoints   Endpoints
	Events      Events
	Deliveries  Deliveries
	DeadLetters DeadLetters
	Redriver    Redriver
	Jobs        Jobs
	Sealer      Sealer
	Queue       Queue
	Counters    Counters
	Metrics     MetricsWriter
	Ready       []Check // what /ready asks; none: always ready

	Now       func() time.Time
	NewID     func(prefix string, at time.Time) string // prefix and a ULID of that moment
	NewSecret func() (string, error)                   // a signing secret for an endpoint registered without one

	// CheckURL refuses an endpoint's URL at registration: an error is a
	// *hook.InvalidError for the field url.
	CheckURL      func(url string) error
	RetryPolicies []string    // the names that an endpoint's retry_policy may have
	EventTypes    []EventType // the predefined ones, in the order in which they are shown
	Version       string      // of the program, shown by /health

	// Open lets everybody in, without a key, as an admin of DefaultTenant.
	Open bool
	Keys Keys
	Rand io.Reader // makes the secrets of new keys

	// TestReceiver mounts POST /test/webhook. Only then is Verify required: it
	// says whether a request is signed with one of the secrets, by the rules
	// that hold at that moment.
	TestReceiver bool
	Verify       func(header http.Header, body []byte, secrets []string, now time.Time) bool

	// Console serves /console and what is below it; nil: there is none.
	Console http.Handler

	Log *slog.Logger // nil: nothing is logged
}

// DefaultTenant owns everything while callers are not told apart, and the keys
// of those who operate Posthorn otherwise.
const DefaultTenant = "default"

// API is the HTTP API as a handler.
type API struct {
	o       Options
	mux     *http.ServeMux
	ready   readiness
	keyring *keyring
}

// New returns the API. It does no I/O.
func New(o Options) *API {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	a := &API{o: o, mux: http.NewServeMux(), ready: readiness{checks: o.Ready, now: o.Now, log: o.Log}, keyring: newKeyring(o.Keys, o.Now)}
	a.routes()
	return a
}

// handler answers a request or returns an error, having written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

// methods are the handlers of one path, each with who may call it: see auth.go.
type methods map[string]guarded

func (a *API) routes() {
	a.route("/api/v1/webhooks", methods{"POST": admin(a.createEndpoint), "GET": view(a.listEndpoints)})
	a.route("/api/v1/webhooks/{id}", methods{"GET": view(a.getEndpoint), "PATCH": admin(a.changeEndpoint), "DELETE": admin(a.deleteEndpoint)})
	a.route("/api/v1/webhooks/{id}/rotate-secret", methods{"POST": admin(a.rotateSecret)})
	a.route("/api/v1/webhooks/{id}/test", methods{"POST": admin(a.testEndpoint)})
	a.route("/api/v1/webhooks/{id}/pause", methods{"POST": admin(a.pauseEndpoint)})
	a.route("/api/v1/webhooks/{id}/resume", methods{"POST": admin(a.resumeEndpoint)})
	a.route("/api/v1/webhooks/{id}/recover", methods{"POST": admin(a.recoverEndpoint)})
	a.route("/api/v1/events", methods{"POST": produce(a.postEvent), "GET": view(a.listEvents)})
	a.route("/api/v1/events/batch", methods{"POST": produce(a.postEvents)})
	a.route("/api/v1/events/{id}", methods{"GET": produceOrView(a.getEvent)})
	a.route("/api/v1/events/{id}/resend", methods{"POST": admin(a.resendEvent)})
	a.route("/api/v1/event-types", methods{"GET": view(a.listEventTypes)})
	a.route("/api/v1/deliveries", methods{"GET": view(a.listDeliveries)})
	a.route("/api/v1/deliveries/{id}", methods{"GET": view(a.getDelivery)})
	a.route("/api/v1/deliveries/{id}/retry", methods{"POST": admin(a.retryDelivery)})
	a.route("/api/v1/dlq", methods{"GET": view(a.listDeadLetters)})
	a.route("/api/v1/dlq/{id}", methods{"GET": view(a.getDeadLetter), "DELETE": admin(a.deleteDeadLetter)})
	a.route("/api/v1/dlq/replay", methods{"POST": admin(a.replayDeadLetters)})
	a.route("/api/v1/dlq/{id}/replay", methods{"POST": admin(a.replayDeadLetter)})
	a.route("/api/v1/jobs", methods{"GET": view(a.listJobs)})
	a.route("/api/v1/jobs/{id}", methods{"GET": view(a.getJob)})
	a.route("/api/v1/jobs/{id}/cancel", methods{"POST": admin(a.cancelJob)})
	a.route("/api/v1/keys", methods{"POST": admin(a.createKey), "GET": admin(a.listKeys)})
	a.route("/api/v1/keys/{id}", methods{"DELETE": admin(a.revokeKey)})
	a.route("/api/v1/session", methods{"GET": everyone(a.getSession), "POST": open(a.startSession), "DELETE": open(a.endSession)})
	a.route("/api/v1/stats", methods{"GET": operate(a.stats)})
	a.route("/health", methods{"GET": open(a.health)})
	a.route("/ready", methods{"GET": open(a.isReady)})
	a.route("/metrics", methods{"GET": operate(a.metrics)})
	a.route("/openapi.json", methods{"GET": open(a.openapi)})
	a.route("/docs", methods{"GET": open(a.docs)})
	a.route("/docs/{file}", methods{"GET": open(a.docsFile)})
	if a.o.TestReceiver {
		a.route("/test/webhook", methods{"POST": open(a.receiveTest)})
	}
	if a.o.Console != nil {
		a.mux.Handle("/console", a.o.Console)
		a.mux.Handle("/console/", a.o.Console)
	}
	a.mux.HandleFunc("/", a.handle(func(http.ResponseWriter, *http.Request) error { return errNoPath }))
}

// route registers a path with its methods, HEAD wherever there is GET, and an
// answer to all other methods. The mux chooses by path alone: a path that is
// spelt out wins over one with an id in that place, whatever the method.
func (a *API) route(path string, m methods) {
	var allow []string
	handlers := make(map[string]handler, len(m))
	for method, g := range m {
		handlers[method] = a.guard(g)
		allow = append(allow, method)
		if method == http.MethodGet {
			allow = append(allow, http.MethodHead)
		}
	}
	slices.Sort(allow)
	allowed := strings.Join(allow, ", ")
	a.mux.HandleFunc(path, a.handle(func(w http.ResponseWriter, r *http.Request) error {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if h := handlers[method]; h != nil {
			return h(w, r)
		}
		w.Header().Set("Allow", allowed)
		return &problem{kind: kindMethodNotAllowed, detail: "This path takes " + allowed + "."}
	}))
}

// handle makes a handler of h that turns its error, or its panic, into a
// problem document.
func (a *API) handle(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		start := a.o.Now()
		defer func() {
			if v := recover(); v != nil {
				if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(v)
				}
				a.fail(w, r, start, &panicError{value: v, stack: debug.Stack()})
			}
		}()
		if err := h(w, r); err != nil {
			a.fail(w, r, start, err)
		}
	}
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	if to := a.page(r); to != "" {
		h.Set("Location", to)
		w.WriteHeader(http.StatusFound)
		return
	}
	// The mux would redirect a path that is not in its shortest form.
	if p := r.URL.Path; p == "" || p[0] != '/' || path.Clean(p) != p {
		a.fail(w, r, a.o.Now(), errNoPath)
		return
	}
	a.mux.ServeHTTP(w, r)
}

// page is where a browser finds the page that it asks for by what a person types,
// from there; empty: it does not, or a program asks.
func (a *API) page(r *http.Request) string {
	if r.Method != http.MethodGet || !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return ""
	}
	switch console := a.o.Console != nil; {
	case r.URL.Path == "/" && console:
		return "console"
	case r.URL.Path == "/console/" && console:
		return "../console"
	case r.URL.Path == "/docs/":
		return "../docs"
	}
	return ""
}

// recovered calls do, and turns its panic into an error: in a goroutine of its
// own it would end the process, with all that others are about.
func recovered(do func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return do()
}

// together calls all of do at the same time, and joins their errors.
func together(do ...func() error) error {
	errs := make([]error, len(do))
	var wg sync.WaitGroup
	for i, f := range do {
		wg.Go(func() { errs[i] = recovered(f) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// panicError is a panic of a handler, or of what it does in a goroutine.
type panicError struct {
	value any
	stack []byte
}

func (p *panicError) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// pathID returns the {id} of the path when it is one with that prefix. An id of
// another form names nothing.
func pathID(r *http.Request, prefix, what string) (string, error) {
	id := r.PathValue("id")
	if !hook.ValidID(prefix, id) {
		return "", notFound(what)
	}
	return id, nil
}
