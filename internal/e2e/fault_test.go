package e2e

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/faultwire"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/inproc"
)

// outlasting is how many calls in a row fail so that the SDK's own three
// attempts are used up and the code sees the fault.
const outlasting = 4

// TestFaultsOnTheWire lets every AWS call of the path fail, lose its answer,
// and be throttled, for long enough that the SDK gives up, and tells the story
// of a delivery that fails, dies and is replayed. The producer and the operator
// do what people do: they try again. In the end the event has arrived, its
// delivery is in one final state, and the dead-letter list is empty.
func TestFaultsOnTheWire(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{
		"GetItem", "BatchGetItem", "PutItem", "TransactWriteItems", "Query",
		"SendMessageBatch", "SendMessage", "ChangeMessageVisibilityBatch", "ReceiveMessage", "DeleteMessageBatch",
	} {
		for _, how := range []faultwire.Mode{faultwire.FailBefore, faultwire.LoseAnswer, faultwire.Throttle} {
			t.Run(fmt.Sprintf("%s/%s", operation, how), func(t *testing.T) {
				t.Parallel()
				var wire *faultwire.Transport
				s := start(t, mode{name: "faulty", workers: 64, visibility: 2 * time.Second, start: func(t testing.TB, s *system, cfg *config.Config, awsURL string) localaws.Functions {
					client, transport := faultwire.Wrap(inproc.Client(s.services))
					wire = transport
					return onClient(t, s, client, cfg, awsURL, time.Now)
				}})
				s.receiver.answer(http.StatusServiceUnavailable)
				one := 1
				endpoint := s.register(map[string]any{"secret": secret, "max_retries": one})
				fault := func() { wire.Add(faultwire.Fault{Operation: operation, Times: outlasting, Mode: how}) }

				fault()
				accepted := s.insist("POST", "/api/v1/events", map[string]any{"event_type": "fault.test", "payload": map[string]any{}}, http.StatusAccepted, "Idempotency-Key", "one")
				delivery := accepted.body["deliveries"].([]any)[0].(map[string]any)["id"].(string)
				s.eventually("the death", func() bool {
					return s.peek("/api/v1/deliveries/" + delivery)["status"] == "dead"
				})
				var entry string
				s.eventually("the entry", func() bool {
					data, ok := s.peek("/api/v1/dlq?endpoint_id=" + endpoint)["data"].([]any)
					if ok && len(data) == 1 {
						entry = data[0].(map[string]any)["id"].(string)
					}
					return entry != ""
				})
				s.receiver.answer(http.StatusOK)
				fault()
				s.eventually("the replay", func() bool {
					a, err := request(t.Context(), "POST", s.url+"/api/v1/dlq/"+entry+"/replay", nil)
					return err == nil && (a.status == http.StatusAccepted || a.status == http.StatusNotFound)
				})
				s.eventually("the delivery", func() bool {
					return s.peek("/api/v1/deliveries/" + delivery)["status"] == "delivered"
				})
				wire.Clear()
				require.Positive(t, wire.Calls(operation), "the story makes such calls")
				s.eventually("the queues to run dry", func() bool {
					stats := s.peek("/api/v1/stats")
					queue, dlq := stats["queue"].(map[string]any), stats["dlq"].(map[string]any)
					return queue["ready"] == 0.0 && queue["in_flight"] == 0.0 && queue["delayed"] == 0.0 && dlq["waiting"] == 0.0 && dlq["entries"] == 0.0
				})
				require.Equal(t, "delivered", s.peek("/api/v1/deliveries/" + delivery)["status"], "a final state stays")
				got := s.receiver.received(t)
				require.Equal(t, accepted.body["id"], got[len(got)-1].header.Get("Webhook-Id"))
			})
		}
	}
}

// insist calls until it is answered with status, as a producer does.
func (s *system) insist(method, path string, body any, status int, header ...string) answer {
	s.t.Helper()
	var a answer
	s.eventually(method+" "+path, func() bool {
		var err error
		a, err = request(context.Background(), method, s.url+path, body, header...)
		return err == nil && a.status == status
	})
	return a
}

// peek reads a path; what fails reads as empty.
func (s *system) peek(path string) map[string]any {
	a, err := request(context.Background(), "GET", s.url+path, nil)
	if err != nil || a.status != http.StatusOK {
		return map[string]any{"queue": map[string]any{}, "dlq": map[string]any{}, "deliveries": map[string]any{}}
	}
	return a.body
}

func (s *system) eventually(what string, condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, 2*patience, 50*time.Millisecond, "waiting for %s", what)
}
