package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// act makes a call that has to be answered so, and returns its answer.
func (s *system) act(method, path string, body any, status int) map[string]any {
	s.t.Helper()
	a := s.call(method, path, body)
	require.Equal(s.t, status, a.status, a.body)
	return a.body
}

// job starts a job and waits until it is done.
func (s *system) job(path string, body any) map[string]any {
	s.t.Helper()
	return s.jobDone(s.act("POST", path, body, http.StatusAccepted)["job"].(map[string]any)["id"].(string))
}

func (s *system) jobDone(id string) map[string]any {
	s.t.Helper()
	var last map[string]any
	s.eventually("the end of "+id, func() bool {
		last = s.peek("/api/v1/jobs/" + id)
		return last["status"] == "done"
	})
	return last
}

func TestWhatAPausedEndpointHoldsIsReleasedByItsResume(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		endpoint := s.register(map[string]any{"secret": secret})
		paused := s.act("POST", "/api/v1/webhooks/"+endpoint+"/pause", nil, http.StatusOK)
		require.Equal(t, "paused", paused["status"])
		var deliveries []string
		for range 30 {
			_, made := s.emit("order.created", map[string]any{})
			deliveries = append(deliveries, made...)
		}
		for _, d := range deliveries {
			require.InDelta(t, 0, s.until(d, "held")["attempts"], 0)
		}
		require.Empty(t, s.receiver.received(t))
		require.Len(t, s.list("/api/v1/deliveries?status=held&endpoint_id="+endpoint), len(deliveries))
		s.eventually("the count of what is held", func() bool {
			return s.peek("/api/v1/stats")["deliveries"].(map[string]any)["held"] == float64(len(deliveries))
		})

		resumed := s.act("POST", "/api/v1/webhooks/"+endpoint+"/resume", nil, http.StatusAccepted)["job"].(map[string]any)
		require.Equal(t, "resume", resumed["kind"])
		for _, d := range deliveries {
			require.InDelta(t, 1, s.until(d, "delivered")["attempts"], 0)
		}
		require.Len(t, s.receiver.received(t), len(deliveries))
		require.Equal(t, "active", s.peek("/api/v1/webhooks/" + endpoint)["status"])
		s.eventually("the released", func() bool {
			return s.peek("/api/v1/jobs/" + resumed["id"].(string))["done"] == float64(len(deliveries))
		})
		_, made := s.emit("order.created", map[string]any{})
		s.until(made[0], "delivered")
	})
}

func TestDeletingAnEndpointCancelsWhatItHolds(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		endpoint := s.register(map[string]any{"secret": secret})
		s.act("POST", "/api/v1/webhooks/"+endpoint+"/pause", nil, http.StatusOK)
		var deliveries []string
		for range 10 {
			_, made := s.emit("order.created", map[string]any{})
			deliveries = append(deliveries, made...)
		}
		for _, d := range deliveries {
			s.until(d, "held")
		}
		s.act("DELETE", "/api/v1/webhooks/"+endpoint, nil, http.StatusNoContent)
		for _, d := range deliveries {
			s.until(d, "cancelled")
		}
		jobs := s.list("/api/v1/jobs")
		require.Len(t, jobs, 1)
		require.Equal(t, "cancel", jobs[0]["kind"])
		require.Equal(t, http.StatusConflict, s.call("POST", "/api/v1/jobs/"+jobs[0]["id"].(string)+"/cancel", nil).status)
		require.Equal(t, http.StatusConflict, s.call("POST", "/api/v1/deliveries/"+deliveries[0]+"/retry", nil).status)
		require.Empty(t, s.receiver.received(t))
	})
}

func TestRecoverSendsEverythingThatDied(t *testing.T) {
	t.Parallel()
	each(t, patiently(t), func(t *testing.T, s *system) {
		s.receiver.answer(http.StatusBadGateway)
		endpoint := s.register(map[string]any{"secret": secret, "max_retries": 1})
		since := time.Now().UTC().Add(-time.Minute).Format(time.RFC3339)
		var deliveries []string
		for range 12 {
			_, made := s.emit("order.created", map[string]any{})
			deliveries = append(deliveries, made...)
		}
		for _, d := range deliveries {
			s.until(d, "dead")
		}
		s.eventually("the entries", func() bool { return len(s.list("/api/v1/dlq")) == len(deliveries) })
		s.receiver.answer(http.StatusOK)

		nothing := s.job("/api/v1/webhooks/"+endpoint+"/recover", map[string]any{"since": time.Now().UTC().Add(time.Hour).Format(time.RFC3339)})
		require.InDelta(t, 0, nothing["done"], 0)
		done := s.job("/api/v1/webhooks/"+endpoint+"/recover", map[string]any{"since": since})
		require.Equal(t, "recover", done["kind"])
		for _, d := range deliveries {
			delivered := s.until(d, "delivered")
			require.InDelta(t, 3, delivered["attempts"], 0)
			require.Len(t, delivered["attempt_log"], 3)
		}
		require.Empty(t, s.list("/api/v1/dlq"))
	})
}

func TestARetrySendsAgainWhateverTheState(t *testing.T) {
	t.Parallel()
	each(t, patiently(t), func(t *testing.T, s *system) {
		endpoint := s.register(map[string]any{"secret": secret, "max_retries": 0})
		_, made := s.emit("order.created", map[string]any{})
		delivery := made[0]
		s.until(delivery, "delivered")
		retry := func() {
			s.act("POST", "/api/v1/deliveries/"+delivery+"/retry", nil, http.StatusAccepted)
		}
		attempts := func(status string, n int) {
			s.eventually("another attempt", func() bool {
				d := s.peek("/api/v1/deliveries/" + delivery)
				return d["status"] == status && d["attempts"] == float64(n)
			})
		}
		retry() // a delivered one
		attempts("delivered", 2)
		s.receiver.answer(http.StatusForbidden)
		retry()
		attempts("dead", 3)
		s.receiver.answer(http.StatusOK)
		retry() // a dead one
		attempts("delivered", 4)
		s.eventually("the entry's end", func() bool { return len(s.list("/api/v1/dlq")) == 0 })

		s.act("POST", "/api/v1/webhooks/"+endpoint+"/pause", nil, http.StatusOK)
		retry() // held once more
		attempts("held", 4)
		s.act("POST", "/api/v1/webhooks/"+endpoint+"/resume", nil, http.StatusAccepted)
		attempts("delivered", 5)
		log := s.peek("/api/v1/deliveries/" + delivery)["attempt_log"].([]any)
		require.Len(t, log, 5)
		for i, a := range log {
			require.InDelta(t, i+1, a.(map[string]any)["number"], 0)
		}
		require.Equal(t, "HTTP 403: Forbidden", log[2].(map[string]any)["error"])
	})
}

func TestAResendGoesToOneEndpointOrToAllThatMatchNow(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		first := s.register(map[string]any{"secret": secret, "url": s.receiver.url("/first")})
		event, made := s.emit("order.created", map[string]any{})
		s.until(made[0], "delivered")
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/late"), "events": []string{"order.*"}})
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/other"), "events": []string{"user.*"}})

		one := s.act("POST", "/api/v1/events/"+event+"/resend", map[string]any{"endpoint_id": first}, http.StatusAccepted)
		require.Len(t, one["deliveries"], 1)
		s.eventually("the second", func() bool { return len(s.receiver.at(t, "/first")) == 2 })
		all := s.act("POST", "/api/v1/events/"+event+"/resend", nil, http.StatusAccepted)
		require.Len(t, all["deliveries"], 2)
		s.eventually("the others", func() bool {
			return len(s.receiver.at(t, "/first")) == 3 && len(s.receiver.at(t, "/late")) == 1
		})
		require.Empty(t, s.receiver.at(t, "/other"))
		require.Equal(t, s.receiver.at(t, "/first")[0].body, s.receiver.at(t, "/late")[0].body)
		s.eventually("both in the event's list", func() bool { return len(s.list("/api/v1/deliveries?event_id="+event)) == 2 })
		s.act("POST", "/api/v1/events/"+event+"/resend", map[string]any{"endpoint_id": "ep_" + strings.Repeat("0", 26)}, http.StatusNotFound)
	})
}
