package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"posthorn/internal/hook"
)

func (w *world) EndpointSet(_ context.Context, tenant string) (set *hook.EndpointSet, err error) {
	err = w.call("endpoint set", func() {
		set = &hook.EndpointSet{Version: w.version}
		for _, id := range slices.Sorted(maps.Keys(w.eps)) {
			if w.eps[id].Tenant == tenant {
				set.Endpoints = append(set.Endpoints, w.eps[id])
			}
		}
	})
	return set, err
}

func (w *world) CreateEndpoint(_ context.Context, e *hook.Endpoint) error {
	return w.call("create", func() { w.eps[e.ID] = e; w.version++ })
}

func (w *world) Endpoint(_ context.Context, tenant, id string) (e *hook.Endpoint, err error) {
	if err = w.call("endpoint", func() { e = w.eps[id] }); err != nil {
		return nil, err
	}
	if e == nil || e.Tenant != tenant {
		return nil, hook.ErrNotFound
	}
	c := *e
	return &c, nil
}

// UpdateEndpoint meets a conflict each time: change is called twice.
func (w *world) UpdateEndpoint(ctx context.Context, tenant, id string, change func(*hook.Endpoint) error) (*hook.Endpoint, error) {
	for attempt := 1; ; attempt++ {
		e, err := w.Endpoint(ctx, tenant, id)
		if err != nil {
			return nil, err
		}
		if err := change(e); err != nil {
			return nil, err
		}
		if attempt == 1 {
			continue
		}
		if err := w.call("update", func() { w.eps[id] = e; w.version++ }); err != nil {
			return nil, err
		}
		return e, nil
	}
}

func (w *world) DeleteEndpoint(ctx context.Context, tenant, id string) error {
	if _, err := w.Endpoint(ctx, tenant, id); err != nil {
		return err
	}
	return w.call("delete", func() { delete(w.eps, id); w.version++ })
}

func (w *world) ListEndpoints(_ context.Context, tenant string, p hook.Page) (page []*hook.Endpoint, next string, err error) {
	err = w.call("list endpoints", func() {
		var all []*hook.Endpoint
		for _, e := range w.eps {
			if e.Tenant == tenant {
				all = append(all, e)
			}
		}
		page, next = pageOf(all, func(e *hook.Endpoint) string { return e.ID }, p)
	})
	return page, next, err
}

func (w *world) EndpointCounts(context.Context) (c hook.EndpointCounts, err error) {
	err = w.call("endpoint counts", func() { c = hook.EndpointCounts{Active: 3, Paused: 2, Disabled: 1} })
	return c, err
}

func (w *world) EndpointState(_ context.Context, _, id string) (s hook.EndpointState, err error) {
	err = w.call("state", func() { s = w.states[id] })
	return s, err
}

func (w *world) EndpointStates(_ context.Context, _ string, ids []string) (all []hook.EndpointState, err error) {
	err = w.call("states", func() {
		for _, id := range ids {
			all = append(all, w.states[id])
		}
	})
	return all, err
}

func (w *world) Seal(_ context.Context, tenant, endpointID string, plain []byte) (sealed []byte, err error) {
	err = w.call("seal", func() { sealed = fmt.Appendf(nil, "%s/%s/%s", tenant, endpointID, plain) })
	return sealed, err
}

func (w *world) Open(_ context.Context, tenant, endpointID string, sealed []byte) (plain []byte, err error) {
	err = w.call("open", func() { plain = bytes.TrimPrefix(sealed, fmt.Appendf(nil, "%s/%s/", tenant, endpointID)) })
	return plain, err
}

// sealedFor is what Seal makes of a secret.
func sealedFor(tenant, endpointID, plain string) []byte {
	return fmt.Appendf(nil, "%s/%s/%s", tenant, endpointID, plain)
}
