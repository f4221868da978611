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
	"strconv"
	"strings"
	"time"

	"posthorn/internal/hook"
)

// The headers, in the form in which http.Header keeps them.
const (
	HeaderSignature         = "X-Webhook-Signature"
	HeaderTimestamp         = "X-Webhook-Timestamp"
	HeaderStandardID        = "Webhook-Id"
	HeaderStandardTimestamp = "Webhook-Timestamp"
	HeaderStandardSignature = "Webhook-Signature"
)

const (
	secretPrefix = "whsec_"
	hexPrefix    = "sha256="
	v1Prefix     = "v1,"
)

// Content is what is signed.
type Content struct {
	EventID string    // the webhook-id: the same over all attempts
	At      time.Time // of the attempt; its whole seconds are signed
	Body    []byte
}

// Headers returns the five headers of an attempt; callers add their own to
// them. secrets are an endpoint's, newest first; those that have expired at
// c.At do not sign, unless all have: then the newest does, since an unsigned
// request helps nobody. Without any secret there are no signatures.
func Headers(c Content, secrets []hook.Secret) http.Header {
	var stamp [20]byte
	ts := string(strconv.AppendInt(stamp[:0], c.At.Unix(), 10))
	h := make(http.Header, 12) // room for the caller's own
	h[HeaderTimestamp] = []string{ts}
	h[HeaderStandardID] = []string{c.EventID}
	h[HeaderStandardTimestamp] = []string{ts}

	var signatures []byte
	oldest := ""
	for i := range secrets {
		if !live(secrets[i], c.At) {
			continue
		}
		oldest = secrets[i].Value
		signatures = appendStandard(signatures, oldest, c.EventID, ts, c.Body)
	}
	if oldest == "" && len(secrets) > 0 {
		oldest = secrets[0].Value
		signatures = appendStandard(signatures, oldest, c.EventID, ts, c.Body)
	}
	if oldest != "" {
		h[HeaderStandardSignature] = []string{string(signatures)}
		h[HeaderSignature] = []string{plain(oldest, c.Body)}
	}
	return h
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
