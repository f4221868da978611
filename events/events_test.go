// Package events_test checks the sample Lambda events in this folder, which
// `sam local invoke` takes: `sam local invoke ApiFunction -e events/api-health.json`.
package events_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
	"posthorn/internal/lambdaevent"
)

// read decodes a file the way Lambda's runtime does.
func read[E any](t *testing.T, name string) E {
	t.Helper()
	text, err := os.ReadFile(name)
	require.NoError(t, err)
	var event E
	require.NoError(t, json.Unmarshal(text, &event))
	return event
}

func TestEverySampleIsTested(t *testing.T) {
	t.Parallel()
	found, err := filepath.Glob("*.json")
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"api-create-endpoint.json", "api-health.json", "api-post-event.json",
		"deliver-batch.json", "deliver-undecodable.json", "sweeper-schedule.json",
	}, found)
}

func TestRequests(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ file, method, path, body, key string }{
		{"api-health.json", "GET", "/health", "", ""},
		{"api-create-endpoint.json", "POST", "/api/v1/webhooks", `{"url":"https://example.com/hooks","events":["order.*"],"description":"Orders"}`, ""},
		{
			"api-post-event.json", "POST", "/api/v1/events",
			`{"event_type":"order.created","payload":{"order":"A-1001","total":1250,"currency":"EUR"}}`, "order-A-1001",
		},
	} {
		t.Run(tc.file, func(t *testing.T) {
			t.Parallel()
			event := read[events.APIGatewayV2HTTPRequest](t, tc.file)
			served := false
			handler := lambdaevent.Gateway(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				served = true
				body, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				require.Equal(t, tc.method, r.Method)
				require.Equal(t, tc.path, r.URL.Path)
				require.Equal(t, tc.body, string(body))
				require.Equal(t, tc.key, r.Header.Get("Idempotency-Key"))
				if tc.body != "" {
					require.Equal(t, "application/json", r.Header.Get("Content-Type"))
					require.Equal(t, int64(len(tc.body)), r.ContentLength)
				}
				w.WriteHeader(http.StatusNoContent)
			}))
			answer, err := handler(context.Background(), event)
			require.NoError(t, err)
			require.True(t, served)
			require.Equal(t, http.StatusNoContent, answer.StatusCode)
		})
	}
}

func TestBatch(t *testing.T) {
	t.Parallel()
	batch := lambdaevent.Batch(read[events.SQSEvent](t, "deliver-batch.json"))
	require.Len(t, batch, 2)
	for _, r := range batch {
		require.NotEmpty(t, r.MessageID)
		require.NotEmpty(t, r.ReceiptHandle)
		require.Equal(t, 1, r.ReceiveCount)
		m, err := hook.DecodeMessage([]byte(r.Raw))
		require.NoError(t, err)
		require.Equal(t, hook.IDTime(m.EventID), m.CreatedAt)
		require.WithinDuration(t, m.CreatedAt, r.SentAt, time.Second)
		event := hook.Event{Body: m.Body}
		require.Equal(t, hook.NewBody(m.EventID, m.EventType, m.CreatedAt, event.Payload()), m.Body)
		again, err := hook.EncodeMessage(m)
		require.NoError(t, err)
		require.Equal(t, r.Raw, string(again), "as it is written to the queue")
	}
}

func TestUndecodableBatch(t *testing.T) {
	t.Parallel()
	batch := lambdaevent.Batch(read[events.SQSEvent](t, "deliver-undecodable.json"))
	require.Len(t, batch, 2)
	for _, r := range batch {
		_, err := hook.DecodeMessage([]byte(r.Raw))
		require.Error(t, err, r.Raw)
	}
}

func TestSchedule(t *testing.T) {
	t.Parallel()
	tick := read[events.EventBridgeEvent](t, "sweeper-schedule.json")
	require.NotEmpty(t, tick.ID)
	require.Equal(t, "aws.events", tick.Source)
	require.Equal(t, "Scheduled Event", tick.DetailType)
	require.Equal(t, time.Date(2026, 1, 1, 0, 2, 0, 0, time.UTC), tick.Time)
}
