package ingest

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"

	"posthorn/internal/hook"
)

// Test sends an event of Posthorn's own type for trying out to one endpoint,
// whatever its filters are.
func (in *Ingester) Test(ctx context.Context, e *hook.Endpoint) (Accepted, error) {
	now := in.o.Now()
	id := in.o.NewIDs(hook.EventPrefix, now, 1)[0]
	n := &incoming{event: in.newEvent(e.Tenant, id, hook.TypeTest, []byte(`{"message":"This is a test of your endpoint."}`), []string{e.ID})}
	return in.own(ctx, n)
}

// ownKeyPrefix begins the idempotency keys of Posthorn's own events. No
// producer's begins with it: those are printable.
const ownKeyPrefix = "\x00"

// Notify sends a notice to the endpoints that subscribe to its type by name,
// but for the one it is about. The same notice again is the same event.
func (in *Ingester) Notify(ctx context.Context, notice hook.Notice) error {
	set, err := in.o.Store.EndpointSet(ctx, notice.Tenant)
	if err != nil {
		return fmt.Errorf("notify: read endpoints: %w", err)
	}
	targets := slices.Clone(in.matches.match(notice.Tenant, set, notice.Type))
	targets = slices.DeleteFunc(targets, func(id string) bool { return id == notice.EndpointID })
	if len(targets) == 0 {
		return nil
	}
	payload, err := json.Marshal(notice.Fields)
	if err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	id := in.o.NewIDs(hook.EventPrefix, in.o.Now(), 1)[0]
	n := &incoming{event: in.newEvent(notice.Tenant, id, notice.Type, payload, targets)}
	// The time of the notice is no part of what it says: a repeat is the same.
	n.key = in.newKey(n.event, ownKeyPrefix+notice.Type+" "+notice.Key, bodyHash(notice.Type, []byte(notice.Key)))
	if _, err = in.own(ctx, n); err != nil {
		return fmt.Errorf("notify: %w", err)
	}
	return nil
}

// own accepts one of Posthorn's own events.
func (in *Ingester) own(ctx context.Context, n *incoming) (Accepted, error) {
	batch := []*incoming{n}
	n.group = batch
	in.store(ctx, batch)
	in.send(ctx, batch)
	in.acknowledge(ctx, batch)
	if n.err != nil {
		return Accepted{}, n.err
	}
	in.o.Log.LogAttrs(ctx, slog.LevelInfo, "own event", slog.String("event_id", n.event.ID), slog.String("event_type", n.event.Type),
		slog.String("tenant", n.event.Tenant), slog.Int("matched", n.event.Targets), slog.Bool("replayed", n.replayed))
	return Accepted{Event: n.event, Replayed: n.replayed}, nil
}
