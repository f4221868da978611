package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// registered are the routes of the route table, as "GET /path".
func registered(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "api.go", nil, parser.SkipObjectResolution)
	require.NoError(t, err)
	var all []string
	ast.Inspect(f, func(n ast.Node) bool {
		c, ok := n.(*ast.CallExpr)
		if !ok || len(c.Args) != 2 {
			return true
		}
		if f, ok := c.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "route" {
			return true
		}
		path, err := strconv.Unquote(c.Args[0].(*ast.BasicLit).Value)
		require.NoError(t, err)
		for _, e := range c.Args[1].(*ast.CompositeLit).Elts {
			method, err := strconv.Unquote(e.(*ast.KeyValueExpr).Key.(*ast.BasicLit).Value)
			require.NoError(t, err)
			all = append(all, method+" "+path)
		}
		return true
	})
	require.Greater(t, len(all), 15)
	return all
}

// allowed says which roles may call a route, as the documents put it.
func allowed(method, path string) []hook.Role {
	roles := []hook.Role{hook.RoleAdmin}
	api := strings.HasPrefix(path, "/api/v1/")
	if method+" "+path == "GET /api/v1/session" {
		return hook.Roles()
	}
	figures := path == "/metrics" || path == "/api/v1/stats"
	if method == "GET" && (api && path != "/api/v1/keys" || figures) {
		roles = append(roles, hook.RoleViewer)
	}
	switch method + " " + path {
	case "POST /api/v1/events", "POST /api/v1/events/batch", "GET /api/v1/events/{id}":
		roles = append(roles, hook.RoleProducer)
	}
	if figures {
		roles = append(roles, hook.RoleMetrics)
	}
	return roles
}

func isOpen(method, path string) bool {
	if path == "/api/v1/session" {
		return method != "GET"
	}
	return slices.Contains([]string{"/health", "/ready", "/docs", "/docs/{file}", "/openapi.json", "/console", "/test/webhook"}, path)
}

// unread is a body that nobody may look at.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestEachRouteTakesTheKeysOfItsRolesAndNoOther(t *testing.T) {
	t.Parallel()
	for _, route := range registered(t) {
		method, path, _ := strings.Cut(route, " ")
		if isOpen(method, path) {
			continue
		}
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			may := allowed(method, path)
			path = strings.ReplaceAll(path, "{id}", "x")
			for _, role := range hook.Roles() {
				header := "Bearer " + w.key(DefaultTenant, role)
				if slices.Contains(may, role) {
					rec := w.do(method, path, "", "Authorization", header)
					require.NotContains(t, []int{401, 403, 405}, rec.Code, "%s: %s", role, rec.Body)
					continue
				}
				r := httptest.NewRequest(method, path, unread{t})
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("Authorization", header)
				rec := w.serve(r)
				p := requireProblem(t, rec, 403, "forbidden", "")
				require.Contains(t, p["detail"], string(role))
				require.Empty(t, rec.Header().Get("WWW-Authenticate"))
			}
			r := httptest.NewRequest(method, path, unread{t})
			requireProblem(t, w.serve(r), 401, "unauthorized", "")
			w.requireUntouched(t)
		})
	}
}

func TestWhatIsOpenAsksNobody(t *testing.T) {
	t.Parallel()
	var paths []string
	for _, route := range registered(t) {
		method, path, _ := strings.Cut(route, " ")
		if !isOpen(method, path) {
			continue
		}
		paths = append(paths, path)
		w := newWorld()
		w.faults["key"] = failed
		for _, header := range []string{"", "Bearer ph_x", "Bearer " + w.key("acme", hook.RoleMetrics)} {
			require.NotContains(t, []int{401, 403}, w.do(method, path, "", "Authorization", header).Code, path)
		}
		require.Zero(t, w.lookups)
	}
	require.Subset(t, paths, []string{"/health", "/ready", "/test/webhook"})
}

// What is not there is not there for anybody.
func TestUnknownPathsAndMethodsAreSaidWithoutAKey(t *testing.T) {
	t.Parallel()
	w := newWorld()
	requireProblem(t, w.do("GET", "/api/v1/nothing", "", "Authorization", ""), 404, "not_found", "")
	requireProblem(t, w.do("PUT", "/api/v1/events", "", "Authorization", ""), 405, "method_not_allowed", "")
	require.Zero(t, w.lookups)
}

func TestFiguresThatCountAllTenantsAreForTheDefaultOne(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, path := range []string{"/metrics", "/api/v1/stats"} {
		for _, role := range []hook.Role{hook.RoleAdmin, hook.RoleViewer, hook.RoleMetrics} {
			p := requireProblem(t, w.do("GET", path, "", "Authorization", "Bearer "+w.key("acme", role)), 403, "forbidden", "")
			require.Contains(t, p["detail"], "all tenants")
			require.Equal(t, http.StatusOK, w.do("GET", path, "", "Authorization", "Bearer "+w.key(DefaultTenant, role)).Code)
		}
	}
}

func TestEventTypesOfOthersAreNeitherNamedNorCounted(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.counts.Events = map[string]int64{"acme.secret": 3, "order.created": 5}
	items, _ := requireData(t, w.do("GET", "/api/v1/event-types", "", "X-Tenant", "acme"))
	require.Equal(t, []map[string]any{
		{"name": "user.created", "description": "A user was created.", "predefined": true, "events_total": nil},
		{"name": "order.created", "description": "An order was placed.", "predefined": true, "events_total": nil},
	}, items)
}

// Nobody learns from the answer what was wrong with a key.
func TestKeysThatAreMissingMalformedUnknownOrWrongGetOneAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld()
	good := w.key(DefaultTenant, hook.RoleAdmin)
	wrong := good[:len(good)-1] + map[bool]string{true: "0", false: "1"}[good[len(good)-1] == '1']
	unknown := "ph_" + testID("", start, 77) + good[strings.LastIndexByte(good, '_'):]
	var first *httptest.ResponseRecorder
	for _, header := range []string{
		"", "Bearer", "Bearer ", "Basic dTpw", "Bearer ph_", "Bearer " + good[3:], "Bearer " + strings.ToLower(good), "Bearer " + good + ",", "Bearer " + good + " x",
		good, "Bearer " + unknown, "Bearer " + wrong, "Bearer " + good + "," + "Bearer " + good, "AWS4-HMAC-SHA256 Credential=x",
	} {
		rec := w.do("GET", "/api/v1/webhooks", "", "Authorization", header)
		requireProblem(t, rec, 401, "unauthorized", "")
		require.Equal(t, "Bearer", rec.Header().Get("WWW-Authenticate"))
		if first == nil {
			first = rec
		}
		require.Equal(t, first.Body.String(), rec.Body.String(), header)
		require.Equal(t, first.Header(), rec.Header(), header)
		require.Equal(t, first.Body.String(), w.do("GET", "/api/v1/webhooks", "", "Authorization", "", apiKeyHeader, strings.TrimPrefix(header, "Bearer ")+"x").Body.String())
	}
	require.Empty(t, w.log.String())
	w.requireUntouched(t)
}

func TestAKeyComesInEitherHeader(t *testing.T) {
	t.Parallel()
	w := newWorld()
	good := w.key(DefaultTenant, hook.RoleViewer)
	for _, h := range []http.Header{
		{"Authorization": {"Bearer " + good}},
		{"Authorization": {"bearer " + good}},
		{"Authorization": {"BEARER   " + good + " "}},
		{"X-Api-Key": {good}},
		{"X-Api-Key": {good}, "Authorization": {"Bearer " + good}},
		{"X-Api-Key": {good}, "Authorization": {"Basic dTpw"}},
		{"X-Api-Key": {good}, "Authorization": {"Bearer"}},
	} {
		r := httptest.NewRequest("GET", "/api/v1/webhooks", nil)
		r.Header = h
		require.Equal(t, http.StatusOK, w.serve(r).Code, h)
	}
	for _, other := range []string{w.key(DefaultTenant, hook.RoleAdmin), "x"} {
		p := requireProblem(t, w.do("GET", "/api/v1/webhooks", "", "Authorization", "Bearer "+good, apiKeyHeader, other), 400, "key_mismatch", apiKeyHeader)
		require.NotContains(t, p["detail"], "ph_")
	}
	r := httptest.NewRequest("GET", "/api/v1/webhooks", nil)
	r.Header = http.Header{"X-Api-Key": {good, good}}
	requireProblem(t, w.serve(r), 401, "unauthorized", "")
}

func TestAKeyIsLookedUpOnceAMinute(t *testing.T) {
	t.Parallel()
	w := newWorld()
	get := func() int { return w.do("GET", "/api/v1/webhooks", "").Code }
	for range 5 {
		require.Equal(t, http.StatusOK, get())
	}
	require.Equal(t, 1, w.lookups)
	w.sleep(keyAge - time.Millisecond)
	require.Equal(t, http.StatusOK, get())
	require.Equal(t, 1, w.lookups)
	w.sleep(time.Millisecond)
	require.Equal(t, http.StatusOK, get())
	require.Equal(t, 2, w.lookups)

	w.sleep(-time.Second) // a clock that is set back makes nothing younger
	require.Equal(t, http.StatusOK, get())
	require.Equal(t, 3, w.lookups)
}

func TestARevokedKeyLivesOnForAMinuteAtMost(t *testing.T) {
	t.Parallel()
	w := newWorld()
	get := func() *httptest.ResponseRecorder { return w.do("GET", "/api/v1/webhooks", "") }
	require.Equal(t, http.StatusOK, get().Code)
	clear(w.apiKeys) // elsewhere
	w.sleep(keyAge - time.Millisecond)
	require.Equal(t, http.StatusOK, get().Code)
	w.sleep(time.Millisecond)
	for range 3 {
		requireProblem(t, get(), 401, "unauthorized", "")
	}
	require.Equal(t, 2, w.lookups, "and is not looked for again at once")
}

// A read that takes its time shows the key as it was when the read began.
func TestAKeysMinuteBeginsBeforeItIsRead(t *testing.T) {
	t.Parallel()
	w := newWorld()
	text := w.key(DefaultTenant, hook.RoleAdmin)
	id, _, _ := hook.ParseAPIKey(text)
	slow := newKeyring(&slowKeys{w}, w.clock)
	_, err := slow.key(t.Context(), id)
	require.NoError(t, err)
	w.sleep(keyAge - 30*time.Second)
	_, err = slow.key(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 2, w.lookups)
}

// slowKeys take half a minute to be read.
type slowKeys struct{ *world }

func (s *slowKeys) APIKey(ctx context.Context, id string) (*hook.APIKey, error) {
	k, err := s.world.APIKey(ctx, id)
	s.sleep(30 * time.Second)
	return k, err
}

func TestAStoreThatFailsLetsNobodyInWhoIsNotKnown(t *testing.T) {
	t.Parallel()
	w := newWorld()
	get := func() *httptest.ResponseRecorder { return w.do("GET", "/api/v1/webhooks", "") }
	w.faults["key"] = failed
	rec := get()
	requireProblem(t, rec, 503, "unavailable", "")
	require.Equal(t, "1", rec.Header().Get("Retry-After"))
	require.Equal(t, http.StatusOK, get().Code, "it is asked again")
	w.faults["key"] = failed
	require.Equal(t, http.StatusOK, get().Code, "who is known gets in meanwhile")
	w.sleep(keyAge)
	requireProblem(t, get(), 503, "unavailable", "")
	require.Equal(t, http.StatusOK, get().Code)
}

// guess is the text of a key that does not exist.
func guess(n int) string {
	return "ph_" + testID("", start, 1_000_000+n) + "_" + strings.Repeat("0", 64)
}

// lateKeys answers when it is told to.
type lateKeys struct {
	Keys
	asked  chan struct{}
	answer chan struct{}
}

func (l *lateKeys) APIKey(ctx context.Context, id string) (*hook.APIKey, error) {
	l.asked <- struct{}{}
	<-l.answer
	return l.Keys.APIKey(ctx, id)
}

func TestUnknownKeysThatComeAtOnceAreLookedUpWithinBounds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const all = 10 * unknownBurst
		w := newWorld()
		late := &lateKeys{Keys: w, asked: make(chan struct{}, all), answer: make(chan struct{})}
		ring := newKeyring(late, w.clock)
		var refused atomic.Int32
		for n := range all {
			go func() {
				var p *problem
				if _, err := ring.key(t.Context(), strconv.Itoa(n)); errors.As(err, &p) && p.kind == kindUnknownKeys {
					refused.Add(1)
				}
			}()
		}
		synctest.Wait()
		require.Len(t, late.asked, unknownBurst)
		close(late.answer)
		synctest.Wait()
		require.Equal(t, int32(all-unknownBurst), refused.Load())

		// A second is enough for the next.
		w.sleep(time.Second)
		_, err := ring.key(t.Context(), "next")
		require.ErrorIs(t, err, hook.ErrNotFound)
	})
}

func TestUnknownKeysAreLookedUpWithinBounds(t *testing.T) {
	t.Parallel()
	w := newWorld()
	get := func(text string) *httptest.ResponseRecorder {
		return w.do("GET", "/api/v1/webhooks", "", apiKeyHeader, text, "Authorization", "")
	}
	known := w.key(DefaultTenant, hook.RoleViewer)
	require.Equal(t, http.StatusOK, get(known).Code)
	w.lookups = 0

	for range 500 { // the same again
		requireProblem(t, get(guess(0)), 401, "unauthorized", "")
	}
	require.Equal(t, 1, w.lookups)
	w.sleep(absentAge)
	requireProblem(t, get(guess(0)), 401, "unauthorized", "")
	require.Equal(t, 2, w.lookups)

	w.lookups = 0
	refused := 0
	for n := range 5000 {
		if rec := get(guess(n)); rec.Code == http.StatusTooManyRequests {
			requireProblem(t, rec, 429, "too_many_unknown_keys", "")
			require.Equal(t, "1", rec.Header().Get("Retry-After"))
			refused++
		}
	}
	require.LessOrEqual(t, w.lookups, unknownBurst)
	require.Greater(t, refused, 4000)
	require.Empty(t, w.log.String(), "nobody fills the log either")

	// Who has been met gets in, also when it is time to look again.
	require.Equal(t, http.StatusOK, get(known).Code)
	w.sleep(keyAge)
	for n := range 5000 {
		get(guess(10_000 + n))
	}
	require.Equal(t, http.StatusOK, get(known).Code)

	// Others have to wait a moment.
	newcomer := w.key("acme", hook.RoleViewer)
	requireProblem(t, get(newcomer), 429, "too_many_unknown_keys", "")
	w.sleep(time.Second)
	require.Equal(t, http.StatusOK, get(newcomer).Code)
	w.lookups = 0
	for n := range 100 {
		get(guess(20_000 + n))
	}
	require.Equal(t, unknownRate, w.lookups)
}

func TestWhatIsRememberedOfKeysIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ring := w.api.keyring
	for n := range 3 * maxKeys {
		id := testID("", start, 500_000+n)
		w.apiKeys[id] = &hook.APIKey{ID: id}
		_, err := ring.key(t.Context(), id)
		require.NoError(t, err)
		w.sleep(time.Second)
		_, err = ring.key(t.Context(), testID("", start, 600_000+n))
		require.ErrorIs(t, err, hook.ErrNotFound)
	}
	require.Len(t, ring.known, maxKeys)
	require.Len(t, ring.absent, maxKeys)
}

func TestNeitherKeysNorHashesShowInLogsOrAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld()
	text := w.key(DefaultTenant, hook.RoleAdmin)
	id, hash, _ := hook.ParseAPIKey(text)
	secret := text[strings.LastIndexByte(text, '_')+1:]
	var said strings.Builder
	for _, fault := range []string{"", "key", "list keys", "create key", "delete key"} {
		for _, call := range [][3]string{
			{"GET", "/api/v1/keys"},
			{"POST", "/api/v1/keys", `{"role":"viewer"}`},
			{"DELETE", "/api/v1/keys/" + testID("", start, 9)},
			{"GET", "/api/v1/webhooks"},
			{"GET", "/api/v1/nothing"},
			{"GET", "/api/v1/webhooks?x=" + id},
		} {
			if fault != "" {
				w.faults[fault] = failed
			}
			for _, key := range []string{text, text[:len(text)-1] + "x", text + ","} {
				rec := w.do(call[0], call[1], call[2], "Authorization", "Bearer "+key)
				for _, values := range rec.Header() {
					fmt.Fprintln(&said, values)
				}
				said.WriteString(rec.Body.String())
			}
			w.sleep(keyAge)
		}
	}
	all := said.String() + w.log.String()
	require.Contains(t, all, id, "what has an id may be named by it")
	require.Contains(t, w.log.String(), "request failed")
	for _, form := range []string{
		secret, hex.EncodeToString(hash[:]), base64.StdEncoding.EncodeToString(hash[:]), base64.RawURLEncoding.EncodeToString(hash[:]),
		strings.Trim(fmt.Sprint(hash), "[]"), strings.ReplaceAll(strings.Trim(fmt.Sprint(hash), "[]"), " ", ","),
	} {
		require.NotContains(t, all, form)
	}
}

func TestWithoutKeysEverybodyIsAnAdminOfTheDefaultTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(func(o *Options) { o.Open = true })
	rec := w.do("POST", "/api/v1/webhooks", anyEndpoint, "Authorization", "")
	require.Equal(t, "default", w.eps[requireJSON(t, rec, http.StatusCreated)["id"].(string)].Tenant)
	for _, route := range registered(t) {
		method, path, _ := strings.Cut(route, " ")
		if !isOpen(method, path) {
			require.NotContains(t, []int{401, 403}, w.do(method, strings.ReplaceAll(path, "{id}", "x"), "", "Authorization", "Bearer nonsense").Code, route)
		}
	}
	require.Zero(t, w.lookups)
}

// belongings are things of one tenant, one of each kind that has an id.
type belongings map[string]string // by the path's first word below /api/v1

func (w *world) furnish(t *testing.T, tenant string) belongings {
	t.Helper()
	b := belongings{"webhooks": w.register(t, anyEndpoint, "X-Tenant", tenant)}
	b["events"] = w.post(t, `{"event_type":"order.created","payload":{"theirs":true}}`, "X-Tenant", tenant)
	ref := hook.Ref{Tenant: tenant, EventID: b["events"], EndpointID: b["webhooks"]}
	w.rows[ref] = &hook.Delivery{Ref: ref, EventType: "order.created", Status: hook.Dead, Attempts: 1, First: hook.Attempt{Number: 1, At: start}, CreatedAt: start, CompletedAt: start}
	b["deliveries"] = ref.ID()
	d := &hook.DeadLetter{
		ID: w.newID(hook.DeadLetterPrefix, w.now), Ref: ref, EventType: "order.created", EndpointURL: "https://example.com", FailureReason: "HTTP 500",
		Attempts: 1, CreatedAt: start, ExpiresAt: start.Add(time.Hour),
	}
	w.dead[d.ID] = d
	b["dlq"] = d.ID
	k := &hook.APIKey{ID: w.newID("", w.now), Tenant: tenant, Role: hook.RoleViewer, CreatedAt: start}
	_, err := k.NewSecret(rand.Reader)
	require.NoError(t, err)
	w.apiKeys[k.ID] = k
	b["keys"] = k.ID
	j := &hook.Job{Tenant: tenant, Kind: hook.JobReplay}
	require.NoError(t, w.Start(t.Context(), j))
	b["jobs"] = j.ID
	return b
}

// absentIDs are ids of the right form that name nothing.
var absentIDs = belongings{
	"webhooks": testID(hook.EndpointPrefix, start, 900), "events": testID(hook.EventPrefix, start, 901),
	"deliveries": hook.Ref{EventID: testID(hook.EventPrefix, start, 901), EndpointID: testID(hook.EndpointPrefix, start, 900)}.ID(),
	"dlq":        testID(hook.DeadLetterPrefix, start, 902), "keys": testID("", start, 903), "jobs": testID(hook.JobPrefix, start, 904),
}

func TestWhatIsAnotherTenantsIsAnsweredAsWhatNeverWas(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{
		"PATCH /api/v1/webhooks/{id}":        `{"description":"mine now"}`,
		"POST /api/v1/webhooks/{id}/recover": `{"since":"2026-01-01T00:00:00Z"}`,
	}
	tried := 0
	for _, route := range registered(t) {
		method, path, _ := strings.Cut(route, " ")
		if !strings.Contains(path, "{id}") {
			continue
		}
		tried++
		t.Run(route, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			theirs := w.furnish(t, "acme")
			kind, _, _ := strings.Cut(strings.TrimPrefix(path, "/api/v1/"), "/")
			require.Contains(t, theirs, kind, "a thing of this kind belongs into furnish")
			for _, tenant := range []string{"other", DefaultTenant} {
				w.key(tenant, hook.RoleAdmin)
			}
			before := w.things()
			calls := maps.Clone(w.calls)
			for _, tenant := range []string{"other", DefaultTenant} {
				if kind == "keys" && tenant == DefaultTenant {
					continue // whose admins manage those of all
				}
				ask := func(id string) *httptest.ResponseRecorder {
					return w.do(method, strings.ReplaceAll(path, "{id}", id), bodies[route], "X-Tenant", tenant)
				}
				rec, never := ask(theirs[kind]), ask(absentIDs[kind])
				requireProblem(t, rec, 404, "not_found", "")
				require.Equal(t, never.Body.String(), rec.Body.String())
				require.Equal(t, never.Header(), rec.Header())
			}
			require.Equal(t, before, w.things())
			require.Equal(t, calls["send"], w.calls["send"])
			require.NotEqual(t, 404, w.do(method, strings.ReplaceAll(path, "{id}", theirs[kind]), bodies[route], "X-Tenant", "acme").Code, "it is theirs")
		})
	}
	require.Greater(t, tried, 5)
}

// things is all that a world holds, to be compared.
func (w *world) things() string {
	var b strings.Builder
	for _, m := range []any{w.eps, w.events, w.rows, w.dead, w.apiKeys, w.jobs, w.resent, w.retried} {
		fmt.Fprintf(&b, "%v\n", m)
	}
	for id, e := range w.eps {
		fmt.Fprintf(&b, "%s %+v\n", id, *e)
	}
	return b.String()
}

// Lists, and what narrows them, are the same whether or not another tenant has
// anything.
func TestListsNeitherShowNorCountWhatIsAnotherTenants(t *testing.T) {
	t.Parallel()
	queries := map[string][]string{
		"/api/v1/deliveries": {"?endpoint_id={webhooks}", "?event_id={events}", "?endpoint_id={webhooks}&status=dead"},
		"/api/v1/dlq":        {"", "?endpoint_id={webhooks}"},
	}
	for _, route := range registered(t) {
		method, path, _ := strings.Cut(route, " ")
		if method != "GET" || strings.Contains(path, "{id}") || isOpen(method, path) || path == "/metrics" || path == "/api/v1/stats" {
			continue
		}
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			for _, tenant := range []string{"other", DefaultTenant} {
				if tenant == DefaultTenant && (path == "/api/v1/keys" || path == "/api/v1/event-types") {
					continue // who sees those of all
				}
				empty, full := newWorld(), newWorld()
				empty.key(tenant, hook.RoleAdmin)
				full.key(tenant, hook.RoleAdmin)
				theirs := full.furnish(t, "acme")
				full.counts.Events = map[string]int64{"order.created": 1, "acme.own": 2}
				suffixes := queries[path]
				if suffixes == nil {
					suffixes = []string{"", "?limit=1"}
				}
				for _, suffix := range suffixes {
					ask := func(w *world, ids belongings) *httptest.ResponseRecorder {
						for kind, id := range ids {
							suffix = strings.ReplaceAll(suffix, "{"+kind+"}", id)
						}
						return w.do("GET", path+suffix, "", "X-Tenant", tenant)
					}
					want := ask(empty, absentIDs)
					got := ask(full, theirs)
					require.Equal(t, want.Code, got.Code, "%s", got.Body)
					require.Equal(t, want.Body.String(), got.Body.String())
				}
			}
		})
	}
}

func TestTenantsShareNoIdempotencyKeys(t *testing.T) {
	t.Parallel()
	w := newWorld()
	ids := map[string]bool{}
	for _, tenant := range []string{DefaultTenant, "acme", "other"} {
		rec := w.do("POST", "/api/v1/events", `{"event_type":"a","payload":{"of":"`+tenant+`"}}`, keyHeader, "k", "X-Tenant", tenant)
		ids[requireJSON(t, rec, http.StatusAccepted)["id"].(string)] = true
		require.Empty(t, rec.Header().Get("Idempotent-Replayed"))
	}
	require.Len(t, ids, 3)
}
