package load

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakePosthorn registers endpoints and posts accepted events to them before it
// answers 202, so that what a run counts does not depend on time. Faults are
// by the number of the event, from 1.
type fakePosthorn struct {
	lose     func(n int) bool // accepted, never delivered
	double   func(n int) bool // delivered twice
	refuse   func(n int) bool // 503 to the producer, not delivered
	cut      func(n int) bool // delivered, and the answer to the producer lost
	stall    func(n int) bool // no answer until the producer hangs up
	tries    int              // attempts a delivery has; 0 is one
	patience time.Duration    // for one attempt; 0 is a minute
	later    bool             // hand deliveries to goroutines, answer 202 at once
	key      string           // asked for as a bearer token
	noHooks  bool             // refuse to register

	t         *testing.T
	server    *httptest.Server
	client    *http.Client
	deliverer sync.WaitGroup

	mu        sync.Mutex
	events    int
	endpoints map[string]hookIn
	paused    map[string]bool // by URL
	held      int
	asked     []int // how many were held whenever that was asked
	deleted   int
	seen      []hookIn
}

type hookIn struct {
	URL         string   `json:"url"`
	Events      []string `json:"events"`
	Description string   `json:"description"`
	Timeout     int      `json:"timeout"`
}

func every(k int) func(int) bool { return func(n int) bool { return n%k == 0 } }

func never(int) bool { return false }

func (f *fakePosthorn) start(t *testing.T) string {
	for _, fault := range []*func(int) bool{&f.lose, &f.double, &f.refuse, &f.cut, &f.stall} {
		if *fault == nil {
			*fault = never
		}
	}
	f.t = t
	f.tries = max(f.tries, 1)
	if f.patience == 0 {
		f.patience = time.Minute
	}
	f.endpoints, f.paused = map[string]hookIn{}, map[string]bool{}
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	f.client = &http.Client{Transport: transport}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/webhooks", f.create)
	mux.HandleFunc("DELETE /api/v1/webhooks/{id}", f.remove)
	mux.HandleFunc("POST /api/v1/events", f.post)
	mux.HandleFunc("POST /api/v1/events/batch", f.batch)
	mux.HandleFunc("POST /api/v1/webhooks/{id}/pause", f.pause)
	mux.HandleFunc("GET /api/v1/stats", f.stats)
	f.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		f.server.Close()
		f.deliverer.Wait()
		transport.CloseIdleConnections()
	})
	return f.server.URL
}

// decode takes one JSON document with the given fields and nothing else.
func (f *fakePosthorn) decode(w http.ResponseWriter, req *http.Request, into any) bool {
	d := json.NewDecoder(req.Body)
	d.DisallowUnknownFields()
	if f.key != "" && req.Header.Get("Authorization") != "Bearer "+f.key {
		http.Error(w, `{"title":"Unauthorized","detail":"no such key"}`, http.StatusUnauthorized)
		return false
	}
	if req.Header.Get("Content-Type") != "application/json" {
		http.Error(w, "json, please", http.StatusUnsupportedMediaType)
		return false
	}
	if err := d.Decode(into); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return false
	}
	return true
}

func (f *fakePosthorn) create(w http.ResponseWriter, req *http.Request) {
	var in hookIn
	if !f.decode(w, req, &in) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.noHooks && len(f.seen) == 1 {
		http.Error(w, `{"title":"Bad request","detail":"must be https","field":"url"}`, http.StatusBadRequest)
		return
	}
	f.seen = append(f.seen, in)
	id := "ep_" + strconv.Itoa(len(f.seen))
	f.endpoints[id] = in
	w.WriteHeader(http.StatusCreated)
	require.NoError(f.t, json.NewEncoder(w).Encode(map[string]any{"id": id, "status": "active"}))
}

func (f *fakePosthorn) remove(w http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.endpoints[req.PathValue("id")]; !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	f.deleted++
	delete(f.endpoints, req.PathValue("id"))
	w.WriteHeader(http.StatusNoContent)
}

func (f *fakePosthorn) pause(w http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.paused[f.endpoints[req.PathValue("id")].URL] = true
	w.WriteHeader(http.StatusOK)
}

func (f *fakePosthorn) stats(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, f.held)
	require.NoError(f.t, json.NewEncoder(w).Encode(map[string]any{"deliveries": map[string]int{"held": f.held}}))
}

// holds says whether an endpoint is paused, and counts what is held for it.
func (f *fakePosthorn) holds(target string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.paused[target] {
		f.held++
	}
	return f.paused[target]
}

type eventIn struct {
	EventType string          `json:"event_type"`
	Payload   json.RawMessage `json:"payload"`
}

// batch delivers, or refuses, each event by itself. It knows no other fault.
func (f *fakePosthorn) batch(w http.ResponseWriter, req *http.Request) {
	var in struct {
		Events []eventIn `json:"events"`
	}
	if !f.decode(w, req, &in) {
		return
	}
	data := make([]map[string]any, len(in.Events))
	for i, e := range in.Events {
		n, targets := f.take(e)
		if f.refuse(n) {
			data[i] = map[string]any{"status": http.StatusServiceUnavailable, "code": "unavailable"}
			continue
		}
		f.deliverTo(targets, e, n)
		data[i] = map[string]any{"id": "evt", "deliveries_total": len(targets)}
	}
	w.WriteHeader(http.StatusAccepted)
	require.NoError(f.t, json.NewEncoder(w).Encode(map[string]any{"data": data}))
}

// take numbers an event and returns where it goes.
func (f *fakePosthorn) take(in eventIn) (n int, targets []string) {
	f.mu.Lock()
	f.events++
	n = f.events
	for _, e := range f.endpoints {
		if len(e.Events) == 1 && e.Events[0] == in.EventType {
			targets = append(targets, e.URL)
		}
	}
	f.mu.Unlock()
	return n, targets
}

func (f *fakePosthorn) deliverTo(targets []string, in eventIn, n int) {
	body, err := json.Marshal(map[string]any{"id": "evt_" + strconv.Itoa(n), "event": in.EventType, "timestamp": "now", "data": in.Payload})
	require.NoError(f.t, err)
	for _, target := range targets {
		if f.later {
			f.deliverer.Go(func() { f.deliver(target, body, n) })
		} else {
			f.deliver(target, body, n)
		}
	}
}

func (f *fakePosthorn) post(w http.ResponseWriter, req *http.Request) {
	var in eventIn
	if !f.decode(w, req, &in) {
		return
	}
	n, targets := f.take(in)
	if f.stall(n) {
		_, err := io.Copy(io.Discard, req.Body)
		require.NoError(f.t, err)
		<-req.Context().Done()
		return
	}
	if f.refuse(n) {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	f.deliverTo(targets, in, n)
	if f.cut(n) {
		conn, _, err := http.NewResponseController(w).Hijack()
		require.NoError(f.t, err)
		require.NoError(f.t, conn.Close())
		return
	}
	w.WriteHeader(http.StatusAccepted)
	require.NoError(f.t, json.NewEncoder(w).Encode(map[string]any{"id": "evt", "deliveries_total": len(targets)}))
}

func (f *fakePosthorn) deliver(target string, body []byte, n int) {
	if f.holds(target) || f.lose(n) {
		return
	}
	for range f.tries {
		if f.attempt(target, body) == http.StatusOK {
			break
		}
	}
	if f.double(n) {
		f.attempt(target, body)
	}
}

// attempt returns the answer's status, 0 when there was none within the
// endpoint's timeout.
func (f *fakePosthorn) attempt(target string, body []byte) int {
	ctx, cancel := context.WithTimeout(context.Background(), f.patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	require.NoError(f.t, err)
	res, err := f.client.Do(req)
	if err != nil {
		return 0
	}
	require.NoError(f.t, res.Body.Close())
	return res.StatusCode
}
