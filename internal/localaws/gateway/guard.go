package gateway

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// HostGuard returns a handler that stands before next and answers 403 to what
// a web page could send to a local server that asks for no credentials:
//
//   - A Host header that is not the server's own. This defeats DNS rebinding,
//     where a page's own name is made to resolve to this machine: the browser
//     still sends the page's name.
//   - An Origin header that is not the page's own, that is, whose host and port
//     are not those of the Host header ("null" included). This defeats forms
//     and scripts of other pages, which a browser marks with their origin.
//
// The server's own hosts are the address it listens on, localhost, 127.0.0.1
// and [::1], each with the port of listen. A connection that came to an address
// beyond loopback may also name any IP address, and may name the hosts above
// with any port: behind a container's published port or a forwarder the server
// does not know the address it is reached by. That gives a page nothing: its
// Host is an address only if the page itself was loaded from that address.
//
// allowed are further hosts: "name" for any port, "name:port" for one. listen
// is the address of the listener, "127.0.0.1:8000". SDKs and the AWS CLI send
// the host of the endpoint URL and no Origin: they pass.
func HostGuard(next http.Handler, listen string, allowed []string) (http.Handler, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return nil, fmt.Errorf("host guard: listening address: %w", err)
	}
	g := &hostGuard{next: next, port: port, own: map[string]bool{"localhost": true, "127.0.0.1": true, "::1": true}, allowed: map[string]bool{}}
	if host != "" {
		g.own[strings.ToLower(host)] = true
	}
	for _, a := range allowed {
		if a = strings.ToLower(strings.TrimSpace(a)); a != "" {
			g.allowed[a] = true
		}
	}
	return g, nil
}

type hostGuard struct {
	next    http.Handler
	port    string          // of the listener
	own     map[string]bool // lower-case names and addresses without brackets
	allowed map[string]bool // lower-case "name" or "name:port"
}

func (g *hostGuard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, port := splitHost(r.Host, r.TLS != nil)
	if !g.knows(host, port, r) {
		forbid(w, refusal{code: "unknown_host", detail: "The Host header does not name this server."})
		return
	}
	for _, origin := range r.Header["Origin"] {
		if !sameHost(origin, r.Host, host, port) {
			forbid(w, refusal{code: "foreign_origin", detail: "The Origin header names another site."})
			return
		}
	}
	g.next.ServeHTTP(w, r)
}

// knows reports whether a request may name this host.
func (g *hostGuard) knows(host, port string, r *http.Request) bool {
	if g.own[host] && port == g.port {
		return true
	}
	if g.allowed[host] || g.allowed[net.JoinHostPort(host, port)] {
		return true
	}
	if host == "" || !beyondLoopback(r) {
		return false
	}
	if g.own[host] {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// beyondLoopback reports whether the request's connection came to an address
// other than a loopback address.
func beyondLoopback(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && !local.IP.IsLoopback()
}

// sameHost reports whether an origin has the host and port of this Host header.
// The scheme may be either: the server may stand behind something that ends TLS.
func sameHost(origin, header, host, port string) bool {
	scheme, rest, ok := strings.Cut(origin, "://")
	if !ok || (scheme != "http" && scheme != "https") {
		return false
	}
	if strings.EqualFold(rest, header) {
		return true
	}
	h, p := splitHost(rest, scheme == "https")
	return h == host && p == port
}

// splitHost returns the host in lower case, without brackets, and the port, or
// the scheme's own port where none is named.
func splitHost(authority string, tls bool) (host, port string) {
	if host, port, err := net.SplitHostPort(authority); err == nil {
		return strings.ToLower(host), port
	}
	port = "80"
	if tls {
		port = "443"
	}
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(authority, "["), "]")), port
}

// refusal is why a request goes no further.
type refusal struct{ code, detail string }

// forbid answers with a problem document (RFC 9457).
func forbid(w http.ResponseWriter, why refusal) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusForbidden)
	_, err := fmt.Fprintf(w, `{"type":"about:blank","title":"Forbidden","status":403,"detail":%q,"code":%q}`, why.detail, why.code)
	if err != nil {
		return // the client went away: there is nobody to be told
	}
}
