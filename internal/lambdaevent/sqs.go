// Package lambdaevent turns Lambda's events into Posthorn's own types and its
// answers into Lambda's: SQS batches with partial failures, and API Gateway's
// HTTP API (payload format 2.0).
package lambdaevent

import (
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"posthorn/internal/hook"
)

// Batch returns the messages of an SQS event in their order. A receive count
// that is missing or no positive number counts as the first receive, a missing
// time of sending as the zero time; the bodies are not looked at.
func Batch(e events.SQSEvent) []hook.Received {
	batch := make([]hook.Received, len(e.Records))
	for i := range e.Records {
		r := &e.Records[i]
		batch[i] = hook.Received{
			MessageID:     r.MessageId,
			ReceiptHandle: r.ReceiptHandle,
			ReceiveCount:  receiveCount(r.Attributes["ApproximateReceiveCount"]),
			SentAt:        sentAt(r.Attributes["SentTimestamp"]),
			Raw:           r.Body,
		}
	}
	return batch
}

// Failures returns the answer that leaves the messages of these ids in the
// queue and lets Lambda delete the rest of the batch. Without any it is an
// empty list, not null: Lambda takes null for a failure of the whole batch.
// See "Reporting batch item failures" in the Lambda Developer Guide.
func Failures(messageIDs []string) events.SQSEventResponse {
	items := make([]events.SQSBatchItemFailure, len(messageIDs))
	for i, id := range messageIDs {
		items[i].ItemIdentifier = id
	}
	return events.SQSEventResponse{BatchItemFailures: items}
}

func receiveCount(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 1
	}
	return max(n, 1)
}

// sentAt reads Unix milliseconds.
func sentAt(s string) time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
