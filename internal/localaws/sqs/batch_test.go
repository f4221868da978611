package sqs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

// sends are batch entries with ids 0, 1, … and the given bodies.
func sends(bodies ...string) (entries []types.SendMessageBatchRequestEntry) {
	for i, body := range bodies {
		entries = append(entries, types.SendMessageBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), MessageBody: &body})
	}
	return entries
}

func TestABatchIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	half := strings.Repeat("x", 1<<19)
	withID := func(id string) []types.SendMessageBatchRequestEntry {
		return []types.SendMessageBatchRequestEntry{{Id: &id, MessageBody: aws.String("x")}}
	}
	const idRule = "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."
	tests := map[string]struct {
		entries       []types.SendMessageBatchRequestEntry
		code, message string
	}{
		"empty":       {[]types.SendMessageBatchRequestEntry{}, "AWS.SimpleQueueService.EmptyBatchRequest", "There should be at least one entry in the request."},
		"eleven":      {sends(strings.Split("abcdefghijk", "")...), "AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "Maximum number of entries per request are 10. You have sent 11."},
		"one id both": {append(sends("a"), sends("b")...), "AWS.SimpleQueueService.BatchEntryIdsNotDistinct", "Id 0 repeated."},
		"id form":     {withID("a:b"), "AWS.SimpleQueueService.InvalidBatchEntryId", idRule},
		"no id":       {withID(""), "AWS.SimpleQueueService.InvalidBatchEntryId", idRule},
		"long id":     {withID(strings.Repeat("a", 81)), "AWS.SimpleQueueService.InvalidBatchEntryId", idRule},
		"too large":   {sends(half, half, "x"), "AWS.SimpleQueueService.BatchRequestTooLong", "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes."},
	}
	for name, test := range tests {
		_, err := b.SendMessageBatch(t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: test.entries})
		require.Equal(t, test.message, requireCode(t, err, test.code), name)
	}
	require.Empty(t, b.receive(t, url))
	_, err := b.SendMessageBatch(t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: sends(half, half)})
	require.NoError(t, err)
	require.Len(t, b.receive(t, url), 2)
}

func TestABatchMayPartlyFail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", map[string]string{"MaximumMessageSize": "1024"})
	out, err := b.SendMessageBatch(t.Context(), &awssqs.SendMessageBatchInput{
		QueueUrl: &url, Entries: sends("good", strings.Repeat("x", 1025), "a\x00", "also good"),
	})
	require.NoError(t, err)
	require.Len(t, out.Successful, 2)
	require.Equal(t, []types.BatchResultErrorEntry{
		{Id: aws.String("1"), Code: aws.String("InvalidParameterValue"), SenderFault: true, Message: aws.String("One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes.")},
		{Id: aws.String("2"), Code: aws.String("InvalidMessageContents"), SenderFault: true, Message: out.Failed[1].Message},
	}, out.Failed)
	got := b.receive(t, url)
	require.Len(t, got, 2)
	require.Equal(t, *out.Successful[1].MessageId, *got[1].MessageId)

	changes := []types.ChangeMessageVisibilityBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: got[0].ReceiptHandle, VisibilityTimeout: 0},
		{Id: aws.String("b"), ReceiptHandle: aws.String("garbage"), VisibilityTimeout: 5},
		{Id: aws.String("c"), ReceiptHandle: got[1].ReceiptHandle, VisibilityTimeout: 43_201},
		{Id: aws.String("d"), ReceiptHandle: got[1].ReceiptHandle, VisibilityTimeout: 60},
	}
	changed, err := b.ChangeMessageVisibilityBatch(t.Context(), &awssqs.ChangeMessageVisibilityBatchInput{QueueUrl: &url, Entries: changes})
	require.NoError(t, err)
	require.Len(t, changed.Successful, 2)
	require.Len(t, changed.Failed, 2)
	require.Equal(t, "ReceiptHandleIsInvalid", *changed.Failed[0].Code)
	require.Equal(t, "InvalidParameterValue", *changed.Failed[1].Code)
	b.clock.Advance(59 * time.Second)
	again := b.one(t, url)
	require.Equal(t, *got[0].MessageId, *again.MessageId)

	deleted, err := b.DeleteMessageBatch(t.Context(), &awssqs.DeleteMessageBatchInput{QueueUrl: &url, Entries: []types.DeleteMessageBatchRequestEntry{
		{Id: aws.String("a"), ReceiptHandle: again.ReceiptHandle},
		{Id: aws.String("b"), ReceiptHandle: got[0].ReceiptHandle}, // the same message
		{Id: aws.String("c"), ReceiptHandle: aws.String("garbage")},
		{Id: aws.String("d"), ReceiptHandle: got[1].ReceiptHandle},
	}})
	require.NoError(t, err)
	require.Len(t, deleted.Successful, 3)
	require.Len(t, deleted.Failed, 1)
	b.clock.Advance(time.Hour)
	require.Empty(t, b.receive(t, url))
}

func TestDeleteBatchDeletesMoreThanTenAndReportsTheFirstFault(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	handles := []string{"garbage"}
	for range 25 {
		b.send(t, url, "x")
		handles = append(handles, *b.one(t, url).ReceiptHandle)
	}
	requireErrorIs(t, b.server.DeleteBatch(t.Context(), "q", handles), "ReceiptHandleIsInvalid")
	_, inFlight, _, err := b.server.Depth("q")
	require.NoError(t, err)
	require.Zero(t, inFlight)
	requireErrorIs(t, b.server.DeleteBatch(t.Context(), "nope", handles), "AWS.SimpleQueueService.NonExistentQueue")
}

func requireErrorIs(t *testing.T, err error, code string) {
	t.Helper()
	require.ErrorContains(t, err, code)
}
