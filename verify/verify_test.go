package verify_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
	"posthorn/internal/sign"
	"posthorn/verify"
)

const (
	secret = "whsec_2UzI1GTUbrrXrgljTvJQl0lIyBC72dhsHCwR6qrzpMc="
	other  = "another-secret"
	id     = "evt_01M87K1Z80JKZK34SJK66W381Y"
	body   = `{"id":"evt_01M87K1Z80JKZK34SJK66W381Y","event":"order.created","timestamp":"2026-11-24T20:13:18.464Z","data":{"order": 1001}}`
)

var at = time.Unix(1795551198, 0)

// header is what Posthorn signs a delivery with: the oldest secret comes last,
// and signs X-Webhook-Signature.
func header(secrets ...string) http.Header {
	h := http.Header{"X-Webhook-Delivery": {"dlv_x"}, "X-Webhook-Attempt": {"2"}, "X-Webhook-Timestamp": {"1795551198"}}
	var all []hook.Secret
	for _, text := range secrets {
		all = append(all, hook.Secret{Value: text})
	}
	sign.Headers(h, all, id, at, []byte(body))
	return h
}

func changed(h http.Header, pairs ...string) http.Header {
	h = h.Clone()
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			h.Del(pairs[i])
		}
	}
	return h
}

const standard, plain = "Webhook-Signature", "X-Webhook-Signature"

func TestWhatIsSignedIsTakenAndNothingElse(t *testing.T) {
	t.Parallel()
	signed := header(secret)
	for name, tc := range map[string]struct {
		header  http.Header
		body    string
		secrets []string
		now     time.Duration
		want    error // nil: it is taken
	}{
		"both":                               {header: signed},
		"Standard Webhooks alone":            {header: changed(signed, plain, "")},
		"X-Webhook-Signature alone":          {header: changed(signed, standard, "")},
		"a secret that is no whsec_":         {header: header(other), secrets: []string{other}},
		"the old secret of a rotation":       {header: header("newer-secret", secret)},
		"the new secret of a rotation":       {header: header(secret, other)},
		"two secrets, the first signs":       {header: signed, secrets: []string{secret, other}},
		"two secrets, the second signs":      {header: signed, secrets: []string{other, secret}},
		"two secrets, X-Webhook-Signature":   {header: changed(signed, standard, ""), secrets: []string{other, secret}},
		"a signature of a later version too": {header: changed(signed, standard, "v2,AAAA "+signed.Get(standard))},
		"as late as may be":                  {header: signed, now: 5 * time.Minute},
		"as early as may be":                 {header: signed, now: -5 * time.Minute},

		"another body": {header: signed, body: strings.Replace(body, "1001", "1002", 1), want: verify.ErrSignature},
		"another body, X-Webhook-Signature alone": {header: changed(signed, standard, ""), body: body + " ", want: verify.ErrSignature},
		"another secret":                       {header: signed, secrets: []string{other}, want: verify.ErrSignature},
		"another id":                           {header: changed(signed, "Webhook-Id", "evt_x"), want: verify.ErrSignature},
		"another time":                         {header: changed(signed, "Webhook-Timestamp", "1795551199"), want: verify.ErrSignature},
		"a broken one beside one that holds":   {header: changed(signed, standard, "v1,AAAA"), want: verify.ErrSignature},
		"another version alone":                {header: changed(signed, standard, strings.Replace(signed.Get(standard), "v1,", "v1a,", 1)), want: verify.ErrSignature},
		"not hex":                              {header: changed(signed, standard, "", plain, "sha256=xyz"), want: verify.ErrSignature},
		"another hash":                         {header: changed(signed, standard, "", plain, "sha1=00"), want: verify.ErrSignature},
		"half of it":                           {header: changed(signed, standard, "", plain, signed.Get(plain)[:20]), want: verify.ErrSignature},
		"nothing":                              {header: changed(signed, standard, "", plain, ""), want: verify.ErrNotSigned},
		"no id":                                {header: changed(signed, "Webhook-Id", ""), want: verify.ErrNotSigned},
		"no time":                              {header: changed(signed, "Webhook-Timestamp", ""), want: verify.ErrNotSigned},
		"no time, X-Webhook-Signature alone":   {header: changed(signed, standard, "", "X-Webhook-Timestamp", ""), want: verify.ErrNotSigned},
		"too late":                             {header: signed, now: 5*time.Minute + time.Second, want: verify.ErrTimestamp},
		"too early":                            {header: signed, now: -5*time.Minute - time.Second, want: verify.ErrTimestamp},
		"too late, X-Webhook-Signature alone":  {header: changed(signed, standard, ""), now: time.Hour, want: verify.ErrTimestamp},
		"a time that is none":                  {header: changed(signed, standard, "", "X-Webhook-Timestamp", "now"), want: verify.ErrTimestamp},
		"a time at the end of time":            {header: changed(signed, standard, "", "X-Webhook-Timestamp", "-9223372036854775808"), want: verify.ErrTimestamp},
		"no secret":                            {header: signed, secrets: []string{}, want: verify.ErrNoSecret},
		"an empty secret":                      {header: signed, secrets: []string{secret, ""}, want: verify.ErrNoSecret},
		"an empty secret, X-Webhook-Signature": {header: changed(signed, standard, ""), secrets: []string{""}, want: verify.ErrNoSecret},
		"a secret that is no base64":           {header: signed, secrets: []string{"whsec_?"}, want: verify.ErrNoSecret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.body == "" {
				tc.body = body
			}
			if tc.secrets == nil {
				tc.secrets = []string{secret}
			}
			v := verify.Verifier{Secrets: tc.secrets, Now: func() time.Time { return at.Add(tc.now) }}
			r := httptest.NewRequest("POST", "/hook", strings.NewReader(tc.body))
			r.Header = tc.header
			event, err := v.Request(r)
			require.ErrorIs(t, err, tc.want)
			if tc.want != nil {
				require.Zero(t, event)
				require.NotContains(t, err.Error(), secret)
				return
			}
			require.Equal(t, verify.Event{
				ID: id, Type: "order.created", Timestamp: time.Date(2026, 11, 24, 20, 13, 18, 464_000_000, time.UTC), Data: []byte(`{"order": 1001}`),
				DeliveryID: "dlv_x", Attempt: 2,
			}, event)
		})
	}
}

func TestTheToleranceIsTheReceivers(t *testing.T) {
	t.Parallel()
	for tolerance, most := range map[time.Duration]time.Duration{time.Second: time.Second, time.Hour: time.Hour, -1: 1000 * time.Hour} {
		for _, off := range []time.Duration{most, -most} {
			v := verify.Verifier{Secrets: []string{secret}, Tolerance: tolerance, Now: func() time.Time { return at.Add(off) }}
			_, err := v.Message(header(secret), []byte(body))
			require.NoError(t, err)
			if tolerance < 0 {
				continue
			}
			v.Now = func() time.Time { return at.Add(off + off/1000 + off/most*time.Second) }
			_, err = v.Message(header(secret), []byte(body))
			require.ErrorIs(t, err, verify.ErrTimestamp)
		}
	}
}

func TestABodyIsReadWithinItsLimit(t *testing.T) {
	t.Parallel()
	v := verify.Verifier{Secrets: []string{secret}, Now: func() time.Time { return at }, MaxBody: int64(len(body))}
	request := func() *http.Request {
		r := httptest.NewRequest("POST", "/hook", strings.NewReader(body))
		r.Header = header(secret)
		return r
	}
	r := request()
	_, err := v.Request(r)
	require.NoError(t, err)
	_, err = v.Request(r)
	require.NoError(t, err, "the body can be read again")

	v.MaxBody--
	_, err = v.Request(request())
	require.ErrorIs(t, err, verify.ErrTooLarge)
	require.Equal(t, http.StatusRequestEntityTooLarge, verify.Status(err))

	r = request()
	r.Body = readCloser{iotest.ErrReader(http.ErrBodyReadAfterClose)}
	_, err = v.Request(r)
	require.ErrorIs(t, err, verify.ErrBody)
	require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
	require.Equal(t, http.StatusBadRequest, verify.Status(err))

	r = request()
	r.Body = nil
	_, err = v.Request(r)
	require.ErrorIs(t, err, verify.ErrSignature)
	require.Equal(t, http.StatusUnauthorized, verify.Status(err))
}

func TestWhatIsSignedHasToBeAnEvent(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "x", "[]", `"x"`, "{}", `{"id":"e","event":"a"}`, `{"id":"e","data":{}}`, `{"id":1,"event":"a","data":{}}`, `{"id":"e","event":"a","timestamp":"soon","data":{}}`} {
		h := http.Header{}
		sign.Headers(h, []hook.Secret{{Value: secret}}, id, at, []byte(text))
		v := verify.Verifier{Secrets: []string{secret}, Now: func() time.Time { return at }}
		_, err := v.Message(h, []byte(text))
		require.ErrorIs(t, err, verify.ErrNotAnEvent, text)
		require.Equal(t, http.StatusBadRequest, verify.Status(err))
	}
}

func TestAMistakeOfTheReceiversOwnIsNoFaultOfTheSender(t *testing.T) {
	t.Parallel()
	_, err := verify.Request(httptest.NewRequest("POST", "/hook", nil))
	require.ErrorIs(t, err, verify.ErrNoSecret)
	require.Equal(t, http.StatusInternalServerError, verify.Status(err))
}

// FuzzMessage: nothing that is not signed is taken, whatever it looks like, and
// nothing makes it fail otherwise than with an error.
func FuzzMessage(f *testing.F) {
	h := header(secret)
	f.Add(h.Get(standard), h.Get(plain), h.Get("Webhook-Id"), h.Get("Webhook-Timestamp"), []byte(body+" "))
	f.Add("", "sha256=00", "", "1", []byte(body))
	f.Add("v1, v1,= ,", "", "x", "-9223372036854775808", []byte{})
	f.Fuzz(func(t *testing.T, standardValue, plainValue, eventID, stamp string, b []byte) {
		h := http.Header{standard: {standardValue}, plain: {plainValue}, "Webhook-Id": {eventID}, "Webhook-Timestamp": {stamp}, "X-Webhook-Timestamp": {stamp}}
		v := verify.Verifier{Secrets: []string{"a secret that nobody signs with"}}
		_, err := v.Message(h, b)
		require.Error(t, err)
	})
}

// readCloser is a body that cannot be read.
type readCloser struct{ reader }

type reader interface{ Read(p []byte) (int, error) }

func (readCloser) Close() error { return nil }
