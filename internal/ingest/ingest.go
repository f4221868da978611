package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"posthorn/internal/hook"
)

// Store keeps events and idempotency keys, and knows the endpoints.
type Store interface {
	// EndpointSet returns the tenant's endpoints as they are now: an endpoint
	// created before the call is in it. The set is shared and not changed.
	EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error)
	// PutEvent stores the event, or several together whose ids are of one call
	// of NewIDs: all or none. After an error they may be stored or not.
	PutEvent(ctx context.Context, events ...*hook.Event) error
	// PutEventWithKey stores the event and the key, both or neither. When the
	// key is there already, of another event, it returns that one and stores
	// nothing; a key of this very event is its own write, whose first answer was
	// lost, and counts as stored. After an error both may be stored or neither.
	PutEventWithKey(ctx context.Context, event *hook.Event, key *hook.IdempotencyKey) (existing *hook.IdempotencyKey, err error)
	// MarkKeySent notes that every message of the key's event is in the queue.
	MarkKeySent(ctx context.Context, key *hook.IdempotencyKey) error
	// Event reads an event, with the first of the endpoints it matched;
	// hook.ErrNotFound when there is none.
	Event(ctx context.Context, tenant, id string) (*hook.Event, error)
}

// Jobs does what takes longer than a POST may.
type Jobs interface {
	// Start starts a job: when it returns without an error, the job will be done.
	Start(ctx context.Context, j *hook.Job) error
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
	// Accept counts a POST of one or many events, which took d, and those of
	// them that could not be taken through no fault of their producer.
	Accept(d time.Duration, failed int)
}

// DefaultRetention is how long events are kept when Options does not say.
const DefaultRetention = 30 * 24 * time.Hour

// keyLifetime is how long a repeat with the same idempotency key is recognised.
const keyLifetime = 24 * time.Hour

// Options says what an Ingester works with. Store, Queue, Jobs, Now and NewIDs
// are required.
type Options struct {
	Store    Store
	Queue    Queue
	Jobs     Jobs
	Recorder Recorder     // nil: nothing is counted
	Log      *slog.Logger // nil: nothing is logged

	Now func() time.Time
	// NewIDs makes n ids, 1 to MaxBatch, of a prefix and a ULID of that moment,
	// in ascending order and the same but for their lowest seven bits. Later
	// calls of the same moment return higher ids.
	NewIDs func(prefix string, at time.Time, n int) []string

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
	Replayed bool // the event is that of an earlier request with the same key
}

// Result is what became of one Request of a batch.
type Result struct {
	Accepted
	Err error
}

// MaxBatch is how many events a batch may hold.
const MaxBatch = 100

// Accept takes one event. Errors: *hook.InvalidError for a bad request,
// ErrTooLarge, hook.ErrKeyReused, hook.ErrQueueFull; anything else is a failure
// of a store or the queue, after which the producer tries again.
func (in *Ingester) Accept(ctx context.Context, tenant string, req Request) (Accepted, error) {
	r := in.AcceptBatch(ctx, tenant, []Request{req})[0]
	return r.Accepted, r.Err
}

// AcceptBatch takes up to MaxBatch events, each of which is accepted or not,
// whatever becomes of the others. The results are in the order of the requests.
func (in *Ingester) AcceptBatch(ctx context.Context, tenant string, reqs []Request) []Result {
	start := in.o.Now()
	batch := make([]*incoming, len(reqs))
	var good []*incoming
	for i, req := range reqs {
		payload, err := validate(req)
		batch[i] = &incoming{req: req, payload: payload, err: err}
		if err == nil {
			good = append(good, batch[i])
		}
	}
	if len(good) > 0 {
		if err := in.prepare(ctx, tenant, good, start); err != nil {
			failAll(good, err)
		} else {
			in.store(ctx, good)
			in.send(ctx, good)
			in.acknowledge(ctx, good)
		}
	}
	results := make([]Result, len(batch))
	for i, n := range batch {
		if results[i].Err = n.err; n.err != nil {
			continue
		}
		results[i].Accepted = Accepted{Event: n.event, Replayed: n.replayed}
		in.o.Log.LogAttrs(ctx, slog.LevelInfo, "event accepted",
			slog.String("event_id", n.event.ID), slog.String("event_type", n.event.Type), slog.String("tenant", tenant),
			slog.Int("matched", n.event.Targets), slog.Int("bytes", len(n.payload)), slog.Bool("replayed", n.replayed),
			slog.Float64("duration_ms", float64(in.o.Now().Sub(start).Microseconds())/1000))
	}
	if in.o.Recorder != nil {
		in.o.Recorder.Accept(in.o.Now().Sub(start), failures(results))
	}
	return results
}

// failures counts the events that could not be taken through no fault of their
// producer: a store or the queue failed.
func failures(results []Result) (n int) {
	for _, r := range results {
		var invalid *hook.InvalidError
		switch {
		case r.Err == nil, errors.As(r.Err, &invalid), errors.Is(r.Err, ErrTooLarge), errors.Is(r.Err, hook.ErrKeyReused), errors.Is(r.Err, hook.ErrQueueFull):
		default:
			n++
		}
	}
	return n
}

// incoming is an event on its way in.
type incoming struct {
	req      Request
	payload  []byte // compacted
	event    *hook.Event
	key      *hook.IdempotencyKey // nil: none
	replayed bool
	sent     bool        // every message is known to be in the queue
	group    []*incoming // those that it is stored together with, itself among them
	first    *incoming   // the one of this batch whose repeat it is, and that sends for both; nil: none
	err      error
}

func failAll(all []*incoming, err error) {
	for _, n := range all {
		n.err = err
	}
}

// prepare makes events of what was handed in.
func (in *Ingester) prepare(ctx context.Context, tenant string, batch []*incoming, now time.Time) error {
	if in.o.MaxQueueSize > 0 && in.backlog.ready(ctx) >= in.o.MaxQueueSize {
		return fmt.Errorf("accept event: %w", hook.ErrQueueFull)
	}
	set, err := in.o.Store.EndpointSet(ctx, tenant)
	if err != nil {
		return fmt.Errorf("read endpoints: %w", err)
	}
	for _, group := range in.groups(tenant, set, batch) {
		ids := in.o.NewIDs(hook.EventPrefix, now, len(group))
		for i, n := range group {
			n.event = in.newEvent(tenant, ids[i], n.req.EventType, n.payload, in.matches.match(tenant, set, n.req.EventType))
			n.event.Trace = traceparent(n.req.Trace)
			if n.req.ProducerID != "" {
				n.key = in.newKey(n.event, n.req.ProducerID, bodyHash(n.req.EventType, n.payload))
			}
		}
	}
	return nil
}

// maxTogether is how many bytes the events make up that are stored together: a
// later write of one of them, such as that its delivery is held, pays for all.
const maxTogether = 32 << 10

// groups takes a batch apart, in its order, into those events that are stored
// together. An event with an idempotency key is stored with that, alone.
func (in *Ingester) groups(tenant string, set *hook.EndpointSet, batch []*incoming) [][]*incoming {
	var groups [][]*incoming
	room := 0
	for _, n := range batch {
		const ulid = 26 // what an endpoint that it matched takes
		bytes := len(n.payload) + ulid*min(len(in.matches.match(tenant, set, n.req.EventType)), hook.MaxInlineTargets)
		if bytes > room || n.req.ProducerID != "" {
			groups, room = append(groups, nil), maxTogether
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], n)
		if room -= bytes; n.req.ProducerID != "" {
			room = 0
		}
	}
	for _, g := range groups {
		for _, n := range g {
			n.group = g
		}
	}
	return groups
}

func (in *Ingester) newEvent(tenant, id, eventType string, payload []byte, endpointIDs []string) *hook.Event {
	at := hook.IDTime(id)
	return &hook.Event{
		ID: id, Tenant: tenant, Type: eventType, CreatedAt: at, Body: hook.NewBody(id, eventType, at, payload),
		EndpointIDs: endpointIDs, Targets: len(endpointIDs), ExpiresAt: at.Add(in.o.Retention),
	}
}

func (in *Ingester) newKey(e *hook.Event, key string, hash [32]byte) *hook.IdempotencyKey {
	return &hook.IdempotencyKey{
		Tenant: e.Tenant, Key: key, BodyHash: hash, EventID: e.ID,
		Sent:      e.Targets == 0, // nothing to send: spares the mark
		ExpiresAt: e.CreatedAt.Add(min(keyLifetime, in.o.Retention)),
	}
}

// store stores the events of a batch, those of one idempotency key one after
// the other.
func (in *Ingester) store(ctx context.Context, batch []*incoming) {
	byKey := make(map[string][]*incoming)
	var wg sync.WaitGroup
	for _, n := range batch {
		switch {
		case n.key != nil:
			byKey[n.key.Key] = append(byKey[n.key.Key], n)
		case n == n.group[0]:
			wg.Go(func() {
				if err := recovered(func() error { return in.storeGroup(ctx, n.group) }); err != nil {
					failAll(n.group, err)
				}
			})
		}
	}
	for _, same := range byKey {
		wg.Go(func() {
			for _, n := range same {
				n.err = recovered(func() error { return in.storeOne(ctx, n) })
			}
		})
	}
	wg.Wait()
}

// storeGroup stores events without a key together.
func (in *Ingester) storeGroup(ctx context.Context, group []*incoming) error {
	events := make([]*hook.Event, len(group))
	for i, n := range group {
		events[i] = n.event
	}
	if err := in.o.Store.PutEvent(ctx, events...); err != nil {
		return fmt.Errorf("store event: %w", err)
	}
	return nil
}

// storeOne stores an event with its key.
func (in *Ingester) storeOne(ctx context.Context, n *incoming) error {
	existing, err := in.o.Store.PutEventWithKey(ctx, n.event, n.key)
	switch {
	case err != nil:
		return fmt.Errorf("store event with its key: %w", err)
	case existing == nil:
		in.count(n.event.Type) // here, and at no repeat: an event is counted once
		n.sent = n.key.Sent
	case existing.BodyHash != n.key.BodyHash:
		return fmt.Errorf("accept event: %w", hook.ErrKeyReused)
	default:
		event, err := in.o.Store.Event(ctx, n.event.Tenant, existing.EventID)
		if err != nil {
			// Not wrapped: an event that its key has outlived is a fault of
			// ours, not the producer's hook.ErrNotFound.
			return fmt.Errorf("read the event of an idempotency key: %v", err)
		}
		n.event, n.key, n.replayed, n.sent = event, existing, true, existing.Sent
	}
	return nil
}

// send puts a message for every delivery of the batch in the queue: as many as
// one POST sends itself, and a job that sends the others, for each event that
// has any.
func (in *Ingester) send(ctx context.Context, batch []*incoming) {
	room := hook.MaxInlineTargets
	var out []hook.Outgoing
	var of []*incoming // whose message it is
	rest := make([]int, len(batch))
	findRepeats(batch)
	for i, n := range batch {
		if n.err != nil || n.sent || n.first != nil {
			continue
		}
		own := n.event.EndpointIDs[:min(len(n.event.EndpointIDs), room)]
		room -= len(own)
		rest[i] = len(own)
		body := hook.InlineBody(n.event.Body)
		messages := make([]hook.Message, len(own))
		for k, endpoint := range own {
			messages[k] = hook.Message{
				Ref: n.event.Ref(endpoint), EventType: n.event.Type, CreatedAt: n.event.CreatedAt, Body: body, Trace: n.event.Trace,
			}
			out, of = append(out, hook.Outgoing{Message: &messages[k]}), append(of, n)
		}
	}
	if len(out) > 0 {
		in.sendAll(ctx, out, of)
	}
	for i, n := range batch {
		if n.err != nil || n.sent || n.first != nil || rest[i] == n.event.Targets {
			continue
		}
		err := in.o.Jobs.Start(ctx, &hook.Job{
			Tenant: n.event.Tenant, Kind: hook.JobFanOut, EventID: n.event.ID,
			Cursor: strconv.Itoa(rest[i]), Total: n.event.Targets - rest[i],
		})
		if err != nil {
			n.err = fmt.Errorf("send deliveries: %w", err)
		}
	}
	for _, n := range batch {
		if n.first != nil {
			n.err, n.sent = n.first.err, true
		}
	}
}

// findRepeats finds the events of a batch that are the same event: one of them
// is sent, for all.
func findRepeats(batch []*incoming) {
	if len(batch) == 1 {
		return
	}
	firsts := make(map[string]*incoming, len(batch))
	for _, n := range batch {
		if n.err != nil || n.key == nil {
			continue
		}
		if first := firsts[n.event.ID]; first != nil {
			n.first = first
			continue
		}
		firsts[n.event.ID] = n
	}
}

// sendAll sends messages, and fails the events of which one is not sent.
func (in *Ingester) sendAll(ctx context.Context, out []hook.Outgoing, of []*incoming) {
	sent := in.o.Queue.Send(ctx, out)
	if len(sent) != len(out) {
		failAll(of, fmt.Errorf("send deliveries: %d answers to %d messages", len(sent), len(out)))
		return
	}
	for i, s := range sent {
		if s.Err != nil && of[i].err == nil {
			of[i].err = fmt.Errorf("send deliveries: %w", s.Err)
		}
	}
}

// acknowledge counts what was accepted, and marks the keys whose messages are
// all sent.
func (in *Ingester) acknowledge(ctx context.Context, batch []*incoming) {
	var wg sync.WaitGroup
	for _, n := range batch {
		switch {
		case n.err != nil:
		case n.key == nil:
			in.count(n.event.Type)
		case !n.sent:
			wg.Go(func() {
				if err := recovered(func() error { return in.o.Store.MarkKeySent(ctx, n.key) }); err != nil {
					// Everything is sent. A repeat sends it once more, which is harmless.
					in.o.Log.LogAttrs(ctx, slog.LevelWarn, "idempotency key not marked as sent",
						slog.String("event_id", n.key.EventID), slog.String("error", err.Error()))
				}
			})
		}
	}
	wg.Wait()
}

func (in *Ingester) count(eventType string) {
	if in.o.Recorder != nil {
		in.o.Recorder.EventAccepted(eventType)
	}
}
