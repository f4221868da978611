package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// notices returns the events of one of Posthorn's own types that came to a path.
func (s *system) notices(t *testing.T, path, eventType string) []received {
	t.Helper()
	var got []received
	for _, r := range s.receiver.at(t, path) {
		if r.header.Get("X-Webhook-Event") == eventType {
			got = append(got, r)
		}
	}
	return got
}

// A failing endpoint is left alone: what is meant for it waits without using
// attempts, and is delivered when a probe succeeds.
func TestABrokenEndpointIsLeftAloneUntilAProbeSucceeds(t *testing.T) {
	t.Parallel()
	quick := configured(t, "breaker: {min_attempts: 5, open_for: 1s, max_open_for: 1s}", modes...)
	each(t, quick, func(t *testing.T, s *system) {
		s.receiver.answerAt("/broken", http.StatusInternalServerError)
		broken := s.register(map[string]any{"secret": secret, "url": s.receiver.url("/broken"), "events": []string{"order.*"}, "max_retries": 20})
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/told"), "events": []string{"posthorn.endpoint.recovered"}})
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/all")})
		var deliveries []string
		for range 40 {
			_, made := s.emit("order.created", map[string]any{})
			deliveries = append(deliveries, "dlv_"+made[0][4:30]+"_"+broken[3:])
		}
		s.eventually("the open breaker", func() bool { return s.peek("/api/v1/deliveries/" + deliveries[39])["waiting_for"] == "breaker" })
		require.NotNil(t, s.peek("/api/v1/webhooks/" + broken)["left_alone_until"])
		// Its posts are few, however much waits: those until it opened, and the probes.
		require.Less(t, len(s.receiver.at(t, "/broken")), 60)
		s.eventually("the other endpoint's", func() bool { return len(s.receiver.at(t, "/all")) == 40 })

		s.receiver.answerAt("/broken", http.StatusOK)
		attempts := 0
		for _, d := range deliveries {
			attempts += int(s.until(d, "delivered")["attempts"].(float64))
		}
		require.Len(t, s.receiver.at(t, "/broken"), attempts, "each post is an attempt, and no wait is")
		s.eventually("the closed breaker", func() bool { return s.peek("/api/v1/webhooks/" + broken)["left_alone_until"] == nil })
		s.eventually("the notice", func() bool { return len(s.notices(t, "/told", "posthorn.endpoint.recovered")) > 0 })
		require.Contains(t, s.notices(t, "/told", "posthorn.endpoint.recovered")[0].body, broken)
		require.Len(t, s.receiver.at(t, "/all"), 40, "* is everybody's events, and not our own")
	})
}

// What is over an endpoint's rate waits for its slot: it uses no attempt, and
// others are not slowed by it.
func TestWhatIsOverTheRateWaitsForItsSlot(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		const rate, events = 2, 16
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/limited"), "events": []string{"slow.*"}, "rate_limit": rate})
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/free"), "events": []string{"quick.*"}})
		began := time.Now() // the first post may come late on a busy machine, the last slot is not dealt sooner for it
		limited := s.emitAtOnce("slow.now", events)
		require.Len(t, limited, events)
		_, quick := s.emit("quick.now", map[string]any{})
		s.until(quick[0], "delivered")
		require.Less(t, len(s.receiver.at(t, "/limited")), events, "the other did not wait for its turn behind them")
		for _, d := range limited {
			require.InDelta(t, 1, s.until(d, "delivered")["attempts"], 0)
		}
		got := s.receiver.at(t, "/limited")
		require.Len(t, got, events)
		// One second's worth at once, and the rest at its rate.
		require.GreaterOrEqual(t, got[events-1].at.Sub(began), (events-rate)*time.Second/rate-100*time.Millisecond)
	})
}

// The limit of everybody's posts together.
func TestTheEgressLimitIsForAllEndpointsTogether(t *testing.T) {
	t.Parallel()
	limited := make([]mode, len(modes))
	for i, m := range modes {
		m.env = map[string]string{"POSTHORN_EGRESS_PER_SECOND": "10"}
		limited[i] = m
	}
	each(t, limited, func(t *testing.T, s *system) {
		for range 3 {
			s.register(map[string]any{"secret": secret})
		}
		began := time.Now()
		for _, d := range s.emitAtOnce("order.created", 10) {
			require.InDelta(t, 1, s.until(d, "delivered")["attempts"], 0)
		}
		got := s.receiver.received(t)
		require.Len(t, got, 30)
		require.GreaterOrEqual(t, got[29].at.Sub(began), 1900*time.Millisecond)
	})
}

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		s.receiver.retryIn = "2"
		s.receiver.answer(http.StatusTooManyRequests)
		s.register(map[string]any{"secret": secret})
		_, made := s.emit("order.created", map[string]any{})
		s.until(made[0], "retrying")
		s.receiver.answer(http.StatusOK)
		s.until(made[0], "delivered")
		got := s.receiver.received(t)
		require.Len(t, got, 2)
		require.GreaterOrEqual(t, got[1].at.Sub(got[0].at), 1900*time.Millisecond, "10 ms is the policy's delay")
	})
}

// An endpoint that answers 410 is disabled: that delivery is dead, what comes
// later is held, and those are told who asked to be.
func TestAnEndpointThatIsGoneIsDisabled(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		s.receiver.answerAt("/gone", http.StatusGone)
		gone := s.register(map[string]any{"secret": secret, "url": s.receiver.url("/gone"), "events": []string{"order.*", "posthorn.endpoint.disabled", "posthorn.delivery.dead"}})
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/told"), "events": []string{"posthorn.endpoint.disabled", "posthorn.delivery.dead"}})
		_, made := s.emit("order.created", map[string]any{"n": 1})
		dead := s.until(made[0], "dead")
		require.InDelta(t, 1, dead["attempts"], 0)
		var shown map[string]any // the death is recorded first
		s.eventually("the disabling", func() bool {
			shown = s.call("GET", "/api/v1/webhooks/"+gone, nil).body
			return shown["status"] == "disabled"
		})
		require.NotEmpty(t, shown["status_reason"])
		s.eventually("its entry", func() bool { return len(s.list("/api/v1/dlq?endpoint_id="+gone)) == 1 })

		_, later := s.emit("order.created", map[string]any{"n": 2})
		require.Len(t, later, 1)
		s.until(later[0], "held")
		s.eventually("the notices", func() bool {
			return len(s.notices(t, "/told", "posthorn.endpoint.disabled")) == 1 && len(s.notices(t, "/told", "posthorn.delivery.dead")) == 1
		})
		require.Contains(t, s.notices(t, "/told", "posthorn.endpoint.disabled")[0].body, gone)
		require.Contains(t, s.notices(t, "/told", "posthorn.delivery.dead")[0].body, made[0])
		require.Len(t, s.receiver.at(t, "/gone"), 1, "and not about itself")

		s.receiver.answerAt("/gone", http.StatusOK)
		s.act("POST", "/api/v1/webhooks/"+gone+"/resume", nil, http.StatusAccepted)
		s.until(later[0], "delivered")
		require.Equal(t, "active", s.call("GET", "/api/v1/webhooks/"+gone, nil).body["status"])
	})
}

func TestManyNewDeadLettersAreToldOfOnce(t *testing.T) {
	t.Parallel()
	each(t, configured(t, "{notices: {dlq_growth: 10}, breaker: {min_attempts: 1000000}}", modes...), func(t *testing.T, s *system) {
		s.receiver.answerAt("/bad", http.StatusBadRequest)
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/bad"), "max_retries": 0})
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/told"), "events": []string{"posthorn.dlq.growing"}})
		die := func(n int) {
			for range n {
				_, made := s.emit("order.created", map[string]any{})
				s.until(made[0], "dead")
			}
		}
		die(9)
		s.eventually("nine entries", func() bool { return len(s.list("/api/v1/dlq")) == 9 })
		require.Empty(t, s.receiver.at(t, "/told"))
		die(11)
		s.eventually("the notice", func() bool { return len(s.receiver.at(t, "/told")) == 1 })
		s.eventually("twenty entries", func() bool { return len(s.list("/api/v1/dlq")) == 20 })
		require.Len(t, s.receiver.at(t, "/told"), 1, "once an hour")
	})
}

func TestATestEventGoesToOneEndpointAlone(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		endpoint := s.register(map[string]any{"secret": secret, "url": s.receiver.url("/one"), "events": []string{"order.created"}})
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/two")})
		a := s.act("POST", "/api/v1/webhooks/"+endpoint+"/test", nil, http.StatusAccepted)
		require.Equal(t, "posthorn.test", a["event_type"])
		s.until(a["deliveries"].([]any)[0].(map[string]any)["id"].(string), "delivered")
		require.Len(t, s.receiver.at(t, "/one"), 1)
		require.Empty(t, s.receiver.at(t, "/two"))
	})
}
