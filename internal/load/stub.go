package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Stub is the cheapest server that generator and receiver take for a Posthorn:
// it keeps events in memory and posts them at once, unsigned, with no retry. A
// run against it shows the highest rate that this machine can be measured at.
type Stub struct {
	// URL is what to give Options.
	URL string

	server    *http.Server
	served    chan error
	queue     chan stubDelivery
	senders   sync.WaitGroup
	transport *http.Transport

	mu        sync.Mutex
	last      int
	endpoints map[string]stubEndpoint // by id
}

type stubEndpoint struct{ url, eventType string }

type stubDelivery struct {
	url  string
	body []byte
}

// StartStub listens on a free port of the loopback interface. Close it.
func StartStub(ctx context.Context, senders int) (*Stub, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the stub server: %w", err)
	}
	s := &Stub{
		URL: "http://" + listener.Addr().String(), served: make(chan error, 1),
		queue: make(chan stubDelivery, 1024), endpoints: map[string]stubEndpoint{},
		transport: &http.Transport{MaxIdleConns: senders, MaxIdleConnsPerHost: senders, DisableCompression: true},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/webhooks", s.register)
	mux.HandleFunc("DELETE /api/v1/webhooks/{id}", s.remove)
	mux.HandleFunc("POST /api/v1/events", s.event)
	mux.HandleFunc("POST /api/v1/events/batch", s.batch)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go func() { s.served <- s.server.Serve(listener) }()
	for range senders {
		s.senders.Go(s.send)
	}
	return s, nil
}

// Close ends the stub. No run may be under way.
func (s *Stub) Close(ctx context.Context) error {
	err := s.server.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.server.Close())
	}
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	close(s.queue)
	s.senders.Wait()
	s.transport.CloseIdleConnections()
	return err
}

func (s *Stub) register(w http.ResponseWriter, req *http.Request) {
	var in struct {
		URL    string   `json:"url"`
		Events []string `json:"events"`
	}
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil || len(in.Events) != 1 {
		http.Error(w, "one event type, please", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.last++
	id := "ep_" + strconv.Itoa(s.last)
	s.endpoints[id] = stubEndpoint{url: in.URL, eventType: in.Events[0]}
	s.mu.Unlock()
	w.WriteHeader(http.StatusCreated)
	if _, err := io.WriteString(w, `{"id":"`+id+`"}`); err != nil {
		return // the client is gone
	}
}

func (s *Stub) remove(w http.ResponseWriter, req *http.Request) {
	s.mu.Lock()
	delete(s.endpoints, req.PathValue("id"))
	s.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

// event takes {"event_type":"…","payload":{…}} in just this shape.
func (s *Stub) event(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	rest, ok := bytes.CutPrefix(body, []byte(`{"event_type":"`))
	eventType, rest, ok2 := bytes.Cut(rest, []byte(`","payload":`))
	if err != nil || !ok || !ok2 {
		http.Error(w, "not an event of a load test", http.StatusBadRequest)
		return
	}
	s.pass(string(eventType), rest)
	w.WriteHeader(http.StatusAccepted)
	if _, err := io.WriteString(w, `{"id":"evt_1","deliveries":[]}`); err != nil {
		return // the client is gone
	}
}

// batch takes {"events":[…]}.
func (s *Stub) batch(w http.ResponseWriter, req *http.Request) {
	var in struct {
		Events []struct {
			EventType string          `json:"event_type"`
			Payload   json.RawMessage `json:"payload"`
		} `json:"events"`
	}
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil {
		http.Error(w, "not a batch of a load test", http.StatusBadRequest)
		return
	}
	for _, e := range in.Events {
		s.pass(e.EventType, append(e.Payload, '}'))
	}
	answers := strings.TrimSuffix(strings.Repeat(`{"id":"evt_1","deliveries_total":1},`, len(in.Events)), ",")
	w.WriteHeader(http.StatusAccepted)
	if _, err := io.WriteString(w, `{"data":[`+answers+`]}`); err != nil {
		return // the client is gone
	}
}

// pass queues an event for the endpoints of its type. Of its body it gets the
// payload and the brace after it.
func (s *Stub) pass(eventType string, rest []byte) {
	out := append([]byte(`{"id":"evt_1","event":"x","timestamp":"","data":`), rest...)
	s.mu.Lock()
	var targets []string
	for _, e := range s.endpoints {
		if e.eventType == eventType {
			targets = append(targets, e.url)
		}
	}
	s.mu.Unlock()
	for _, target := range targets {
		s.queue <- stubDelivery{url: target, body: out}
	}
}

func (s *Stub) send() {
	for d := range s.queue {
		req, err := http.NewRequest(http.MethodPost, d.url, bytes.NewReader(d.body))
		if err != nil {
			continue // counted as lost by the run
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := s.transport.RoundTrip(req)
		if err != nil {
			continue
		}
		if err := res.Body.Close(); err != nil {
			continue
		}
	}
}
