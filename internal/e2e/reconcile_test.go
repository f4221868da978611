package e2e

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/hook"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/reconcile"
	"posthorn/internal/wire"
)

// leaky is a system whose queues lose messages: they are received and deleted,
// and nobody has seen them.
type leaky struct {
	*system
	reconciler *reconcile.Reconciler

	sweeping  sync.Mutex // while a sweep is under way
	mu        sync.Mutex
	loses     func(p hook.Parcel, receives int) bool // of the queue of deliveries
	losesDead bool                                   // everything in the dead-letter queue
	lost      int
}

// startLeaky starts a system in a mode.
func startLeaky(t *testing.T, m mode) *leaky {
	l := &leaky{loses: func(hook.Parcel, int) bool { return false }}
	start0 := m.start
	m.start = func(t testing.TB, s *system, cfg *config.Config, awsURL string) localaws.Functions {
		on := wire.Local(inproc.Client(s.services), awsURL)
		// Two hours on, so that what is lost now has been for long.
		l.reconciler = wire.Reconciler(cfg, on, func() time.Time { return time.Now().Add(2 * time.Hour) }, slog.New(slog.DiscardHandler))
		f := start0(t, s, cfg, awsURL)
		deliver, sweep := f.Deliver, f.Sweep
		f.Deliver = func(ctx context.Context, e events.SQSEvent, over func(messageID string)) (events.SQSEventResponse, error) {
			if e.Records = l.kept(e.Records); len(e.Records) == 0 {
				return events.SQSEventResponse{}, nil
			}
			return deliver(ctx, e, over)
		}
		f.Sweep = func(ctx context.Context) error {
			l.sweeping.Lock()
			defer l.sweeping.Unlock()
			if drained, err := l.drainDead(ctx, sqs.NewFromConfig(on), cfg.Queue.DeadLetters); drained || err != nil {
				return err
			}
			return sweep(ctx)
		}
		return f
	}
	l.system = start(t, m)
	return l
}

// kept are the messages of a batch that are not lost.
func (l *leaky) kept(batch []events.SQSMessage) (kept []events.SQSMessage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range batch {
		p, err := hook.Decode([]byte(m.Body))
		receives, _ := strconv.Atoi(m.Attributes["ApproximateReceiveCount"])
		if err == nil && l.loses(p, receives) {
			l.lost++
			continue
		}
		kept = append(kept, m)
	}
	return kept
}

// drainDead empties the dead-letter queue in the sweeper's place, while that
// loses everything.
func (l *leaky) drainDead(ctx context.Context, client *sqs.Client, queue string) (drained bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.losesDead {
		return false, nil
	}
	url, err := client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &queue})
	if err != nil {
		return true, err
	}
	out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: url.QueueUrl, MaxNumberOfMessages: 10})
	if err != nil {
		return true, err
	}
	for _, m := range out.Messages {
		if _, err := client.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: url.QueueUrl, ReceiptHandle: m.ReceiptHandle}); err != nil {
			return true, err
		}
		l.lost++
	}
	return true, nil
}

// lose lets those messages be lost from now on, and forgets how many were.
func (l *leaky) lose(which func(p hook.Parcel, receives int) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.loses, l.lost = which, 0
}

// loseDead lets everything in the dead-letter queue be lost from now on, or
// nothing: a sweep that is under way ends first.
func (l *leaky) loseDead(all bool) {
	l.sweeping.Lock()
	defer l.sweeping.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.losesDead, l.lost = all, 0
}

// untilLost waits until so many have been lost, and then lets none be.
func (l *leaky) untilLost(n int) {
	l.t.Helper()
	l.eventually("messages to be lost", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.lost >= n
	})
	l.lose(func(hook.Parcel, int) bool { return false })
	l.loseDead(false)
}

// reconciles runs once.
func (l *leaky) reconciles() reconcile.Result {
	l.t.Helper()
	got, err := l.reconciler.Run(l.t.Context(), reconcile.Options{OlderThan: time.Hour})
	require.NoError(l.t, err)
	require.Zero(l.t, got.Failed)
	return got
}

// repairs runs once, for which it has one reason, and then once more, for which
// no delivery gives it any.
func (l *leaky) repairs(reason reconcile.Reason, n int, then func()) {
	l.t.Helper()
	got := l.reconciles().SentAgain
	require.Equal(l.t, n, got[reason])
	if reason != reconcile.Stopped { // a job may have sent something before the run comes to that
		require.Len(l.t, got, 1, got)
	}
	then()
	again := l.reconciles()
	// Two hours on by the clock of the run, a job that is at work counts as
	// stopped once more.
	delete(again.SentAgain, reconcile.Stopped)
	require.Empty(l.t, again.SentAgain)
}

func isDelivery(p hook.Parcel, _ int) bool { return p.Delivery != nil }
func isControl(p hook.Parcel, _ int) bool  { return p.Control != nil }

// The queue loses the message of an event, in each mode, and the delivery is
// brought home.
func TestALostMessageIsBroughtHomeByReconcile(t *testing.T) {
	t.Parallel()
	for _, m := range modes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			l := startLeaky(t, m)
			l.register(map[string]any{"secret": secret})
			l.lose(isDelivery)
			event, deliveries := l.emit("order.created", map[string]any{"n": 1})
			l.untilLost(1)
			require.Equal(t, "queued", l.until(deliveries[0], "queued")["status"])
			require.Empty(t, l.receiver.received(t))

			l.repairs(reconcile.Unrecorded, 1, func() { require.InDelta(t, 1, l.until(deliveries[0], "delivered")["attempts"], 0) })
			got := l.receiver.received(t)
			require.Len(t, got, 1)
			require.Equal(t, event, got[0].header.Get("Webhook-Id"))
		})
	}
}

// Each kind of message that a queue carries is lost once. What it was about is
// brought to its end.
func TestEveryKindOfLostMessageIsBroughtHomeByReconcile(t *testing.T) {
	t.Parallel()
	for name, story := range map[string]func(t *testing.T, l *leaky){
		"of a retry": func(t *testing.T, l *leaky) {
			l.register(map[string]any{"secret": secret})
			l.receiver.answer(http.StatusServiceUnavailable)
			l.lose(func(p hook.Parcel, receives int) bool { return isDelivery(p, 0) && receives > 1 })
			_, deliveries := l.emit("order.created", map[string]any{})
			l.untilLost(1)
			l.until(deliveries[0], "retrying")
			l.receiver.answer(http.StatusOK)
			l.repairs(reconcile.Overdue, 1, func() {
				require.InDelta(t, 2, l.until(deliveries[0], "delivered")["attempts"], 0)
			})
		},
		"of a retry by hand": func(t *testing.T, l *leaky) {
			l.register(map[string]any{"secret": secret})
			_, deliveries := l.emit("order.created", map[string]any{})
			l.until(deliveries[0], "delivered")
			l.lose(isDelivery)
			require.Equal(t, http.StatusAccepted, l.call("POST", "/api/v1/deliveries/"+deliveries[0]+"/retry", nil).status)
			l.untilLost(1)
			l.until(deliveries[0], "queued")
			l.repairs(reconcile.Requeued, 1, func() { l.until(deliveries[0], "delivered") })
			require.Len(t, l.receiver.received(t), 2)
		},
		"of an event resent to an endpoint that it did not match": func(t *testing.T, l *leaky) {
			event, none := l.emit("order.created", map[string]any{})
			require.Empty(t, none)
			endpoint := l.register(map[string]any{"secret": secret})
			l.lose(isDelivery)
			require.Equal(t, http.StatusAccepted, l.call("POST", "/api/v1/events/"+event+"/resend", map[string]any{"endpoint_id": endpoint}).status)
			l.untilLost(1)
			l.repairs(reconcile.Requeued, 1, func() {
				l.until("dlv_"+event[len("evt_"):]+"_"+endpoint[len("ep_"):], "delivered")
			})
		},
		"of a delivery that was held and released": func(_ *testing.T, l *leaky) {
			endpoint, delivery := l.holdOne()
			l.lose(isDelivery)
			l.call("POST", "/api/v1/webhooks/"+endpoint+"/resume", nil)
			l.untilLost(1)
			l.until(delivery, "queued")
			got := l.reconciles()
			require.Equal(l.t, 1, got.SentAgain[reconcile.Requeued])
			l.until(delivery, "delivered")
		},
		"of a dead delivery on its way to the dead letters": func(t *testing.T, l *leaky) {
			l.register(map[string]any{"secret": secret, "max_retries": 0})
			l.receiver.answer(http.StatusServiceUnavailable)
			l.loseDead(true)
			_, deliveries := l.emit("order.created", map[string]any{})
			l.until(deliveries[0], "dead")
			l.untilLost(1)
			require.Empty(t, l.list("/api/v1/dlq"))
			l.repairs(reconcile.Unburied, 1, func() {
				l.eventually("the entry", func() bool { return len(l.list("/api/v1/dlq")) == 1 })
			})
			require.Len(t, l.receiver.received(t), 1, "it is not posted for that")
		},
		"of a job that releases": func(_ *testing.T, l *leaky) {
			endpoint, delivery := l.holdOne()
			l.lose(isControl)
			l.call("POST", "/api/v1/webhooks/"+endpoint+"/resume", nil)
			l.untilLost(1)
			l.until(delivery, "held")
			l.repairs(reconcile.Stopped, 1, func() { l.until(delivery, "delivered") })
		},
		"of a job that cancels": func(t *testing.T, l *leaky) {
			endpoint, delivery := l.holdOne()
			l.lose(isControl)
			require.Equal(t, http.StatusNoContent, l.call("DELETE", "/api/v1/webhooks/"+endpoint, nil).status)
			l.untilLost(1)
			l.until(delivery, "held")
			l.repairs(reconcile.Stopped, 1, func() { l.until(delivery, "cancelled") })
		},
		"of a job that fans out": func(t *testing.T, l *leaky) {
			for range 103 {
				l.register(map[string]any{"secret": secret})
			}
			l.lose(isControl)
			event, _ := l.emit("order.created", map[string]any{})
			l.untilLost(1)
			l.repairs(reconcile.Stopped, 1, func() {
				l.eventually("all deliveries", func() bool { return len(l.receiver.received(t)) == 103 })
				l.eventually("their records", func() bool {
					return len(l.list("/api/v1/deliveries?limit=200&status=delivered&event_id="+event)) == 103
				})
			})
		},
		"of a job that replays": func(t *testing.T, l *leaky) {
			delivery := l.buryOne()
			l.lose(isControl)
			require.Equal(t, http.StatusAccepted, l.call("POST", "/api/v1/dlq/replay", map[string]any{"filter": map[string]any{}}).status)
			l.untilLost(1)
			l.until(delivery, "dead")
			l.repairs(reconcile.Stopped, 1, func() { l.until(delivery, "delivered") })
			require.Empty(t, l.list("/api/v1/dlq"))
		},
		"of a job that recovers": func(t *testing.T, l *leaky) {
			delivery := l.buryOne()
			endpoint := l.list("/api/v1/webhooks")[0]["id"].(string)
			l.lose(isControl)
			a := l.call("POST", "/api/v1/webhooks/"+endpoint+"/recover", map[string]any{"since": "2026-01-01T00:00:00Z"})
			require.Equal(t, http.StatusAccepted, a.status, a.body)
			l.untilLost(1)
			l.repairs(reconcile.Stopped, 1, func() { l.until(delivery, "delivered") })
		},
		"of an event for an endpoint that is deleted meanwhile": func(_ *testing.T, l *leaky) {
			endpoint := l.register(map[string]any{"secret": secret})
			l.lose(isDelivery)
			_, deliveries := l.emit("order.created", map[string]any{})
			l.untilLost(1)
			l.call("DELETE", "/api/v1/webhooks/"+endpoint, nil)
			got := l.reconciles()
			require.Equal(l.t, 1, got.SentAgain[reconcile.Unrecorded])
			l.until(deliveries[0], "cancelled")
		},
		"of an event for an endpoint that is paused meanwhile": func(_ *testing.T, l *leaky) {
			endpoint := l.register(map[string]any{"secret": secret})
			l.lose(isDelivery)
			_, deliveries := l.emit("order.created", map[string]any{})
			l.untilLost(1)
			l.call("POST", "/api/v1/webhooks/"+endpoint+"/pause", nil)
			l.repairs(reconcile.Unrecorded, 1, func() { l.until(deliveries[0], "held") })
			l.call("POST", "/api/v1/webhooks/"+endpoint+"/resume", nil)
			l.until(deliveries[0], "delivered")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			story(t, startLeaky(t, modes[0]))
		})
	}
}

// holdOne makes an endpoint with a delivery that is held.
func (l *leaky) holdOne() (endpoint, delivery string) {
	l.t.Helper()
	endpoint = l.register(map[string]any{"secret": secret})
	require.Equal(l.t, http.StatusOK, l.call("POST", "/api/v1/webhooks/"+endpoint+"/pause", nil).status)
	_, deliveries := l.emit("order.created", map[string]any{})
	l.until(deliveries[0], "held")
	return endpoint, deliveries[0]
}

// buryOne makes an endpoint that works, with a dead letter.
func (l *leaky) buryOne() (delivery string) {
	l.t.Helper()
	l.register(map[string]any{"secret": secret, "max_retries": 0})
	l.receiver.answer(http.StatusServiceUnavailable)
	_, deliveries := l.emit("order.created", map[string]any{})
	l.eventually("the entry", func() bool { return len(l.list("/api/v1/dlq")) == 1 })
	l.receiver.answer(http.StatusOK)
	return deliveries[0]
}

// Runs that take everything that is under way for lost, one after the other
// beside traffic of which one message in five is really lost: every delivery is
// made, and recorded once.
func TestReconcileBesideLiveTraffic(t *testing.T) {
	t.Parallel()
	l := startLeaky(t, modes[0])
	l.register(map[string]any{"secret": secret})
	n := 0
	l.lose(func(hook.Parcel, int) bool { n++; return n%5 == 0 })
	var (
		mu         sync.Mutex
		deliveries []string
		producers  sync.WaitGroup
	)
	for range 4 {
		producers.Go(func() {
			for range 50 {
				a, err := request(t.Context(), "POST", l.url+"/api/v1/events", map[string]any{"event_type": "load.test", "payload": map[string]any{}})
				if err != nil || a.status != http.StatusAccepted {
					t.Errorf("post: %v, %v", err, a)
					return
				}
				mu.Lock()
				deliveries = append(deliveries, a.body["deliveries"].([]any)[0].(map[string]any)["id"].(string))
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	go func() { producers.Wait(); close(done) }()
	runs := 0
	for producing := true; producing; runs++ {
		select {
		case <-done:
			producing = false
		default:
		}
		l.reconciles()
	}
	require.Greater(t, runs, 3)
	l.lose(func(hook.Parcel, int) bool { return false })
	l.eventually("the queue to run dry", func() bool {
		queue := l.peek("/api/v1/stats")["queue"].(map[string]any)
		return queue["ready"] == 0.0 && queue["in_flight"] == 0.0 && queue["delayed"] == 0.0
	})
	// The clock of these runs stands two hours on: to them, what the ones before
	// have sent was sent just now.
	now := l.reconciler.Now
	l.reconciler.Now = func() time.Time { return now().Add(2 * time.Hour) }
	l.reconciles()
	require.Len(t, deliveries, 200)
	for _, d := range deliveries {
		require.InDelta(t, 1, l.until(d, "delivered")["attempts"], 0, d)
	}
}
