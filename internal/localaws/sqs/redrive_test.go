package sqs_test

import (
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

func arn(name string) string { return "arn:aws:sqs:us-east-1:000000000000:" + name }

// redriven creates a dead-letter queue and a queue that moves a message there
// on its third receive.
func (b *bundle) redriven(t *testing.T) (url, dlq string) {
	t.Helper()
	dlq = b.queue(t, "dlq", nil)
	return b.queue(t, "q", map[string]string{
		"RedrivePolicy": `{"deadLetterTargetArn":"` + arn("dlq") + `","maxReceiveCount":2}`,
	}), dlq
}

// exhaust receives what is in the queue until it moves.
func (b *bundle) exhaust(t *testing.T, url string) {
	t.Helper()
	for range 2 {
		require.NotEmpty(t, b.receive(t, url))
		b.clock.Advance(30 * time.Second)
	}
	require.Empty(t, b.receive(t, url))
}

func TestAMessageMovesOnTheReceiveAfterItsLast(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, dlq := b.redriven(t)
	sent, err := b.SendMessage(t.Context(), &awssqs.SendMessageInput{
		QueueUrl: &url, MessageBody: aws.String("x"), MessageGroupId: aws.String("ep_1"),
		MessageAttributes: map[string]types.MessageAttributeValue{"a": text("v")},
	})
	require.NoError(t, err)
	old := b.one(t, url)
	b.clock.Advance(30 * time.Second)
	b.one(t, url)
	b.clock.Advance(30 * time.Second)
	require.Empty(t, b.receive(t, dlq), "it moves on the next receive, not before")
	require.Empty(t, b.receive(t, url))
	m := b.one(t, dlq)
	require.Equal(t, *sent.MessageId, *m.MessageId)
	require.Equal(t, map[string]types.MessageAttributeValue{"a": text("v")}, m.MessageAttributes)
	require.Equal(t, map[string]string{
		"SenderId": "000000000000", "SentTimestamp": "1800000000000", "MessageGroupId": "ep_1",
		"ApproximateReceiveCount": "3", "ApproximateFirstReceiveTimestamp": "1800000000000", "DeadLetterQueueSourceArn": arn("q"),
	}, m.Attributes)
	require.NoError(t, b.remove(t, url, old.ReceiptHandle), "nothing is left to delete")
	require.NoError(t, b.changeTo(t, dlq, m.ReceiptHandle, 0))
	m = b.one(t, dlq)
	require.NoError(t, b.remove(t, dlq, m.ReceiptHandle))
}

func TestRetentionInTheDeadLetterQueueCountsFromTheFirstSend(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, dlq := b.redriven(t)
	require.NoError(t, b.set(t, dlq, map[string]string{"MessageRetentionPeriod": "100"}))
	b.send(t, url, "x")
	b.exhaust(t, url) // takes 60 s
	b.clock.Advance(39 * time.Second)
	ready, _, _, err := b.server.Depth("dlq")
	require.NoError(t, err)
	require.Equal(t, 1, ready)
	b.clock.Advance(time.Second)
	require.Empty(t, b.receive(t, dlq))
}

func TestWithoutItsTargetARedrivePolicyMovesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, dlq := b.redriven(t)
	b.send(t, url, "x")
	_, err := b.DeleteQueue(t.Context(), &awssqs.DeleteQueueInput{QueueUrl: &dlq})
	require.NoError(t, err)
	for range 5 {
		b.one(t, url)
		b.clock.Advance(30 * time.Second)
	}
}

func TestAReceiveReturnsWhatIsBehindManyThatMove(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, _ := b.redriven(t)
	for range 25 {
		_, err := b.SendMessageBatch(t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: sends("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")})
		require.NoError(t, err)
	}
	for range 50 {
		require.Len(t, b.receive(t, url), 10)
		if ready, _, _, err := b.server.Depth("q"); err == nil && ready == 0 {
			b.clock.Advance(30 * time.Second)
		}
	}
	b.send(t, url, "behind")
	require.Equal(t, "behind", *b.one(t, url).Body)
	ready, _, _, err := b.server.Depth("dlq")
	require.NoError(t, err)
	require.Equal(t, 250, ready)
}

// finished waits until the latest move task of a source has ended.
func (b *bundle) finished(t *testing.T, source string) types.ListMessageMoveTasksResultEntry {
	t.Helper()
	var task types.ListMessageMoveTasksResultEntry
	require.Eventually(t, func() bool {
		out, err := b.ListMessageMoveTasks(t.Context(), &awssqs.ListMessageMoveTasksInput{SourceArn: &source})
		require.NoError(t, err)
		require.Len(t, out.Results, 1)
		task = out.Results[0]
		return *task.Status != "RUNNING" && *task.Status != "CANCELLING"
	}, 10*time.Second, time.Millisecond)
	return task
}

func TestAMoveTaskReturnsMessagesAsNewOnes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url, dlq := b.redriven(t)
	other := b.queue(t, "other", nil)
	sent := b.send(t, url, "x")
	b.exhaust(t, url)
	started, err := b.StartMessageMoveTask(t.Context(), &awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn("dlq"))})
	require.NoError(t, err)
	task := b.finished(t, arn("dlq"))
	require.Equal(t, "COMPLETED", *task.Status)
	require.EqualValues(t, 1, task.ApproximateNumberOfMessagesMoved)
	require.EqualValues(t, 1, *task.ApproximateNumberOfMessagesToMove)
	require.Nil(t, task.TaskHandle)
	require.Nil(t, task.DestinationArn)
	require.Empty(t, b.receive(t, dlq))
	m := b.one(t, url)
	require.NotEqual(t, *sent.MessageId, *m.MessageId)
	require.Equal(t, "1", m.Attributes["ApproximateReceiveCount"])
	require.Equal(t, fmt.Sprint(b.clock.Now().UnixMilli()), m.Attributes["SentTimestamp"])
	require.NotContains(t, m.Attributes, "DeadLetterQueueSourceArn")
	_, err = b.CancelMessageMoveTask(t.Context(), &awssqs.CancelMessageMoveTaskInput{TaskHandle: started.TaskHandle})
	requireCode(t, err, "InvalidParameterValue")

	b.send(t, dlq, "sent there directly")
	_, err = b.StartMessageMoveTask(t.Context(), &awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn("dlq"))})
	require.NoError(t, err)
	task = b.finished(t, arn("dlq"))
	require.Equal(t, "FAILED", *task.Status)
	require.Equal(t, "CouldNotDetermineMessageSource", *task.FailureReason)
	_, err = b.StartMessageMoveTask(t.Context(), &awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn("dlq")), DestinationArn: aws.String(arn("other"))})
	require.NoError(t, err)
	require.Equal(t, "COMPLETED", *b.finished(t, arn("dlq")).Status)
	require.Equal(t, "sent there directly", *b.one(t, other).Body)
}

func TestAMoveTaskIsCancelled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, dlq := b.redriven(t)
	for range 10 {
		b.send(t, dlq, "x")
	}
	in := &awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn("dlq")), DestinationArn: aws.String(arn("q")), MaxNumberOfMessagesPerSecond: aws.Int32(1)}
	started, err := b.StartMessageMoveTask(t.Context(), in)
	require.NoError(t, err)
	_, err = b.StartMessageMoveTask(t.Context(), in)
	requireCode(t, err, "InvalidParameterValue")
	_, err = b.CancelMessageMoveTask(t.Context(), &awssqs.CancelMessageMoveTaskInput{TaskHandle: started.TaskHandle})
	require.NoError(t, err)
	task := b.finished(t, arn("dlq"))
	require.Equal(t, "CANCELLED", *task.Status)
	require.Less(t, task.ApproximateNumberOfMessagesMoved, int64(10))
	ready, _, _, err := b.server.Depth("dlq")
	require.NoError(t, err)
	require.EqualValues(t, 10-task.ApproximateNumberOfMessagesMoved, ready)
}

func TestAMoveTaskIsRefusedAsByTheService(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.redriven(t)
	for _, test := range []struct{ source, destination, code, message string }{
		{"nope", "", "ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist."},
		{"q", "", "InvalidParameterValue", "Source queue must be configured as a Dead Letter Queue."},
		{"dlq", "nope", "ResourceNotFoundException", "The resource that you specified for the DestinationArn parameter doesn't exist."},
		{"dlq", "dlq", "InvalidParameterValue", "Source queue and destination queue must be different."},
	} {
		in := &awssqs.StartMessageMoveTaskInput{SourceArn: aws.String(arn(test.source))}
		if test.destination != "" {
			in.DestinationArn = aws.String(arn(test.destination))
		}
		_, err := b.StartMessageMoveTask(t.Context(), in)
		require.Equal(t, test.message, requireCode(t, err, test.code))
	}
	for _, test := range []struct{ handle, code, message string }{
		{"garbage", "InvalidParameterValue", "Value for parameter TaskHandle is invalid."},
		{base64.StdEncoding.EncodeToString([]byte(`{"taskId":"t","sourceArn":"` + arn("nope") + `"}`)), "ResourceNotFoundException", "The resource that you specified for the SourceArn parameter doesn't exist."},
		{base64.StdEncoding.EncodeToString([]byte(`{"taskId":"t","sourceArn":"` + arn("dlq") + `"}`)), "ResourceNotFoundException", "Task does not exist."},
	} {
		_, err := b.CancelMessageMoveTask(t.Context(), &awssqs.CancelMessageMoveTaskInput{TaskHandle: &test.handle})
		require.Equal(t, test.message, requireCode(t, err, test.code))
	}
}

func TestANoisyGroupWaitsWhileAnotherHasMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	sendTo := func(group string, n int) {
		for range n {
			_, err := b.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: &group, MessageGroupId: &group})
			require.NoError(t, err)
		}
	}
	groups := func() (got []string) {
		for _, m := range b.receive(t, url) {
			got = append(got, m.Attributes["MessageGroupId"])
		}
		return got
	}
	sendTo("noisy", 60)
	require.NotContains(t, append(append(groups(), groups()...), groups()...), "quiet")
	sendTo("quiet", 3)
	// 30 of the noisy group are in flight: the quiet one is served first,
	// though its messages are the newest.
	require.Equal(t, []string{"quiet", "quiet", "quiet", "noisy", "noisy", "noisy", "noisy", "noisy", "noisy", "noisy"}, groups())
	// Once they are visible again nobody is noisy, and the oldest is first.
	b.clock.Advance(30 * time.Second)
	sendTo("quiet", 1)
	require.NotContains(t, groups(), "quiet")
}
