package bulk_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestAJobThatIsCancelledGoesNoFurther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := stories["replay"].prepare(w)
		j.Rate = 10
		require.NoError(t, w.b.Start(t.Context(), j))
		time.Sleep(2 * time.Second)
		q := w.queue[0]
		w.queue = nil
		require.True(t, w.b.Step(t.Context(), &q.c, q.id))
		require.Equal(t, 10, w.job(j.ID).Done, "a second's worth")
		require.Equal(t, time.Second, time.Until(w.queue[0].visible), "and the next in a second")

		cancelled, err := w.b.Cancel(t.Context(), tenant, j.ID)
		require.NoError(t, err)
		require.Equal(t, hook.JobCancelled, cancelled.Status)
		again, err := w.b.Cancel(t.Context(), tenant, j.ID)
		require.NoError(t, err, "cancelling twice is cancelling")
		require.Equal(t, hook.JobCancelled, again.Status)
		w.run()
		require.Equal(t, hook.JobCancelled, w.job(j.ID).Status)
		require.Len(t, w.sent, 10)
	})
}

// A cancellation that comes while a step is under way stops that step.
func TestACancellationDuringAStepWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := stories["recover"].prepare(w)
		require.NoError(t, w.b.Start(t.Context(), j))
		stopping := &cancelling{world: w, id: j.ID}
		w.b.Store = stopping
		w.run()
		require.Equal(t, hook.JobCancelled, w.job(j.ID).Status)
		require.Less(t, len(w.sent), 115)
	})
}

// cancelling cancels the job before the second save.
type cancelling struct {
	*world
	id    string
	saves int
}

func (c *cancelling) SaveJob(ctx context.Context, j *hook.Job) error {
	if c.saves++; c.saves == 2 {
		c.jobs[c.id].Status = hook.JobCancelled
		c.jobs[c.id].Rev++
	}
	return c.world.SaveJob(ctx, j)
}

func TestWhatHasToBeDoneCannotBeCancelled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, s := range stories {
			w := newWorld(t)
			j := s.prepare(w)
			require.NoError(t, w.b.Start(t.Context(), j))
			_, err := w.b.Cancel(t.Context(), tenant, j.ID)
			if j.Kind == hook.JobFanOut || j.Kind == hook.JobCancel {
				require.ErrorIs(t, err, hook.ErrNotCancellable, name)
			} else {
				require.NoError(t, err, name)
			}
			w.jobs[j.ID].Status = hook.JobDone
			_, err = w.b.Cancel(t.Context(), tenant, j.ID)
			require.ErrorIs(t, err, hook.ErrNotCancellable, "what is over is over")
		}
		_, err := newWorld(t).b.Cancel(t.Context(), tenant, "job_01JCXZ5T5V8Q0R9A1B2C3D4E5F")
		require.ErrorIs(t, err, hook.ErrNotFound)
	})
}
