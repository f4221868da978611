package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAReplayOfManyTakesWhatItsFilterNames(t *testing.T) {
	t.Parallel()
	each(t, patiently(t), func(t *testing.T, s *system) {
		s.receiver.answerAt("/bad", http.StatusBadGateway)
		s.receiver.answerAt("/wrong", http.StatusBadRequest)
		bad := s.register(map[string]any{"secret": secret, "url": s.receiver.url("/bad"), "max_retries": 0})
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/wrong"), "max_retries": 0})
		const events = 10
		for n := range events {
			_, made := s.emit(fmt.Sprintf("order.kind%d", n%2), map[string]any{})
			for _, d := range made {
				s.until(d, "dead")
			}
		}
		s.eventually("the entries", func() bool { return len(s.list("/api/v1/dlq")) == 2*events })
		matched := func(filter map[string]any) any {
			return s.act("POST", "/api/v1/dlq/replay", map[string]any{"filter": filter, "dry_run": true}, http.StatusOK)["matched"]
		}
		require.InDelta(t, 2*events, matched(map[string]any{}), 0)
		require.InDelta(t, events, matched(map[string]any{"endpoint_id": bad}), 0)
		require.InDelta(t, events, matched(map[string]any{"event_type": "order.kind1"}), 0)
		require.InDelta(t, events, matched(map[string]any{"failure_reason": "HTTP 400: Bad Request"}), 0)
		require.InDelta(t, 0, matched(map[string]any{"until": time.Now().UTC().Add(-time.Hour).Format(time.RFC3339)}), 0)
		require.Len(t, s.list("/api/v1/dlq"), 2*events, "a dry run sends nothing")
		s.act("POST", "/api/v1/dlq/replay", map[string]any{}, http.StatusBadRequest)

		s.receiver.answerAt("/bad", http.StatusOK)
		s.receiver.answerAt("/wrong", http.StatusOK)
		some := s.job("/api/v1/dlq/replay", map[string]any{"filter": map[string]any{"endpoint_id": bad}, "limit": 4, "rate": 100})
		require.Equal(t, "replay", some["kind"])
		require.InDelta(t, 4, some["done"], 0)
		s.eventually("four", func() bool { return len(s.list("/api/v1/dlq?endpoint_id="+bad)) == events-4 })
		s.job("/api/v1/dlq/replay", map[string]any{"filter": map[string]any{}})
		s.eventually("all", func() bool { return s.peek("/api/v1/stats")["deliveries"].(map[string]any)["delivered"] == 2.0*events })
		require.Empty(t, s.list("/api/v1/dlq"))
	})
}

func TestABatchAnswersForEachOfItsEvents(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		s.register(map[string]any{"secret": secret})
		const events = 100
		batch := make([]string, events)
		for n := range batch {
			batch[n] = fmt.Sprintf(`{"event_type":"order.created","payload":{"n":%d}}`, n)
		}
		batch[3] = `{"event_type":"not a type","payload":{}}`
		batch[50] = `{"event_type":"order.created","payload":[]}`
		batch[99] = `{"event_type":"order.created","payload":{"big":"` + strings.Repeat("x", 256<<10) + `"}}`
		a := s.call("POST", "/api/v1/events/batch", `{"events":[`+strings.Join(batch, ",")+`]}`)
		require.Equal(t, http.StatusAccepted, a.status, a.body)
		answers := a.body["data"].([]any)
		require.Len(t, answers, events)
		for n, one := range answers {
			one := one.(map[string]any)
			switch n {
			case 3:
				require.Equal(t, "events[3].event_type", one["field"])
				require.InDelta(t, http.StatusBadRequest, one["status"], 0)
			case 50:
				require.Equal(t, "events[50].payload", one["field"])
				require.InDelta(t, http.StatusBadRequest, one["status"], 0)
			case 99:
				require.Equal(t, "events[99].payload", one["field"])
				require.InDelta(t, http.StatusRequestEntityTooLarge, one["status"], 0)
			default:
				require.InDelta(t, 1, one["deliveries_total"], 0, one)
			}
		}
		s.eventually("the 97", func() bool { return len(s.receiver.received(t)) == events-3 })
		seen := map[string]bool{}
		for _, r := range s.receiver.received(t) {
			seen[r.header.Get("Webhook-Id")] = true
		}
		require.Len(t, seen, events-3)
	})
}

// registered makes n endpoints, many at once.
func (s *system) registered(n int, fields map[string]any) {
	s.t.Helper()
	var wg sync.WaitGroup
	next := make(chan struct{}, n)
	for range n {
		next <- struct{}{}
	}
	close(next)
	for range 2 * environments { // as many as the API has
		wg.Go(func() {
			for range next {
				a, err := request(s.t.Context(), "POST", s.url+"/api/v1/webhooks", fields)
				if err != nil || a.status != http.StatusCreated {
					s.t.Error(err, a.status, a.body)
					return
				}
			}
		})
	}
	wg.Wait()
	require.False(s.t, s.t.Failed())
}

// An event that matches far more endpoints than one message names reaches each
// of them once, by way of a job.
func TestAWideFanOutReachesEveryEndpoint(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mode      mode
		endpoints int
	}{{modes[0], wideFanOut}, {modes[1], 450}} {
		t.Run(tc.mode.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tc.mode)
			s.registered(tc.endpoints, map[string]any{"secret": secret, "url": s.receiver.url("/hook"), "events": []string{"wide.*"}})
			a := s.act("POST", "/api/v1/events", map[string]any{"event_type": "wide.now", "payload": map[string]any{}}, http.StatusAccepted)
			require.InDelta(t, tc.endpoints, a["deliveries_total"], 0)
			require.Len(t, a["deliveries"], 100)
			s.eventually("the deliveries", func() bool {
				return s.peek("/api/v1/stats")["deliveries"].(map[string]any)["delivered"] == float64(tc.endpoints)
			})
			to := map[string]int{}
			for _, r := range s.receiver.received(t) {
				to[r.header.Get("X-Webhook-Delivery")]++
			}
			require.Len(t, to, tc.endpoints)
			require.Len(t, s.pages("/api/v1/deliveries?event_id="+a["id"].(string), "id", 200), tc.endpoints)
			jobs := s.list("/api/v1/jobs")
			require.Len(t, jobs, 1)
			require.Equal(t, "fan_out", jobs[0]["kind"])
			done := s.jobDone(jobs[0]["id"].(string))
			require.InDelta(t, tc.endpoints-100, done["done"], 0)
		})
	}
}
