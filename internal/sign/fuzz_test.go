package sign

import (
	"net/http"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
)

// FuzzVerify gives the receiver any headers: it takes a signature only where the
// Standard Webhooks library does.
func FuzzVerify(f *testing.F) {
	signed := headers(forever(whsec))
	f.Add(signed.Get(HeaderStandardID), signed.Get(HeaderStandardTimestamp), signed.Get(HeaderStandardSignature), signed.Get(HeaderSignature), body)
	f.Add(eventID, "1614265330", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,", "sha256=", body)
	f.Add("", "-1", "v1a,x  ,", "sha256", []byte{})
	library, err := standardwebhooks.NewWebhook(whsec)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, id, timestamp, standard, own string, body []byte) {
		h := http.Header{}
		h.Set(HeaderStandardID, id)
		h.Set(HeaderStandardTimestamp, timestamp)
		h.Set(HeaderStandardSignature, standard)
		h.Set(HeaderSignature, own)
		v := Verify(h, body, []string{whsec}, at)
		if v.Standard == nil {
			require.NoError(t, library.VerifyIgnoringTimestamp(body, h))
		}
		require.Equal(t, own == plain(whsec, body), v.Plain == nil)
	})
}
