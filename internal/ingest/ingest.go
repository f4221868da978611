package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"posthorn/internal/hook"
)

// Store keeps events and idempotency keys, and knows the endpoints.
type Store interface {
	// EndpointSet returns the tenant's endpoints as they are now: an endpoint
	// created before the call is in it. The set is shared and not changed.
	EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error)
	// PutEvent stores the event. After an error it may be stored or not.
	PutEvent(ctx context.Context, event *hook.Event) error
	// PutEventWithKey stores the event and the key, both or neither. When the
	// key is there already, of another event, it returns that one and stores
	// nothing; a key of this very event is its own write, whose first answer was
	// lost, and counts as stored. After an error both may be stored or neither.
	PutEventWithKey(ctx context.Context, event *hook.Event, key *hook.IdempotencyKey) (existing *hook.IdempotencyKey, err error)
	// MarkKeySent notes that every message of the key's event is in the queue.
	MarkKeySent(ctx context.Context, key *hook.IdempotencyKey) error
	// Event reads an event; hook.ErrNotFound when there is none.
	Event(ctx context.Context, tenant, id string) (*hook.Event, error)
}

// Queue carries messages to the deliverers.
type Queue interface {
	// Send puts the messages in the queue and says of each whether it is there.
	// It tries again by itself what can pass when tried again. A message with
	// an error may be in the queue all the same: the answer was lost.
	Send(ctx context.Context, messages []hook.Outgoing) []hook.Sent
	// Depths counts what is in the queue, approximately.
	Depths(ctx context.Context) (hook.QueueDepths, error)
}

// Recorder counts what is accepted, for the metrics. An event is counted once
// at most: one whose first post failed may not be.
type Recorder interface {
	EventAccepted(eventType string)
}

// DefaultRetention is how long events are kept when Options does not say.
const DefaultRetention = 30 * 24 * time.Hour

// keyLifetime is how long a repeat with the same idempotency key is recognised.
const keyLifetime = 24 * time.Hour

// Options says what an Ingester works with. Store, Queue, Now and NewID are
// required.
type Options struct {
	Store    Store
	Queue    Queue
	Recorder Recorder     // nil: nothing is counted
	Log      *slog.Logger // nil: nothing is logged

	Now   func() time.Time
	NewID func(prefix string, at time.Time) string // prefix and a ULID of that moment

	Retention    time.Duration // of events; 0: DefaultRetention
	MaxQueueSize int           // ready messages above which nothing is accepted; 0: no limit
}

// Ingester accepts events. It may be used by several goroutines at once.
type Ingester struct {
	o       Options
	matches matchCache
	backlog backlog
}

// New returns an Ingester. It does no I/O.
func New(o Options) *Ingester {
	if o.Retention <= 0 {
		o.Retention = DefaultRetention
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Ingester{o: o, backlog: backlog{queue: o.Queue, now: o.Now, log: o.Log}}
}

// Request is an event as a producer hands it in.
type Request struct {
	EventType  string
	Payload    []byte // raw JSON: an object; not changed and not kept
	ProducerID string // the idempotency key; empty: none
	Trace      string // a W3C traceparent, carried to the endpoints; anything else is dropped
}

// Accepted is the answer to a Request.
type Accepted struct {
	Event    *hook.Event
	Matched  []string // ids of the endpoints it goes to, oldest first; shared, not to be changed
	Replayed bool     // the event is that of an earlier request with the same key
}

// Accept takes one event. Errors: *hook.InvalidError for a bad request,
// ErrTooLarge, hook.ErrKeyReused, hook.ErrQueueFull; anything else is a failure
// of a store or the queue, after which the producer tries again.
func (in *Ingester) Accept(ctx context.Context, tenant string, req Request) (Accepted, error) {
	start := in.o.Now()
	payload, err := validate(req)
	if err != nil {
		return Accepted{}, err
	}
	if in.o.MaxQueueSize > 0 && in.backlog.ready(ctx) >= in.o.MaxQueueSize {
		return Accepted{}, fmt.Errorf("accept event: %w", hook.ErrQueueFull)
	}
	set, err := in.o.Store.EndpointSet(ctx, tenant)
	if err != nil {
		return Accepted{}, fmt.Errorf("read endpoints: %w", err)
	}

	id := in.o.NewID(hook.EventPrefix, start)
	at := hook.IDTime(id)
	event := &hook.Event{
		ID: id, Tenant: tenant, Type: req.EventType, CreatedAt: at,
		Body:        hook.NewBody(id, req.EventType, at, payload),
		EndpointIDs: in.matches.match(tenant, set, req.EventType),
		ExpiresAt:   at.Add(in.o.Retention),
	}

	accepted := Accepted{Event: event, Matched: event.EndpointIDs}
	if req.ProducerID == "" {
		accepted, err = in.acceptNew(ctx, accepted, traceparent(req.Trace))
	} else {
		accepted, err = in.acceptOnce(ctx, accepted, req, payload)
	}
	if err != nil {
		return Accepted{}, err
	}
	in.o.Log.LogAttrs(ctx, slog.LevelInfo, "event accepted",
		slog.String("event_id", accepted.Event.ID), slog.String("event_type", req.EventType), slog.String("tenant", tenant),
		slog.Int("matched", len(accepted.Matched)), slog.Int("bytes", len(payload)), slog.Bool("replayed", accepted.Replayed),
		slog.Float64("duration_ms", float64(in.o.Now().Sub(start).Microseconds())/1000))
	return accepted, nil
}

func (in *Ingester) acceptNew(ctx context.Context, a Accepted, trace string) (Accepted, error) {
	if err := in.o.Store.PutEvent(ctx, a.Event); err != nil {
		return Accepted{}, fmt.Errorf("store event: %w", err)
	}
	if err := in.send(ctx, a.Event, trace); err != nil {
		return Accepted{}, err
	}
	in.count(a.Event.Type)
	return a, nil
}

// acceptOnce accepts an event that carries an idempotency key.
func (in *Ingester) acceptOnce(ctx context.Context, a Accepted, req Request, payload []byte) (Accepted, error) {
	key := &hook.IdempotencyKey{
		Tenant: a.Event.Tenant, Key: req.ProducerID, BodyHash: bodyHash(req.EventType, payload), EventID: a.Event.ID,
		Sent:      len(a.Event.EndpointIDs) == 0, // nothing to send: spares the mark
		ExpiresAt: a.Event.CreatedAt.Add(min(keyLifetime, in.o.Retention)),
	}
	existing, err := in.o.Store.PutEventWithKey(ctx, a.Event, key)
	if err != nil {
		return Accepted{}, fmt.Errorf("store event with its key: %w", err)
	}
	if existing == nil {
		in.count(a.Event.Type) // here, and at no repeat: an event is counted once
	} else {
		if existing.BodyHash != key.BodyHash {
			return Accepted{}, fmt.Errorf("accept event: %w", hook.ErrKeyReused)
		}
		event, err := in.o.Store.Event(ctx, a.Event.Tenant, existing.EventID)
		if err != nil {
			// Not wrapped: an event that its key has outlived is a fault of
			// ours, not the producer's hook.ErrNotFound.
			return Accepted{}, fmt.Errorf("read the event of an idempotency key: %v", err)
		}
		a = Accepted{Event: event, Matched: event.EndpointIDs, Replayed: true}
		key = existing
	}
	if key.Sent {
		return a, nil
	}
	if err := in.send(ctx, a.Event, traceparent(req.Trace)); err != nil {
		return Accepted{}, err
	}
	if err := in.o.Store.MarkKeySent(ctx, key); err != nil {
		// Everything is sent. A repeat sends it once more, which is harmless.
		in.o.Log.LogAttrs(ctx, slog.LevelWarn, "idempotency key not marked as sent",
			slog.String("event_id", a.Event.ID), slog.String("error", err.Error()))
	}
	return a, nil
}

// send puts a message for every delivery of the event in the queue.
func (in *Ingester) send(ctx context.Context, event *hook.Event, trace string) error {
	if len(event.EndpointIDs) == 0 {
		return nil
	}
	body := hook.InlineBody(event.Body)
	messages := make([]hook.Message, len(event.EndpointIDs))
	out := make([]hook.Outgoing, len(event.EndpointIDs))
	for i, endpoint := range event.EndpointIDs {
		messages[i] = hook.Message{
			Ref: event.Ref(endpoint), EventType: event.Type, CreatedAt: event.CreatedAt, Body: body, Trace: trace,
		}
		out[i].Message = &messages[i]
	}
	sent := in.o.Queue.Send(ctx, out)
	if len(sent) != len(out) {
		return fmt.Errorf("send deliveries: %d answers to %d messages", len(sent), len(out))
	}
	failed := 0
	var first error
	for _, s := range sent {
		if s.Err != nil {
			failed++
			if first == nil {
				first = s.Err
			}
		}
	}
	if failed > 0 {
		return fmt.Errorf("send deliveries: %d of %d not sent: %w", failed, len(out), first)
	}
	return nil
}

func (in *Ingester) count(eventType string) {
	if in.o.Recorder != nil {
		in.o.Recorder.EventAccepted(eventType)
	}
}
