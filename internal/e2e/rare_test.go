package e2e

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"

	"posthorn/internal/deadletter"
	"posthorn/internal/hook"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/wire"
)

// What happens seldom takes rights that nothing else does: see permissions.

// A notice that more endpoints ask for than an event's own item holds is stored
// with all of them, by the function that is behind the queue and by the one
// behind the schedule.
func TestANoticeReachesMoreEndpointsThanAnEventHolds(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		const told = hook.MaxInlineTargets + 2
		s.registered(told, map[string]any{
			"secret": secret, "url": s.receiver.url("/told"), "events": []string{"posthorn.endpoint.disabled", "posthorn.delivery.dead"},
		})
		s.receiver.answerAt("/gone", http.StatusGone)
		s.register(map[string]any{"secret": secret, "url": s.receiver.url("/gone"), "events": []string{"order.*"}})
		s.emit("order.created", map[string]any{})
		for _, notice := range []string{"posthorn.endpoint.disabled", "posthorn.delivery.dead"} {
			s.eventually(notice, func() bool { return len(s.notices(t, "/told", notice)) == told })
		}
	})
}

// A second try of a dead delivery whose message crashed whatever took it, as
// often as is allowed, is dead again, with an entry of its own in the place of
// the first.
func TestARetryThatNeverEndsReplacesTheEntry(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		s.receiver.answer(http.StatusServiceUnavailable)
		endpoint := s.register(map[string]any{"secret": secret, "max_retries": 0})
		event, made := s.emit("order.created", map[string]any{})
		s.until(made[0], "dead")
		s.eventually("the entry", func() bool { return len(s.list("/api/v1/dlq")) == 1 })
		first := s.list("/api/v1/dlq")[0]["id"]

		body, err := hook.EncodeMessage(&hook.Message{
			Ref: hook.Ref{Tenant: "default", EventID: event, EndpointID: endpoint}, EventType: "order.created",
			CreatedAt: hook.IDTime(event), Gen: 1, Returns: deadletter.MaxReturns,
		})
		require.NoError(t, err)
		client := sqs.NewFromConfig(wire.Local(inproc.Client(s.services), "http://sqs.local"))
		url, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: ptr("posthorn-dead-letters")})
		require.NoError(t, err)
		_, err = client.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: url.QueueUrl, MessageBody: ptr(string(body))})
		require.NoError(t, err)

		s.eventually("another entry", func() bool {
			entries := s.list("/api/v1/dlq")
			return len(entries) == 1 && entries[0]["id"] != first
		})
		require.Equal(t, "dead", s.call("GET", "/api/v1/deliveries/"+made[0], nil).body["status"])
		require.Len(t, s.receiver.received(t), 1, "it is not posted for that")
	})
}
