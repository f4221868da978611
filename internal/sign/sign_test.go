package sign

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/hook"
)

var (
	at   = time.Unix(1614265330, 0).UTC()
	body = []byte(`{"test": 2432232314}`)
)

const (
	eventID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	whsec   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

func headers(secrets ...hook.Secret) http.Header {
	h := http.Header{"X-Webhook-Event": {"user.created"}}
	Headers(h, secrets, eventID, at, body)
	return h
}

// forever and until are secrets without and with an end.
func forever(value string) hook.Secret { return hook.Secret{Value: value} }

func until(value string, left time.Duration) hook.Secret {
	return hook.Secret{Value: value, ExpiresAt: at.Add(left)}
}

// The vector of the Standard Webhooks libraries' own tests.
func TestTheStandardSignatureIsThePublishedOne(t *testing.T) {
	t.Parallel()
	h := headers(forever(whsec))
	require.Equal(t, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", h.Get("webhook-signature"))
	require.Equal(t, eventID, h.Get("webhook-id"))
	require.Equal(t, "1614265330", h.Get("webhook-timestamp"))
	require.Equal(t, "user.created", h.Get("X-Webhook-Event"), "the caller's own headers stay")
}

// Test case 2 of RFC 4231 for HMAC-SHA256.
func TestThePlainSignatureIsHMACOverTheBody(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	Headers(h, []hook.Secret{forever("Jefe")}, eventID, at, []byte("what do ya want for nothing?"))
	require.Equal(t, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", h.Get("X-Webhook-Signature"))
}

func TestThePlainSignatureTakesAWhsecSecretAsItIsWritten(t *testing.T) {
	t.Parallel()
	require.Equal(t, plain(whsec, body), headers(forever(whsec)).Get("X-Webhook-Signature"))
	require.NotEqual(t, plain(strings.TrimPrefix(whsec, "whsec_"), body), plain(whsec, body))
}

func TestTheStandardLibraryVerifiesWhatIsSigned(t *testing.T) {
	t.Parallel()
	for name, secret := range map[string]string{
		"whsec":                     whsec,
		"plain text":                "test-secret",
		"text that is base64":       "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
		"non-ASCII":                 "schlüssel-für-alle",
		"whsec that is no base64":   "whsec_not base64!",
		"whsec without padding":     "whsec_YWI",
		"whsec with nothing behind": "whsec_",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var verifier *standardwebhooks.Webhook
			var err error
			if name == "whsec" {
				verifier, err = standardwebhooks.NewWebhook(secret)
			} else { // its UTF-8 bytes
				verifier, err = standardwebhooks.NewWebhookRaw([]byte(secret))
			}
			require.NoError(t, err)
			h := headers(forever(secret))
			require.NoError(t, verifier.VerifyIgnoringTimestamp(body, h))
			require.Error(t, verifier.VerifyIgnoringTimestamp([]byte(`{"test": 2432232315}`), h))
		})
	}
}

// Whatever is signed, with any secrets that an endpoint can have: the library
// verifies it with each of them, and so does Verify, and with no other.
func TestTheStandardLibraryVerifiesWhateverIsSigned(t *testing.T) {
	t.Parallel()
	whsecs := rapid.Map(rapid.SliceOfN(rapid.Byte(), 24, 64), func(key []byte) string { return "whsec_" + base64.StdEncoding.EncodeToString(key) })
	texts := rapid.StringOfN(rapid.RuneFrom(nil, unicode.Letter, unicode.Digit, unicode.Punct), 8, 256, -1)
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfNDistinct(rapid.OneOf(whsecs, texts), 2, 5, rapid.ID).Draw(t, "secrets")
		other, values := values[0], values[1:]
		secrets := []hook.Secret{forever(values[0])}
		for _, value := range values[1:] {
			secrets = append(secrets, until(value, time.Hour))
		}
		id, sent := rapid.StringMatching(`[!-~]{1,40}`).Draw(t, "id"), rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		h := http.Header{}
		Headers(h, secrets, id, at, sent)
		verifies := func(value string) bool {
			library, err := standardwebhooks.NewWebhook(value)
			if !strings.HasPrefix(value, "whsec_") {
				library, err = standardwebhooks.NewWebhookRaw([]byte(value)) // its UTF-8 bytes
			}
			require.NoError(t, err)
			return library.VerifyIgnoringTimestamp(sent, h) == nil
		}
		for _, value := range values {
			require.True(t, verifies(value), "%q", value)
			require.NoError(t, Verify(h, sent, []string{value}, at).Standard, "%q", value)
		}
		require.NoError(t, Verify(h, sent, values[len(values)-1:], at).Plain, "the oldest")
		require.False(t, verifies(other), "%q", other)
		v := Verify(h, sent, []string{other}, at)
		require.ErrorIs(t, v.Standard, ErrMismatch)
		require.ErrorIs(t, v.Plain, ErrMismatch)
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		secrets  []hook.Secret // newest first
		standard []string      // which sign, in order
		plain    string
	}{
		"one secret":                      {[]hook.Secret{forever("new")}, []string{"new"}, "new"},
		"overlap: all, and the oldest":    {[]hook.Secret{forever("new"), until("old", time.Hour)}, []string{"new", "old"}, "old"},
		"three in overlap":                {[]hook.Secret{forever("c"), until("b", time.Hour), until("a", time.Minute)}, []string{"c", "b", "a"}, "a"},
		"the oldest has expired":          {[]hook.Secret{forever("c"), until("b", time.Hour), until("a", -time.Second)}, []string{"c", "b"}, "b"},
		"only the middle one has expired": {[]hook.Secret{forever("c"), until("b", -time.Hour), until("a", time.Hour)}, []string{"c", "a"}, "a"},
		"the overlap ends now":            {[]hook.Secret{forever("new"), until("old", 0)}, []string{"new"}, "new"},
		"all have expired: the newest":    {[]hook.Secret{until("new", -time.Hour), until("old", -2*time.Hour)}, []string{"new"}, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want []string
			for _, s := range tc.standard {
				want = append(want, string(appendStandard(nil, s, eventID, "1614265330", body)))
			}
			h := headers(tc.secrets...)
			require.Equal(t, strings.Join(want, " "), h.Get(HeaderStandardSignature))
			require.Equal(t, plain(tc.plain, body), h.Get(HeaderSignature))
		})
	}
}

func TestWithoutASecretNothingIsSigned(t *testing.T) {
	t.Parallel()
	h := headers()
	require.Empty(t, h.Values(HeaderSignature))
	require.Empty(t, h.Values(HeaderStandardSignature))
	require.Equal(t, eventID, h.Get(HeaderStandardID))
}

func TestNewSecretIsWhsecOf32Bytes(t *testing.T) {
	t.Parallel()
	key := bytes.Repeat([]byte{0xfb}, 32)
	got, err := NewSecret(bytes.NewReader(key))
	require.NoError(t, err)
	require.Equal(t, "whsec_"+base64.StdEncoding.EncodeToString(key), got)
	require.Equal(t, key, standardKey(got))

	_, err = NewSecret(bytes.NewReader(key[:31]))
	require.Error(t, err)
	_, err = NewSecret(iotest.ErrReader(http.ErrBodyNotAllowed))
	require.ErrorIs(t, err, http.ErrBodyNotAllowed)
}

func BenchmarkHeaders(b *testing.B) {
	secrets := []hook.Secret{forever(whsec)}
	payload := bytes.Repeat([]byte("x"), 500)
	b.ReportAllocs()
	for b.Loop() {
		Headers(make(http.Header, 12), secrets, eventID, at, payload)
	}
}
