package retry

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"posthorn/internal/hook"
)

// Meaning is what an endpoint's answer means for the delivery.
type Meaning int

// The meanings.
const (
	Taken  Meaning = iota // the delivery is made
	Failed                // it is tried again as the policy says
	Busy                  // likewise, and not before the answer's Retry-After
	Gone                  // the endpoint wants nothing any more: it is disabled, and the delivery dead
)

func (m Meaning) String() string { return [...]string{"taken", "failed", "busy", "gone"}[m] }

// MeaningOf says what an answer's status means. Standard Webhooks 1.0.0 has the
// rules: 2xx alone is success, redirects are failures and not followed, 410
// disables the endpoint, 429 and 503 may say when to come back. Every other
// status is a failure that may pass, the receiver's own 4xx included: its
// mistake is mended while the delivery is retried.
func MeaningOf(status int) Meaning {
	switch {
	case status >= 200 && status <= 299:
		return Taken
	case status == http.StatusGone:
		return Gone
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return Busy
	default:
		return Failed
	}
}

// Outcome sorts an answer's status for the metrics.
func Outcome(status int) hook.Outcome {
	if MeaningOf(status) == Taken {
		return hook.OutcomeSuccess
	}
	return hook.OutcomeHTTPError
}

// Reason writes a status for people: "HTTP 503: Service Unavailable", or
// "HTTP 599" where the status has no registered text. It is empty for a
// success.
func Reason(status int) string {
	if MeaningOf(status) == Taken {
		return ""
	}
	reason := "HTTP " + strconv.Itoa(status)
	if text := http.StatusText(status); text != "" {
		reason += ": " + text
	}
	return reason
}

// longestRetryAfter is how long a Retry-After is honoured at most, where the
// policy's own longest delay is shorter.
const longestRetryAfter = time.Hour

// After returns how long to wait after a failed attempt whose policy asks for
// delay and whose answer had that Retry-After (empty: none), at the moment now.
// It is the longer of the two; a Retry-After counts for no more than an hour
// or the policy's MaxDelay, whichever is longer.
func After(p Policy, delay time.Duration, retryAfter string, now time.Time) time.Duration {
	asked, ok := ParseRetryAfter(retryAfter, now)
	if !ok {
		return delay
	}
	return max(delay, min(asked, max(p.MaxDelay, longestRetryAfter)))
}

// ParseRetryAfter reads a Retry-After field (RFC 9110, section 10.2.3): a
// number of seconds, or a date, which is taken relative to now. A moment that
// has passed is 0; ok is false when the field is neither.
func ParseRetryAfter(field string, now time.Time) (wait time.Duration, ok bool) {
	field = strings.TrimSpace(field)
	if field == "" {
		return 0, false
	}
	if strings.Trim(field, "0123456789") == "" {
		seconds, err := strconv.ParseInt(field, 10, 64)
		const most = int64(1<<63-1) / int64(time.Second)
		if err != nil || seconds > most {
			seconds = most // more digits than a number has: for ever
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(field)
	if err != nil {
		return 0, false
	}
	return max(at.Sub(now), 0), true
}
