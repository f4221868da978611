package wire

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// BenchmarkDeliverBatchOfTen takes batches of ten deliveries of 300 bytes
// through the whole deliver function: decoded, read, signed, posted to a
// receiver on loopback, recorded, counted. The services are the stand-ins in this
// process, so what they take, and the receiver, is in the figures.
func BenchmarkDeliverBatchOfTen(b *testing.B) {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer receiver.Close()
	cfg, client := provisioned(b)
	app := environments(b, 1, cfg, client)[0]
	endpoint := &hook.Endpoint{
		ID: app.ids.New(hook.EndpointPrefix, time.Now()), Tenant: "default", URL: receiver.URL, Filters: []string{"*"},
		Timeout: 30 * time.Second, Status: hook.EndpointActive, CreatedAt: time.Now(), UpdatedAt: time.Now(),
	}
	sealed, err := app.sealer.Seal(b.Context(), endpoint.Tenant, endpoint.ID, []byte("test-secret"))
	require.NoError(b, err)
	endpoint.Secrets = []hook.SealedSecret{{Sealed: sealed}}
	require.NoError(b, app.table.CreateEndpoint(b.Context(), endpoint))
	function := app.DeliverFunction()
	data := []byte(`{"text":"` + strings.Repeat("x", 289) + `"}`)

	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		batch := tenMessages(b, app, endpoint.ID, data)
		b.StartTimer()
		answer, err := function(b.Context(), batch)
		if err != nil || len(answer.BatchItemFailures) > 0 {
			b.Fatal(err, answer)
		}
	}
}

// tenMessages are those of ten new events.
func tenMessages(b *testing.B, app *App, endpointID string, data []byte) events.SQSEvent {
	b.Helper()
	var batch events.SQSEvent
	now := time.Now().UTC().Truncate(time.Millisecond)
	for _, id := range app.ids.NewBatch(hook.EventPrefix, now, 10) {
		raw, err := hook.EncodeMessage(&hook.Message{
			Ref: hook.Ref{Tenant: "default", EventID: id, EndpointID: endpointID}, EventType: "order.created", CreatedAt: now,
			Body: hook.NewBody(id, "order.created", now, data),
		})
		if err != nil {
			b.Fatal(err)
		}
		batch.Records = append(batch.Records, events.SQSMessage{MessageId: "message-" + id, ReceiptHandle: "handle-" + id, Body: string(raw)})
	}
	return batch
}
