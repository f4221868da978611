package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, path string, headers ...string) *http.Response {
	t.Helper()
	return call(t, http.MethodGet, path, headers...)
}

func call(t *testing.T, method, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	rec := httptest.NewRecorder()
	Handler().ServeHTTP(rec, r)
	return rec.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return string(b)
}

func TestThePageIsAtEveryAddressOfTheConsole(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/console", "/console/", "/console/endpoints", "/console/deliveries/dlv_1?x=1", "/console/assets"} {
		r := get(t, path)
		require.Equal(t, http.StatusOK, r.StatusCode, path)
		require.Equal(t, "text/html; charset=utf-8", r.Header.Get("Content-Type"))
		require.Contains(t, body(t, r), `<div id="app">`)
	}
	for _, path := range []string{"/console/assets/", "/console/assets/x.js", "/console/assets/index.html", "/console/assets/../console.go", "/console/assets/app.js.gz"} {
		require.Equal(t, http.StatusNotFound, get(t, path).StatusCode, path)
	}
	r := call(t, http.MethodPost, "/console")
	require.Equal(t, http.StatusMethodNotAllowed, r.StatusCode)
	require.Equal(t, "GET, HEAD", r.Header.Get("Allow"))
}

// What the page loads is there, is ours, and nothing of it is written into the
// page itself, where the policy would not let it run.
func TestThePageLoadsItsOwnFilesAlone(t *testing.T) {
	t.Parallel()
	html := body(t, get(t, "/console"))
	loaded := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(html, -1)
	require.Len(t, loaded, 3)
	for _, m := range loaded {
		r := get(t, m[1])
		require.Equal(t, http.StatusOK, r.StatusCode, m[1])
		require.NotContains(t, r.Header.Get("Content-Type"), "html", m[1])
	}
	require.NotRegexp(t, `<script[^>]*>[^<]`, html)
	require.NotRegexp(t, `<style|\son[a-z]+=|\sstyle=`, html)
	script := body(t, get(t, "/console/assets/app.js"))
	for _, banned := range []string{"eval(", "new Function(", "innerHTML=\"", "localStorage", "sessionStorage", "indexedDB", "document.cookie"} {
		require.NotContains(t, script, banned)
	}
	for _, file := range []string{"app.js", "app.css", "icon.svg"} {
		require.NotRegexp(t, `(?:src|href|url\(|fetch\(|import)\W*https?:`, body(t, get(t, "/console/assets/"+file)))
	}
}

func TestThePolicyAllowsNothingButTheServersOwn(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/console", "/console/assets/app.js", "/console/assets/nothing"} {
		h := get(t, path).Header
		policy := h.Get("Content-Security-Policy")
		for _, directive := range []string{
			"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'",
			"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
		} {
			require.Contains(t, strings.Split(policy, "; "), directive)
		}
		require.NotContains(t, policy, "unsafe")
		require.NotContains(t, policy, "http")
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
		require.Equal(t, "DENY", h.Get("X-Frame-Options"))
		require.Equal(t, "no-referrer", h.Get("Referrer-Policy"))
		require.Equal(t, "same-origin", h.Get("Cross-Origin-Opener-Policy"))
		require.Equal(t, "same-origin", h.Get("Cross-Origin-Resource-Policy"))
	}
}

func TestFilesAreSentZippedToWhoTakesThat(t *testing.T) {
	t.Parallel()
	plain := body(t, get(t, "/console/assets/app.js"))
	require.Greater(t, len(plain), 50_000)
	for accept, zipped := range map[string]bool{
		"": false, "gzip": true, "br, gzip;q=0.5": true, "GZIP": true, "*": true, "deflate": false,
		"gzip;q=0": false, "*, gzip;q=0": false, "*;q=0": false, "gzip;q=x": false, "identity": false, "x-gzip": true,
	} {
		r := get(t, "/console/assets/app.js", "Accept-Encoding", accept)
		require.Equal(t, "Accept-Encoding", r.Header.Get("Vary"))
		got := body(t, r)
		require.Equal(t, strconv.Itoa(len(got)), r.Header.Get("Content-Length"))
		if !zipped {
			require.Empty(t, r.Header.Get("Content-Encoding"), accept)
			require.Equal(t, plain, got, accept)
			continue
		}
		require.Equal(t, "gzip", r.Header.Get("Content-Encoding"), accept)
		z, err := gzip.NewReader(strings.NewReader(got))
		require.NoError(t, err, accept)
		unzipped, err := io.ReadAll(z)
		require.NoError(t, err)
		require.True(t, bytes.Equal([]byte(plain), unzipped), accept)
	}
}

func TestAFileIsNotSentAgainWhileItIsTheSame(t *testing.T) {
	t.Parallel()
	first := get(t, "/console/assets/app.css", "Accept-Encoding", "gzip")
	tag := first.Header.Get("ETag")
	require.NotEmpty(t, tag)
	require.Equal(t, "no-cache", first.Header.Get("Cache-Control"))
	for known, status := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200, "": 200} {
		r := get(t, "/console/assets/app.css", "Accept-Encoding", "gzip", "If-None-Match", known)
		require.Equal(t, status, r.StatusCode, known)
		require.Equal(t, tag, r.Header.Get("ETag"))
		if status == 304 {
			require.Empty(t, body(t, r))
		}
	}
	require.Equal(t, 200, get(t, "/console/assets/app.css", "If-None-Match", tag).StatusCode, "zipped and plain are two")
	head := call(t, http.MethodHead, "/console/assets/app.css", "Accept-Encoding", "gzip")
	require.Empty(t, body(t, head))
	require.Equal(t, first.Header.Get("Content-Length"), head.Header.Get("Content-Length"))
}

// Every function carries the console. What it may weigh is bounded here.
func TestTheConsoleIsSmall(t *testing.T) {
	t.Parallel()
	entries, err := assets.ReadDir("assets")
	require.NoError(t, err)
	require.Len(t, entries, len(types)+1)
	total := int64(0)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		total += info.Size()
	}
	require.Less(t, total, int64(100<<10))
}
