package httpapi

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"posthorn/internal/hook"
)

// Keys keeps the API keys of all tenants.
type Keys interface {
	CreateAPIKey(ctx context.Context, k *hook.APIKey) error
	// APIKey returns the key as it is at the time of the call; hook.ErrNotFound
	// when there is none.
	APIKey(ctx context.Context, id string) (*hook.APIKey, error)
	// ListAPIKeys lists a tenant's keys, newest first; those of all tenants for
	// an empty one.
	ListAPIKeys(ctx context.Context, tenant string, p hook.Page) (keys []*hook.APIKey, next string, err error)
	// DeleteAPIKey returns hook.ErrNotFound when there is none, or it is another
	// tenant's. An empty tenant means any.
	DeleteAPIKey(ctx context.Context, tenant, id string) error
}

// keyAnswer is a key as callers see it. Its text is in the answer to its
// creation and in no other.
type keyAnswer struct {
	ID          string    `json:"id"`
	Key         string    `json:"key,omitempty"`
	Role        hook.Role `json:"role"`
	Tenant      string    `json:"tenant"`
	Description string    `json:"description"`
	CreatedAt   moment    `json:"created_at"`
}

func answerKey(k *hook.APIKey) keyAnswer {
	return keyAnswer{ID: k.ID, Role: k.Role, Tenant: k.Tenant, Description: k.Description, CreatedAt: moment(k.CreatedAt)}
}

func (a *API) createKey(w http.ResponseWriter, r *http.Request) error {
	id := a.o.NewID("", a.o.Now())
	k := &hook.APIKey{ID: id, Tenant: tenantOf(r), CreatedAt: hook.IDTime(id)}
	err := readObject(w, r, func(name, value []byte) (err error) {
		switch string(name) {
		case "role":
			k.Role, err = roleValue(value)
		case "tenant":
			if !isNull(value) {
				k.Tenant, err = tenantValue(value)
			}
		case "description":
			k.Description, err = descriptionValue(value)
		default:
			err = unknownField(name, value)
		}
		return err
	})
	if err != nil {
		return err
	}
	if k.Role == "" {
		return missing("role")
	}
	if err := mayManage(r, k.Tenant); err != nil {
		return err
	}
	if k.Role == hook.RoleMetrics && k.Tenant != DefaultTenant {
		return &hook.InvalidError{Field: "role", Code: "invalid_role", Reason: "metrics is for keys of the tenant " + DefaultTenant + " alone: what it reads counts all tenants"}
	}
	text, err := k.NewSecret(a.o.Rand)
	if err != nil {
		return err
	}
	if err := a.o.Keys.CreateAPIKey(r.Context(), k); err != nil {
		return err
	}
	a.logKey(r, "API key created", k.ID, slog.String("key_role", string(k.Role)), slog.String("key_tenant", k.Tenant))
	shown := answerKey(k)
	shown.Key = text
	return a.answer(w, r, http.StatusCreated, shown)
}

func roleValue(value []byte) (hook.Role, error) {
	s, err := stringValue("role", value)
	if err != nil {
		return "", err
	}
	role := hook.Role(s)
	if !role.Valid() {
		names := make([]string, 0, 4)
		for _, r := range hook.Roles() {
			names = append(names, string(r))
		}
		return "", &hook.InvalidError{Field: "role", Code: "invalid_role", Reason: "must be one of " + strings.Join(names, ", ")}
	}
	return role, nil
}

func tenantValue(value []byte) (string, error) {
	tenant, err := stringValue("tenant", value)
	if err != nil {
		return "", err
	}
	return tenant, checkTenant(tenant)
}

func checkTenant(tenant string) error {
	if !hook.ValidTenant(tenant) {
		return &hook.InvalidError{Field: "tenant", Code: "invalid_tenant", Reason: `must be 1 to 64 of a-z, 0-9, "_" and "-"`}
	}
	return nil
}

// mayManage refuses an admin of a tenant the keys of another one, whether or not
// there is such a tenant. Those of DefaultTenant manage the keys of all.
func mayManage(r *http.Request, tenant string) error {
	if own := tenantOf(r); own != DefaultTenant && tenant != own {
		return &problem{kind: kindForbidden, field: "tenant", detail: fmt.Sprintf("tenant: keys of other tenants are for admins of the tenant %s.", DefaultTenant)}
	}
	return nil
}

// managed is the tenant whose keys the caller manages, empty for those of all.
func managed(r *http.Request) string {
	if own := tenantOf(r); own != DefaultTenant {
		return own
	}
	return ""
}

func (a *API) listKeys(w http.ResponseWriter, r *http.Request) error {
	q, err := a.listQuery(r, "tenant")
	if err != nil {
		return err
	}
	tenant := managed(r)
	if q.values.Has("tenant") {
		tenant = q.values.Get("tenant")
		if err := checkTenant(tenant); err != nil {
			return err
		}
		if err := mayManage(r, tenant); err != nil {
			return err
		}
	}
	return writeList(a, w, r, q, source[*hook.APIKey]{
		fetch: func(ctx context.Context, p hook.Page) ([]*hook.APIKey, string, error) {
			return a.o.Keys.ListAPIKeys(ctx, tenant, p)
		},
		id:     func(k *hook.APIKey) string { return k.ID },
		prefix: "",
		encode: encodeEach(func(k *hook.APIKey) any { return answerKey(k) }),
	})
}

func (a *API) revokeKey(w http.ResponseWriter, r *http.Request) error {
	id, err := pathID(r, "", "API key")
	if err != nil {
		return err
	}
	if err := a.o.Keys.DeleteAPIKey(r.Context(), managed(r), id); err != nil {
		return named(err, "API key")
	}
	a.keyring.forget(id)
	a.logKey(r, "API key revoked", id)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// logKey writes the line of a change of the keys, with who made it.
func (a *API) logKey(r *http.Request, what, id string, more ...slog.Attr) {
	c := callerOf(r)
	attrs := append([]slog.Attr{slog.String("key_id", id)}, more...)
	attrs = append(attrs, slog.String("by_key", c.keyID), slog.String("tenant", c.tenant))
	a.o.Log.LogAttrs(r.Context(), slog.LevelInfo, what, attrs...)
}
