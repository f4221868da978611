package deliver_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/deliver"
	"posthorn/internal/hook"
)

var keep = deliver.Limits{Retention: 30 * 24 * time.Hour, DeadLetters: 7 * 24 * time.Hour}

func plan(attempts int) deliver.Plan {
	return deliver.Plan{MaxAttempts: attempts, Delay: func(failed int) time.Duration { return time.Duration(failed) * time.Second }}
}

func attempt(o hook.Outcome) hook.Attempt {
	a := hook.Attempt{ID: "att", At: noon, Duration: time.Second, Outcome: o}
	if o != hook.OutcomeSuccess {
		a.Error = "HTTP 503: Service Unavailable"
	}
	return a
}

func carrier(gen, hop int, id string) deliver.Carrier {
	return deliver.Carrier{Message: &hook.Message{EventType: "a", CreatedAt: noon.Add(-time.Hour), Gen: gen, Hop: hop}, MessageID: id}
}

func TestApplyFirstAttempt(t *testing.T) {
	t.Parallel()
	w, ok := deliver.Apply(nil, carrier(0, 0, "m"), attempt(hook.OutcomeSuccess), plan(5), keep)
	require.True(t, ok)
	d := w.Delivery
	require.Equal(t, hook.Delivered, d.Status)
	require.Equal(t, int64(1), d.Rev)
	require.Equal(t, 1, d.Attempts)
	require.Equal(t, "m", d.MessageID)
	require.Equal(t, "att", d.LastAttemptID)
	require.Equal(t, 1, d.First.Number)
	require.Equal(t, noon.Add(time.Second), d.CompletedAt)
	require.Equal(t, noon.Add(-time.Hour).Add(keep.Retention), d.ExpiresAt)

	w, ok = deliver.Apply(nil, carrier(0, 2, "m"), attempt(hook.OutcomeTimeout), plan(5), keep)
	require.True(t, ok)
	require.Equal(t, hook.Retrying, w.Delivery.Status)
	require.Equal(t, 2, w.Delivery.Hop)
	require.Equal(t, noon.Add(2*time.Second), w.Delivery.NextAttemptAt, "the attempt took a second, the delay is one")
	require.Zero(t, w.Delivery.CompletedAt)
}

func TestApplyLaterAttempts(t *testing.T) {
	t.Parallel()
	base := func(status hook.Status, gen, hop int, id string) *hook.Delivery {
		return &hook.Delivery{Status: status, Gen: gen, Hop: hop, MessageID: id, Rev: 7, Attempts: 4, GenAttempts: 4, CreatedAt: noon.Add(-29 * 24 * time.Hour), ExpiresAt: noon.Add(24 * time.Hour)}
	}
	with := func(d *hook.Delivery, entry string) *hook.Delivery { d.DeadLetterID = entry; return d }
	const success, failure = hook.OutcomeSuccess, hook.OutcomeHTTPError

	for name, c := range map[string]struct {
		row     *hook.Delivery
		c       deliver.Carrier
		o       hook.Outcome
		ok      bool
		status  hook.Status
		gen     int // attempts counted in the generation
		hop     int
		message string
		drop    string
	}{
		"the last failure is death":                           {base(hook.Retrying, 0, 1, "m"), carrier(0, 1, "m"), failure, true, hook.Dead, 5, 1, "m", ""},
		"success":                                             {base(hook.Retrying, 0, 1, "m"), carrier(0, 1, "m"), success, true, hook.Delivered, 5, 1, "m", ""},
		"success overrides death and its entry":               {with(base(hook.Dead, 0, 1, "x"), "dlq"), carrier(0, 1, "m"), success, true, hook.Delivered, 5, 1, "m", "dlq"},
		"failure never overwrites death":                      {base(hook.Dead, 0, 1, "m"), carrier(0, 1, "m"), failure, false, "", 0, 0, "", ""},
		"failure never overwrites delivered":                  {base(hook.Delivered, 0, 1, "m"), carrier(0, 1, "m"), failure, false, "", 0, 0, "", ""},
		"success on delivered writes nothing":                 {base(hook.Delivered, 0, 1, "m"), carrier(0, 1, "m"), success, false, "", 0, 0, "", ""},
		"success on cancelled writes nothing":                 {base(hook.Cancelled, 0, 1, "m"), carrier(0, 1, "m"), success, false, "", 0, 0, "", ""},
		"an older generation writes nothing":                  {base(hook.Retrying, 1, 0, "m"), carrier(0, 9, "m"), success, false, "", 0, 0, "", ""},
		"a newer generation starts its count":                 {with(base(hook.Dead, 0, 1, "x"), "dlq"), carrier(1, 0, "m"), failure, true, hook.Retrying, 1, 0, "m", "dlq"},
		"a stale message's failure counts, no more":           {base(hook.Retrying, 0, 2, "x"), carrier(0, 1, "m"), failure, true, hook.Retrying, 5, 2, "x", ""},
		"a stale message's success ends it":                   {base(hook.Retrying, 0, 2, "x"), carrier(0, 1, "m"), success, true, hook.Delivered, 5, 1, "m", ""},
		"another message of the hop: its failure counts":      {base(hook.Retrying, 0, 1, "x"), carrier(0, 1, "m"), failure, true, hook.Retrying, 5, 1, "x", ""},
		"a queued generation's own message":                   {base(hook.Queued, 1, 0, "m"), carrier(1, 0, "m"), failure, true, hook.Dead, 5, 0, "m", ""},
		"success of a held delivery whose post was under way": {base(hook.Held, 0, 1, "m"), carrier(0, 1, "m"), success, true, hook.Delivered, 5, 1, "m", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before := *c.row
			w, ok := deliver.Apply(c.row, c.c, attempt(c.o), plan(5), keep)
			require.Equal(t, before, *c.row, "the row that was read is not changed")
			require.Equal(t, c.ok, ok)
			if !ok {
				return
			}
			d := w.Delivery
			require.Equal(t, c.status, d.Status)
			require.Equal(t, int64(8), d.Rev)
			require.Equal(t, 5, d.Attempts)
			require.Equal(t, 5, w.Attempt.Number)
			require.Equal(t, c.gen, d.GenAttempts)
			require.Equal(t, c.hop, d.Hop)
			require.Equal(t, c.message, d.MessageID)
			require.Equal(t, c.drop, w.DropDeadLetter)
			require.Empty(t, d.DeadLetterID)
			require.Equal(t, d.Status.Final(), !d.CompletedAt.IsZero())
			if d.Status == hook.Dead {
				require.Equal(t, noon.Add(time.Second).Add(keep.DeadLetters), d.ExpiresAt, "a dead row outlives its entry")
			}
		})
	}
}

// The table hides a row that has expired. However long a schedule is, the row
// is there at its next attempt, and the delivery ends.
func TestAScheduleMayOutlastTheRetention(t *testing.T) {
	t.Parallel()
	short := deliver.Limits{Retention: 24 * time.Hour, DeadLetters: 7 * 24 * time.Hour}
	long := deliver.Plan{MaxAttempts: 19, Delay: func(n int) time.Duration { return min(30*time.Second<<(n-1), 8*time.Hour) }}
	var row *hook.Delivery
	now := noon
	for n := range 19 {
		require.True(t, row == nil || row.ExpiresAt.After(now), "the row is gone")
		a := attempt(hook.OutcomeHTTPError)
		a.ID, a.At = fmt.Sprint(n), now
		w, ok := deliver.Apply(row, carrier(0, 0, "m"), a, long, short)
		require.True(t, ok)
		row, now = w.Delivery, w.Delivery.NextAttemptAt
	}
	require.Equal(t, hook.Dead, row.Status)
}

// Two messages record at once: the answer to the first one's write is lost, the
// second one writes, and the first tries again.
func TestAnAttemptIsCountedOnceWhateverIsRecordedInBetween(t *testing.T) {
	t.Parallel()
	try := func(id string) hook.Attempt {
		a := attempt(hook.OutcomeHTTPError)
		a.ID = id
		return a
	}
	w, ok := deliver.Apply(nil, carrier(0, 1, "m"), try("lost"), plan(9), keep)
	require.True(t, ok)
	row := w.Delivery
	for n := range 3 {
		w, ok = deliver.Apply(row, carrier(0, 0, "stale"), try(fmt.Sprint(n)), plan(9), keep)
		require.True(t, ok)
		row = w.Delivery
		_, ok = deliver.Apply(row, carrier(0, 1, "m"), try("lost"), plan(9), keep)
		require.False(t, ok, "it is recorded already")
	}
	require.Equal(t, 4, row.Attempts)
	require.Equal(t, []string{"1", "0", "lost"}, row.EarlierAttemptIDs)
}

// A message whose generation the row does not know yet says when that began:
// what sends again in steps asks for it.
func TestARecordOfANewGenerationSaysWhenItWasSentAgain(t *testing.T) {
	t.Parallel()
	old := &hook.Delivery{Status: hook.Dead, Gen: 0, MessageID: "x", Rev: 7, Attempts: 4, GenAttempts: 4, CreatedAt: noon.Add(-time.Hour)}
	for _, row := range []*hook.Delivery{nil, old} {
		w, ok := deliver.Apply(row, carrier(1, 0, "m"), attempt(hook.OutcomeSuccess), plan(5), keep)
		require.True(t, ok)
		require.Equal(t, noon, w.Delivery.RequeuedAt)
		w, ok = deliver.Suspend(row, carrier(1, 0, "m"), &hook.Endpoint{}, noon, keep)
		require.True(t, ok)
		require.Equal(t, noon, w.Delivery.RequeuedAt)
		w, ok = deliver.End(row, carrier(1, 0, "m"), hook.Dead, "", noon, keep)
		require.True(t, ok)
		require.Equal(t, noon, w.Delivery.RequeuedAt)
	}
	w, ok := deliver.Apply(nil, carrier(0, 0, "m"), attempt(hook.OutcomeSuccess), plan(5), keep)
	require.True(t, ok)
	require.Zero(t, w.Delivery.RequeuedAt, "it was never sent again")
}

func TestEnd(t *testing.T) {
	t.Parallel()
	w, ok := deliver.End(nil, carrier(0, 0, "m"), hook.Cancelled, "endpoint deleted", noon, keep)
	require.True(t, ok)
	require.Equal(t, hook.Cancelled, w.Delivery.Status)
	require.Zero(t, w.Delivery.Attempts)
	require.Nil(t, w.Attempt)

	_, ok = deliver.End(&hook.Delivery{Status: hook.Delivered, Rev: 1}, carrier(0, 0, "m"), hook.Cancelled, "", noon, keep)
	require.False(t, ok)

	w, ok = deliver.End(&hook.Delivery{Status: hook.Dead, Rev: 3, DeadLetterID: "dlq"}, carrier(1, 0, "m"), hook.Cancelled, "endpoint deleted", noon, keep)
	require.True(t, ok)
	require.Equal(t, "dlq", w.DropDeadLetter)
	require.Empty(t, w.Delivery.DeadLetterID)
}
