package post

import (
	"errors"
	"net/netip"
	"slices"
	"syscall"

	"code.dny.dev/ssrf"
)

// Rules say where endpoints may be. The zero value is the strictest: https to
// public addresses on ports 443 and 8443.
type Rules struct {
	// AllowPrivate lets private, loopback and other special addresses in.
	// Link-local, multicast and metadata addresses stay refused.
	AllowPrivate bool
	AllowHTTP    bool     // plain http, on ports 80 and 8080
	AllowPorts   []uint16 // more ports, for both schemes
	AnyPort      bool     // any port at all
}

// errBlocked is why an address was not dialled. Which one it was is nobody's
// business outside.
var errBlocked = errors.New("blocked address")

// neverDialled are the addresses of the machine's own surroundings: link-local
// (the Lambda Runtime API and X-Ray among them), the metadata services of
// clouds that are not link-local, and multicast.
var neverDialled = []netip.Prefix{
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("fd00:ec2::/32"),      // EC2: metadata, DNS, time
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure, a public address
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("255.255.255.255/32"),
	netip.MustParsePrefix("ff00::/8"),
}

// public knows the special-purpose registries of IANA. Ports are checked apart.
var public = ssrf.New(ssrf.WithAnyPort())

// allowsAddr says whether addr may be dialled.
func (r Rules) allowsAddr(addr netip.Addr) bool {
	addr = addr.WithZone("").Unmap()
	inner, embedded := embeddedIPv4(addr)
	for _, prefix := range neverDialled {
		if prefix.Contains(addr) || embedded && prefix.Contains(inner) {
			return false
		}
	}
	// 0.0.0.0 and 127.0.0.1 dressed as IPv6 are outside 2000::/3 or inside a
	// prefix that public refuses as a whole.
	return r.AllowPrivate || public.SafeAddr(addr) == nil
}

// embeddedIPv4 returns the IPv4 address that an IPv6 address leads to: NAT64
// (RFC 6052, RFC 8215), 6to4 (RFC 3056), or IPv4-compatible (RFC 4291).
func embeddedIPv4(addr netip.Addr) (netip.Addr, bool) {
	if !addr.Is6() {
		return netip.Addr{}, false
	}
	b := addr.As16()
	switch {
	case nat64.Contains(addr), localNAT64.Contains(addr), ipv4Compatible.Contains(addr):
		return netip.AddrFrom4([4]byte(b[12:16])), true
	case sixToFour.Contains(addr):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	default:
		return netip.Addr{}, false
	}
}

var (
	nat64          = netip.MustParsePrefix("64:ff9b::/96")
	localNAT64     = netip.MustParsePrefix("64:ff9b:1::/48")
	ipv4Compatible = netip.MustParsePrefix("::/96")
	sixToFour      = netip.MustParsePrefix("2002::/16")
)

// allowsPort says whether port may be dialled, whatever the scheme.
func (r Rules) allowsPort(port uint16) bool {
	return r.allowsPortOf("https", port) || r.AllowHTTP && r.allowsPortOf("http", port)
}

func (r Rules) allowsPortOf(scheme string, port uint16) bool {
	if r.AnyPort || slices.Contains(r.AllowPorts, port) {
		return port != 0
	}
	if scheme == "http" {
		return port == 80 || port == 8080
	}
	return port == 443 || port == 8443
}

// control is a net.Dialer's Control: it runs after DNS, on the very address
// about to be dialled, so a name that resolves differently each time gains
// nothing.
func (r Rules) control(network, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil || network != "tcp4" && network != "tcp6" || !r.allowsPort(ap.Port()) || !r.allowsAddr(ap.Addr()) {
		return errBlocked
	}
	return nil
}
