package bulk_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/hook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// story is a job and what has to be true when it is over.
type story struct {
	prepare func(w *world) *hook.Job
	check   func(t *testing.T, w *world, j *hook.Job)
}

var stories = map[string]story{
	"fan out": {
		func(w *world) *hook.Job {
			w.targets = ids("ep_", 350)
			return &hook.Job{Tenant: tenant, Kind: hook.JobFanOut, EventID: eventID, Cursor: "100", Total: 250}
		},
		func(t *testing.T, w *world, j *hook.Job) {
			for _, id := range w.targets[100:] {
				require.Positive(t, w.sent[id], id)
			}
			require.Zero(t, w.sent[w.targets[99]], "those were sent by the POST")
			require.Equal(t, 250, j.Done)
		},
	},
	"resend": {
		func(w *world) *hook.Job {
			w.endpoint, w.matching = nil, ids("ep_", 230)
			return &hook.Job{Tenant: tenant, Kind: hook.JobFanOut, EventID: eventID, Resend: true, Cursor: w.matching[99], Total: 130}
		},
		func(t *testing.T, w *world, j *hook.Job) {
			for _, id := range w.matching[100:] {
				require.Positive(t, w.sent[id], id)
			}
			require.Equal(t, 130, j.Done)
		},
	},
	"resume": {
		func(w *world) *hook.Job {
			for _, id := range ids("evt_", 230) {
				w.rows[id] = &hook.Delivery{Ref: hook.Ref{Tenant: tenant, EventID: id, EndpointID: endpointID}, Status: hook.Held}
			}
			return &hook.Job{Tenant: tenant, Kind: hook.JobResume, EndpointID: endpointID, Epoch: 2}
		},
		func(t *testing.T, w *world, j *hook.Job) {
			for id, d := range w.rows {
				require.Equal(t, hook.Queued, d.Status)
				require.Equal(t, 1, w.sent[id], "released once")
			}
			require.GreaterOrEqual(t, j.Total, j.Done)
			require.GreaterOrEqual(t, j.UpdatedAt.Sub(j.CreatedAt), time.Minute, "two passes a minute apart have found nothing")
		},
	},
	"cancel": {
		func(w *world) *hook.Job {
			for _, id := range ids("evt_", 130) {
				w.rows[id] = &hook.Delivery{Ref: hook.Ref{Tenant: tenant, EventID: id, EndpointID: endpointID}, Status: hook.Held}
			}
			w.endpoint = nil
			return &hook.Job{Tenant: tenant, Kind: hook.JobCancel, EndpointID: endpointID}
		},
		func(t *testing.T, w *world, _ *hook.Job) {
			for _, d := range w.rows {
				require.Equal(t, hook.Cancelled, d.Status)
			}
			require.True(t, w.stateGone)
		},
	},
	"recover": {
		func(w *world) *hook.Job {
			for i, id := range ids("evt_", 230) {
				d := &hook.Delivery{Ref: hook.Ref{Tenant: tenant, EventID: id, EndpointID: endpointID}, Status: hook.Dead, CompletedAt: time.Now().Add(-time.Hour)}
				if i%2 == 1 {
					d.CompletedAt = time.Now().Add(-3 * time.Hour)
				}
				w.rows[id] = d
			}
			return &hook.Job{Tenant: tenant, Kind: hook.JobRecover, EndpointID: endpointID, Since: time.Now().Add(-2 * time.Hour)}
		},
		func(t *testing.T, w *world, j *hook.Job) {
			for i, id := range ids("evt_", 230) {
				require.Equal(t, i%2 == 0, w.sent[id] == 1, id)
			}
			require.Equal(t, 115, j.Total)
		},
	},
	"replay": {
		func(w *world) *hook.Job {
			for i, id := range ids("dlq_", 230) {
				e := &hook.DeadLetter{ID: id, Ref: hook.Ref{Tenant: tenant, EventID: ids("evt_", 230)[i], EndpointID: endpointID}, FailureReason: "timeout after 30s", CreatedAt: time.Now().Add(-time.Hour)}
				if i%10 == 0 {
					e.FailureReason = "HTTP 500: Internal Server Error"
				}
				w.entries = append([]*hook.DeadLetter{e}, w.entries...)
			}
			return &hook.Job{Tenant: tenant, Kind: hook.JobReplay, Filter: hook.DeadLetterFilter{Tenant: tenant, Reason: "timeout after 30s"}}
		},
		func(t *testing.T, w *world, j *hook.Job) {
			for i, id := range ids("evt_", 230) {
				require.Equal(t, i%10 != 0, w.sent[id] == 1, id)
			}
			require.Len(t, w.entries, 23)
			require.Equal(t, 207, j.Total)
		},
	},
}

func TestEachKindOfJobDoesItsWork(t *testing.T) {
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				j := s.prepare(w)
				require.NoError(t, w.b.Start(t.Context(), j))
				require.Equal(t, hook.JobRunning, w.job(j.ID).Status)
				w.run()
				done := w.job(j.ID)
				require.Equal(t, hook.JobDone, done.Status)
				require.Empty(t, done.Error)
				s.check(t, w, done)
				require.Equal(t, done.Total, done.Done)
			})
		})
	}
}

func TestAResumeStopsWhenTheEndpointIsPausedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := stories["resume"].prepare(w)
		require.NoError(t, w.b.Start(t.Context(), j))
		w.endpoint.Epoch = 3
		w.run()
		require.Equal(t, hook.JobCancelled, w.job(j.ID).Status, "it is not done")
		require.Contains(t, w.job(j.ID).Error, "paused")
		require.Empty(t, w.sent)
	})
}

func TestTheCancelOfAnEndpointThatIsThereWaitsAndThenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := stories["cancel"].prepare(w)
		w.endpoint = &hook.Endpoint{ID: endpointID, Tenant: tenant} // not deleted yet
		require.NoError(t, w.b.Start(t.Context(), j))
		w.run()
		require.Equal(t, hook.JobFailed, w.job(j.ID).Status)
		require.Equal(t, "the endpoint was not deleted", w.job(j.ID).Error)
		require.Zero(t, w.cancels)
	})
}

func TestAReplayStopsAtItsLimitAndPassesOverWhatCannotBeReplayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := stories["replay"].prepare(w)
		j.Limit = 150
		w.entries[3].EventID = "" // no delivery
		require.NoError(t, w.b.Start(t.Context(), j))
		w.run()
		require.Equal(t, 150, w.job(j.ID).Done)
		require.Equal(t, 150, w.job(j.ID).Total)
		require.Len(t, w.sent, 150)
	})
}

func TestAFanOutOfAnEventThatIsGoneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := stories["fan out"].prepare(w)
		w.event = nil
		require.NoError(t, w.b.Start(t.Context(), j))
		w.run()
		require.Equal(t, hook.JobFailed, w.job(j.ID).Status)
		require.Equal(t, "the event is no longer stored", w.job(j.ID).Error)
	})
}
