package httpapi

import (
	"context"

	"posthorn/internal/hook"
)

func (w *world) PutEvent(_ context.Context, events ...*hook.Event) error {
	return w.call("put", func() {
		for _, e := range events {
			w.events[e.ID] = e
		}
	})
}

func (w *world) PutEventWithKey(_ context.Context, e *hook.Event, k *hook.IdempotencyKey) (existing *hook.IdempotencyKey, err error) {
	err = w.call("put", func() {
		if old, ok := w.keys[k.Tenant+"/"+k.Key]; ok {
			existing = &old
			return
		}
		w.events[e.ID] = e
		w.keys[k.Tenant+"/"+k.Key] = *k
	})
	if err != nil {
		return nil, err
	}
	return existing, nil
}

func (w *world) MarkKeySent(_ context.Context, k *hook.IdempotencyKey) error {
	return w.call("mark", func() {
		old := w.keys[k.Tenant+"/"+k.Key]
		old.Sent = true
		w.keys[k.Tenant+"/"+k.Key] = old
	})
}

func (w *world) Event(_ context.Context, tenant, id string) (e *hook.Event, err error) {
	w.mu.Lock()
	w.reading++
	w.mostReading = max(w.mostReading, w.reading)
	w.mu.Unlock()
	err = w.call("event", func() { e = w.events[id] })
	w.mu.Lock()
	w.reading--
	w.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if e == nil || e.Tenant != tenant {
		return nil, hook.ErrNotFound
	}
	return e, nil
}

func (w *world) ListEvents(_ context.Context, f hook.EventFilter, p hook.Page) (page []*hook.Event, next string, err error) {
	err = w.call("list events", func() {
		var all []*hook.Event
		for _, e := range w.events {
			if e.Tenant == f.Tenant && (f.Type == "" || f.Type == e.Type) && inSpan(e.CreatedAt, f.Since, f.Until) {
				all = append(all, e)
			}
		}
		page, next = pageOf(all, func(e *hook.Event) string { return e.ID }, p)
	})
	return page, next, err
}

func (w *world) Recipients(_ context.Context, e *hook.Event) ([]string, error) {
	return e.EndpointIDs, w.call("targets", func() {})
}

func (w *world) Send(_ context.Context, out []hook.Outgoing) []hook.Sent {
	sent := make([]hook.Sent, len(out))
	for i, o := range out {
		sent[i].Err = w.call("send", func() { w.sent = append(w.sent, o.Message) })
	}
	return sent
}

func (w *world) Depths(context.Context) (d hook.QueueDepths, err error) {
	err = w.call("depths", func() { d = w.depths })
	return d, err
}
