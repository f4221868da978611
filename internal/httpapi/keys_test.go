package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestAKeyIsShownOnceAndWorks(t *testing.T) {
	t.Parallel()
	w := newWorld()
	rec := w.do("POST", "/api/v1/keys", `{"role":"producer","description":"the <shop>"}`)
	v := requireJSON(t, rec, http.StatusCreated)
	id, text := v["id"].(string), v["key"].(string)
	require.Equal(t, map[string]any{
		"id": id, "key": text, "role": "producer", "tenant": "default", "description": "the <shop>", "created_at": "2026-03-04T05:06:07.891Z",
	}, v)
	parsed, hash, ok := hook.ParseAPIKey(text)
	require.True(t, ok)
	require.Equal(t, id, parsed)
	require.Equal(t, &hook.APIKey{
		ID: id, Tenant: "default", Role: hook.RoleProducer, Description: "the <shop>", Hash: hash, CreatedAt: start,
	}, w.apiKeys[id])

	require.Equal(t, http.StatusAccepted, w.do("POST", "/api/v1/events", `{"event_type":"a","payload":{}}`, "Authorization", "Bearer "+text).Code)
	requireProblem(t, w.do("GET", "/api/v1/events", "", "Authorization", "Bearer "+text), 403, "forbidden", "")

	list := w.do("GET", "/api/v1/keys", "")
	items, _ := requireData(t, list)
	delete(v, "key")
	require.Contains(t, items, v)
	require.NotContains(t, list.Body.String(), text[strings.LastIndexByte(text, '_'):])
	for _, item := range items {
		require.Len(t, item, 5)
	}

	var line map[string]any
	require.NoError(t, json.Unmarshal([]byte(strings.SplitAfter(w.log.String(), "\n")[0]), &line))
	admin, _, _ := hook.ParseAPIKey(w.key(DefaultTenant, hook.RoleAdmin))
	require.Equal(t, "API key created", line["msg"])
	require.Equal(t, []any{id, "producer", "default", admin}, []any{line["key_id"], line["key_role"], line["key_tenant"], line["by_key"]})
}

func TestBadKeysAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for body, c := range map[string]struct {
		status      int
		code, field string
	}{
		`{}`:                                {400, "missing_field", "role"},
		`[]`:                                {400, "wrong_type", ""},
		`{"role":"root"}`:                   {400, "invalid_role", "role"},
		`{"role":""}`:                       {400, "invalid_role", "role"},
		`{"role":null}`:                     {400, "wrong_type", "role"},
		`{"role":["admin"]}`:                {400, "wrong_type", "role"},
		`{"role":"admin","role":"viewer"}`:  {400, "duplicate_field", "role"},
		`{"role":"admin","tenant":"A"}`:     {400, "invalid_tenant", "tenant"},
		`{"role":"admin","tenant":""}`:      {400, "invalid_tenant", "tenant"},
		`{"role":"admin","tenant":"a#EP"}`:  {400, "invalid_tenant", "tenant"},
		`{"role":"admin","tenant":5}`:       {400, "wrong_type", "tenant"},
		`{"role":"admin","description":{}}`: {400, "wrong_type", "description"},
		`{"role":"admin","key":"ph_"}`:      {400, "unknown_field", "key"},
		`{"role":"admin","id":"x"}`:         {400, "unknown_field", "id"},
		`{"role":"admin","description":"` + strings.Repeat("ü", 1001) + `"}`: {400, "too_long", "description"},
		`{"role":"admin"`: {400, "invalid_json", ""},
	} {
		requireProblem(t, w.do("POST", "/api/v1/keys", body), c.status, c.code, c.field)
	}
	requireProblem(t, w.do("POST", "/api/v1/keys", `{"role":"admin"}`, "Content-Type", "text/plain"), 415, "unsupported_media_type", "")
	requireProblem(t, w.do("GET", "/api/v1/keys?tenant=A", ""), 400, "invalid_tenant", "tenant")
	requireProblem(t, w.do("GET", "/api/v1/keys?role=admin", ""), 400, "unknown_parameter", "role")
	for _, id := range []string{"x", "ph_x", "ep_" + testID("", start, 1), strings.ToLower(testID("", start, 1)) + "a", testID("", start, 1)[1:]} {
		requireProblem(t, w.do("DELETE", "/api/v1/keys/"+id, ""), 404, "not_found", "")
	}
	w.requireUntouched(t)
}

func TestAdminsOfTheDefaultTenantManageTheKeysOfAll(t *testing.T) {
	t.Parallel()
	w := newWorld()
	create := func(body, tenant string) (id, of string) {
		v := requireJSON(t, w.do("POST", "/api/v1/keys", body, "X-Tenant", tenant), http.StatusCreated)
		return v["id"].(string), v["tenant"].(string)
	}
	_, of := create(`{"role":"admin","tenant":"acme"}`, DefaultTenant)
	require.Equal(t, "acme", of)
	acmes, of := create(`{"role":"viewer","tenant":null,"description":null}`, "acme")
	require.Equal(t, "acme", of)
	second, of := create(`{"role":"viewer","tenant":"acme"}`, "acme")
	require.Equal(t, "acme", of)
	others, _ := create(`{"role":"viewer","tenant":"other"}`, DefaultTenant)

	made := len(w.apiKeys)
	for _, tenant := range []string{"other", DefaultTenant, "nobody"} {
		requireProblem(t, w.do("POST", "/api/v1/keys", `{"role":"viewer","tenant":"`+tenant+`"}`, "X-Tenant", "acme"), 403, "forbidden", "tenant")
		requireProblem(t, w.do("GET", "/api/v1/keys?tenant="+tenant, "", "X-Tenant", "acme"), 403, "forbidden", "tenant")
	}
	require.Len(t, w.apiKeys, made)

	tenants := func(path, as string) (all []string) {
		items, _ := requireData(t, w.do("GET", path, "", "X-Tenant", as))
		for _, item := range items {
			all = append(all, item["tenant"].(string))
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	require.Equal(t, []string{"acme", "default", "other"}, tenants("/api/v1/keys", DefaultTenant))
	require.Equal(t, []string{"acme"}, tenants("/api/v1/keys?tenant=acme", DefaultTenant))
	require.Equal(t, []string{"default"}, tenants("/api/v1/keys?tenant=default", DefaultTenant))
	require.Equal(t, []string{"acme"}, tenants("/api/v1/keys", "acme"))
	require.Equal(t, []string{"acme"}, tenants("/api/v1/keys?tenant=acme", "acme"))

	requireProblem(t, w.do("DELETE", "/api/v1/keys/"+others, "", "X-Tenant", "acme"), 404, "not_found", "")
	require.Contains(t, w.apiKeys, others)
	require.Equal(t, http.StatusNoContent, w.do("DELETE", "/api/v1/keys/"+acmes, "", "X-Tenant", "acme").Code)
	require.Equal(t, http.StatusNoContent, w.do("DELETE", "/api/v1/keys/"+second, "").Code)
	require.NotContains(t, w.apiKeys, acmes)
	require.NotContains(t, w.apiKeys, second)
}

func TestKeysListInPages(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for range 7 {
		requireJSON(t, w.do("POST", "/api/v1/keys", `{"role":"metrics"}`), http.StatusCreated)
	}
	ids, pages := w.pages(t, "/api/v1/keys?limit=3")
	require.Equal(t, 3, pages)
	require.Len(t, ids, 8, "and the caller's own")
	require.True(t, slices.IsSortedFunc(ids, func(a, b string) int { return strings.Compare(b, a) }), "newest first")
	_, cursor := requireData(t, w.do("GET", "/api/v1/keys?limit=3", ""))
	requireProblem(t, w.do("GET", "/api/v1/keys?limit=3&cursor="+cursor, "", "X-Tenant", "acme"), 400, "invalid_cursor", "cursor")
}

func TestARevokedKeyStopsAtOnceWhereItWasRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld()
	v := requireJSON(t, w.do("POST", "/api/v1/keys", `{"role":"viewer"}`), http.StatusCreated)
	get := func() *httptest.ResponseRecorder {
		return w.do("GET", "/api/v1/webhooks", "", "Authorization", "Bearer "+v["key"].(string))
	}
	require.Equal(t, http.StatusOK, get().Code)
	rec := w.do("DELETE", "/api/v1/keys/"+v["id"].(string), "")
	require.Equal(t, http.StatusNoContent, rec.Code)
	require.Empty(t, rec.Body.String())
	requireProblem(t, get(), 401, "unauthorized", "")
	requireProblem(t, w.do("DELETE", "/api/v1/keys/"+v["id"].(string), ""), 404, "not_found", "")
	require.Contains(t, w.log.String(), `"msg":"API key revoked","key_id":"`+v["id"].(string)+`"`)
}

// Whoever gets no answer has no key, and one that nobody has may be there.
func TestKeysUnderFaults(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{failed, lost} {
		w := newWorld()
		w.key(DefaultTenant, hook.RoleAdmin)
		w.faults["create key"] = f
		rec := w.do("POST", "/api/v1/keys", `{"role":"viewer"}`)
		requireProblem(t, rec, 503, "unavailable", "")
		require.NotContains(t, rec.Body.String(), "ph_")
		require.Len(t, w.apiKeys, map[fault]int{failed: 1, lost: 2}[f])

		id := requireJSON(t, w.do("POST", "/api/v1/keys", `{"role":"viewer"}`), http.StatusCreated)["id"].(string)
		w.faults["delete key"] = f
		requireProblem(t, w.do("DELETE", "/api/v1/keys/"+id, ""), 503, "unavailable", "")
		require.Equal(t, map[fault]int{failed: 204, lost: 404}[f], w.do("DELETE", "/api/v1/keys/"+id, "").Code)

		w.faults["list keys"] = f
		requireProblem(t, w.do("GET", "/api/v1/keys", ""), 503, "unavailable", "")
	}
}

func TestNoKeyIsMadeWithoutRandomness(t *testing.T) {
	t.Parallel()
	w := newWorld(func(o *Options) { o.Rand = iotest.ErrReader(errors.New("no entropy")) })
	requireProblem(t, w.do("POST", "/api/v1/keys", `{"role":"viewer"}`), 503, "unavailable", "")
	w.requireUntouched(t)
}

// A metrics key of another tenant could read nothing.
func TestMetricsKeysAreOfTheDefaultTenant(t *testing.T) {
	t.Parallel()
	w := newWorld()
	requireProblem(t, w.do("POST", "/api/v1/keys", `{"role":"metrics","tenant":"acme"}`), 400, "invalid_role", "role")
	requireJSON(t, w.do("POST", "/api/v1/keys", `{"role":"metrics","tenant":"default"}`), http.StatusCreated)
}
