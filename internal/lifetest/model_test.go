package lifetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/hook"
)

// life is what the model knows of one delivery.
type life struct {
	w        *world
	ref      hook.Ref
	row      *hook.Delivery // as it was last seen; nil: none
	posts    map[string]*posted
	promised int // the generation that somebody was told it would have
	newest   int // the latest generation of which there was a message
	allowed  int // attempts in a generation
}

// posted is one request that arrived at the endpoint. The endpoint answers with
// its name, by which the attempt in the row is known.
type posted struct {
	gen     int
	success bool
	records int // attempts in the row that name it
}

// sent learns that a message of the delivery is in a queue.
func (l *life) sent(m *hook.Message) { l.newest = max(l.newest, m.Gen) }

// count counts the posts of a generation that a test lets through.
func (l *life) count(gen int, counts func(*posted) bool) (n int) {
	for _, p := range l.posts {
		if p.gen == gen && counts(p) {
			n++
		}
	}
	return n
}

func all(*posted) bool        { return true }
func failures(p *posted) bool { return !p.success }

// wrong says what forbids a process to post message m, which the queue calls
// id; empty: nothing. What counts is what could be known when it began: what
// has happened since, it may have seen or not.
func (l *life) wrong(p *process, m *hook.Message, id string) string {
	row := p.rows[l.ref]
	switch {
	case p.inactive[l.ref.EndpointID] != none:
		return "the endpoint had been answered to be paused or gone"
	case m.NotBefore.Sub(p.now()) > time.Second:
		return "the message says that it is too early"
	case row == nil || row.Gen < m.Gen:
		return ""
	case row.Gen > m.Gen:
		return fmt.Sprintf("the row was in generation %d", row.Gen)
	case row.Status.Final():
		return "it was " + string(row.Status)
	case row.Hop > m.Hop:
		return fmt.Sprintf("the row was at hop %d", row.Hop)
	case row.Hop == m.Hop && row.Status == hook.Held:
		return "it was held"
	case row.Hop == m.Hop && row.MessageID != "" && row.MessageID != id:
		return "the row named message " + row.MessageID
	case row.Status == hook.Retrying && row.NextAttemptAt.Sub(p.now()) > time.Second:
		return "the row says that it is too early"
	}
	return ""
}

// post learns of a post, and returns what the endpoint calls it.
func (w *world) post(p *process, ref hook.Ref, success bool) string {
	l := w.lives[ref]
	var gen int
	var wrong []string
	allowed := false
	for _, r := range p.batch {
		parcel, err := hook.Decode([]byte(r.Raw))
		if err != nil || parcel.Delivery == nil || parcel.Delivery.Ref != ref {
			continue
		}
		m := parcel.Delivery
		gen = m.Gen
		why := l.wrong(p, m, r.MessageID)
		wrong = append(wrong, fmt.Sprintf("%s (gen %d hop %d): %s", r.MessageID, m.Gen, m.Hop, why))
		allowed = allowed || why == ""
	}
	if !allowed {
		w.violations = append(w.violations, fmt.Sprintf("process %d posted %s: %s", p.number, w.letter(ref), strings.Join(wrong, ", ")))
	}
	name := fmt.Sprint("post ", len(l.posts)+1)
	l.posts[name] = &posted{gen: gen, success: success}
	return name
}

// moves checks a change of the row.
func (l *life) moves(t *rapid.T, next *hook.Delivery, newest *hook.Attempt) {
	prev := l.row
	if next == nil {
		require.True(t, prev == nil || !prev.ExpiresAt.IsZero() && !prev.ExpiresAt.After(time.Now()), "the row is gone before its time")
		return
	}
	if prev == nil {
		prev = &hook.Delivery{}
	}
	require.Equal(t, prev.Rev+1, next.Rev, "one write at a time")
	require.GreaterOrEqual(t, next.Gen, prev.Gen, "generations go up")
	if next.Gen == prev.Gen && prev.Rev > 0 {
		if prev.Status.Final() {
			same := next.Status == prev.Status && next.Attempts == prev.Attempts && next.DeadLetterID != prev.DeadLetterID
			late := prev.Status == hook.Dead && next.Status == hook.Delivered
			require.True(t, prev.Status == hook.Dead && same || late, "%s after %s", next.Status, prev.Status)
		}
		if !next.Status.Final() {
			require.GreaterOrEqual(t, next.Hop, prev.Hop, "hops go up")
		}
	}
	l.w.note("%s rev %d: %s gen %d hop %d of %s, %d attempts, %d in the generation, next at %s, entry %q",
		l.w.letter(l.ref), next.Rev, next.Status, next.Gen, next.Hop, next.MessageID, next.Attempts, next.GenAttempts, next.NextAttemptAt.Format(time.TimeOnly), next.DeadLetterID)
	l.attempted(t, prev, next, newest)
	l.may(t, prev, next)
}

// attempted checks what a change says of attempts.
func (l *life) attempted(t *rapid.T, prev, next *hook.Delivery, newest *hook.Attempt) {
	if next.Attempts == prev.Attempts {
		return
	}
	require.Equal(t, prev.Attempts+1, next.Attempts, "attempts are counted one by one")
	require.Equal(t, next.Attempts, newest.Number)
	p := l.posts[newest.ResponseBody]
	require.NotNil(t, p, "an attempt without a post: %+v", newest)
	require.Equal(t, p.success, newest.Outcome == hook.OutcomeSuccess)
	p.records++
	if l.w.answersLost == 0 {
		require.Equal(t, 1, p.records, "a post is counted once")
	}
}

// may checks that the state that a change leads to has its reason.
func (l *life) may(t *rapid.T, prev, next *hook.Delivery) {
	failed := l.count(next.Gen, failures)
	switch next.Status {
	case hook.Delivered:
		require.Positive(t, l.count(next.Gen, func(p *posted) bool { return p.success }), "delivered without a success")
	case hook.Retrying:
		require.Positive(t, failed, "retrying without a failure")
	case hook.Dead:
		switch {
		case prev.Status == hook.Dead && prev.Gen == next.Gen: // it has got its entry
		case next.FailureReason == "event is no longer stored":
			require.True(t, l.w.eventGone(), "the event is still there")
		case strings.HasPrefix(next.FailureReason, "no outcome"):
			require.Positive(t, l.w.disturbed, "given up although nothing went wrong")
		case strings.HasPrefix(next.FailureReason, "HTTP 410"):
		default:
			require.GreaterOrEqual(t, failed, l.allowed, "dead before its attempts are used up: %s", next.FailureReason)
		}
	case hook.Cancelled:
		require.True(t, l.w.deleted[l.ref.EndpointID], "cancelled although the endpoint is there")
	case hook.Held:
		if e := l.w.stored[l.ref.EndpointID]; prev.Status != hook.Held || prev.Hop != next.Hop {
			require.True(t, e != nil && e.Status != hook.EndpointActive, "held although the endpoint is active or gone")
		}
		require.True(t, next.ExpiresAt.IsZero(), "what is held does not expire")
	}
	if next.Status != hook.Held {
		require.False(t, next.ExpiresAt.IsZero(), "only what is held does not expire")
	}
	// A disturbance costs a post at most.
	require.LessOrEqual(t, l.count(next.Gen, all), l.allowed+l.w.disturbed)
}
