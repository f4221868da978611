package httpapi

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"posthorn/internal/hook"
	"posthorn/internal/id"
	"posthorn/internal/ingest"
)

// sink takes everything and keeps nothing: what is measured is this side of it.
type sink struct {
	Keys
	set *hook.EndpointSet
	key *hook.APIKey
}

func (s *sink) APIKey(context.Context, string) (*hook.APIKey, error) { return s.key, nil }

func (s *sink) EndpointSet(context.Context, string) (*hook.EndpointSet, error) { return s.set, nil }
func (s *sink) PutEvent(context.Context, ...*hook.Event) error                 { return nil }
func (s *sink) PutEventWithKey(context.Context, *hook.Event, *hook.IdempotencyKey) (*hook.IdempotencyKey, error) {
	return nil, nil
}
func (s *sink) MarkKeySent(context.Context, *hook.IdempotencyKey) error { return nil }
func (s *sink) Event(context.Context, string, string) (*hook.Event, error) {
	return nil, hook.ErrNotFound
}

func (s *sink) Send(_ context.Context, out []hook.Outgoing) []hook.Sent {
	return make([]hook.Sent, len(out))
}
func (s *sink) Depths(context.Context) (hook.QueueDepths, error) { return hook.QueueDepths{}, nil }

// discard is an answer that nobody reads.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkAccept posts events through the whole handler, to one endpoint, with
// a payload of 300 bytes and a log line each.
func BenchmarkAccept(b *testing.B) {
	for _, endpoints := range []int{1, 10, 100} {
		b.Run(fmt.Sprint("endpoints=", endpoints), func(b *testing.B) {
			ids := id.NewSource()
			s := &sink{set: &hook.EndpointSet{}, key: &hook.APIKey{ID: ids.New("", time.Now()), Tenant: DefaultTenant, Role: hook.RoleProducer}}
			text, err := s.key.NewSecret(rand.Reader)
			if err != nil {
				b.Fatal(err)
			}
			for range endpoints {
				s.set.Endpoints = append(s.set.Endpoints, &hook.Endpoint{ID: ids.New(hook.EndpointPrefix, time.Now()), Filters: []string{"order.*"}})
			}
			api := New(Options{
				Ingest: ingest.New(ingest.Options{
					Store: s, Queue: s, Now: time.Now, NewIDs: ids.NewBatch, MaxQueueSize: 100_000,
					Log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
				}),
				Now: time.Now, NewID: ids.New, Keys: s,
			})
			body := `{"event_type":"order.created","payload":{"order":"` + strings.Repeat("x", 120) + `","amount":12.50,"lines":[{"sku":"` +
				strings.Repeat("y", 60) + `","count":1},{"sku":"z","count":2}],"customer":{"name":"Ada","mail":"ada@example.com"}}}`
			r, err := http.NewRequestWithContext(b.Context(), "POST", "/api/v1/events", nil)
			if err != nil {
				b.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer "+text)
			r.ContentLength = int64(len(body))
			w := &discard{header: http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				r.Body = io.NopCloser(strings.NewReader(body))
				clear(w.header)
				api.ServeHTTP(w, r)
			}
			if w.header.Get("Content-Type") != "application/json" {
				b.Fatal("not accepted")
			}
		})
	}
}
