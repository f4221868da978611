package sign

import (
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	change := func(header, value string) func(http.Header) {
		return func(h http.Header) { h.Set(header, value) }
	}
	remove := func(header string) func(http.Header) {
		return func(h http.Header) { h.Del(header) }
	}
	both := []hook.Secret{forever("new-secret"), until("old-secret", time.Hour)}
	for name, tc := range map[string]struct {
		secrets  []hook.Secret
		takes    []string
		change   func(http.Header)
		body     string
		late     time.Duration
		plain    error
		standard error
	}{
		"as signed":                        {},
		"whsec":                            {secrets: []hook.Secret{forever(whsec)}, takes: []string{whsec}},
		"the receiver knows two":           {takes: []string{"another", "test-secret"}},
		"the receiver knows none":          {takes: []string{}, plain: ErrMismatch, standard: ErrMismatch},
		"wrong secret":                     {takes: []string{"another"}, plain: ErrMismatch, standard: ErrMismatch},
		"rotating, the receiver has old":   {secrets: both, takes: []string{"old-secret"}},
		"rotating, the receiver has new":   {secrets: both, takes: []string{"new-secret"}, plain: ErrMismatch},
		"another body":                     {body: `{}`, plain: ErrMismatch, standard: ErrMismatch},
		"another id":                       {change: change("webhook-id", "evt_2"), standard: ErrMismatch},
		"another timestamp":                {change: change("webhook-timestamp", "1614265331"), standard: ErrMismatch},
		"timestamp is no number":           {change: change("webhook-timestamp", "today"), standard: ErrTimestamp},
		"five minutes late":                {late: Tolerance},
		"more than five minutes late":      {late: Tolerance + time.Second, standard: ErrTimestamp},
		"more than five minutes early":     {late: -Tolerance - time.Second, standard: ErrTimestamp},
		"no id":                            {change: remove("webhook-id"), standard: ErrUnsigned},
		"no timestamp":                     {change: remove("webhook-timestamp"), standard: ErrUnsigned},
		"no standard signature":            {change: remove("webhook-signature"), standard: ErrUnsigned},
		"no plain signature":               {change: remove("x-webhook-signature"), plain: ErrUnsigned},
		"a signature of another version":   {change: change("webhook-signature", "v1a,abc v2,g0hM"), standard: ErrMismatch},
		"an empty standard signature":      {change: change("webhook-signature", "v1,"), standard: ErrMismatch},
		"hex in capitals":                  {change: change("x-webhook-signature", "sha256=ABCD"), plain: ErrMismatch},
		"an empty plain signature":         {change: change("x-webhook-signature", "sha256="), plain: ErrMismatch},
		"a timestamp that overflows dates": {change: change("webhook-timestamp", "9223372036854775807"), standard: ErrTimestamp},
		"a timestamp far in the past":      {change: change("webhook-timestamp", "-9223372036854775808"), standard: ErrTimestamp},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.secrets == nil {
				tc.secrets = []hook.Secret{forever("test-secret")}
			}
			if tc.takes == nil {
				tc.takes = []string{"test-secret"}
			}
			h := headers(tc.secrets...)
			if tc.change != nil {
				tc.change(h)
			}
			received := body
			if tc.body != "" {
				received = []byte(tc.body)
			}
			v := Verify(h, received, tc.takes, at.Add(tc.late))
			require.ErrorIs(t, v.Plain, tc.plain)
			require.ErrorIs(t, v.Standard, tc.standard)
			require.Equal(t, tc.plain == nil || tc.standard == nil, v.Valid())
		})
	}
}

// The vectors of the Standard Webhooks libraries' own tests, which are the same
// in all their languages.
func TestThePublishedVectorsAreVerified(t *testing.T) {
	t.Parallel()
	const (
		valid = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
		other = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
		v2    = "v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
	)
	for name, tc := range map[string]struct {
		signature string
		want      error
	}{
		"the signature":                  {valid, nil},
		"one of several":                 {strings.Join([]string{other, v2, valid, other}, " "), nil},
		"none of several":                {strings.Join([]string{other, v2, other}, " "), ErrMismatch},
		"another signature":              {other, ErrMismatch},
		"one character differs":          {"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=", ErrMismatch},
		"a part of the signature":        {valid[:10], ErrMismatch},
		"the version alone":              {"v1,", ErrMismatch},
		"the signature without version":  {strings.TrimPrefix(valid, "v1,"), ErrMismatch},
		"the signature as one of v2":     {"v2" + strings.TrimPrefix(valid, "v1"), ErrMismatch},
		"what is no signature in base64": {"v1,invalid_signature", ErrMismatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{"Webhook-Id": {eventID}, "Webhook-Timestamp": {"1614265330"}, "Webhook-Signature": {tc.signature}}
			require.ErrorIs(t, Verify(h, body, []string{whsec}, at).Standard, tc.want)
			library, err := standardwebhooks.NewWebhook(whsec)
			require.NoError(t, err)
			require.Equal(t, tc.want == nil, library.VerifyIgnoringTimestamp(body, h) == nil, "the library says the same")
		})
	}
}
