package bulk_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/bulk"
	"posthorn/internal/hook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant     = "acme"
	endpointID = "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G"
	eventID    = "evt_01JCXZ5T5V8Q0R9A1B2C3D4E5F"
)

var errFault = errors.New("fault")

// half is a half of a fault.
type half int

const (
	never  half = iota
	before      // the call was not made
	after       // it was made, and its answer lost
)

// queued is a control message in the queue.
type queued struct {
	c       hook.Control
	id      string
	visible time.Time
}

// world is the store, the redriver and the queue, in memory. A process that
// dies at a chosen call makes no call after it, until its message comes again.
type world struct {
	t  *testing.T
	mu sync.Mutex

	jobs      map[string]*hook.Job
	endpoint  *hook.Endpoint
	matching  []string // ids of further endpoints that match the event
	event     *hook.Event
	targets   []string
	rows      map[string]*hook.Delivery // by event id
	entries   []*hook.DeadLetter        // newest first
	queue     []*queued
	sent      map[string]int // deliveries by endpoint or event id
	cancels   int
	stateGone bool

	calls int
	dieAt int // the call at which a process dies; 0: none
	how   half
	dead  bool
	made  int // messages
	b     *bulk.Jobs
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, jobs: map[string]*hook.Job{}, rows: map[string]*hook.Delivery{}, sent: map[string]int{}}
	w.endpoint = &hook.Endpoint{ID: endpointID, Tenant: tenant, Status: hook.EndpointActive, Epoch: 2, Filters: []string{"*"}}
	w.event = &hook.Event{ID: eventID, Tenant: tenant, Type: "order.created", CreatedAt: time.Now(), Body: []byte(`{}`)}
	n := 0
	w.b = &bulk.Jobs{
		Store: w, Redriver: w, Queue: w, Meter: w, Retention: 30 * 24 * time.Hour,
		NewID: func(prefix string, _ time.Time) string {
			n++
			return fmt.Sprintf("%s01JCXZ5T5V8Q0R9A1B2C3D%04d", prefix, n)
		},
		Rand: func() float64 { return 0 }, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	return w
}

// call makes a call, unless the process is dead or dies here.
func (w *world) call(do func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dead {
		return errFault
	}
	w.calls++
	if w.dieAt == w.calls {
		w.dead = true
		if w.how == after {
			do()
		}
		return errFault
	}
	do()
	return nil
}

func (w *world) PutJob(_ context.Context, j *hook.Job) error {
	return w.call(func() { c := *j; w.jobs[j.ID] = &c })
}

func (w *world) Job(_ context.Context, _, id string) (j *hook.Job, err error) {
	if err := w.call(func() {
		if w.jobs[id] != nil {
			c := *w.jobs[id]
			j = &c
		}
	}); err != nil {
		return nil, err
	}
	if j == nil {
		return nil, hook.ErrNotFound
	}
	return j, nil
}

func (w *world) SaveJob(_ context.Context, j *hook.Job) error {
	conflict := false
	err := w.call(func() {
		if conflict = w.jobs[j.ID].Rev != j.Rev-1; !conflict {
			c := *j
			w.jobs[j.ID] = &c
		}
	})
	if err == nil && conflict {
		return hook.ErrConflict
	}
	return err
}

func (w *world) Event(context.Context, string, string) (e *hook.Event, err error) {
	if err := w.call(func() { e = w.event }); err != nil {
		return nil, err
	}
	if e == nil {
		return nil, hook.ErrNotFound
	}
	return e, nil
}

func (w *world) AllTargets(context.Context, *hook.Event) (ids []string, err error) {
	return w.targets, w.call(func() {})
}

func (w *world) EndpointSet(context.Context, string) (*hook.EndpointSet, error) {
	set := &hook.EndpointSet{}
	err := w.call(func() {
		if w.endpoint != nil {
			set.Endpoints = append(set.Endpoints, w.endpoint)
		}
		for _, id := range w.matching {
			set.Endpoints = append(set.Endpoints, &hook.Endpoint{ID: id, Tenant: tenant, Filters: []string{"order.*"}})
		}
	})
	slices.SortFunc(set.Endpoints, func(a, b *hook.Endpoint) int { return strings.Compare(a.ID, b.ID) })
	return set, err
}

func (w *world) DeleteEndpointState(context.Context, string, string) error {
	return w.call(func() { w.stateGone = true })
}

func (w *world) ByState(_ context.Context, q hook.StateQuery) (refs []hook.Ref, next string, err error) {
	err = w.call(func() {
		for _, id := range w.in(q) {
			if id > q.After {
				refs = append(refs, hook.Ref{Tenant: tenant, EventID: id, EndpointID: endpointID})
			}
		}
		if len(refs) > q.Limit {
			refs = refs[:q.Limit]
			next = refs[q.Limit-1].EventID
		}
	})
	return refs, next, err
}

// in are the events of the deliveries in a state.
func (w *world) in(q hook.StateQuery) []string {
	var ids []string
	for id, d := range w.rows {
		if d.Status == q.Status && !d.CompletedAt.Before(q.Since) {
			ids = append(ids, id)
		}
	}
	sort.Strings(ids)
	return ids
}

func (w *world) CountByState(_ context.Context, q hook.StateQuery) (n int, err error) {
	err = w.call(func() { n = len(w.in(q)) })
	return n, err
}

func (w *world) Deliveries(_ context.Context, refs []hook.Ref) (rows []*hook.Delivery, err error) {
	err = w.call(func() {
		for _, r := range refs {
			var c *hook.Delivery
			if d := w.rows[r.EventID]; d != nil {
				copied := *d
				c = &copied
			}
			rows = append(rows, c)
		}
	})
	return rows, err
}

func (w *world) ListDeadLetters(_ context.Context, f hook.DeadLetterFilter, p hook.Page) (entries []*hook.DeadLetter, next string, err error) {
	err = w.call(func() {
		for _, e := range w.entries {
			if (p.After == "" || e.ID < p.After) && (f.Reason == "" || e.FailureReason == f.Reason) {
				entries = append(entries, e)
			}
		}
		if len(entries) > p.Limit {
			entries = entries[:p.Limit:p.Limit]
			next = entries[p.Limit-1].ID
		}
	})
	return entries, next, err
}

func (w *world) CountDeadLetters(_ context.Context, f hook.DeadLetterFilter) (n int, err error) {
	err = w.call(func() {
		for _, e := range w.entries {
			if f.Reason == "" || e.FailureReason == f.Reason {
				n++
			}
		}
	})
	return n, err
}

func (w *world) Again(_ context.Context, ref hook.Ref, _ *hook.Delivery) error {
	return w.call(func() { w.sent[ref.EventID]++; w.rows[ref.EventID].Status = hook.Queued })
}

func (w *world) Resend(_ context.Context, _ *hook.Event, ids []string) error {
	return w.call(func() {
		for _, id := range ids {
			w.sent[id]++
		}
	})
}

func (w *world) ReplayEntry(_ context.Context, e *hook.DeadLetter) (string, error) {
	if !e.Replayable() {
		return "", hook.ErrNotReplayable
	}
	return "", w.call(func() {
		w.sent[e.EventID]++
		w.entries = slices.DeleteFunc(slices.Clone(w.entries), func(o *hook.DeadLetter) bool { return o.ID == e.ID })
	})
}

func (w *world) Release(_ context.Context, row *hook.Delivery) error {
	return w.call(func() {
		if w.rows[row.EventID].Status == hook.Held {
			w.sent[row.EventID]++
			w.rows[row.EventID].Status = hook.Queued
		}
	})
}

func (w *world) Cancel(_ context.Context, row *hook.Delivery) (cancelled bool, err error) {
	err = w.call(func() {
		if cancelled = w.rows[row.EventID].Status == hook.Held; cancelled {
			w.rows[row.EventID].Status = hook.Cancelled
		}
	})
	return cancelled && err == nil, err
}

func (w *world) Send(_ context.Context, out []hook.Outgoing) []hook.Sent {
	sent := make([]hook.Sent, len(out))
	err := w.call(func() {
		for i, o := range out {
			w.made++
			sent[i].MessageID = fmt.Sprintf("m%d", w.made)
			if o.Control != nil {
				w.queue = append(w.queue, &queued{c: *o.Control, id: sent[i].MessageID, visible: time.Now().Add(o.Delay)})
			} else {
				w.sent[o.Message.EndpointID]++
			}
		}
	})
	if err != nil {
		for i := range sent {
			sent[i] = hook.Sent{Err: err}
		}
	}
	return sent
}

func (w *world) Ended(s hook.Status) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if s == hook.Cancelled {
		w.cancels++
	}
}

// run is the queue: it has every message stepped when it is visible, again when
// its process died or left it, until none is left.
func (w *world) run() {
	for rounds := 0; len(w.queue) > 0; rounds++ {
		require.Less(w.t, rounds, 500, "the job does not end")
		next := 0
		for i, q := range w.queue {
			if q.visible.Before(w.queue[next].visible) {
				next = i
			}
		}
		q := w.queue[next]
		time.Sleep(time.Until(q.visible)) // of the bubble's clock
		done := w.b.Step(w.t.Context(), &q.c, q.id)
		if w.dead {
			w.dead, done = false, false // a new process; the message was not acknowledged
		}
		if done {
			w.queue = slices.DeleteFunc(w.queue, func(o *queued) bool { return o == q })
		} else {
			q.visible = time.Now().Add(270 * time.Second)
		}
	}
}

func (w *world) job(id string) *hook.Job { return w.jobs[id] }

// ids makes n ids that sort in their order.
func ids(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%s01JCXZ5T5V8Q0R9A1B2C3%05d", prefix, i)
	}
	return all
}

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

func TestAResumeStopsWhenTheEndpointIsPausedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		j := stories["resume"].prepare(w)
		require.NoError(t, w.b.Start(t.Context(), j))
		w.endpoint.Epoch = 3
		w.run()
		require.Equal(t, hook.JobDone, w.job(j.ID).Status)
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
