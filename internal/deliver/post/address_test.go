package post

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// special has one address or more of every range that is not the internet.
var special = map[string]string{
	"0.0.0.0": "this host", "0.1.2.3": "this network",
	"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private",
	"100.64.0.1": "carrier-grade NAT", "100.127.255.255": "carrier-grade NAT",
	"127.0.0.1": "loopback", "127.255.255.254": "loopback",
	"192.0.0.1": "protocol assignments", "192.0.2.1": "documentation", "198.51.100.1": "documentation", "203.0.113.1": "documentation",
	"192.88.99.1": "6to4 relay", "198.18.0.1": "benchmarking", "198.19.255.255": "benchmarking",
	"192.31.196.1": "AS112", "192.175.48.1": "AS112", "192.52.193.1": "AMT",
	"240.0.0.1": "reserved", "255.255.255.254": "reserved",
	"::": "unspecified", "::1": "loopback", "::7f00:1": "IPv4-compatible", "::ffff:127.0.0.1": "IPv4-mapped", "::ffff:10.0.0.1": "IPv4-mapped",
	"64:ff9b::7f00:1": "NAT64", "64:ff9b::808:808": "NAT64", "64:ff9b:1::1": "local NAT64",
	"100::1": "discard", "2001::1": "Teredo", "2001:2::1": "benchmarking", "2001:10::1": "ORCHID", "2001:20::1": "ORCHIDv2", "2001:db8::1": "documentation",
	"2002:7f00:1::": "6to4", "2002:808:808::": "6to4", "2620:4f:8000::1": "AS112", "3fff::1": "documentation", "3fff:fff::1": "documentation",
	"5f00::1": "segment routing", "fc00::1": "unique local", "fd12:3456::1": "unique local", "fec0::1": "site-local",
	"4000::1": "unassigned", "2001:1ff::1": "protocol assignments",
}

// surroundings are refused whatever is allowed.
var surroundings = []string{
	"169.254.169.254", "169.254.170.2", "169.254.100.1", "169.254.0.1", "::ffff:169.254.169.254",
	"fe80::1", "fe80::1%eth0", "febf::1", "fd00:ec2::254", "fd00:ec2::23", "100.100.100.200", "168.63.129.16", "192.0.0.192",
	"224.0.0.1", "239.255.255.255", "255.255.255.255", "ff02::1",
	"64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "::a9fe:a9fe",
}

var internet = []string{
	"1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
	"192.0.1.1", "198.17.255.255", "198.20.0.1", "223.255.255.254", "::ffff:8.8.8.8",
	"2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001:800::200e", "2003::1",
}

func TestOnlyTheInternetMayBeDialled(t *testing.T) {
	t.Parallel()
	strict := Rules{}
	for addr, what := range special {
		require.False(t, strict.allowsAddr(netip.MustParseAddr(addr)), "%s is %s", addr, what)
	}
	for _, addr := range surroundings {
		require.False(t, strict.allowsAddr(netip.MustParseAddr(addr)), addr)
	}
	for _, addr := range internet {
		require.True(t, strict.allowsAddr(netip.MustParseAddr(addr)), addr)
	}
}

func TestPrivateMayBeAllowedButNeverTheSurroundings(t *testing.T) {
	t.Parallel()
	open := Rules{AllowPrivate: true}
	for addr, what := range special {
		require.True(t, open.allowsAddr(netip.MustParseAddr(addr)), "%s is %s", addr, what)
	}
	for _, addr := range surroundings {
		require.False(t, open.allowsAddr(netip.MustParseAddr(addr)), addr)
	}
	for _, addr := range internet {
		require.True(t, open.allowsAddr(netip.MustParseAddr(addr)), addr)
	}
}

func TestTheDialerChecksNetworkPortAndAddress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rules    Rules
		network  string
		address  string
		accepted bool
	}{
		"https":                        {Rules{}, "tcp4", "8.8.8.8:443", true},
		"https beside":                 {Rules{}, "tcp6", "[2606:4700:4700::1111]:8443", true},
		"http":                         {Rules{}, "tcp4", "8.8.8.8:80", false},
		"http allowed":                 {Rules{AllowHTTP: true}, "tcp4", "8.8.8.8:80", true},
		"http beside allowed":          {Rules{AllowHTTP: true}, "tcp4", "8.8.8.8:8080", true},
		"another port":                 {Rules{}, "tcp4", "8.8.8.8:22", false},
		"another port, http allowed":   {Rules{AllowHTTP: true}, "tcp4", "8.8.8.8:22", false},
		"another port, allowed":        {Rules{AllowPorts: []uint16{9000}}, "tcp4", "8.8.8.8:9000", true},
		"another port than allowed":    {Rules{AllowPorts: []uint16{9000}}, "tcp4", "8.8.8.8:9001", false},
		"any port":                     {Rules{AnyPort: true}, "tcp4", "8.8.8.8:22", true},
		"any port, but not that host":  {Rules{AnyPort: true}, "tcp4", "127.0.0.1:22", false},
		"udp":                          {Rules{AnyPort: true}, "udp4", "8.8.8.8:443", false},
		"a socket":                     {Rules{AnyPort: true, AllowPrivate: true}, "unix", "/run/docker.sock", false},
		"metadata with all allowances": {Rules{AnyPort: true, AllowPrivate: true, AllowHTTP: true}, "tcp4", "169.254.169.254:80", false},
		"no address":                   {Rules{}, "tcp4", "example.com:443", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := tc.rules.control(tc.network, tc.address, nil)
			if tc.accepted {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, errBlocked)
		})
	}
}
