package httpapi

import (
	"context"
	"fmt"

	"posthorn/internal/hook"
)

func (w *world) CreateAPIKey(_ context.Context, k *hook.APIKey) error {
	return w.call("create key", func() { w.apiKeys[k.ID] = k })
}

// APIKey is counted apart from the calls: most tests are about what follows.
func (w *world) APIKey(_ context.Context, id string) (*hook.APIKey, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lookups++
	if w.faults["key"] != 0 {
		delete(w.faults, "key")
		return nil, errFault
	}
	k := w.apiKeys[id]
	if k == nil {
		return nil, fmt.Errorf("API key %s: %w", id, hook.ErrNotFound)
	}
	return k, nil
}

func (w *world) ListAPIKeys(_ context.Context, tenant string, p hook.Page) (page []*hook.APIKey, next string, err error) {
	err = w.call("list keys", func() {
		var all []*hook.APIKey
		for _, k := range w.apiKeys {
			if tenant == "" || k.Tenant == tenant {
				all = append(all, k)
			}
		}
		page, next = pageOf(all, func(k *hook.APIKey) string { return k.ID }, p)
	})
	return page, next, err
}

func (w *world) DeleteAPIKey(_ context.Context, tenant, id string) (err error) {
	found := false
	err = w.call("delete key", func() {
		if k := w.apiKeys[id]; k != nil && (tenant == "" || k.Tenant == tenant) {
			found = true
			delete(w.apiKeys, id)
		}
	})
	if err == nil && !found {
		return fmt.Errorf("API key %s: %w", id, hook.ErrNotFound)
	}
	return err
}
