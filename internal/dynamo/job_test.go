package dynamo_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func (w *world) job(kind hook.JobKind) *hook.Job {
	id := w.ids.New(hook.JobPrefix, w.clock())
	return &hook.Job{
		ID: id, Tenant: tenant, Kind: kind, Status: hook.JobRunning, Rev: 1, CreatedAt: hook.IDTime(id), UpdatedAt: hook.IDTime(id),
		ExpiresAt: hook.IDTime(id).Add(retention), Filter: hook.DeadLetterFilter{Tenant: tenant},
	}
}

func TestJobsComeBackAsTheyWent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	full := w.job(hook.JobReplay)
	full.Hop, full.MessageID, full.EventID, full.Resend, full.EndpointID, full.Epoch = 4, "m", w.eventID(), true, w.endpointID(), 3
	full.Since, full.QuietAt, full.UpdatedAt = epoch.Add(-time.Hour), epoch.Add(time.Minute), epoch.Add(time.Second)
	full.Filter = hook.DeadLetterFilter{
		Tenant: tenant, EndpointID: full.EndpointID, EventType: "a", Reason: "timeout after 30s", Since: epoch.Add(-2 * time.Hour), Until: epoch,
	}
	full.Limit, full.Rate, full.Cursor, full.Done, full.Total, full.Counted, full.Error = 10, 0.5, "c", 3, 9, true, "a step failed"
	full.Tries, full.Aside, full.Rounds = 2, []string{"dlv_a", "dlv_b"}, 4
	for _, j := range []*hook.Job{w.job(hook.JobResume), full} {
		require.NoError(t, w.PutJob(w.ctx(), j))
		require.NoError(t, w.PutJob(w.ctx(), j), "again is its own write")
		got, err := w.Job(w.ctx(), tenant, j.ID)
		require.NoError(t, err)
		require.Equal(t, j, got)
		_, err = w.Job(w.ctx(), "other", j.ID)
		require.ErrorIs(t, err, hook.ErrNotFound)
	}
	_, err := w.Job(w.ctx(), tenant, "x")
	require.ErrorIs(t, err, hook.ErrNotFound)
	w.advance(2 * retention)
	_, err = w.Job(w.ctx(), tenant, full.ID)
	require.ErrorIs(t, err, hook.ErrNotFound, "it has expired")
}

func TestAJobIsSavedOnTheRevisionItWasReadAt(t *testing.T) {
	t.Parallel()
	w := setup(t)
	j := w.job(hook.JobRecover)
	require.NoError(t, w.PutJob(w.ctx(), j))
	next := *j
	next.Rev, next.Hop, next.MessageID, next.Cursor = 2, 1, "m", "c"
	require.NoError(t, w.SaveJob(w.ctx(), &next))
	require.NoError(t, w.SaveJob(w.ctx(), &next), "its own write, whose answer was lost")
	other := next
	other.MessageID = "n"
	require.ErrorIs(t, w.SaveJob(w.ctx(), &other), hook.ErrConflict)
	gone := w.job(hook.JobRecover)
	gone.Rev = 2
	require.ErrorIs(t, w.SaveJob(w.ctx(), gone), hook.ErrConflict)
}

func TestSavingAJobUnderFaults(t *testing.T) {
	t.Parallel()
	underFaults(t, "PutItem", func(t *testing.T, w *world, _ fault) (func() error, func(bool)) {
		j := w.job(hook.JobResume)
		require.NoError(t, w.PutJob(w.ctx(), j))
		next := *j
		next.Rev, next.Done = 2, 5
		return func() error { return w.SaveJob(w.ctx(), &next) }, func(applied bool) {
			got, err := w.Job(w.ctx(), tenant, j.ID)
			require.NoError(t, err)
			require.Equal(t, applied, got.Done == 5)
		}
	})
}

func TestJobsAreListedNewestFirst(t *testing.T) {
	t.Parallel()
	w := setup(t)
	var want []string
	for range 5 {
		w.advance(time.Second)
		j := w.job(hook.JobResume)
		require.NoError(t, w.PutJob(w.ctx(), j))
		want = append([]string{j.ID}, want...)
	}
	var got []string
	p := hook.Page{Limit: 2}
	for {
		jobs, next, err := w.ListJobs(w.ctx(), tenant, p)
		require.NoError(t, err)
		for _, j := range jobs {
			got = append(got, j.ID)
		}
		if next == "" {
			break
		}
		p.After = next
	}
	require.Equal(t, want, got)
}

func TestNewDeadLettersAreCountedByTheHour(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i := range 3 {
		n, err := w.GrowDeadLetters(w.ctx(), tenant, epoch, 5)
		require.NoError(t, err)
		require.Equal(t, 5*(i+1), n)
	}
	n, err := w.GrowDeadLetters(w.ctx(), tenant, epoch.Add(time.Hour), 1)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = w.GrowDeadLetters(w.ctx(), "other", epoch, 1)
	require.NoError(t, err)
	require.Equal(t, 1, n)
}

func TestDeadLettersAreCountedAndListedByReason(t *testing.T) {
	t.Parallel()
	w := setup(t)
	for i := range 6 {
		id := w.ids.New(hook.DeadLetterPrefix, w.clock())
		require.NoError(t, w.PutDeadLetter(w.ctx(), &hook.DeadLetter{
			ID: id, Ref: hook.Ref{Tenant: tenant, EventID: w.eventID(), EndpointID: w.endpointID()}, EventType: "a",
			FailureReason: []string{"timeout after 30s", "connection refused"}[i%2], CreatedAt: w.clock(), ExpiresAt: w.clock().Add(time.Hour),
		}))
		w.advance(time.Minute)
	}
	f := hook.DeadLetterFilter{Tenant: tenant, Reason: "connection refused"}
	n, err := w.CountDeadLetters(w.ctx(), f)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	entries, _, err := w.ListDeadLetters(w.ctx(), f, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, entries, 3)
	f.Since = epoch.Add(2 * time.Minute)
	n, err = w.CountDeadLetters(w.ctx(), f)
	require.NoError(t, err)
	require.Equal(t, 2, n)
	w.advance(time.Hour)
	n, err = w.CountDeadLetters(w.ctx(), hook.DeadLetterFilter{Tenant: tenant})
	require.NoError(t, err)
	require.Zero(t, n)
}
