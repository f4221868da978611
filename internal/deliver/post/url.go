package post

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"posthorn/internal/hook"
)

// MaxURL is the longest URL of an endpoint, in bytes.
const MaxURL = 2048

// CheckURL says whether an endpoint may be registered with this URL. An error
// is a *hook.InvalidError for the field "url", its text fit for the caller. A
// name is not looked up: where it leads is checked with every dial.
func (r Rules) CheckURL(raw string) error {
	u, err := r.parse(raw)
	if err != nil {
		return err
	}
	return r.checkHost(u.Hostname())
}

// parse checks everything but the host.
func (r Rules) parse(raw string) (*url.URL, error) {
	switch {
	case raw == "":
		return nil, invalid("must not be empty")
	case len(raw) > MaxURL:
		return nil, invalid(fmt.Sprintf("must be at most %d bytes long", MaxURL))
	case strings.ContainsFunc(raw, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '\\' || c == 0xFFFD }):
		return nil, invalid("must not contain spaces, control characters or backslashes")
	case strings.Contains(raw, "#"):
		return nil, invalid("must not have a fragment")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, invalid("is not a valid URL")
	}
	switch {
	case u.Scheme != "https" && !(u.Scheme == "http" && r.AllowHTTP):
		if r.AllowHTTP {
			return nil, invalid("must begin with https:// or http://")
		}
		return nil, invalid("must begin with https://")
	case u.User != nil:
		return nil, invalid("must not contain credentials")
	case u.Opaque != "" || u.Hostname() == "":
		return nil, invalid("must have a host")
	case strings.HasSuffix(u.Host, ":"):
		return nil, invalid("must have a port behind the colon, or no colon")
	}
	return u, r.checkPort(u)
}

func (r Rules) checkPort(u *url.URL) error {
	if u.Port() == "" {
		return nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if err != nil || port == 0 {
		return invalid("must have a port between 1 and 65535")
	}
	if !r.allowsPortOf(u.Scheme, uint16(port)) {
		return invalid(fmt.Sprintf("must not use port %d", port))
	}
	return nil
}

func (r Rules) checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		switch {
		case addr.Zone() != "":
			return invalid("must not have an IPv6 zone")
		case !r.allowsAddr(addr):
			if r.AllowPrivate {
				return invalid("must not be a link-local, multicast or metadata address")
			}
			return invalid("must be a public address")
		}
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	switch {
	case !validName(name):
		return invalid("must have a valid host name (an international one in its xn-- form)")
	case numeric(name[strings.LastIndexByte(name, '.')+1:]):
		// 127.1, 0x7f000001, 017700000001 and 2130706433 all reach 127.0.0.1
		// where a resolver reads them as inet_aton does.
		return invalid("must have an IPv4 address written as four decimal numbers")
	case !r.AllowPrivate && isLocalhost(name):
		return invalid("must be a public address")
	}
	return nil
}

func isLocalhost(name string) bool {
	switch name {
	case "localhost", "localhost.localdomain", "localhost6", "localhost6.localdomain6", "ip6-localhost", "ip6-loopback":
		return true
	}
	return strings.HasSuffix(name, ".localhost") // RFC 6761
}

// validName says whether name is made of labels of letters, digits, "-" and
// "_" (RFC 1123, and the underscore that is in use).
func validName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// numeric says whether a label reads as a number, as the last one of a host
// that is an IPv4 address does (the "ends in a number" check of the URL
// standard, https://url.spec.whatwg.org).
func numeric(label string) bool {
	digits, hex := strings.CutPrefix(label, "0x")
	if hex {
		return strings.Trim(digits, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

func invalid(reason string) error {
	return &hook.InvalidError{Field: "url", Code: "invalid_url", Reason: reason}
}
