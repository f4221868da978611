package redrive_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/deliver"
	"posthorn/internal/hook"
)

func TestADeliveryOfWhichNothingIsRecordedIsSentAsItWasAtFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.event.ExpiresAt = noon.Add(90 * day) // kept for longer than is configured here
	w.event.Trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	require.NoError(t, w.r.SendUnrecorded(t.Context(), w.event, endpointID))
	require.Equal(t, []*hook.Message{{Ref: ref, EventType: "order.created", CreatedAt: w.event.CreatedAt, Body: w.event.Body, Trace: w.event.Trace}}, w.sent)
	require.Equal(t, &hook.Delivery{
		Ref: ref, EventType: "order.created", Status: hook.Queued, Rev: 1, RequeuedAt: noon, CreatedAt: w.event.CreatedAt, ExpiresAt: noon.Add(90 * day),
	}, w.rows[ref])
}

func TestADeliveryThatNothingCarriesIsSentOnWithinItsBudget(t *testing.T) {
	t.Parallel()
	for status, noted := range map[hook.Status]bool{hook.Queued: true, hook.Retrying: true, hook.Held: false, hook.Dead: false} {
		t.Run(string(status), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			was := &hook.Delivery{
				Ref: ref, EventType: "order.created", Status: status, Gen: 2, Hop: 5, MessageID: "lost", Rev: 7, Attempts: 9, GenAttempts: 3,
				CreatedAt: noon.Add(-20 * day), NextAttemptAt: noon.Add(-2 * time.Hour), ExpiresAt: noon.Add(day),
			}
			w.rows[ref] = was
			require.NoError(t, w.r.SendOn(t.Context(), w.copyOf(ref)))
			require.Equal(t, []*hook.Message{{Ref: ref, EventType: "order.created", CreatedAt: was.CreatedAt, Gen: 2, Hop: 6}}, w.sent)
			want := *was
			if noted {
				want.Rev, want.RequeuedAt, want.ExpiresAt = 8, noon, noon.Add(7*day)
			}
			require.Equal(t, &want, w.rows[ref])
		})
	}
}

func TestSendingWhatWasLostFaultPairs(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(w *world) error{
		"nothing recorded": func(w *world) error {
			w.rows[ref] = nil
			return w.r.SendUnrecorded(w.t.Context(), w.event, endpointID)
		},
		"retrying": func(w *world) error {
			w.rows[ref] = &hook.Delivery{Ref: ref, Status: hook.Retrying, Hop: 3, Rev: 2}
			return w.r.SendOn(w.t.Context(), w.copyOf(ref))
		},
	} {
		for _, op := range []string{"send", "save"} {
			for _, f := range []fault{fails, answerLost} {
				t.Run(fmt.Sprintf("%s/%s/%d", name, op, f), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t)
					w.faults[op] = f
					err := send(w)
					if op == "send" {
						require.ErrorIs(t, err, errFault, "it is to be tried again")
						require.True(t, w.rows[ref] == nil || w.rows[ref].RequeuedAt.IsZero(), "nothing is noted of what may not have been sent")
						require.NoError(t, send(w))
					} else {
						require.NoError(t, err, "it is on its way, noted or not")
					}
					require.NotEmpty(t, w.sent)
				})
			}
		}
	}
}

// What is recorded while a delivery is sent stays as it is.
func TestWhatIsRecordedMeanwhileIsNotOverwritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.meanwhile = func() { w.rows[ref] = &hook.Delivery{Ref: ref, Status: hook.Delivered, Rev: 1} }
	require.NoError(t, w.r.SendUnrecorded(t.Context(), w.event, endpointID))
	require.Equal(t, hook.Delivered, w.rows[ref].Status)

	w.rows[ref] = &hook.Delivery{Ref: ref, Status: hook.Retrying, Rev: 4}
	w.meanwhile = func() { w.rows[ref] = &hook.Delivery{Ref: ref, Status: hook.Dead, Rev: 5} }
	require.NoError(t, w.r.SendOn(t.Context(), w.copyOf(ref)))
	require.Equal(t, hook.Dead, w.rows[ref].Status)
}

// carried is a message in the queue.
type carried struct {
	m  hook.Message
	id string
}

// Messages are lost, and seem lost while they are in the queue, and so do those
// that were sent in their place. Whatever the order in which they come, and
// whatever the endpoint answers: the delivery ends, it succeeds once at most,
// makes no more attempts than its budget has, and no message goes on for ever.
func TestSendingWhatIsLostAndWhatIsNotDoesNoHarm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		now := noon
		clock := func() time.Time { return now }
		w.r.Now = clock
		budget := rapid.IntRange(1, 5).Draw(rt, "budget")
		endpoint := &hook.Endpoint{ID: endpointID, Tenant: "acme", Status: hook.EndpointActive}
		plan := deliver.Plan{MaxAttempts: budget, Delay: func(int) time.Duration { return time.Second }}
		keep := deliver.Limits{Retention: 30 * day, DeadLetters: 7 * day}
		queue := []carried{{hook.Message{Ref: ref, EventType: "order.created", CreatedAt: w.event.CreatedAt}, "first"}}
		ids, posts, successes := 0, 0, 0
		enqueue := func(m hook.Message) {
			ids++
			queue = append(queue, carried{m, fmt.Sprintf("m-%d", ids)})
		}
		sendAgain := func() {
			w.sent = nil
			row := w.copyOf(ref)
			switch {
			case row == nil:
				require.NoError(rt, w.r.SendUnrecorded(rt.Context(), w.event, endpointID))
			case !row.Status.Final():
				require.NoError(rt, w.r.SendOn(rt.Context(), row))
			}
			for _, m := range w.sent {
				enqueue(*m)
			}
		}
		over := func() bool { return w.rows[ref] != nil && w.rows[ref].Status.Final() }
		for step := 0; len(queue) > 0 || !over(); step++ {
			require.Less(rt, step, 400, "it goes on for ever: %v", queue)
			if step < 12 && rapid.Bool().Draw(rt, "a run") || len(queue) == 0 {
				sendAgain()
			}
			if step < 12 && rapid.IntRange(0, 3).Draw(rt, "is lost") == 0 {
				at := rapid.IntRange(0, len(queue)-1).Draw(rt, "which is lost")
				queue = append(queue[:at:at], queue[at+1:]...)
				continue
			}
			if step > 40 {
				now = now.Add(time.Second)
			}
			at := rapid.IntRange(0, len(queue)-1).Draw(rt, "which comes")
			q := queue[at]
			queue = append(queue[:at:at], queue[at+1:]...)
			row := w.copyOf(ref)
			verdict, until := deliver.Decide(row, &q.m, q.id, endpoint, now)
			switch verdict {
			case deliver.Wait:
				next := q.m
				next.Hop++
				next.NotBefore = until
				enqueue(next)
				now = now.Add(200 * time.Millisecond)
			case deliver.Post:
				posts++
				a := hook.Attempt{ID: fmt.Sprint(posts), At: now, Outcome: hook.OutcomeHTTPError}
				if rapid.IntRange(0, 3).Draw(rt, "answer") == 0 {
					a.Outcome = hook.OutcomeSuccess
					successes++
				}
				write, ok := deliver.Apply(row, deliver.Carrier{Message: &q.m, MessageID: q.id}, a, plan, keep)
				require.True(rt, ok)
				require.NoError(rt, w.SaveDelivery(rt.Context(), write))
				if write.Delivery.Status == hook.Retrying { // it comes again, by its visibility timeout
					queue = append(queue, q)
				}
			case deliver.Drop, deliver.Bury:
			default:
				rt.Fatalf("verdict %v", verdict)
			}
		}
		require.LessOrEqual(rt, successes, 1)
		require.LessOrEqual(rt, posts, budget)
		require.Equal(rt, posts, w.rows[ref].Attempts)
	})
}
