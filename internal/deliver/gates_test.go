package deliver_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/deliver"
	"posthorn/internal/deliver/breaker"
	"posthorn/internal/deliver/post"
	"posthorn/internal/hook"
)

// open is a state in which the breaker is open for d from now.
func open(d time.Duration) hook.EndpointState {
	now := time.Now()
	return hook.EndpointState{Rev: 4, Mark: "x", FailingSince: now, LastFailure: now, OpenUntil: now.Add(d), Opened: 1}
}

// many is a batch of n deliveries to the world's endpoint, each of an event of
// its own.
func (w *world) many(n int, change func(i int, m *hook.Message)) []hook.Received {
	batch := make([]hook.Received, n)
	for i := range batch {
		m := w.message()
		m.EventID = fmt.Sprintf("%s%02d", eventID[:len(eventID)-2], i)
		if change != nil {
			change(i, m)
		}
		batch[i] = w.receive(m, fmt.Sprintf("m%d", i), 1)
	}
	return batch
}

func TestWhileTheBreakerIsOpenDeliveriesWaitWithoutAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.state = open(20 * time.Second)
		require.False(t, w.deliver(w.message(), "m", 1), "a copy goes on")
		require.Empty(t, w.posts)
		require.Nil(t, w.row(), "nothing is recorded")
		require.Len(t, w.copies, 1)
		require.Equal(t, 30*time.Second, w.copies[0].Delay, "20 s, and half as long again by chance")
		require.Equal(t, 1, w.copies[0].Message.Hop)
		require.Equal(t, map[hook.Throttle]int{hook.ThrottleBreaker: 1}, w.throttled)
	})
}

func TestOneProbeGoesThroughAndClosesTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.state = open(0)
		w.state.OpenUntil = time.Now().Add(-time.Second)
		require.Empty(t, w.d.Deliver(t.Context(), w.many(3, nil)))
		require.Len(t, w.posts, 1, "one of three")
		require.Len(t, w.copies, 2, "the others wait for it")
		for _, o := range w.copies {
			require.Equal(t, 8*time.Second, o.Delay, "5 s, and half as long again by chance: far less than a probe may take")
		}
		require.True(t, breaker.Quiet(w.state), "%+v", w.state)
		require.Len(t, w.notices, 1)
		require.Equal(t, hook.NoticeRecovered, w.notices[0].Type)
		require.Equal(t, endpointID, w.notices[0].EndpointID)
		require.Contains(t, w.notices[0].Fields, "failing_since")

		require.False(t, w.deliver(w.copies[0].Message, "later", 1))
		require.Len(t, w.copies, 3, "its time has not come")
		time.Sleep(time.Hour)
		require.False(t, w.deliver(w.copies[0].Message, "later", 1))
		require.Len(t, w.posts, 2)
	})
}

// A post that was under way when the breaker opened may succeed while it is
// open: then nothing has been failing since a moment that could be told.
func TestARecoveryAfterALateSuccessNamesNoMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.state = open(0)
		w.state.OpenUntil, w.state.FailingSince = time.Now().Add(-time.Second), time.Time{}
		require.False(t, w.deliver(w.message(), "m", 1))
		require.Len(t, w.notices, 1)
		require.Equal(t, map[string]any{"endpoint_id": endpointID, "endpoint_url": w.endpoint.URL}, w.notices[0].Fields)
	})
}

func TestAProbeThatFailsOpensTheBreakerAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails503)
		w.state = open(0)
		w.state.OpenUntil = time.Now().Add(-time.Second)
		require.True(t, w.deliver(w.message(), "m", 1), "the probe was an attempt")
		require.Equal(t, 1, w.row().Attempts)
		require.Equal(t, 2, w.state.Opened)
		require.Equal(t, time.Minute, time.Until(w.state.OpenUntil))
		require.Empty(t, w.notices)
	})
}

// Two environments see the open breaker's time come at the same moment: the
// store lets one of them probe.
func TestOnlyOneEnvironmentProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.state = open(0)
		w.state.OpenUntil = time.Now().Add(-time.Second)
		stale := w.state
		w.state.Rev++ // another one's probe is under way
		w.state.ProbeUntil = time.Now().Add(45 * time.Second)
		current := w.state
		w.mu.Lock()
		w.state = stale // as this one reads it
		w.mu.Unlock()
		w.onCall = map[string]func(){"save state": func() { w.state = current }}
		require.False(t, w.deliver(w.message(), "m", 1))
		require.Empty(t, w.posts)
		require.Len(t, w.copies, 1)
	})
}

func TestFailuresOfABatchOpenTheBreakerWithOneWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails503)
		w.d.Breaker.MinAttempts = 5
		require.Len(t, w.d.Deliver(t.Context(), w.many(6, nil)), 6, "each is retried")
		require.Equal(t, 1, w.calls["save state"])
		require.Equal(t, 30*time.Second, time.Until(w.state.OpenUntil))
	})
}

func TestSuccessesWriteNoState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		require.Empty(t, w.d.Deliver(t.Context(), w.many(6, nil)))
		require.Zero(t, w.calls["save state"])
		require.Zero(t, w.calls["reserve"])
	})
}

func TestAStateThatOthersChangeIsComputedAgain(t *testing.T) {
	for _, f := range []fault{fails, answerLost} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, fails503)
			n := 0
			w.onCall = map[string]func(){"save state": func() {
				if n++; n == 1 {
					w.state = hook.EndpointState{Rev: 1, Mark: "theirs", FailingSince: time.Now(), LastFailure: time.Now(), WindowStart: time.Now(), WindowAttempts: 3, WindowFailures: 3}
				}
			}}
			w.fault("save state", 1, f)
			require.True(t, w.deliver(w.message(), "m", 1))
			if f == answerLost {
				require.Equal(t, 4, w.state.WindowFailures, "counted once, beside theirs")
			}
			require.Equal(t, hook.Retrying, w.row().Status, "whatever becomes of the breaker")
		})
	}
}

func TestAnEndpointThatOnlyFailsForDaysIsDisabled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails503)
		w.state = hook.EndpointState{Rev: 1, FailingSince: time.Now().Add(-120 * time.Hour), LastFailure: time.Now().Add(-time.Hour)}
		require.True(t, w.deliver(w.message(), "m", 1))
		require.Equal(t, "nothing but failures for 5 days", w.disabled)
		require.Len(t, w.notices, 1)
		require.Equal(t, hook.NoticeDisabled, w.notices[0].Type)
		require.Equal(t, "nothing but failures for 5 days", w.notices[0].Fields["reason"])

		require.False(t, w.deliver(w.message(), "m", 2))
		require.Equal(t, hook.Held, w.row().Status, "what comes after is held")
		require.Len(t, w.posts, 1)
	})
}

// Days of failures, and an open breaker, are of the time before it was resumed.
func TestAnEndpointThatWasResumedBeginsAnew(t *testing.T) {
	for name, resumed := range map[string]func(e *hook.Endpoint){
		"after a pause": func(e *hook.Endpoint) { e.Epoch = 2 },
		"while active":  func(e *hook.Endpoint) { e.Resume(); e.Resume() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, fails503)
				w.state = open(time.Hour)
				w.state.FailingSince = time.Now().Add(-121 * time.Hour)
				resumed(w.endpoint)
				require.True(t, w.deliver(w.message(), "m", 1))
				require.Len(t, w.posts, 1)
				require.Empty(t, w.disabled)
				require.Equal(t, int64(2), w.state.Epoch)
				require.Equal(t, int64(5), w.state.Rev)
				require.Equal(t, 1, w.state.WindowFailures)
				require.True(t, w.state.OpenUntil.IsZero())
			})
		})
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	for status, want := range map[int]time.Duration{429: 20 * time.Second, 503: 20 * time.Second, 500: time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, post.Result{StatusCode: status, Outcome: hook.OutcomeHTTPError, Reason: "HTTP", RetryAfter: "20"})
			require.True(t, w.deliver(w.message(), "m", 1))
			require.Equal(t, want, time.Until(w.row().NextAttemptAt), status)
			require.Equal(t, want, w.release["rh-m"])
		})
	}
}

func TestWhatIsOverTheRateReservesItsSlotAndWaitsForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.endpoint.RateLimit = 2
		require.Empty(t, w.d.Deliver(t.Context(), w.many(6, nil)))
		require.Equal(t, 1, w.calls["reserve"], "one write for all of the batch")
		require.Len(t, w.posts, 2, "a second's worth at once")
		require.Len(t, w.copies, 4)
		var delays []time.Duration
		for _, o := range w.copies {
			require.True(t, o.Message.Slot)
			delays = append(delays, o.Delay)
			require.LessOrEqual(t, time.Until(o.Message.NotBefore), o.Delay)
		}
		require.ElementsMatch(t, []time.Duration{time.Second, time.Second, 2 * time.Second, 2 * time.Second}, delays)
		require.Empty(t, w.rows[ref], "no attempt is used")
		require.Equal(t, map[hook.Throttle]int{hook.ThrottleRateLimit: 4}, w.throttled)

		// They come back at their time and do not ask again.
		time.Sleep(2 * time.Second)
		for i, o := range w.copies[:4] {
			require.False(t, w.deliver(o.Message, fmt.Sprintf("c%d", i), 1))
		}
		require.Len(t, w.posts, 6)
		require.Equal(t, 1, w.calls["reserve"])
	})
}

// After an outage all slots have passed: who comes late asks again, so that
// what waited does not come at once.
func TestASlotThatHasLongPassedIsNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.endpoint.RateLimit = 1
		late := time.Now().Add(-time.Minute)
		require.Empty(t, w.d.Deliver(t.Context(), w.many(3, func(_ int, m *hook.Message) { m.NotBefore, m.Slot, m.Hop = late, true, 1 })))
		require.Len(t, w.posts, 1)
		require.Len(t, w.copies, 2)
	})
}

// A message that failed comes back with the slot that its first receive has
// used: the retry is a post of its own.
func TestARetryTakesASlotOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails503, ok200)
		w.endpoint.RateLimit = 1
		m := w.message()
		m.NotBefore, m.Slot, m.Hop = time.Now(), true, 1
		require.True(t, w.deliver(m, "m", 1), "it comes back in a second")
		require.Zero(t, w.calls["reserve"])
		time.Sleep(time.Second)
		require.False(t, w.deliver(m, "m", 2))
		require.Equal(t, 1, w.calls["reserve"])
		require.Len(t, w.posts, 2)
	})
}

func TestTheRateOfEverybodyTogetherIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.d.Egress = 3
		require.Empty(t, w.d.Deliver(t.Context(), w.many(5, nil)))
		require.Len(t, w.posts, 3)
		require.Len(t, w.copies, 2)
		require.Contains(t, w.slotsEnd, "")
	})
}

// Everybody's limit has them wait for a minute; the endpoint's own slots are
// none before, so that they do not come all at once then.
func TestAnEndpointsRateIsKeptWhateverEverybodysLimitHasItWaitFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.d.Egress, w.endpoint.RateLimit = 100, 1
		start := time.Now()
		w.slotsEnd[""] = start.Add(61 * time.Second) // of which a second's worth may be used at once
		require.Empty(t, w.d.Deliver(t.Context(), w.many(5, nil)))
		require.Len(t, w.copies, 5)
		var waits []int
		for _, o := range w.copies {
			require.True(t, o.Message.Slot)
			waits = append(waits, int(o.Message.NotBefore.Sub(start).Round(time.Second).Seconds()))
		}
		require.ElementsMatch(t, []int{60, 61, 62, 63, 64}, waits)
	})
}

// A slot that cannot be had of one limit takes none of the other.
func TestWhereEverybodysLimitCannotBeAskedNoSlotOfTheEndpointIsTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.d.Egress, w.endpoint.RateLimit = 100, 1
		w.fault("reserve", 0, fails)
		require.Empty(t, w.d.Deliver(t.Context(), w.many(5, nil)))
		require.Len(t, w.copies, 5)
		require.Empty(t, w.posts)
		require.NotContains(t, w.slotsEnd, endpointID)
	})
}

func TestASlotIsKeptWhileItsMessageWaitsForAPlace(t *testing.T) {
	for wait, kept := range map[time.Duration]bool{2 * time.Second: true, 20 * time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, ok200)
			w.endpoint.RateLimit = 1
			w.d.Shares = deliver.NewShares(1, time.Now)
			end, _, _ := w.d.Shares.Take(t.Context(), endpointID)
			time.Sleep(wait - time.Second)
			m := w.message()
			m.Hop, m.NotBefore, m.Slot = 1, time.Now(), true
			require.False(t, w.deliver(m, "m", 1))
			require.Len(t, w.copies, 1)
			require.Equal(t, kept, w.copies[0].Message.Slot)

			end()
			time.Sleep(w.copies[0].Delay)
			require.False(t, w.deliver(w.copies[0].Message, "c", 1))
			require.Len(t, w.posts, 1)
			require.Equal(t, !kept, w.calls["reserve"] > 0, "it asks again only where its slot has long passed")
		})
	}
}

// A wait for the next attempt is not one for a slot.
func TestOnlyAWaitForASlotKeepsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		m := w.message()
		m.Hop, m.NotBefore, m.Slot = 1, time.Now().Add(time.Hour), true
		require.False(t, w.deliver(m, "m", 1))
		require.True(t, w.copies[0].Message.Slot)
		w.rows[ref] = &hook.Delivery{Ref: ref, Rev: 1, Status: hook.Retrying, MessageID: "m", Hop: 1, NextAttemptAt: time.Now().Add(2 * time.Hour)}
		require.False(t, w.deliver(m, "m", 1))
		require.False(t, w.copies[1].Message.Slot)
	})
}

func TestADeliveryToAPausedEndpointIsHeld(t *testing.T) {
	for _, status := range []hook.EndpointStatus{hook.EndpointPaused, hook.EndpointDisabled} {
		for _, f := range []fault{0, fails, answerLost} {
			t.Run(fmt.Sprintf("%s/%d", status, f), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, ok200)
					w.endpoint.SetStatus(status, "")
					w.fault("save", 0, f)
					require.False(t, w.deliver(w.message(), "m", 1))
					require.Equal(t, hook.Held, w.row().Status)
					require.Equal(t, 1, w.holds)
					require.Zero(t, w.row().ExpiresAt, "it does not expire")
					require.Empty(t, w.posts)
					require.Empty(t, w.copies)
					require.Equal(t, 1, w.ended[hook.Held])

					require.False(t, w.deliver(w.message(), "m", 2), "the message whose delete was lost")
					require.Equal(t, 1, w.holds)
				})
			})
		}
	}
}

func TestAHoldThatComesTooLateIsDecidedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		var log bytes.Buffer
		w.d.Log = slog.New(slog.NewTextHandler(&log, nil))
		w.endpoint.SetStatus(hook.EndpointPaused, "")
		w.meanwhile = func() { // it is resumed while this one decides
			e := *w.endpoint
			e.SetStatus(hook.EndpointActive, "")
			w.endpoint = &e
		}
		require.False(t, w.deliver(w.message(), "m", 1))
		require.Nil(t, w.row())
		require.Len(t, w.copies, 1)
		require.Contains(t, log.String(), `msg="hold refused"`)
		require.Contains(t, log.String(), `reason="the endpoint was changed since it was read"`)
		time.Sleep(time.Second)
		require.False(t, w.deliver(w.copies[0].Message, "c", 1))
		require.Equal(t, hook.Delivered, w.row().Status)
	})
}

func TestADeliveryWhoseEventIsGoneIsNotHeldButEndsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.endpoint.SetStatus(hook.EndpointPaused, "")
		m := w.message()
		w.event = nil
		require.False(t, w.deliver(m, "m", 1))
		require.Equal(t, hook.Dead, w.row().Status)
		require.Equal(t, "event is no longer stored", w.row().FailureReason)
	})
}

func TestSecretsThatCannotBeOpenedNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.fault("open", 0, fails)
		require.False(t, w.deliver(w.message(), "m", 1))
		require.Empty(t, w.posts, "no post without a signature")
		require.Nil(t, w.row())
		require.Len(t, w.copies, 1, "it is put off")

		w.endpoint.Secrets[0].Sealed = []byte("damaged")
		require.False(t, w.deliver(w.message(), "n", 1))
		require.Equal(t, hook.Dead, w.row().Status, "what can never be opened ends")
		require.Equal(t, "the endpoint's secrets cannot be opened", w.row().FailureReason)
	})
}

func TestTheOwnersHeadersAreSentAlongAndOursWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.endpoint.Headers = []hook.SealedHeader{
			{Name: "Authorization", Sealed: []byte("sealed:Bearer abc")}, {Name: "X-Webhook-Event", Sealed: []byte("sealed:forged")},
		}
		require.False(t, w.deliver(w.message(), "m", 1))
		require.Equal(t, "Bearer abc", w.posts[0].Header.Get("Authorization"))
		require.Equal(t, []string{"order.created"}, w.posts[0].Header["X-Webhook-Event"])
	})
}

func TestAControlMessageIsAStepOfItsJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		c := &hook.Control{Tenant: "acme", JobID: "job_01JCXZ5T5V8Q0R9A1B2C3D4E5H", Hop: 2, SentAt: time.Now().UTC().Truncate(time.Millisecond)}
		raw, err := hook.EncodeControl(c)
		require.NoError(t, err)
		batch := append(w.many(1, nil), hook.Received{MessageID: "c", ReceiveCount: 1, Raw: string(raw)})
		require.Empty(t, w.d.Deliver(t.Context(), batch))
		require.Equal(t, []hook.Control{*c}, w.steps)
		require.Len(t, w.posts, 1)

		w.fault("step", 1, fails)
		require.Equal(t, []string{"c"}, w.d.Deliver(t.Context(), batch[1:]), "one that is not done with stays")
	})
}
