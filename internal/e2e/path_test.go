package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"posthorn/internal/wire"
)

func TestAnEventReachesItsEndpointSigned(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		endpoint := s.register(map[string]any{"secret": secret, "events": []string{"order.*"}, "description": "orders"})
		other := s.register(map[string]any{"secret": secret, "events": []string{"user.created"}})
		const payload = `{"z":1.10,"a":[1e400,"<&>\u00e9"],"a":null}`
		a := s.call("POST", "/api/v1/events", `{"event_type":"order.created","payload": `+payload+` }`)
		require.Equal(t, http.StatusAccepted, a.status, a.body)
		require.InDelta(t, 1, a.body["deliveries_total"], 0)
		event := a.body["id"].(string)
		delivery := a.body["deliveries"].([]any)[0].(map[string]any)["id"].(string)
		require.Equal(t, "dlv_"+strings.TrimPrefix(event, "evt_")+"_"+strings.TrimPrefix(endpoint, "ep_"), delivery)

		d := s.until(delivery, "delivered")
		require.InDelta(t, 1, d["attempts"], 0)
		attempts := d["attempt_log"].([]any)
		require.Len(t, attempts, 1)
		require.InDelta(t, 200, attempts[0].(map[string]any)["status_code"], 0)

		got := s.receiver.received(t)
		require.Len(t, got, 1)
		require.Equal(t, fmt.Sprintf(`{"id":"%s","event":"order.created","timestamp":"%s","data":%s}`, event, a.body["created_at"], payload), got[0].body)
		require.Equal(t, "application/json", got[0].header.Get("Content-Type"))
		require.Equal(t, "Posthorn/"+wire.Version, got[0].header.Get("User-Agent"))
		require.Equal(t, "order.created", got[0].header.Get("X-Webhook-Event"))
		require.Equal(t, delivery, got[0].header.Get("X-Webhook-Delivery"))
		require.Equal(t, "1", got[0].header.Get("X-Webhook-Attempt"))
		require.Equal(t, event, got[0].header.Get("Webhook-Id"))

		require.Len(t, s.list("/api/v1/webhooks"), 2)
		require.Len(t, s.list("/api/v1/deliveries?endpoint_id="+endpoint), 1)
		require.Empty(t, s.list("/api/v1/deliveries?endpoint_id="+other))
		require.Len(t, s.list("/api/v1/deliveries?event_id="+event), 1)
		require.Len(t, s.list("/api/v1/events?event_type=order.created"), 1)
		require.Empty(t, s.list("/api/v1/events?event_type=order.deleted"))
		shown := s.call("GET", "/api/v1/events/"+event, nil)
		require.Equal(t, http.StatusOK, shown.status)
		for _, e := range s.list("/api/v1/webhooks") {
			require.NotContains(t, e, "secret")
		}
		require.Eventually(t, func() bool {
			stats := s.call("GET", "/api/v1/stats", nil)
			return stats.body["events_total"] == 1.0 && stats.body["deliveries"].(map[string]any)["delivered"] == 1.0
		}, patience, 20*time.Millisecond)
		metrics := s.call("GET", "/metrics", nil).body["text"].(string)
		require.Contains(t, metrics, `webhook_events_total{event_type="order.created"} 1`)
		require.Contains(t, metrics, `webhook_deliveries_total{status="delivered"} 1`)
		require.Contains(t, metrics, "webhook_delivery_duration_seconds_count 1")
		require.Contains(t, metrics, "webhook_endpoints_total 2")
	})
}

// A traceparent goes wherever its event goes: to the first try, to a repeat, out
// of what was held, and to those that a job sends to.
func TestATraceparentIsCarriedOn(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		s.registered(110, map[string]any{"secret": secret, "url": s.receiver.url("/all"), "events": []string{"wide.*"}})
		one := s.register(map[string]any{"secret": secret, "url": s.receiver.url("/one"), "events": []string{"order.*"}})
		s.act("POST", "/api/v1/webhooks/"+one+"/pause", nil, http.StatusOK)
		post := func(eventType string) string {
			a := s.call("POST", "/api/v1/events", map[string]any{"event_type": eventType, "payload": map[string]any{}}, "Traceparent", trace)
			require.Equal(t, http.StatusAccepted, a.status, a.body)
			return a.body["deliveries"].([]any)[0].(map[string]any)["id"].(string)
		}
		delivery := post("order.created")
		post("wide.now")
		s.until(delivery, "held")
		s.act("POST", "/api/v1/webhooks/"+one+"/resume", nil, http.StatusAccepted)
		require.Equal(t, trace, s.until(delivery, "delivered")["traceparent"])
		s.act("POST", "/api/v1/deliveries/"+delivery+"/retry", nil, http.StatusAccepted)
		s.eventually("them all", func() bool { return len(s.receiver.received(t)) == 112 })
		for _, r := range s.receiver.received(t) {
			require.Equal(t, trace, r.header.Get("Traceparent"), r.path)
		}
	})
}

func TestAFailingEndpointEndsInTheDeadLettersAndIsDeliveredByReplay(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		for _, retries := range []any{nil, 0} {
			s.receiver.answer(http.StatusServiceUnavailable)
			fields := map[string]any{"secret": secret}
			attempts := 5
			if retries != nil {
				fields["max_retries"], attempts = retries, 1
			}
			endpoint := s.register(fields)
			event, deliveries := s.emit("invoice.test", map[string]any{"amount": 12})
			d := s.until(deliveries[0], "dead")
			require.InDelta(t, attempts, d["attempts"], 0)
			require.Len(t, d["attempt_log"], attempts)

			var entries []map[string]any
			require.Eventually(t, func() bool {
				entries = s.list("/api/v1/dlq?endpoint_id=" + endpoint)
				return len(entries) == 1
			}, patience, 20*time.Millisecond)
			e := entries[0]
			require.Equal(t, "HTTP 503: Service Unavailable", e["failure_reason"])
			require.Equal(t, event, e["event_id"])
			require.Equal(t, deliveries[0], e["delivery_id"])
			require.Equal(t, s.receiver.url("/hook"), e["endpoint_url"])
			require.Equal(t, map[string]any{"amount": 12.0}, e["payload"])
			require.InDelta(t, attempts, e["attempts"], 0)
			id := e["id"].(string)
			require.Equal(t, http.StatusOK, s.call("GET", "/api/v1/dlq/"+id, nil).status)

			s.receiver.answer(http.StatusOK)
			replayed := s.call("POST", "/api/v1/dlq/"+id+"/replay", nil)
			require.Equal(t, http.StatusAccepted, replayed.status, replayed.body)
			require.Equal(t, deliveries[0], replayed.body["delivery_id"])
			d = s.until(deliveries[0], "delivered")
			require.InDelta(t, attempts+1, d["attempts"], 0)
			require.Equal(t, http.StatusNotFound, s.call("GET", "/api/v1/dlq/"+id, nil).status)
			require.Equal(t, http.StatusNotFound, s.call("POST", "/api/v1/dlq/"+id+"/replay", nil).status)
			require.Equal(t, http.StatusNoContent, s.call("DELETE", "/api/v1/webhooks/"+endpoint, nil).status)
		}
	})
}

func TestADeletedEndpointCancelsWhatIsQueued(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		s.receiver.answer(http.StatusInternalServerError)
		endpoint := s.register(map[string]any{"secret": secret, "retry_policy": "patient"})
		_, deliveries := s.emit("order.created", map[string]any{})
		s.until(deliveries[0], "retrying")
		require.Equal(t, http.StatusNoContent, s.call("DELETE", "/api/v1/webhooks/"+endpoint, nil).status)
		require.Equal(t, http.StatusNotFound, s.call("GET", "/api/v1/webhooks/"+endpoint, nil).status)
		_, none := s.emit("order.created", map[string]any{})
		require.Empty(t, none, "an event after the DELETE does not match")
		// The delivery waits out its delay before it learns.
		s.until(deliveries[0], "cancelled")
	})
}

func TestAMessageThatCannotBeDecodedShowsInTheDeadLetters(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		_, err := sqs.NewFromConfig(s.account).SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &s.queueURL, MessageBody: ptr("hello")})
		require.NoError(t, err)
		var entries []map[string]any
		require.Eventually(t, func() bool {
			entries = s.list("/api/v1/dlq")
			return len(entries) == 1
		}, patience, 20*time.Millisecond)
		require.Contains(t, entries[0]["failure_reason"], "decode message")
		id := entries[0]["id"].(string)
		require.Equal(t, http.StatusConflict, s.call("POST", "/api/v1/dlq/"+id+"/replay", nil).status)
		require.Equal(t, http.StatusNoContent, s.call("DELETE", "/api/v1/dlq/"+id, nil).status)
		require.Empty(t, s.list("/api/v1/dlq"))
	})
}

func TestARepeatedPostWithItsKeyIsOneEvent(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		s.register(map[string]any{"secret": secret})
		body := map[string]any{"event_type": "order.created", "payload": map[string]any{"n": 1}}
		first := s.call("POST", "/api/v1/events", body, "Idempotency-Key", "order-1")
		require.Equal(t, http.StatusAccepted, first.status, first.body)
		again := s.call("POST", "/api/v1/events", body, "Idempotency-Key", "order-1")
		require.Equal(t, http.StatusAccepted, again.status)
		require.Equal(t, "true", again.header.Get("Idempotent-Replayed"))
		require.Equal(t, first.body, again.body)
		body["payload"] = map[string]any{"n": 2}
		require.Equal(t, http.StatusConflict, s.call("POST", "/api/v1/events", body, "Idempotency-Key", "order-1").status)
		s.until(first.body["deliveries"].([]any)[0].(map[string]any)["id"].(string), "delivered")
		require.Len(t, s.receiver.received(t), 1)
	})
}

func TestAnEndpointCountsAsSoonAsItsAnswerIsOut(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		for n := range 10 {
			s.register(map[string]any{"secret": secret})
			_, deliveries := s.emit("order.created", map[string]any{})
			require.Len(t, deliveries, n+1)
		}
	})
}

func TestManyEventsAllArrive(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		s.register(map[string]any{"secret": secret})
		const producers, each = 8, 50
		var wg sync.WaitGroup
		var mu sync.Mutex
		accepted := map[string]bool{}
		for p := range producers {
			wg.Go(func() {
				for n := range each {
					a, err := request(t.Context(), "POST", s.url+"/api/v1/events", map[string]any{"event_type": "load.test", "payload": map[string]any{"p": p, "n": n, "big": strings.Repeat("x", n*1000)}})
					if err == nil && a.status == http.StatusAccepted {
						mu.Lock()
						accepted[a.body["id"].(string)] = true
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		require.Len(t, accepted, producers*each)
		require.Eventually(t, func() bool {
			for _, r := range s.receiver.received(t) {
				mu.Lock()
				delete(accepted, r.header.Get("Webhook-Id"))
				mu.Unlock()
			}
			return len(accepted) == 0
		}, patience, 50*time.Millisecond, "not all arrived")
	})
}

func ptr(s string) *string { return &s }

// One endpoint hangs and has far more to be sent than there are places. It
// keeps its quarter of them, and the others' deliveries find the rest free.
func TestAnEndpointThatHangsLeavesRoomForTheOthers(t *testing.T) {
	t.Parallel()
	s := start(t, modes[0])
	defer close(s.receiver.unhang)
	s.register(map[string]any{"secret": secret, "url": s.receiver.url("/hang"), "events": []string{"hang.*"}})
	s.register(map[string]any{"secret": secret, "events": []string{"quick.*"}})
	const share = 64 / 4
	for range 2 {
		s.emitAtOnce("hang.now", 100)
	}
	s.eventually("as many that hang as may", func() bool { return s.receiver.hangs() == share })
	for _, d := range s.emitAtOnce("quick.now", 20) {
		s.until(d, "delivered")
	}
	require.Equal(t, share, s.receiver.hangs())
}
