package hook

import (
	"slices"
	"time"
)

// Status is where a delivery stands.
type Status string

// The statuses of a delivery. Queued deliveries of which nothing has been
// recorded have no row: they are known from their event.
const (
	Queued    Status = "queued"    // in the queue, not tried in this generation
	Retrying  Status = "retrying"  // failed, with attempts left
	Delivered Status = "delivered" // final: the endpoint answered 2xx
	Dead      Status = "dead"      // final: no attempts left
	Held      Status = "held"      // the endpoint is paused or disabled
	Cancelled Status = "cancelled" // final: the endpoint was deleted
)

// Final says whether nothing more happens to the delivery by itself.
func (s Status) Final() bool { return s == Delivered || s == Dead || s == Cancelled }

// Delivery is the record of one event's way to one endpoint. Its row is
// written at the first outcome.
type Delivery struct {
	Ref
	EventType string
	Status    Status

	// Which message carries the delivery; see Message. A message that records
	// an outcome writes its own Gen, Hop and MessageID.
	Gen       int
	Hop       int
	MessageID string

	Rev           int64  // one more with each write; 0: no row yet
	LastAttemptID string // of the attempt recorded last; recognises a write whose answer was lost
	// EarlierAttemptIDs are those of the few attempts recorded before it, newest
	// first: another message may have recorded in between.
	EarlierAttemptIDs []string

	Attempts      int // made so far, over all generations
	GenAttempts   int // made in this generation: what the retry policy counts
	First         Attempt
	FailureReason string // of the last failed attempt
	NextAttemptAt time.Time
	RequeuedAt    time.Time // when it was last sent again: by a retry, a replay, a release, a reconcile; zero: never
	CreatedAt     time.Time // when the event was accepted
	CompletedAt   time.Time // when Status became final; zero before
	DeadLetterID  string    // the entry that the sweeper made for this death; empty before
	ExpiresAt     time.Time
}

// maxEarlierAttempts bounds EarlierAttemptIDs: more messages than so many do not
// record between two tries of one write.
const maxEarlierAttempts = 3

// Attempted notes an attempt as the one recorded last.
func (d *Delivery) Attempted(id string) {
	if d.LastAttemptID != "" {
		earlier := append([]string{d.LastAttemptID}, d.EarlierAttemptIDs...)
		d.EarlierAttemptIDs = earlier[:min(len(earlier), maxEarlierAttempts)]
	}
	d.LastAttemptID = id
}

// Recorded says whether an attempt is among those recorded last.
func (d *Delivery) Recorded(attemptID string) bool {
	return d.LastAttemptID == attemptID || slices.Contains(d.EarlierAttemptIDs, attemptID)
}

// Outcome sorts attempts for the metrics: a small, closed set.
type Outcome string

// The outcomes of an attempt.
const (
	OutcomeSuccess    Outcome = "success"
	OutcomeHTTPError  Outcome = "http_error" // an answer other than 2xx
	OutcomeTimeout    Outcome = "timeout"
	OutcomeConnection Outcome = "connection" // refused, reset, unreachable
	OutcomeDNS        Outcome = "dns"
	OutcomeTLS        Outcome = "tls"
	OutcomeBlocked    Outcome = "blocked" // an address that may not be dialled
	OutcomeOther      Outcome = "other"
)

// Outcomes lists every outcome, in the order in which they are shown.
func Outcomes() []Outcome {
	return []Outcome{OutcomeSuccess, OutcomeHTTPError, OutcomeTimeout, OutcomeConnection, OutcomeDNS, OutcomeTLS, OutcomeBlocked, OutcomeOther}
}

// Throttle is why a delivery did not get its turn, although it was due: a small,
// closed set.
type Throttle string

// What a delivery waits for that did not get its turn.
const (
	ThrottleRateLimit   Throttle = "rate_limit"  // the endpoint's, or everybody's
	ThrottleBreaker     Throttle = "breaker"     // open, or probing
	ThrottleConcurrency Throttle = "concurrency" // one endpoint's share of a process
)

// Throttles lists every reason, in the order in which they are shown.
func Throttles() []Throttle {
	return []Throttle{ThrottleRateLimit, ThrottleBreaker, ThrottleConcurrency}
}

// Attempt is one post and what came of it.
type Attempt struct {
	ID           string // random, made before the post
	Number       int    // 1 for a delivery's first, counting on over generations
	At           time.Time
	Duration     time.Duration
	Outcome      Outcome
	StatusCode   int    // 0: no answer
	Error        string // as in failure_reason; empty on success
	ResponseBody string // the first 1 KB of the answer, as valid UTF-8
}

// DeadLetter is an entry of the dead-letter list: a delivery that ended dead,
// or a message that could not be understood.
type DeadLetter struct {
	ID            string
	Ref           // zero for an undecodable message, but for the tenant
	Gen           int
	EventType     string
	EndpointURL   string
	FailureReason string
	Attempts      int
	RawBody       string // of an undecodable message; empty otherwise
	CreatedAt     time.Time
	ExpiresAt     time.Time
}

// Replayable says whether the entry is a delivery.
func (d *DeadLetter) Replayable() bool { return d.EventID != "" }
