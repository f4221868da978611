// Package sign signs what endpoints are sent, in two schemes at once:
//
//   - X-Webhook-Signature: sha256=<hex HMAC-SHA256 of the body>, keyed with the
//     secret's UTF-8 bytes.
//   - Standard Webhooks 1.0.0 (https://www.standardwebhooks.com): webhook-id,
//     webhook-timestamp and webhook-signature, which is one
//     v1,<base64 HMAC-SHA256 of "{id}.{timestamp}.{body}"> for each secret. The
//     key is what the base64 of a "whsec_" secret decodes to; of any other
//     secret, and of one that does not decode, its UTF-8 bytes.
//
// While a rotation overlaps, webhook-signature carries every live secret's
// signature, and the single-valued X-Webhook-Signature stays with the oldest
// until its overlap ends: a receiver that accepts either loses nothing.
package sign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"posthorn/internal/hook"
)

// The headers, in the form in which http.Header keeps them.
const (
	HeaderSignature         = "X-Webhook-Signature"
	HeaderStandardID        = "Webhook-Id"
	HeaderStandardTimestamp = "Webhook-Timestamp"
	HeaderStandardSignature = "Webhook-Signature"
)

const (
	secretPrefix = "whsec_"
	hexPrefix    = "sha256="
	v1Prefix     = "v1,"
)

// Headers sets on h the signature headers of an attempt made at the moment at
// to send body, for the event whose id stays the same over all attempts.
// secrets are an endpoint's, newest first; those that have expired by then do
// not sign, unless all have: then the newest does, since an unsigned request
// helps nobody. Without any secret there are no signatures.
func Headers(h http.Header, secrets []hook.Secret, eventID string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	h[HeaderStandardID] = []string{eventID}
	h[HeaderStandardTimestamp] = []string{timestamp}

	var standard []byte
	oldest := -1
	for i := range secrets {
		if live(secrets[i], at) || i == 0 && noneLive(secrets, at) {
			oldest = i
			standard = appendStandard(standard, secrets[i].Value, eventID, timestamp, body)
		}
	}
	if oldest >= 0 {
		h[HeaderStandardSignature] = []string{string(standard)}
		h[HeaderSignature] = []string{plain(secrets[oldest].Value, body)}
	}
}

// NewSecret makes a secret: "whsec_" and the base64 of 32 bytes from rand.
func NewSecret(rand io.Reader) (string, error) {
	var key [32]byte
	if _, err := io.ReadFull(rand, key[:]); err != nil {
		return "", fmt.Errorf("make secret: %w", err)
	}
	return secretPrefix + base64.StdEncoding.EncodeToString(key[:]), nil
}

func live(s hook.Secret, at time.Time) bool { return s.ExpiresAt.IsZero() || s.ExpiresAt.After(at) }

func noneLive(secrets []hook.Secret, at time.Time) bool {
	return !slices.ContainsFunc(secrets, func(s hook.Secret) bool { return live(s, at) })
}

// plain returns the value of X-Webhook-Signature.
func plain(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body) // a hash never fails
	var sum [sha256.Size]byte
	var text [len(hexPrefix) + 2*sha256.Size]byte
	return string(hex.AppendEncode(append(text[:0], hexPrefix...), mac.Sum(sum[:0])))
}

// appendStandard appends one signature of webhook-signature to b.
func appendStandard(b []byte, secret, eventID, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, standardKey(secret))
	head := make([]byte, 0, 64)
	head = append(head, eventID...)
	head = append(head, '.')
	head = append(head, timestamp...)
	head = append(head, '.')
	mac.Write(head)
	mac.Write(body)
	var sum [sha256.Size]byte
	if len(b) > 0 {
		b = append(b, ' ')
	}
	b = append(b, v1Prefix...)
	return base64.StdEncoding.AppendEncode(b, mac.Sum(sum[:0]))
}

func standardKey(secret string) []byte {
	if encoded, ok := strings.CutPrefix(secret, secretPrefix); ok && encoded != "" {
		if key, err := base64.StdEncoding.DecodeString(encoded); err == nil {
			return key
		}
	}
	return []byte(secret)
}
