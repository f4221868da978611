package httpapi

import (
	"embed"
	"fmt"
	"net/http"
	"strings"

	"posthorn/internal/gzipped"
)

// reference is the page that shows the OpenAPI document, with what it needs:
// Redoc, compressed, as reference/fetch makes it. It is a third of a MiB, which
// the function has room for, and nothing reads it before it is asked for.
//
//go:embed reference/page.html reference/page.css reference/page.js reference/redoc.js.gz
var reference embed.FS

// pagePolicy is the Content-Security-Policy of the page. Scripts come from this
// server alone, and none is made of text. Redoc styles the page from within its
// script, which needs 'unsafe-inline' for styles, and searches in a worker that
// it makes of itself.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
	"worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docs shows the API as a page.
func (a *API) docs(w http.ResponseWriter, r *http.Request) error {
	page, err := reference.ReadFile("reference/page.html")
	if err != nil {
		return fmt.Errorf("read the page: %w", err)
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	a.write(w, r, http.StatusOK, "text/html; charset=utf-8", page)
	return nil
}

// docsFile serves what the page needs.
func (a *API) docsFile(w http.ResponseWriter, r *http.Request) error {
	var name, contentType string
	switch r.PathValue("file") {
	case "page.js":
		name, contentType = "page.js", "text/javascript; charset=utf-8"
	case "page.css":
		name, contentType = "page.css", "text/css; charset=utf-8"
	case "redoc.js":
		name, contentType = "redoc.js.gz", "text/javascript; charset=utf-8"
	default:
		return notFound("file")
	}
	body, err := reference.ReadFile("reference/" + name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	// It changes with the program alone, and the page with it.
	w.Header().Set("Cache-Control", "public, max-age=3600")
	if strings.HasSuffix(name, ".gz") {
		w.Header().Set("Vary", "Accept-Encoding")
		if gzipped.TakenBy(r.Header) {
			w.Header().Set("Content-Encoding", "gzip")
		} else if body, err = gzipped.Plain(body); err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	a.write(w, r, http.StatusOK, contentType, body)
	return nil
}
