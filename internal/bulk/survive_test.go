package bulk_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// A process dies at every call there is, before it and after it: the job is
// done all the same, and no message of it goes on for ever.
func TestAJobSurvivesADeathAtAnyCall(t *testing.T) {
	for name, s := range stories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				require.NoError(t, w.b.Start(t.Context(), s.prepare(w)))
				w.run()
				calls = w.calls
			})
			step := max(1, calls/50) // of hundreds of single releases, some
			for n := 3; n <= calls; n += step {
				for _, how := range []half{before, after} {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t)
						j := s.prepare(w)
						require.NoError(t, w.b.Start(t.Context(), j))
						w.dieAt, w.how = n, how
						w.run()
						done := w.job(j.ID)
						require.Equal(t, hook.JobDone, done.Status, "death %d at call %d", how, n)
						s.check(t, w, done)
					})
				}
			}
		})
	}
}

func TestAJobThatCannotBeStoredIsNotAndItsMessageIsDropped(t *testing.T) {
	for _, at := range []int{1, 2} {
		for _, how := range []half{before, after} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.dieAt, w.how = at, how
				j := stories["fan out"].prepare(w)
				require.ErrorIs(t, w.b.Start(t.Context(), j), errFault)
				w.dead = false
				stored := at == 2 && how == after
				began := time.Now()
				w.run()
				require.Equal(t, stored, w.job(j.ID) != nil)
				if stored {
					require.Equal(t, hook.JobDone, w.job(j.ID).Status, "a job that is stored is done")
				} else {
					require.LessOrEqual(t, time.Since(began), 11*time.Minute)
					require.Empty(t, w.sent)
				}
			})
		}
	}
}

// The message of any step is lost, and the job is nudged: it is done, and what
// was nudged twice is done once.
func TestAJobWhoseMessageWasLostGoesOnWhenItIsNudged(t *testing.T) {
	for name, s := range stories {
		for _, nudges := range []int{1, 3} {
			for _, lose := range []int{1, 2} {
				t.Run(fmt.Sprintf("%s, message %d, %d nudges", name, lose, nudges), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t)
						j := s.prepare(w)
						require.NoError(t, w.b.Start(t.Context(), j))
						if lose == 2 {
							time.Sleep(2 * time.Second)
							w.b.Now = slow(w.b.Now)
							q := w.queue[0]
							w.queue = nil
							require.True(t, w.b.Step(t.Context(), &q.c, q.id))
							require.Len(t, w.queue, 1, "the first step leaves something to do")
						}
						w.queue = nil
						time.Sleep(time.Hour)
						require.Equal(t, hook.JobRunning, w.job(j.ID).Status)
						for range nudges {
							require.NoError(t, w.b.Nudge(t.Context(), w.job(j.ID)))
						}
						w.run()
						done := w.job(j.ID)
						require.Equal(t, hook.JobDone, done.Status)
						s.check(t, w, done)
					})
				})
			}
		}
	}
}

// slow is a clock by which a step's time is over after a page.
func slow(now func() time.Time) func() time.Time {
	asked := time.Duration(0)
	return func() time.Time {
		asked += 3 * time.Second
		return now().Add(asked)
	}
}

func TestANudgeThatCannotBeSentSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, how := range []half{before, after} {
			w := newWorld(t)
			j := stories["fan out"].prepare(w)
			require.NoError(t, w.b.Start(t.Context(), j))
			w.queue = nil
			w.dieAt, w.how = w.calls+1, how
			require.ErrorIs(t, w.b.Nudge(t.Context(), w.job(j.ID)), errFault)
			w.dead = false
			require.NoError(t, w.b.Nudge(t.Context(), w.job(j.ID)))
			w.run()
			require.Equal(t, hook.JobDone, w.job(j.ID).Status)
		}
	})
}

// The same message comes twice, or two of one hop: the work goes on once.
func TestRepeatedMessagesDoNotMultiply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := stories["recover"].prepare(w)
		require.NoError(t, w.b.Start(t.Context(), j))
		for range 5 {
			q := *w.queue[0]
			w.made++
			q.id = fmt.Sprintf("twin-%d", w.made)
			w.queue = append(w.queue, &q)
		}
		w.run()
		require.Equal(t, hook.JobDone, w.job(j.ID).Status)
		for i, id := range ids("evt_", 230) {
			require.Equal(t, i%2 == 0, w.sent[id] == 1, id)
		}
	})
}
