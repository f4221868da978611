package deliver_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/deliver/post"
	"posthorn/internal/deliver/retry"
	"posthorn/internal/hook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestASuccessIsRecordedAndAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		require.False(t, w.deliver(w.message(), "m", 1))
		require.Equal(t, hook.Delivered, w.row().Status)
		require.Equal(t, 1, w.row().Attempts)
		require.Len(t, w.posts, 1)
		p := w.posts[0]
		require.Equal(t, "https://example.com/hook", p.URL)
		require.Equal(t, `{"id":"inline"}`, string(p.Body))
		require.Equal(t, 30*time.Second, p.Timeout)
		require.Equal(t, "signed with test-secret", p.Header.Get("X-Webhook-Signature"))
		require.Equal(t, ref.ID(), p.Header.Get("X-Webhook-Delivery"))
		require.Equal(t, "1", p.Header.Get("X-Webhook-Attempt"))
		require.Equal(t, "order.created", p.Header.Get("X-Webhook-Event"))
		require.Equal(t, 1, w.ended[hook.Delivered])
		require.Equal(t, []time.Duration{w.row().CompletedAt.Sub(w.row().CreatedAt)}, w.endToEnd)
	})
}

// Who replays what died yesterday does not want to be told of a day's lag.
func TestWhatWasSentAgainByHandDoesNotCountEndToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		m := w.message()
		m.Gen = 1
		require.False(t, w.deliver(m, "m", 1))
		require.Equal(t, hook.Delivered, w.row().Status)
		require.Empty(t, w.endToEnd)
	})
}

func TestABodyTooLargeForTheQueueIsReadFromItsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		m := w.message()
		m.Body = nil
		require.False(t, w.deliver(m, "m", 1))
		require.Equal(t, `{"id":"stored"}`, string(w.posts[0].Body))
	})
}

// The whole life of a failing delivery under the default policy: delays of 1,
// 2, 4 and 8 seconds by visibility timeout, death at the fifth receive, and
// the redrive policy's turn.
func TestBackoffByVisibilityUntilTheRedrivePolicyTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails503)
		for receive, delay := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
			require.True(t, w.deliver(w.message(), "m", receive+1))
			require.Equal(t, hook.Retrying, w.row().Status)
			require.Equal(t, delay, w.release["rh-m"])
			time.Sleep(delay) // of the bubble's clock
		}
		require.True(t, w.deliver(w.message(), "m", 5))
		require.Equal(t, hook.Dead, w.row().Status)
		require.Equal(t, "HTTP 503: Service Unavailable", w.row().FailureReason)
		require.Zero(t, w.release["rh-m"], "visible at once, for the redrive")
		require.Empty(t, w.dead)
		require.Empty(t, w.copies)
		require.Len(t, w.posts, 5)
		require.Len(t, w.attempts, 5)
		require.Equal(t, 1, w.ended[hook.Dead])
	})
}

func TestAShorterPolicyGoesToTheDeadLetterQueueByItsOwnHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails503)
		none := 0
		w.endpoint.MaxRetries = &none
		require.False(t, w.deliver(w.message(), "m", 1))
		require.Equal(t, hook.Dead, w.row().Status)
		require.Len(t, w.dead, 1)
		require.Equal(t, w.receive(w.message(), "m", 1).Raw, w.dead[0])
	})
}

func TestALongDelayIsSpentAsACopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails503, ok200)
		w.d.Policies = &retry.Policies{Default: retry.Policy{InitialDelay: 40 * time.Minute, MaxDelay: time.Hour, Multiplier: 1, MaxAttempts: 3}}
		require.False(t, w.deliver(w.message(), "m", 1), "the original is done with")
		require.Empty(t, w.release)
		require.Len(t, w.copies, 1)
		first := w.copies[0]
		require.Equal(t, 1, first.Message.Hop)
		require.Equal(t, 900*time.Second, first.Delay, "DelaySeconds reaches 15 minutes")
		require.Equal(t, w.row().NextAttemptAt, first.Message.NotBefore)

		time.Sleep(900 * time.Second)
		require.False(t, w.deliver(first.Message, "copy-1", 1))
		require.Len(t, w.posts, 1, "before its time nothing is posted")
		second := w.copies[1]
		require.Equal(t, 2, second.Message.Hop)

		time.Sleep(900 * time.Second)
		require.False(t, w.deliver(second.Message, "copy-2", 1))
		third := w.copies[2]
		require.Equal(t, 600*time.Second, third.Delay)
		time.Sleep(600 * time.Second)
		require.False(t, w.deliver(third.Message, "copy-3", 1))
		require.Len(t, w.posts, 2)
		require.Equal(t, hook.Delivered, w.row().Status)
	})
}

func TestALongerPolicyGoesOnByCopyWhenItsReceivesAreUsedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails503)
		seven := 7
		w.endpoint.MaxRetries = &seven
		require.False(t, w.deliver(w.message(), "m", 5))
		require.Equal(t, hook.Retrying, w.row().Status)
		require.Len(t, w.copies, 1)
		require.Equal(t, time.Second, w.copies[0].Delay)
	})
}

func TestAConflictIsReadAgainAndAppliedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.meanwhile = func() { // another message of the delivery records a failure
			w.rows[ref] = &hook.Delivery{Ref: ref, Rev: 1, Status: hook.Retrying, MessageID: "other", Attempts: 1, GenAttempts: 1, LastAttemptID: "theirs"}
		}
		require.False(t, w.deliver(w.message(), "m", 1))
		require.Equal(t, hook.Delivered, w.row().Status)
		require.Equal(t, 2, w.row().Attempts)
		require.Equal(t, int64(2), w.row().Rev)
		require.Empty(t, w.copies)
	})
}

// SQS may give out a message twice at once. Both receives then bring it to the
// dead-letter queue: were it acknowledged by the one that lost, the redrive
// policy would find nothing.
func TestAMessageWhoseDeathItsOtherReceiveHasRecordedStillGoesToTheDeadLetterQueue(t *testing.T) {
	for _, c := range []struct {
		name  string
		given func(w *world) *hook.Message
		by    string // whose message recorded the death
		count int    // of the receive
		stays bool   // for the redrive policy
		sent  int    // to the dead-letter queue by its own hand
	}{
		{"a failure, at the last receive", (*world).message, "m", 5, true, 0},
		{"a failure, before the last receive", (*world).message, "m", 3, false, 1},
		{"an event that is gone", func(w *world) *hook.Message {
			m := w.message()
			m.Body, w.event = nil, nil
			return m
		}, "m", 5, true, 0},
		{"an endpoint that is paused meanwhile", func(w *world) *hook.Message {
			w.endpoint.Status = hook.EndpointPaused
			return w.message()
		}, "m", 5, true, 0},
		{"another message's death is that one's to bring", (*world).message, "other", 5, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, fails503)
				m := c.given(w)
				w.rows[ref] = &hook.Delivery{Ref: ref, Rev: 1, Status: hook.Retrying, MessageID: c.by, Attempts: 4, GenAttempts: 4, LastAttemptID: "fourth"}
				if c.by != "m" {
					delete(w.rows, ref)
				}
				w.meanwhile = func() {
					w.rows[ref] = &hook.Delivery{Ref: ref, Rev: 2, Status: hook.Dead, MessageID: c.by, Attempts: 5, GenAttempts: 5, LastAttemptID: "theirs"}
				}
				require.Equal(t, c.stays, w.deliver(m, "m", c.count))
				require.Equal(t, "theirs", w.row().LastAttemptID)
				require.Len(t, w.dead, c.sent)
				require.Empty(t, w.copies)
			})
		})
	}
}

func TestARecordedFailureForgetsEarlierReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails503)
		m := w.message()
		m.Returns = 3
		require.False(t, w.deliver(m, "m", 5))
		require.Zero(t, w.copies[0].Message.Returns)

		w = newWorld(t, fails503)
		w.fault("read", 0, fails)
		require.False(t, w.deliver(m, "m", 5))
		require.Equal(t, 3, w.copies[0].Message.Returns, "nothing was recorded")
	})
}

func TestDeferralsOfALongOutageGrowApart(t *testing.T) {
	for name, c := range map[string]struct {
		maxDelay time.Duration // of the default retry policy
		want     []time.Duration
	}{
		"up to five minutes":             {300 * time.Second, []time.Duration{10, 20, 40, 80, 160, 300, 300}},
		"no further with a longer delay": {time.Hour, []time.Duration{10, 20, 40, 80, 160, 300, 300}},
		"up to the policy's delay":       {30 * time.Second, []time.Duration{10, 20, 30, 30}},
		"never less than ten seconds":    {time.Second, []time.Duration{10, 10, 10}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, ok200)
				w.d.Policies.Default.MaxDelay = c.maxDelay
				m := w.message()
				for hop, delay := range c.want {
					w.fault("read", hop, fails)
					require.False(t, w.deliver(m, "m", 1))
					require.Equal(t, delay*time.Second, w.copies[hop].Delay)
					m = w.copies[hop].Message
					time.Sleep(delay * time.Second) // of the bubble's clock
				}
			})
		})
	}
}

func TestAnUndecodableMessageGoesToTheDeadLetterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		bad := hook.Received{MessageID: "bad", ReceiptHandle: "rh-bad", ReceiveCount: 1, Raw: "hello"}
		good := w.receive(w.message(), "m", 1)
		require.Empty(t, w.d.Deliver(t.Context(), []hook.Received{bad, good}))
		require.Equal(t, []string{"hello"}, w.dead)
		require.Equal(t, hook.Delivered, w.row().Status)

		w.fault("dead", 1, fails)
		require.Equal(t, []string{"bad"}, w.d.Deliver(t.Context(), []hook.Received{bad}), "it stays until it is there")
	})
}

func TestADeletedEndpointCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.endpoint = nil
		require.False(t, w.deliver(w.message(), "m", 1))
		require.Equal(t, hook.Cancelled, w.row().Status)
		require.Empty(t, w.posts)
		require.Equal(t, 1, w.ended[hook.Cancelled])
	})
}

func TestAnExpiredEventEndsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		m := w.message()
		m.Body, w.event = nil, nil
		w.rows[ref] = &hook.Delivery{Ref: ref, Rev: 1, Status: hook.Retrying, MessageID: "m", Attempts: 1, GenAttempts: 1}
		require.False(t, w.deliver(m, "m", 1))
		require.Equal(t, hook.Dead, w.row().Status)
		require.Equal(t, "event is no longer stored", w.row().FailureReason)
		require.Len(t, w.dead, 1)
	})
}

// A delivery that was sent again late, or whose policy is longer than events are
// kept, finds its payload at its last attempt.
func TestAnEventLivesAsLongAsItsDeliveryIsTried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails503)
		start := time.Now()
		w.d.Keep.Retention = time.Hour
		w.event.ExpiresAt = start.Add(time.Hour)
		w.d.Policies = &retry.Policies{Default: retry.Policy{InitialDelay: 3 * time.Hour, MaxDelay: 3 * time.Hour, Multiplier: 1, MaxAttempts: 4}}
		w.fault("extend", 0, fails)
		w.run(w.message())
		require.Equal(t, hook.Dead, w.row().Status)
		require.Len(t, w.attempts, 4)
		require.Equal(t, "HTTP 503: Service Unavailable", w.row().FailureReason)
		require.Equal(t, w.row().ExpiresAt, w.event.ExpiresAt)
		require.Equal(t, 9*time.Hour, w.row().CompletedAt.Sub(start).Round(time.Hour))
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, fails503, ok200)
		w.run(w.message())
		require.Zero(t, w.calls["extend"], "one that is within its time costs nothing")
	})
}

func TestTwoMessagesOfADeliveryInOneBatchPostOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		batch := []hook.Received{w.receive(w.message(), "a", 1), w.receive(w.message(), "b", 1)}
		require.Empty(t, w.d.Deliver(t.Context(), batch))
		require.Len(t, w.posts, 1)
	})
}

func TestNoPostIsStartedThatCouldOutlastTheInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		ctx, cancel := context.WithTimeout(t.Context(), 34*time.Second) // a 30 s post and 5 s to settle do not fit
		defer cancel()
		require.Empty(t, w.d.Deliver(ctx, []hook.Received{w.receive(w.message(), "m", 1)}))
		require.Empty(t, w.posts)
		require.Len(t, w.copies, 1, "put off by copy: no receive is used up")
	})
}

func TestAStoreThatHangsDoesNotOutlastTheInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.fault("save", 0, hangs)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		require.Equal(t, []string{"m"}, w.d.Deliver(ctx, []hook.Received{w.receive(w.message(), "m", 1)}))
		require.Less(t, time.Since(start), 45*time.Second)
		require.Len(t, w.posts, 1)
	})
}

func TestAStoppedPostIsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, post.Result{Outcome: hook.OutcomeOther, Reason: "stopped"})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Equal(t, []string{"m"}, w.d.Deliver(ctx, []hook.Received{w.receive(w.message(), "m", 1)}))
		require.Nil(t, w.row())
	})
}

func TestATroubleOfOursDefersByCopyAndUsesNoAttempt(t *testing.T) {
	for _, op := range []string{"read", "endpoints", "event"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, ok200)
				w.fault(op, 0, fails)
				m := w.message()
				m.Body = nil
				require.False(t, w.deliver(m, "m", 4))
				require.Empty(t, w.posts)
				require.Nil(t, w.row())
				require.Len(t, w.copies, 1)
				require.Equal(t, 1, w.copies[0].Message.Hop)

				w.fault("send", 1, fails)
				w.fault(op, w.calls[op], fails)
				require.True(t, w.deliver(m, "m", 4), "without a copy the original stays")
			})
		})
	}
}

// Each write of a delivery's path, failing and with its answer lost, for a
// receiver that takes it and for one that does not: the message comes round
// until its delivery is over, nothing is lost, and there is one final state.
func TestFaultPairs(t *testing.T) {
	one := func(n int) *int { return &n }
	for _, op := range []string{"save", "send", "release", "dead", "read", "endpoints", "open", "save state", "state", "reserve"} {
		for _, f := range []fault{fails, answerLost} {
			for _, nth := range []int{0, 1, 2} {
				for name, c := range map[string]struct {
					answers []post.Result
					retries *int
					delay   time.Duration
					want    hook.Status
				}{
					"taken":                {[]post.Result{ok200}, nil, time.Second, hook.Delivered},
					"taken at the second":  {[]post.Result{fails503, ok200}, nil, time.Second, hook.Delivered},
					"taken after a copy":   {[]post.Result{fails503, ok200}, nil, time.Minute, hook.Delivered},
					"dead by redrive":      {[]post.Result{fails503}, nil, time.Second, hook.Dead},
					"dead by its own hand": {[]post.Result{fails503}, one(1), time.Second, hook.Dead},
				} {
					t.Run(fmt.Sprintf("%s/%d/%d/%s", op, f, nth, name), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							w := newWorld(t, c.answers...)
							w.endpoint.MaxRetries, w.endpoint.RateLimit = c.retries, 1
							w.d.Policies = &retry.Policies{Default: retry.Policy{InitialDelay: c.delay, MaxDelay: c.delay, Multiplier: 1, MaxAttempts: 5}}
							w.fault(op, nth, f)
							w.run(w.message())
							require.Equal(t, c.want, w.row().Status)
							require.Equal(t, 1, w.ended[c.want])
							if c.want == hook.Dead {
								require.NotEmpty(t, w.dead, "a death reaches the dead-letter queue")
							}
						})
					})
				}
			}
		}
	}
}

// run is a queue around the Deliverer: it delivers the message and everything
// that comes of it, each when it is visible, until the queue is empty.
func (w *world) run(first *hook.Message) {
	type item struct {
		m       *hook.Message
		id      string
		count   int
		visible time.Time
	}
	const visibility = 270 * time.Second
	queue := []*item{{m: first, id: "m-0", visible: time.Now()}}
	taken := 0
	for rounds := 0; len(queue) > 0; rounds++ {
		require.Less(w.t, rounds, 100, "the queue does not run dry")
		next := 0
		for i, it := range queue {
			if it.visible.Before(queue[next].visible) {
				next = i
			}
		}
		it := queue[next]
		if d := time.Until(it.visible); d > 0 {
			time.Sleep(d) // of the bubble's clock
		}
		if it.count++; it.count > w.d.MaxReceives { // the redrive policy
			w.dead = append(w.dead, w.receive(it.m, it.id, it.count).Raw)
			queue = append(queue[:next], queue[next+1:]...)
			continue
		}
		delete(w.release, "rh-"+it.id)
		if w.deliver(it.m, it.id, it.count) {
			after, set := w.release["rh-"+it.id]
			if !set {
				after = visibility
			}
			it.visible = time.Now().Add(after)
		} else {
			queue = append(queue[:next], queue[next+1:]...)
		}
		for ; taken < len(w.copies); taken++ {
			o := w.copies[taken]
			queue = append(queue, &item{m: o.Message, id: fmt.Sprintf("copy-%d", taken+1), visible: time.Now().Add(o.Delay)})
		}
	}
}

// A queue may hand out a message twice at once. Whoever comes second to a death
// must not acknowledge what still has to reach the dead-letter queue.
func TestAMessageThatWasHandedOutTwiceReachesTheDeadLetterQueueAllTheSame(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"posted too":           func(*world) {},
		"paused meanwhile":     func(w *world) { w.endpoint.Status = hook.EndpointPaused },
		"deleted meanwhile":    func(w *world) { w.endpoint = nil },
		"the event is expired": func(w *world) { w.event = nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, receive := range []int{4, 5} {
					w := newWorld(t, fails503)
					m := w.message()
					m.Body = nil
					w.meanwhile = func() {
						w.rows[ref] = &hook.Delivery{Ref: ref, Rev: 1, Status: hook.Dead, MessageID: "m", Attempts: 1, GenAttempts: 1, LastAttemptID: "theirs"}
					}
					change(w)
					if stays := w.deliver(m, "m", receive); receive < 5 {
						require.False(t, stays)
						require.Len(t, w.dead, 1)
					} else {
						require.True(t, stays, "the redrive policy takes it")
						require.Empty(t, w.dead)
						require.Contains(t, w.release, "rh-m")
					}
					require.Equal(t, int64(1), w.row().Rev)
				}
			})
		})
	}
}
