package httpapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/gzipped"
)

func TestThePageNeedsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld()
	page := w.do("GET", "/docs", "", "Authorization", "")
	require.Equal(t, http.StatusOK, page.Code)
	require.Equal(t, "text/html; charset=utf-8", page.Header().Get("Content-Type"))

	needs := regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(page.Body.String(), -1)
	require.NotEmpty(t, needs)
	for _, m := range needs {
		if m[1] == "data:," {
			continue
		}
		rec := w.do("GET", m[1], "", "Authorization", "")
		require.Equal(t, http.StatusOK, rec.Code, m[1])
		require.NotEmpty(t, rec.Body.Bytes(), m[1])
	}
	require.NotRegexp(t, `<script(?: [^>]*)?>[^<]`, page.Body.String(), "a script in the page, which its policy forbids")
	require.NotContains(t, page.Body.String(), "style=")
}

func TestThePageRunsNoScriptButItsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld()
	policy := map[string]string{}
	for directive := range strings.SplitSeq(w.do("GET", "/docs", "").Header().Get("Content-Security-Policy"), ";") {
		name, sources, _ := strings.Cut(strings.TrimSpace(directive), " ")
		policy[name] = sources
	}
	require.Equal(t, "'none'", policy["default-src"])
	require.Equal(t, "'self'", policy["script-src"])
	require.Equal(t, "'self'", policy["connect-src"])
	require.Equal(t, "'none'", policy["frame-ancestors"])
	require.Equal(t, "'none'", policy["base-uri"])
	for name, sources := range policy {
		require.NotContains(t, sources, "http", name)
		require.NotContains(t, sources, "*", name)
		require.NotContains(t, sources, "unsafe-eval", name)
	}
}

func TestRedocComesAsItsCallerTakesIt(t *testing.T) {
	t.Parallel()
	w := newWorld()
	get := func(accept ...string) *httptest.ResponseRecorder {
		return w.do("GET", "/docs/redoc.js", "", accept...)
	}
	plain := get()
	require.Empty(t, plain.Header().Get("Content-Encoding"))
	require.Contains(t, plain.Body.String(), "The MIT License", "its licence comes with it")
	require.NotContains(t, plain.Body.String(), "cdn.redoc.ly", "its picture of another host")
	for _, accept := range []string{"gzip", "br, GZip;q=0.5", "gzip; q=1", "deflate,gzip", "*"} {
		rec := get("Accept-Encoding", accept)
		require.Equal(t, "gzip", rec.Header().Get("Content-Encoding"), accept)
		unzipped, err := gzipped.Plain(rec.Body.Bytes())
		require.NoError(t, err)
		require.Equal(t, plain.Body.Bytes(), unzipped)
		require.Equal(t, "Accept-Encoding", rec.Header().Get("Vary"))
	}
	for _, accept := range []string{"", "br", "gzip;q=0", "gzip; q=0.000", "gzip;Q=0", "xgzip"} {
		require.Empty(t, get("Accept-Encoding", accept).Header().Get("Content-Encoding"), accept)
	}
}

func TestThereIsNoOtherFileOfThePage(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, name := range []string{"redoc.js.gz", "page.html", "fetch", "x", "..%2fapi.go"} {
		requireProblem(t, w.do("GET", "/docs/"+name, ""), 404, "not_found", "")
	}
}

func TestTheOpenAPIDocumentIsServedToEverybody(t *testing.T) {
	t.Parallel()
	w := newWorld()
	rec := w.do("GET", "/openapi.json", "", "Authorization", "")
	require.Equal(t, http.StatusOK, rec.Code)
	body, err := io.ReadAll(rec.Body)
	require.NoError(t, err)
	require.Equal(t, OpenAPI(), body)
}
