package lambdaevent

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestBatch(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/sqs.json")
	require.NoError(t, err)
	var e events.SQSEvent
	require.NoError(t, json.Unmarshal(raw, &e))
	require.Equal(t, []hook.Received{
		{
			MessageID: "059f36b4-87a3-44ab-83d2-661975830a7d", ReceiptHandle: "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
			ReceiveCount: 3, SentAt: time.Date(2026, 3, 1, 12, 0, 0, 123e6, time.UTC), Raw: `{"v":1}`,
		},
		{
			MessageID: "2e1424d4-f796-459a-8184-9c92662be6da", ReceiptHandle: "AQEBzWwaftRI0KuVm4tP+/7q1rGgNqicHq",
			ReceiveCount: 1,
		},
	}, Batch(e))
	require.Empty(t, Batch(events.SQSEvent{}))
}

func TestAReceiveCountThatMakesNoSenseIsTheFirst(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]int{"1": 1, "5": 5, "": 1, "0": 1, "-4": 1, "many": 1, "99999999999999999999": 1} {
		got := Batch(events.SQSEvent{Records: []events.SQSMessage{{Attributes: map[string]string{"ApproximateReceiveCount": s}}}})
		require.Equal(t, want, got[0].ReceiveCount, s)
	}
}

// An empty list is full success; null fails the whole batch.
func TestFailures(t *testing.T) {
	t.Parallel()
	for want, ids := range map[string][]string{
		`{"batchItemFailures":[]}`: nil,
		`{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}]}`: {"a", "b"},
	} {
		got, err := json.Marshal(Failures(ids))
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
}

// Whatever a batch looks like, each of its records is handled, and by its own id.
func FuzzBatch(f *testing.F) {
	raw, err := os.ReadFile("testdata/sqs.json")
	require.NoError(f, err)
	f.Add(raw)
	f.Add([]byte(`{"Records":[{"attributes":null},{"attributes":{"SentTimestamp":"-9223372036854775808"}}]}`))
	f.Add([]byte(`{"Records":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var e events.SQSEvent
		if json.Unmarshal(raw, &e) != nil {
			return
		}
		batch := Batch(e)
		require.Len(t, batch, len(e.Records))
		ids := make([]string, len(batch))
		for i, r := range batch {
			require.Equal(t, e.Records[i].MessageId, r.MessageID)
			require.Equal(t, e.Records[i].Body, r.Raw)
			require.Positive(t, r.ReceiveCount)
			ids[i] = r.MessageID
		}
		answer, err := json.Marshal(Failures(ids))
		require.NoError(t, err)
		var back events.SQSEventResponse
		require.NoError(t, json.Unmarshal(answer, &back))
		require.Len(t, back.BatchItemFailures, len(batch))
	})
}
