package bulk_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// spoil makes a story's job meet something that can never be done, and names it.
var spoil = map[string]func(w *world, j *hook.Job) (refused, named string){
	"fan out": func(w *world, _ *hook.Job) (string, string) { return w.targets[123], w.targets[123] },
	"resend":  func(w *world, _ *hook.Job) (string, string) { return w.matching[123], w.matching[123] },
	"resume":  func(w *world, _ *hook.Job) (string, string) { return rowOf(w, 23) },
	"cancel":  func(w *world, _ *hook.Job) (string, string) { return rowOf(w, 23) },
	"recover": func(w *world, _ *hook.Job) (string, string) { return rowOf(w, 24) },
	"replay":  func(w *world, _ *hook.Job) (string, string) { return ids("evt_", 230)[23], ids("dlq_", 230)[23] },
}

func rowOf(w *world, n int) (refused, named string) {
	id := ids("evt_", 230)[n]
	return id, w.rows[id].ID()
}

// One thing that can never be done does not stop a job: the rest of it is done,
// and the job says what was not.
func TestWhatCannotBeDoneIsSetAsideAndTheJobGoesOn(t *testing.T) {
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				j := s.prepare(w)
				refused, named := spoil[name](w, j)
				w.refused = map[string]bool{refused: true}
				require.NoError(t, w.b.Start(t.Context(), j))
				w.run()
				over := w.job(j.ID)
				require.Equal(t, hook.JobFailed, over.Status)
				require.Equal(t, "1 could not be done: "+named, over.Error)
				require.Equal(t, over.Total-1, over.Done, "all but one")
				require.Zero(t, w.sent[refused])
				took := over.UpdatedAt.Sub(over.CreatedAt)
				require.Greater(t, took, 30*time.Minute, "it was given time")
				require.Less(t, took, time.Hour)
			})
		})
	}
}

// What can be done again before that is done, and the job is.
func TestWhatWasSetAsideIsDoneInTheEndWhereItCanBe(t *testing.T) {
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				j := s.prepare(w)
				refused, named := spoil[name](w, j)
				w.refused = map[string]bool{refused: true}
				require.NoError(t, w.b.Start(t.Context(), j))
				go func() {
					time.Sleep(10 * time.Minute)
					w.mu.Lock()
					defer w.mu.Unlock()
					require.Equal(t, "1 could not be done: "+named, w.jobs[j.ID].Error, "it says so meanwhile")
					w.refused = nil
				}()
				w.run()
				over := w.job(j.ID)
				require.Equal(t, hook.JobDone, over.Status)
				require.Empty(t, over.Error)
				require.Equal(t, over.Total, over.Done)
				s.check(t, w, over)
			})
		})
	}
}

// Where nothing can be done for a while, the trouble is no row's: it is waited out.
func TestAnOutageSetsNothingAside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := stories["recover"].prepare(w)
		w.down = 100 * 5 // five tries of a page
		require.NoError(t, w.b.Start(t.Context(), j))
		w.run()
		over := w.job(j.ID)
		require.Equal(t, hook.JobDone, over.Status)
		require.Empty(t, over.Aside)
		require.Zero(t, over.Rounds)
		stories["recover"].check(t, w, over)
	})
}

func TestAJobOfWhichTooMuchCannotBeDoneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := stories["resume"].prepare(w)
		w.refused = map[string]bool{}
		for i, id := range ids("evt_", 230) {
			w.refused[id] = i%2 == 0
		}
		require.NoError(t, w.b.Start(t.Context(), j))
		w.run()
		over := w.job(j.ID)
		require.Equal(t, hook.JobFailed, over.Status)
		require.Contains(t, over.Error, "more than 100 could not be done, among them dlv_")
		require.Contains(t, over.Error, " and 110 more")
	})
}

// A panic over one of them is a failure of that one.
func TestAPanicOverOneOfManyIsTriedAgain(t *testing.T) {
	for name, s := range stories {
		if name == "fan out" || name == "resend" { // whose page is one call
			continue
		}
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				j := s.prepare(w)
				w.panics, _ = spoil[name](w, j)
				require.NoError(t, w.b.Start(t.Context(), j))
				w.run()
				over := w.job(j.ID)
				require.Equal(t, hook.JobDone, over.Status)
				s.check(t, w, over)
			})
		})
	}
}

// The page of a resend is done, and its process dies before that is saved.
func TestAPageOfAResendThatIsDoneTwiceSendsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := stories["resend"].prepare(w)
		require.NoError(t, w.b.Start(t.Context(), j))
		calls := 0
		w.b.Store = savesNothing{w, &calls}
		w.run()
		require.Equal(t, 3, calls, "two pages, one of them twice")
		for _, id := range w.matching[100:] {
			require.Equal(t, 1, w.sent[id], id)
		}
	})
}

// savesNothing fails to save the first page.
type savesNothing struct {
	*world
	calls *int
}

func (s savesNothing) SaveJob(ctx context.Context, j *hook.Job) error {
	if *s.calls++; *s.calls == 1 {
		return errFault
	}
	return s.world.SaveJob(ctx, j)
}
