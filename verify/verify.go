package verify

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What Verifier does where its fields are zero.
const (
	// DefaultTolerance is how far from now the time of an attempt may be. Standard
	// Webhooks leaves it to the receiver; its libraries have the same.
	DefaultTolerance = 5 * time.Minute
	// DefaultMaxBody is the largest body in bytes. Posthorn sends payloads of at
	// most 256 KB, and some bytes around them.
	DefaultMaxBody = 1 << 20
)

// Kinds of error, for errors.Is. Status says how to answer them.
var (
	// ErrNoSecret: no secret was given, or one is empty or cannot be decoded. It
	// is the receiver's own mistake.
	ErrNoSecret = errors.New("no usable secret")
	// ErrNotSigned: the request carries neither signature, or not all of its parts.
	ErrNotSigned = errors.New("the request is not signed")
	// ErrSignature: no secret makes a signature that the request carries.
	ErrSignature = errors.New("the signature does not hold")
	// ErrTimestamp: the attempt was made too long ago, or is of the future.
	ErrTimestamp = errors.New("the timestamp is outside the tolerance")
	// ErrTooLarge: the body is over the limit.
	ErrTooLarge = errors.New("the body is too large")
	// ErrBody: the body could not be read to its end.
	ErrBody = errors.New("the body could not be read")
	// ErrNotAnEvent: the signature holds, and the body is not what Posthorn sends.
	ErrNotAnEvent = errors.New("the body is not an event")
)

// Event is what a request tells of.
type Event struct {
	ID        string          `json:"id"`        // the same over all attempts: what repeats are told by
	Type      string          `json:"event"`     // such as "order.created"
	Timestamp time.Time       `json:"timestamp"` // when the event was accepted, UTC
	Data      json.RawMessage `json:"data"`      // the producer's payload, byte for byte

	DeliveryID string `json:"-"` // finds the delivery in Posthorn; not signed
	Attempt    int    `json:"-"` // the number of the attempt, from 1, 0 where it is not said; not signed
}

// Verifier checks requests. Its zero fields mean the defaults; only Secrets is
// required.
type Verifier struct {
	// Secrets are those of the endpoint: one, or two and more while it is rotated.
	// One that begins with "whsec_" is base64, as Standard Webhooks has it.
	Secrets []string
	// Tolerance is how far from now an attempt may have been made, either way.
	// Zero: DefaultTolerance. Negative: any time will do.
	Tolerance time.Duration
	// MaxBody is the largest body in bytes. Zero: DefaultMaxBody.
	MaxBody int64
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Request checks a request with the defaults and the endpoint's secret, or with
// several while it is rotated. It reads the body, and leaves it to be read again.
func Request(r *http.Request, secret ...string) (Event, error) {
	return Verifier{Secrets: secret}.Request(r)
}

// Request checks a request, and returns its event. It reads the body, and leaves
// it to be read again.
func (v Verifier) Request(r *http.Request) (Event, error) {
	most := v.MaxBody
	if most == 0 {
		most = DefaultMaxBody
	}
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(io.LimitReader(r.Body, most+1)); err != nil {
			return Event{}, fmt.Errorf("%w: %w", ErrBody, err)
		}
	}
	if int64(len(body)) > most {
		return Event{}, fmt.Errorf("%w: over %d bytes", ErrTooLarge, most)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	return v.Message(r.Header, body)
}

// Message checks a body that has been read, with the headers that it came with.
func (v Verifier) Message(header http.Header, body []byte) (Event, error) {
	if err := v.signed(header, body); err != nil {
		return Event{}, err
	}
	var e Event
	if err := json.Unmarshal(body, &e); err != nil {
		return Event{}, fmt.Errorf("%w: %w", ErrNotAnEvent, err)
	}
	if e.ID == "" || e.Type == "" || e.Data == nil {
		return Event{}, fmt.Errorf("%w: it has no id, event or data", ErrNotAnEvent)
	}
	e.DeliveryID = header.Get("X-Webhook-Delivery")
	if n, err := strconv.Atoi(header.Get("X-Webhook-Attempt")); err == nil && n > 0 {
		e.Attempt = n
	}
	return e, nil
}

// signed checks the signatures. Standard Webhooks decides where it is there:
// whoever cannot make its signature does not get further with the other one.
func (v Verifier) signed(header http.Header, body []byte) error {
	if len(v.Secrets) == 0 {
		return fmt.Errorf("%w: none was given", ErrNoSecret)
	}
	standard := header.Get("Webhook-Signature")
	plain := header.Get("X-Webhook-Signature")
	switch {
	case standard != "":
		return v.standard(header, standard, body)
	case plain != "":
		return v.plain(header, plain, body)
	}
	return fmt.Errorf("%w: neither Webhook-Signature nor X-Webhook-Signature is there", ErrNotSigned)
}

// standard checks Webhook-Signature: "v1," and the base64 of HMAC-SHA256 over
// <id>.<timestamp>.<body>, one of each secret that signs, with blanks between
// (Standard Webhooks 1.0.0).
func (v Verifier) standard(header http.Header, signatures string, body []byte) error {
	id, at := header.Get("Webhook-Id"), header.Get("Webhook-Timestamp")
	if id == "" || at == "" {
		return fmt.Errorf("%w: Webhook-Id or Webhook-Timestamp is missing", ErrNotSigned)
	}
	holds := false
	for i, secret := range v.Secrets {
		key, err := standardKey(secret)
		if err != nil {
			return fmt.Errorf("%w: secret %d: %w", ErrNoSecret, i+1, err)
		}
		want := mac(key, []byte(id), []byte("."), []byte(at), []byte("."), body)
		for signature := range strings.FieldsSeq(signatures) {
			version, encoded, _ := strings.Cut(signature, ",")
			if got, err := base64.StdEncoding.DecodeString(encoded); err == nil && version == "v1" && hmac.Equal(want, got) {
				holds = true
			}
		}
	}
	if !holds {
		return ErrSignature
	}
	return v.recent("Webhook-Timestamp", at)
}

// plain checks X-Webhook-Signature: "sha256=" and the hex of HMAC-SHA256 over the
// body. Its timestamp is not signed.
func (v Verifier) plain(header http.Header, signature string, body []byte) error {
	at := header.Get("X-Webhook-Timestamp")
	if at == "" {
		return fmt.Errorf("%w: X-Webhook-Timestamp is missing", ErrNotSigned)
	}
	encoded, ok := strings.CutPrefix(signature, "sha256=")
	got, err := hex.DecodeString(encoded)
	if !ok || err != nil {
		return ErrSignature
	}
	holds := false
	for i, secret := range v.Secrets {
		if secret == "" {
			return fmt.Errorf("%w: secret %d is empty", ErrNoSecret, i+1)
		}
		holds = hmac.Equal(mac([]byte(secret), body), got) || holds
	}
	if !holds {
		return ErrSignature
	}
	return v.recent("X-Webhook-Timestamp", at)
}

// recent checks the time of an attempt, in Unix seconds.
func (v Verifier) recent(name, at string) error {
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return fmt.Errorf("%w: %s is not a number of seconds", ErrTimestamp, name)
	}
	tolerance := v.Tolerance
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	now := time.Now
	if v.Now != nil {
		now = v.Now
	}
	// Whole seconds, which do not overflow however far the time is.
	off, most := now().Unix()-seconds, int64(tolerance/time.Second)
	if tolerance > 0 && (off > most || off < -most) {
		return fmt.Errorf("%w: %s is more than %s from now", ErrTimestamp, name, tolerance)
	}
	return nil
}

func standardKey(secret string) ([]byte, error) {
	if secret == "" {
		return nil, errors.New("it is empty")
	}
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	if !ok {
		return []byte(secret), nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) == 0 {
		return nil, errors.New(`no base64 follows "whsec_"`)
	}
	return key, nil
}

func mac(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(p)
	}
	return h.Sum(nil)
}

// Status is how to answer an error of this package: 401 to what is not signed as
// it should be, 413 and 400 to a body that will not do, and 500 to a mistake of
// the receiver's own. Posthorn tries all of them again.
func Status(err error) int {
	switch {
	case errors.Is(err, ErrNotSigned), errors.Is(err, ErrSignature), errors.Is(err, ErrTimestamp):
		return http.StatusUnauthorized
	case errors.Is(err, ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrBody), errors.Is(err, ErrNotAnEvent):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}
