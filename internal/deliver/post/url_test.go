package post

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestWhichURLsMayBeRegistered(t *testing.T) {
	t.Parallel()
	var (
		strict = Rules{}
		http   = Rules{AllowHTTP: true}
		ports  = Rules{AllowPorts: []uint16{9000}}
		local  = Rules{AllowPrivate: true, AllowHTTP: true, AnyPort: true}
	)
	const (
		public       = "must be a public address"
		surroundings = "must not be a link-local, multicast or metadata address"
	)
	const badName = "must have a valid host name (an international one in its xn-- form)"
	const decimal = "must have an IPv4 address written as four decimal numbers"
	for _, tc := range []struct {
		rules Rules
		url   string
		why   string // empty: accepted
	}{
		{strict, "https://example.com", ""},
		{strict, "https://example.com/hooks?token=a%20b&x=1", ""},
		{strict, "HTTPS://Example.COM:443/", ""},
		{strict, "https://example.com:8443/", ""},
		{strict, "https://example.com./", ""},
		{strict, "https://xn--bcher-kva.example/", ""},
		{strict, "https://a_b.example.com/", ""},
		{strict, "https://8.8.8.8/", ""},
		{strict, "https://[2606:4700:4700::1111]/", ""},
		{strict, "https://[2606:4700:4700::1111]:8443/", ""},
		{strict, "https://1password.com/", ""},
		{strict, "https://intranet/", ""}, // a name; where it leads is checked when it is dialled

		{strict, "", "must not be empty"},
		{strict, "example.com", "must begin with https://"},
		{strict, "//example.com", "must begin with https://"},
		{strict, "http://example.com", "must begin with https://"},
		{http, "ftp://example.com", "must begin with https:// or http://"},
		{strict, "javascript:alert(1)", "must begin with https://"},
		{strict, "https:", "must have a host"},
		{strict, "https:example.com", "must have a host"},
		{strict, "https://", "must have a host"},
		{strict, "https:///path", "must have a host"},
		{strict, "https://:443/", "must have a host"},
		{strict, "https://user@example.com", "must not contain credentials"},
		{strict, "https://user:secret@example.com", "must not contain credentials"},
		{strict, "https://@example.com", "must not contain credentials"},
		{strict, "https://example.com#part", "must not have a fragment"},
		{strict, "https://example.com#", "must not have a fragment"},
		{strict, " https://example.com", "must not contain spaces, control characters or backslashes"},
		{strict, "https://example.com/a b", "must not contain spaces, control characters or backslashes"},
		{strict, "https://example.com/\r\nHost:x", "must not contain spaces, control characters or backslashes"},
		{strict, "https://example.com/\x00", "must not contain spaces, control characters or backslashes"},
		{strict, "https://example.com\\@10.0.0.1/", "must not contain spaces, control characters or backslashes"},
		{strict, "https://example.com/%zz", "is not a valid URL"},
		{strict, "https://[::1", "is not a valid URL"},
		{strict, "https://" + strings.Repeat("a", 2041), "must be at most 2048 bytes long"},
		{strict, "https://exämple.com/", badName},
		{strict, "https://exa%6Dple.com/", "is not a valid URL"},
		{strict, "https://example..com/", badName},
		{strict, "https://-a.com/", badName},
		{strict, "https://a-.com/", badName},
		{strict, "https://.example.com/", badName},
		{strict, "https://" + strings.Repeat("a", 64) + ".com/", badName},
		{strict, "https://" + strings.Repeat("a.", 127) + "com/", badName},
		{strict, "https://example.com!/", badName},

		{strict, "https://example.com:/", "must have a port behind the colon, or no colon"},
		{strict, "https://example.com:80/", "must not use port 80"},
		{strict, "https://example.com:22/", "must not use port 22"},
		{strict, "https://example.com:0/", "must have a port between 1 and 65535"},
		{strict, "https://example.com:65536/", "must have a port between 1 and 65535"},
		{strict, "https://example.com:x/", "is not a valid URL"},
		{ports, "https://example.com:9000/", ""},
		{ports, "https://example.com:443/", ""},
		{ports, "https://example.com:9001/", "must not use port 9001"},
		{http, "http://example.com/", ""},
		{http, "http://example.com:80/", ""},
		{http, "http://example.com:8080/", ""},
		{http, "http://example.com:443/", "must not use port 443"},
		{http, "https://example.com:8080/", "must not use port 8080"},

		{strict, "https://127.0.0.1/", public},
		{strict, "https://10.1.2.3/", public},
		{strict, "https://169.254.169.254/latest/meta-data", public},
		{strict, "https://[::1]/", public},
		{strict, "https://[::ffff:127.0.0.1]/", public},
		{strict, "https://[fd00:ec2::254]/", public},
		{strict, "https://0.0.0.0/", public},
		{strict, "https://localhost/", public},
		{strict, "https://LOCALHOST./", public},
		{strict, "https://a.localhost/", public},
		{strict, "https://localhost.localdomain/", public},
		{strict, "https://ip6-localhost/", public},
		{strict, "https://%6cocalhost/", "is not a valid URL"},
		{strict, "https://%31%32%37.0.0.1/", "is not a valid URL"},
		{strict, "https://notlocalhost/", ""},

		{strict, "https://2130706433/", decimal},
		{strict, "https://0x7f000001/", decimal},
		{strict, "https://0X7F.0.0.1/", decimal},
		{strict, "https://017700000001/", decimal},
		{strict, "https://0177.0.0.1/", decimal},
		{strict, "https://127.1/", decimal},
		{strict, "https://127.0.0.1./", decimal},
		{strict, "https://127.0.0.0x1/", decimal},
		{strict, "https://1.2.3.4.5/", decimal},
		{strict, "https://256.256.256.256/", decimal},
		{local, "http://2130706433/", decimal},
		{strict, "https://[2606:4700:4700::1111%25eth0]/", "must not have an IPv6 zone"},

		{local, "http://localhost:8000/test/webhook", ""},
		{local, "http://127.0.0.1:39123/hook", ""},
		{local, "http://[::1]:8080/", ""},
		{local, "https://10.0.0.7:22/", ""},
		{local, "http://host.docker.internal:3000/", ""},
		{local, "http://169.254.169.254/latest/meta-data", surroundings},
		{local, "http://[fe80::1]/", surroundings},
		{local, "http://[fd00:ec2::254]/", surroundings},
		{local, "http://localhost:0/", "must have a port between 1 and 65535"},
	} {
		err := tc.rules.CheckURL(tc.url)
		if tc.why == "" {
			require.NoError(t, err, tc.url)
			continue
		}
		var invalid *hook.InvalidError
		require.ErrorAs(t, err, &invalid, tc.url)
		require.Equal(t, "url", invalid.Field)
		require.Equal(t, tc.why, invalid.Reason, tc.url)
	}
}

func TestTheLongestURLIsAccepted(t *testing.T) {
	t.Parallel()
	const start = "https://example.com/"
	require.NoError(t, Rules{}.CheckURL(start+strings.Repeat("a", MaxURL-len(start))))
	require.Error(t, Rules{}.CheckURL(start+strings.Repeat("a", MaxURL-len(start)+1)))
}

// Whatever passes is an absolute URL whose host the dialer sees as it was checked.
func FuzzCheckURL(f *testing.F) {
	for _, s := range []string{"https://example.com/a?b=c", "https://127.0.0.1", "https://[::1]:443/", "https://user@h", "https://0x7f.1/", "https://%31/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		if (Rules{}).CheckURL(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		require.NoError(t, err)
		require.Equal(t, "https", u.Scheme)
		require.NotEmpty(t, u.Hostname())
		require.Nil(t, u.User)
		require.Empty(t, u.Fragment)
		require.NotEqual(t, "localhost", strings.ToLower(u.Hostname()))
		require.LessOrEqual(t, len(raw), MaxURL)
	})
}
