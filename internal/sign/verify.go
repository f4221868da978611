package sign

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how far webhook-timestamp may be from the receiver's clock,
// either way.
const Tolerance = 5 * time.Minute

// What can be wrong with a signature.
var (
	// ErrUnsigned: the scheme's headers are not there.
	ErrUnsigned = errors.New("not signed")
	// ErrMismatch: no secret makes that signature.
	ErrMismatch = errors.New("signature does not match")
	// ErrTimestamp: the timestamp is no number, or further off than Tolerance.
	ErrTimestamp = errors.New("timestamp is outside the tolerance")
)

// Verdict is what Verify found: for each scheme nil or what is wrong with it.
type Verdict struct {
	Plain    error // X-Webhook-Signature
	Standard error // Standard Webhooks
}

// Valid says whether at least one scheme's signature holds: a receiver needs
// only one.
func (v Verdict) Valid() bool { return v.Plain == nil || v.Standard == nil }

// Verify checks the signatures of a request as its receiver would, against
// every secret the receiver takes, in constant time. X-Webhook-Signature does
// not sign the time, so only the Standard Webhooks scheme checks it.
func Verify(h http.Header, body []byte, secrets []string, now time.Time) Verdict {
	return Verdict{Plain: verifyPlain(h, body, secrets), Standard: verifyStandard(h, body, secrets, now)}
}

func verifyPlain(h http.Header, body []byte, secrets []string) error {
	got := h.Get(HeaderSignature)
	if got == "" {
		return ErrUnsigned
	}
	for _, secret := range secrets {
		if hmac.Equal([]byte(got), []byte(plain(secret, body))) {
			return nil
		}
	}
	return ErrMismatch
}

func verifyStandard(h http.Header, body []byte, secrets []string, now time.Time) error {
	id, stamp, signatures := h.Get(HeaderStandardID), h.Get(HeaderStandardTimestamp), h.Get(HeaderStandardSignature)
	if id == "" || stamp == "" || signatures == "" {
		return ErrUnsigned
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: it is no number", ErrTimestamp)
	}
	if now.Sub(time.Unix(seconds, 0)).Abs() > Tolerance {
		return ErrTimestamp
	}
	for _, secret := range secrets {
		want := appendStandard(nil, secret, id, stamp, body)
		for got := range strings.SplitSeq(signatures, " ") {
			if hmac.Equal([]byte(got), want) {
				return nil
			}
		}
	}
	return ErrMismatch
}
