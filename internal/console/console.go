// Package console is the web console: pages for who looks after endpoints and
// deliveries, which call the API from the browser as any other caller does.
//
//	console.go  serves the pages and what they load
//	ui/         their sources, with the libraries that they use
//	assets/     what `make console` makes of the sources: minified and gzipped
//
// The pages hold no data and are open to all; everything they show comes from the
// API, which asks who calls. They load nothing from another host, run no inline
// script, and keep nothing in the browser.
package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"

	"posthorn/internal/gzipped"
)

//go:embed assets/*.gz
var assets embed.FS

// types are the files that can be loaded, with their content types.
var types = map[string]string{
	"app.js":       "text/javascript; charset=utf-8",
	"app.css":      "text/css; charset=utf-8",
	"icon.svg":     "image/svg+xml",
	"licences.txt": "text/plain; charset=utf-8",
}

const page = "index.html"

// policy lets the pages run their own script and style, call their own server,
// and nothing else: no inline script or style, no eval, no frame, no form that is
// sent by the browser itself, no text that becomes markup.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// Handler serves GET and HEAD of /console and of everything below it: a file
// below /console/assets/, and the page everywhere else, which reads from the
// address what to show.
func Handler() http.Handler { return http.HandlerFunc(serve) }

func serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "The console takes GET and HEAD.", http.StatusMethodNotAllowed)
		return
	}
	name, contentType := page, "text/html; charset=utf-8"
	if file, ok := strings.CutPrefix(r.URL.Path, "/console/assets/"); ok {
		if name, contentType = file, types[file]; contentType == "" {
			h.Set("Cache-Control", "no-store")
			http.Error(w, "The console has no such file.", http.StatusNotFound)
			return
		}
	}
	body, err := assets.ReadFile("assets/" + name + ".gz")
	if err != nil {
		http.Error(w, "The console is not complete.", http.StatusInternalServerError)
		return
	}
	// Asked for anew each time, and not sent again while it is the same. A new
	// version is there with the next load, and no old script meets a new page.
	sum := sha256.Sum256(body)
	tag := hex.EncodeToString(sum[:8])
	h.Set("Cache-Control", "no-cache")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", contentType)
	if gzipped.TakenBy(r.Header) {
		h.Set("Content-Encoding", "gzip")
		tag += "-gzip"
	} else if body, err = gzipped.Plain(body); err != nil {
		http.Error(w, "The console is damaged.", http.StatusInternalServerError)
		return
	}
	tag = `"` + tag + `"`
	h.Set("ETag", tag)
	if knows(r.Header, tag) {
		h.Del("Content-Type")
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil {
		return // the client has gone: there is nobody to be told
	}
}

// knows says whether a client has the very file already (RFC 9110, section
// 13.1.2).
func knows(h http.Header, tag string) bool {
	for known := range strings.SplitSeq(strings.Join(h.Values("If-None-Match"), ","), ",") {
		if known = strings.TrimPrefix(strings.TrimSpace(known), "W/"); known == tag || known == "*" {
			return true
		}
	}
	return false
}
