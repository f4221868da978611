package httpapi

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// browser is what a page of the console sends its requests with.
type browser struct {
	w       *world
	cookies []*http.Cookie
	headers map[string]string // beside the console's own
}

func (b *browser) do(method, path, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set(consoleHeader, "1")
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, value := range b.headers {
		if value == "" {
			r.Header.Del(name)
			continue
		}
		r.Header.Set(name, value)
	}
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	return b.w.serve(r)
}

// signIn returns a browser that is signed in, and the answer that it got.
func signIn(t *testing.T, w *world, key string, headers map[string]string) (*browser, *httptest.ResponseRecorder) {
	t.Helper()
	b := &browser{w: w, headers: headers}
	rec := b.do("POST", "/api/v1/session", `{"key":"`+key+`"}`)
	require.Equal(t, http.StatusCreated, rec.Code, rec.Body)
	b.cookies = rec.Result().Cookies()
	require.Len(t, b.cookies, 1)
	return b, rec
}

const someEndpoint = `{"url":"https://shop.example/hook","events":["*"]}`

func TestASessionSpeaksForItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld()
	b, rec := signIn(t, w, w.key("acme", hook.RoleAdmin), nil)
	said := requireJSON(t, rec, 201)
	require.Equal(t, "keys", said["auth"])
	require.Equal(t, "admin", said["role"])
	require.Equal(t, "acme", said["tenant"])
	require.Equal(t, said, requireJSON(t, b.do("GET", "/api/v1/session", ""), 200))

	id := requireJSON(t, b.do("POST", "/api/v1/webhooks", someEndpoint), 201)["id"].(string)
	require.Equal(t, "acme", w.eps[id].Tenant)
	require.Equal(t, http.StatusNoContent, b.do("DELETE", "/api/v1/webhooks/"+id, "").Code)

	viewer, _ := signIn(t, w, w.key(DefaultTenant, hook.RoleViewer), nil)
	require.Equal(t, http.StatusOK, viewer.do("GET", "/api/v1/webhooks", "").Code)
	requireProblem(t, viewer.do("POST", "/api/v1/webhooks", someEndpoint), 403, "forbidden", "")
}

func TestTheCookieOfASessionIsForThisHostAndNoScript(t *testing.T) {
	t.Parallel()
	w := newWorld()
	key := w.key(DefaultTenant, hook.RoleAdmin)
	for name, headers := range map[string]map[string]string{
		"posthorn-session":        nil,
		"__Host-posthorn-session": {"X-Forwarded-Proto": "https"},
	} {
		b, rec := signIn(t, w, key, headers)
		c := b.cookies[0]
		require.Equal(t, name, c.Name)
		require.True(t, c.HttpOnly)
		require.Equal(t, http.SameSiteStrictMode, c.SameSite)
		require.Equal(t, headers != nil, c.Secure)
		require.Equal(t, "/", c.Path)
		require.Empty(t, c.Domain)
		require.Zero(t, c.MaxAge, "it is gone when the browser is closed")
		require.True(t, c.Expires.IsZero())
		_, secret, _ := strings.Cut(strings.TrimPrefix(key, "ph_"), "_")
		sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
		require.NoError(t, err)
		require.NotContains(t, string(sealed)+rec.Body.String(), secret, "the key cannot be had from it")

		rec = b.do("DELETE", "/api/v1/session", "")
		require.Equal(t, http.StatusNoContent, rec.Code)
		gone := rec.Result().Cookies()
		require.Len(t, gone, 1)
		require.Equal(t, name, gone[0].Name)
		require.Equal(t, -1, gone[0].MaxAge)
		require.True(t, gone[0].HttpOnly)
		require.Equal(t, headers != nil, gone[0].Secure, "a browser does not let go of a secure one otherwise")
	}
}

// What makes another site's page fail: it cannot send the header, and the browser
// says where it comes from.
func TestNoOtherSitesPageCanUseASession(t *testing.T) {
	t.Parallel()
	w := newWorld()
	b, _ := signIn(t, w, w.key(DefaultTenant, hook.RoleAdmin), nil)
	for name, c := range map[string]struct {
		headers map[string]string
		read    int // the answer to GET
		write   int // and to POST
	}{
		"the console":                       {map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "http://example.com"}, 200, 201},
		"a browser that says nothing":       {nil, 200, 201},
		"an old browser, from its origin":   {map[string]string{"Origin": "http://example.com"}, 200, 201},
		"without the header":                {map[string]string{consoleHeader: ""}, 401, 401},
		"another site's page":               {map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, 200, 403},
		"a page of a sibling host":          {map[string]string{"Sec-Fetch-Site": "same-site"}, 200, 403},
		"an old browser, from another site": {map[string]string{"Origin": "https://evil.example"}, 200, 403},
		"a page without an origin":          {map[string]string{"Origin": "null"}, 200, 403},
	} {
		t.Run(name, func(t *testing.T) {
			b := &browser{w: w, cookies: b.cookies, headers: c.headers}
			require.Equal(t, c.read, b.do("GET", "/api/v1/webhooks", "").Code)
			rec := b.do("POST", "/api/v1/webhooks", someEndpoint)
			require.Equal(t, c.write, rec.Code, rec.Body)
			if c.write == 403 {
				requireProblem(t, rec, 403, "foreign_origin", "")
				// Nor can it sign anybody in or out.
				requireProblem(t, b.do("POST", "/api/v1/session", `{"key":"x"}`), 403, "foreign_origin", "")
				requireProblem(t, b.do("DELETE", "/api/v1/session", ""), 403, "foreign_origin", "")
			}
		})
	}
	// A key that is sent by a program is not asked where it comes from.
	rec := w.do("POST", "/api/v1/webhooks", someEndpoint, "Sec-Fetch-Site", "cross-site", "Origin", "https://admin.example")
	require.Equal(t, http.StatusCreated, rec.Code)
}

func TestASessionEndsWithItsTimeAndWithItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld()
	key := w.key(DefaultTenant, hook.RoleAdmin)
	b, rec := signIn(t, w, key, nil)
	var said struct {
		ExpiresAt time.Time `json:"expires_at"`
	}
	require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &said))
	require.Equal(t, start.Add(sessionAge).Truncate(time.Second), said.ExpiresAt)
	w.sleep(said.ExpiresAt.Sub(w.now) - time.Millisecond)
	require.Equal(t, http.StatusOK, b.do("GET", "/api/v1/webhooks", "").Code)
	w.sleep(time.Millisecond)
	requireProblem(t, b.do("GET", "/api/v1/webhooks", ""), 401, "unauthorized", "")
	requireProblem(t, b.do("GET", "/api/v1/session", ""), 401, "unauthorized", "")

	b, _ = signIn(t, w, key, nil)
	id, _, _ := hook.ParseAPIKey(key)
	requireJSON(t, b.do("GET", "/api/v1/session", ""), 200)
	require.Equal(t, http.StatusNoContent, b.do("DELETE", "/api/v1/keys/"+id, "").Code)
	requireProblem(t, b.do("GET", "/api/v1/webhooks", ""), 401, "unauthorized", "")
}

func TestACookieThatWasNotMadeHereIsNoSession(t *testing.T) {
	t.Parallel()
	w := newWorld()
	b, _ := signIn(t, w, w.key(DefaultTenant, hook.RoleAdmin), nil)
	good := b.cookies[0].Value
	sealed, err := base64.RawURLEncoding.DecodeString(good)
	require.NoError(t, err)
	plain, err := w.Open(t.Context(), DefaultTenant, sessionSubject, sealed)
	require.NoError(t, err)
	change := func(at int, to byte) string {
		changed := append([]byte(nil), plain...)
		changed[at] = to
		sealed, err := w.Seal(t.Context(), DefaultTenant, sessionSubject, changed)
		require.NoError(t, err)
		return base64.RawURLEncoding.EncodeToString(sealed)
	}
	for name, value := range map[string]string{
		"empty":             "",
		"no base64":         "!",
		"of another length": base64.RawURLEncoding.EncodeToString(sealed[:len(sealed)-1]),
		"too short":         base64.RawURLEncoding.EncodeToString(sealedFor(DefaultTenant, sessionSubject, "\x01")),
		"an endpoint's":     base64.RawURLEncoding.EncodeToString(sealedFor(DefaultTenant, "ep_1", string(plain))),
		"another version":   change(0, sessionVersion+1),
		"another secret":    change(9, plain[9]+1),
		"another key":       change(len(plain)-1, plain[len(plain)-1]^1),
	} {
		t.Run(name, func(t *testing.T) {
			b := &browser{w: w, cookies: []*http.Cookie{{Name: sessionCookie, Value: value}}}
			requireProblem(t, b.do("GET", "/api/v1/webhooks", ""), 401, "unauthorized", "")
		})
	}
	// One whose sealer fails may be good: it is to be tried again.
	w.faults["open"] = failed
	requireProblem(t, b.do("GET", "/api/v1/webhooks", ""), 503, "unavailable", "")
	require.Equal(t, http.StatusOK, b.do("GET", "/api/v1/webhooks", "").Code)
	w.faults["seal"] = failed
	requireProblem(t, b.do("POST", "/api/v1/session", `{"key":"`+w.key(DefaultTenant, hook.RoleAdmin)+`"}`), 503, "unavailable", "")
}

func TestSigningInSaysAtTheKeyWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld()
	b := &browser{w: w}
	for body, want := range map[string]struct {
		status int
		code   string
		field  string
	}{
		`{"key":"ph_x"}`:               {401, "unauthorized", "key"},
		`{"key":"` + guess(1) + `"}`:   {401, "unauthorized", "key"},
		`{"key":""}`:                   {400, "missing_field", "key"},
		`{}`:                           {400, "missing_field", "key"},
		`{"key":1}`:                    {400, "wrong_type", "key"},
		`{"key":"x","remember":true}`:  {400, "unknown_field", "remember"},
		`{"key":"ph_x","key":"ph_y"}`:  {400, "duplicate_field", "key"},
		strings.Repeat(" ", maxBody+1): {413, "body_too_large", ""},
	} {
		rec := b.do("POST", "/api/v1/session", body)
		requireProblem(t, rec, want.status, want.code, want.field)
		require.Empty(t, rec.Result().Cookies())
	}
}

func TestWhereNobodyIsAskedThereIsNothingToSignInTo(t *testing.T) {
	t.Parallel()
	w := newWorld(func(o *Options) { o.Open = true })
	b := &browser{w: w}
	said := requireJSON(t, b.do("GET", "/api/v1/session", ""), 200)
	require.Equal(t, map[string]any{"auth": "off", "key_id": nil, "role": "admin", "tenant": "default", "expires_at": nil, "version": "1.2.3"}, said)
	rec := b.do("POST", "/api/v1/session", `{"key":"x"}`)
	requireProblem(t, rec, 400, "invalid_request", "key")
	require.Empty(t, rec.Result().Cookies())
}

// FuzzSession sends what a browser, or somebody who would like to be one, may
// have as its cookie: only a session that was made here lets anybody in.
func FuzzSession(f *testing.F) {
	w := newWorld()
	s := session{keyID: testID("", start, 1), expires: start.Add(time.Hour)}
	good, err := w.api.sealSession(f.Context(), s)
	require.NoError(f, err)
	for _, value := range []string{good, good[:len(good)-1], "", "=", "AQ", strings.ToUpper(good), good + good} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got, err := w.api.openSession(t.Context(), value)
		if err != nil {
			require.ErrorIs(t, err, errUnauthorized)
			return
		}
		// What opens is what would be made again.
		again, err := w.api.sealSession(t.Context(), got)
		require.NoError(t, err)
		same, err := w.api.openSession(t.Context(), again)
		require.NoError(t, err)
		require.Equal(t, got, same)
		require.True(t, got.expires.After(start))
	})
}
