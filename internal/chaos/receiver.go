package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// behaviour is how a post is answered.
type behaviour int

// The behaviours.
const (
	unanswered behaviour = iota // nothing came of it yet
	fine                        // 200
	late                        // 200 after a while, which may be too late
	failing                     // 500 or 503
	busy                        // 429, with a Retry-After
	gone                        // 410
	hanging                     // never
	resetting                   // the connection is reset
)

func (b behaviour) String() string {
	return [...]string{"unanswered", "200", "200, late", "500 or 503", "429", "410", "hung", "reset"}[b]
}

// character is what an endpoint is like: shares of the posts to it.
type character struct {
	name                                          string
	late, failing, busy, gone, hanging, resetting float64
	down                                          bool    // for a part of the run it does not work at all
	rateLimit                                     float64 // that it is registered with
}

// characters are given to the endpoints in turn.
var characters = []character{
	{name: "sound"},
	{name: "flaky", failing: 0.25},
	{name: "sound"},
	{name: "slow", late: 0.3},
	{name: "resets", resetting: 0.2},
	{name: "sound"},
	{name: "hangs", hanging: 0.05},
	{name: "busy", busy: 0.2},
	{name: "down", down: true},
	{name: "limited", rateLimit: 40},
	{name: "sound", failing: 0.02},
	{name: "gone", gone: 0.003},
}

// poison is the share of deliveries that fail however often they are tried.
const poison = 0.02

// timeout of the endpoints, in seconds.
const endpointTimeout = 1

// receiver is all endpoints.
type receiver struct {
	dice     dice
	plan     plan
	ledger   *ledger
	tally    *tally
	events   int
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
	closing  chan struct{}

	mu      sync.Mutex
	secrets map[int][]string // by endpoint
	calm    bool
	cured   int // of events below this nothing is poison any more
}

func newReceiver(o Options, l *ledger, t *tally) (*receiver, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for deliveries: %w", err)
	}
	r := &receiver{
		dice: dice(o.Seed), plan: planOf(o), ledger: l, tally: t, events: o.Events, listener: listener,
		closing: make(chan struct{}), secrets: map[int][]string{},
	}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: time.Minute, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	r.serving.Go(func() {
		if err := r.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			l.wrongf("the receiver stopped: %v", err)
		}
	})
	return r, nil
}

func (r *receiver) port() int { return r.listener.Addr().(*net.TCPAddr).Port }

// url is where an endpoint is.
func (r *receiver) url(endpoint int) string {
	return fmt.Sprintf("http://127.0.0.1:%d/e/%d?token=%s-query-of-%d", r.port(), endpoint, planted, endpoint)
}

func (r *receiver) close() error {
	close(r.closing)
	err := r.server.Close()
	r.serving.Wait()
	return err
}

// characterOf is what an endpoint is like.
func characterOf(endpoint int) character { return characters[endpoint%len(characters)] }

// accept adds a secret that posts to an endpoint may be signed with.
func (r *receiver) accept(endpoint int, secret string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.secrets[endpoint] = append(r.secrets[endpoint], secret)
}

// setCalm lets all posts be answered with 200, but for those that are poison.
func (r *receiver) setCalm() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calm = true
}

// cure ends the poison of all events below a number.
func (r *receiver) cure(below int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cured = below
}

// ServeHTTP takes a post.
func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return // its sender died
	}
	endpoint, err := strconv.Atoi(strings.TrimPrefix(req.URL.Path, "/e/"))
	if err != nil {
		r.ledger.wrongf("a post to %s", req.URL.Path)
		return
	}
	event, err := r.read(endpoint, req.Header, body)
	if err != nil {
		r.ledger.wrongf("a post to endpoint %d: %v", endpoint, err)
		return
	}
	delivery := req.Header.Get("X-Webhook-Delivery")
	n := r.ledger.arrive(delivery, req.Header.Get("Webhook-Id"), event, endpoint, req.Header)
	how := r.behave(endpoint, event, n)
	r.tally.add("posts answered", how.String())
	r.ledger.answer(delivery, n, how)
	r.answer(w, req, how, endpoint, event, n)
}

// read checks a post's signature and body, and returns the number of its event.
func (r *receiver) read(endpoint int, h http.Header, body []byte) (event int, err error) {
	if err := r.verify(endpoint, h, body); err != nil {
		return 0, err
	}
	var envelope struct {
		ID   string          `json:"id"`
		Type string          `json:"event"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &envelope); err != nil {
		return 0, fmt.Errorf("body: %w", err)
	}
	var data struct {
		N int `json:"n"`
	}
	if err := json.Unmarshal(envelope.Data, &data); err != nil {
		return 0, fmt.Errorf("data: %w", err)
	}
	switch {
	case data.N < 0 || data.N >= r.events:
		return 0, fmt.Errorf("event %d was never posted", data.N)
	case envelope.ID != h.Get("Webhook-Id"):
		return 0, fmt.Errorf("webhook-id is %s and the body's id %s", h.Get("Webhook-Id"), envelope.ID)
	case envelope.Type != r.plan.eventType(data.N):
		return 0, fmt.Errorf("event %d is of type %s, and was posted as %s", data.N, envelope.Type, r.plan.eventType(data.N))
	case string(envelope.Data) != r.plan.payload(data.N):
		return 0, fmt.Errorf("event %d has other data than it was posted with", data.N)
	}
	return data.N, nil
}

// verify checks the signature with the library that receivers use.
func (r *receiver) verify(endpoint int, h http.Header, body []byte) error {
	r.mu.Lock()
	secrets := r.secrets[endpoint]
	r.mu.Unlock()
	var last error
	for _, secret := range secrets {
		verifier, err := standardwebhooks.NewWebhookRaw([]byte(secret))
		if err != nil {
			return fmt.Errorf("signature: %w", err)
		}
		if last = verifier.Verify(body, h); last == nil {
			return nil
		}
	}
	return fmt.Errorf("signature: %w", last)
}

// behave says how the n-th post of a delivery is answered.
func (r *receiver) behave(endpoint, event, n int) behaviour {
	r.mu.Lock()
	calm, cured := r.calm, r.cured
	r.mu.Unlock()
	if event >= cured && r.dice.roll("poison", endpoint, event) < poison {
		return failing
	}
	if calm {
		return fine
	}
	c := characterOf(endpoint)
	if accepted, _ := r.ledger.progress(); c.down && accepted > r.events/5 && accepted < r.events*2/5 {
		return failing
	}
	luck := r.dice.roll("answer", endpoint, event, n)
	for _, share := range []struct {
		of  float64
		how behaviour
	}{{c.late, late}, {c.failing, failing}, {c.busy, busy}, {c.gone, gone}, {c.hanging, hanging}, {c.resetting, resetting}} {
		if luck -= share.of; luck < 0 {
			return share.how
		}
	}
	return fine
}

// answer answers a post.
func (r *receiver) answer(w http.ResponseWriter, req *http.Request, how behaviour, numbers ...int) {
	pause := func(d time.Duration) {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-req.Context().Done():
		case <-r.closing:
		}
	}
	switch how {
	case late:
		pause(r.dice.around(800*time.Millisecond, "late", numbers...))
		w.WriteHeader(http.StatusOK)
	case failing:
		w.WriteHeader([]int{http.StatusInternalServerError, http.StatusServiceUnavailable}[r.dice.pick(2, "failure", numbers...)])
		if _, err := io.WriteString(w, planted+" answer"); err != nil {
			return // the post was given up
		}
	case busy:
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case gone:
		w.WriteHeader(http.StatusGone)
	case hanging:
		pause(time.Minute)
	case resetting:
		reset(w)
	default:
		w.WriteHeader(http.StatusOK)
	}
}

// reset resets a request's connection.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		err = tcp.SetLinger(0) // what is not sent is dropped, and the other side told so
	}
	if err = errors.Join(err, conn.Close()); err != nil {
		panic(http.ErrAbortHandler)
	}
}
