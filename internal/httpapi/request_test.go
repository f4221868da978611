package httpapi

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/contract"
	"posthorn/internal/hook"
)

// do sends a request of an admin of the default tenant, or of the one that the
// pair X-Tenant names; an Authorization of its own is left alone, an empty one
// too. Headers are pairs of name and value; a body is JSON unless they say
// otherwise.
func (w *world) do(method, path, body string, headers ...string) *httptest.ResponseRecorder {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, reader)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	tenant := DefaultTenant
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "X-Tenant" {
			tenant = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	if _, own := r.Header["Authorization"]; !own {
		w.admit(r, tenant)
	}
	return w.serve(r)
}

// serve answers a request, and holds both against the OpenAPI document.
func (w *world) serve(r *http.Request) *httptest.ResponseRecorder {
	var asked bytes.Buffer
	if r.Body != nil {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, &asked), r.Body}
	}
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	hold(contract.Exchange{Request: r, RequestBody: asked.Bytes(), Status: rec.Code, Header: rec.Header(), Body: rec.Body.Bytes()})
	return rec
}

// admit gives a request the key of an admin.
func (w *world) admit(r *http.Request, tenant string) {
	r.Header.Set("Authorization", "Bearer "+w.key(tenant, hook.RoleAdmin))
}

// key returns the text of a key of that tenant and role, which it makes when it
// is first asked for.
func (w *world) key(tenant string, role hook.Role) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	who := caller{tenant: tenant, role: role}
	if w.texts[who] == "" {
		// Not of the counted ids: tests foresee those.
		k := &hook.APIKey{ID: testID("", start.Add(-time.Hour), len(w.texts)), Tenant: tenant, Role: role, CreatedAt: start.Add(-time.Hour)}
		text, err := k.NewSecret(rand.Reader)
		if err != nil {
			panic(err)
		}
		w.apiKeys[k.ID], w.texts[who] = k, text
	}
	return w.texts[who]
}

// requireJSON checks an answer's status and decodes it.
func requireJSON(t *testing.T, rec *httptest.ResponseRecorder, status int) map[string]any {
	t.Helper()
	require.Equal(t, status, rec.Code, rec.Body.String())
	require.Equal(t, "application/json", rec.Header().Get("Content-Type"))
	var v map[string]any
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &v), rec.Body.String())
	return v
}

// requireProblem checks that an answer is a problem document of that kind.
func requireProblem(t *testing.T, rec *httptest.ResponseRecorder, status int, code, field string) map[string]any {
	t.Helper()
	require.Equal(t, status, rec.Code, rec.Body.String())
	require.Equal(t, "application/problem+json", rec.Header().Get("Content-Type"))
	require.Equal(t, "nosniff", rec.Header().Get("X-Content-Type-Options"))
	require.Equal(t, "no-store", rec.Header().Get("Cache-Control"))
	var v map[string]any
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &v), rec.Body.String())
	require.Equal(t, float64(status), v["status"])
	require.Equal(t, code, v["code"], rec.Body.String())
	require.Equal(t, "about:blank", v["type"])
	require.Equal(t, http.StatusText(status), v["title"])
	require.NotEmpty(t, v["detail"])
	if field == "" {
		require.NotContains(t, v, "field")
	} else {
		require.Equal(t, field, v["field"])
	}
	require.NotContains(t, rec.Body.String(), "arn:aws", "internals stay in the log")
	return v
}

// requireUntouched checks that nothing was created, changed or sent.
func (w *world) requireUntouched(t *testing.T) {
	t.Helper()
	for _, op := range []string{"create", "update", "delete", "put", "send", "mark", "delete dead", "replay", "create key", "delete key"} {
		require.Zero(t, w.calls[op], op)
	}
}

// requireData decodes a list's answer and returns its items and its cursor.
func requireData(t *testing.T, rec *httptest.ResponseRecorder) (items []map[string]any, cursor string) {
	t.Helper()
	v := requireJSON(t, rec, http.StatusOK)
	require.Contains(t, v, "next_cursor")
	require.NotNil(t, v["data"], "an empty list is [], not null")
	for _, item := range v["data"].([]any) {
		items = append(items, item.(map[string]any))
	}
	if v["next_cursor"] != nil {
		cursor = v["next_cursor"].(string)
	}
	return items, cursor
}

// pages follows a list's cursors to its end and returns the items' ids.
func (w *world) pages(t *testing.T, path string) (ids []string, pages int) {
	t.Helper()
	next := path
	for {
		items, cursor := requireData(t, w.do("GET", next, ""))
		pages++
		for _, item := range items {
			ids = append(ids, item["id"].(string))
		}
		if cursor == "" {
			return ids, pages
		}
		require.Less(t, pages, 1000)
		next = path + "&cursor=" + cursor
	}
}
