package conformance

import (
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

// poll receives up to limit messages with all attributes, waiting so many
// seconds for the first.
func (t *trial) poll(url *string, limit, wait int32) []types.Message {
	out, err := t.sqs.ReceiveMessage(t.ctx, &sqs.ReceiveMessageInput{
		QueueUrl: url, MaxNumberOfMessages: limit, WaitTimeSeconds: wait,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll}, MessageAttributeNames: []string{"All"},
	})
	require.NoError(t, err)
	return out.Messages
}

// receive waits for a message.
func (t *trial) receive(url *string) types.Message {
	var got []types.Message
	t.until("a message", func() bool {
		got = t.poll(url, 1, 1)
		return len(got) > 0
	})
	return got[0]
}

// count is how often a message was received, as its attributes say.
func count(m types.Message) string { return m.Attributes["ApproximateReceiveCount"] }

// release hides a message for so many seconds from now.
func (t *trial) release(url *string, m types.Message, seconds int32) {
	require.NoError(t, t.tryRelease(url, m, seconds))
}

func (t *trial) tryRelease(url *string, m types.Message, seconds int32) error {
	_, err := t.sqs.ChangeMessageVisibility(t.ctx, &sqs.ChangeMessageVisibilityInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle, VisibilityTimeout: seconds})
	return err
}

func (t *trial) delete(url *string, m types.Message) {
	_, err := t.sqs.DeleteMessage(t.ctx, &sqs.DeleteMessageInput{QueueUrl: url, ReceiptHandle: m.ReceiptHandle})
	require.NoError(t, err)
}

func receiveChecks() []check {
	return []check{
		{
			on: onSQS, name: "a receive takes 10 messages at most, and waits for 20 s at most", source: sqsAPI + "ReceiveMessage.html",
			run: func(t *trial) {
				url := t.queue()
				t.send(url, "a", "b", "c")
				require.Len(t, t.poll(url, 1, 1), 1)
				for _, in := range []sqs.ReceiveMessageInput{
					{MaxNumberOfMessages: 11}, {WaitTimeSeconds: 21},
				} {
					in.QueueUrl = url
					_, err := t.sqs.ReceiveMessage(t.ctx, &in)
					require.Equal(t, "InvalidParameterValue", code(err), "%d messages, %d s: %v", in.MaxNumberOfMessages, in.WaitTimeSeconds, err)
				}
			},
		},
		{
			on: onSQS, name: "a receive refuses a visibility timeout of more than 43,200 s", source: sqsAPI + "ReceiveMessage.html",
			run: func(t *trial) {
				_, err := t.sqs.ReceiveMessage(t.ctx, &sqs.ReceiveMessageInput{QueueUrl: t.queue(), VisibilityTimeout: 43201})
				require.Equal(t, "InvalidParameterValue", code(err), "%v", err)
			},
			exceptions: []exception{{
				target: localStack, instead: "it takes any timeout", source: localStackSQS + "provider.py#L1110", shows: "actual  : \"\"",
			}},
		},
		{
			on: onSQS, name: "a long poll ends with the first message, and without one when its time is over", source: sqsGuide + "sqs-short-and-long-polling.html",
			run: func(t *trial) {
				url := t.queue()
				at := time.Now()
				require.Empty(t, t.poll(url, 10, 1))
				require.GreaterOrEqual(t, time.Since(at), 900*time.Millisecond)
				polled := make(chan []types.Message, 1)
				go func() {
					defer close(polled)
					polled <- t.poll(url, 10, 20)
				}()
				t.until("a while in which the poll has begun", func() bool { return time.Since(at) > 1500*time.Millisecond })
				at = time.Now()
				t.send(url, "x")
				got := <-polled
				require.Len(t, got, 1)
				require.Less(t, time.Since(at), 10*time.Second)
			},
		},
		{
			on: onSQS, name: "a message says how often and when it was received, and when it was sent", source: sqsAPI + "ReceiveMessage.html",
			run: func(t *trial) {
				url := t.queue()
				before := time.Now().Add(-time.Second).UnixMilli()
				t.send(url, "x")
				m := t.receive(url)
				sent, err := strconv.ParseInt(m.Attributes["SentTimestamp"], 10, 64)
				require.NoError(t, err)
				first, err := strconv.ParseInt(m.Attributes["ApproximateFirstReceiveTimestamp"], 10, 64)
				require.NoError(t, err)
				require.LessOrEqual(t, before, sent)
				require.LessOrEqual(t, sent, first)
				require.LessOrEqual(t, first, time.Now().Add(time.Second).UnixMilli())
				require.Equal(t, "1", count(m))
				require.NotEmpty(t, m.Attributes["SenderId"])
				t.release(url, m, 0)
				again := t.receive(url)
				require.Equal(t, "2", count(again))
				require.Equal(t, m.Attributes["SentTimestamp"], again.Attributes["SentTimestamp"])
				require.Equal(t, m.Attributes["ApproximateFirstReceiveTimestamp"], again.Attributes["ApproximateFirstReceiveTimestamp"])
				require.Equal(t, *m.MessageId, *again.MessageId)
				require.NotEqual(t, *m.ReceiptHandle, *again.ReceiptHandle)
			},
		},
		{
			on: onSQS, name: "attributes of a message are answered only when they are asked for", source: sqsAPI + "ReceiveMessage.html",
			run: func(t *trial) {
				url := t.queue()
				t.send(url, "x")
				t.untilDepth(url, depth{"1", "0", "0"})
				out, err := t.sqs.ReceiveMessage(t.ctx, &sqs.ReceiveMessageInput{QueueUrl: url, WaitTimeSeconds: 1})
				require.NoError(t, err)
				require.Len(t, out.Messages, 1)
				require.Empty(t, out.Messages[0].Attributes)
			},
		},
		{
			on: onSQS, name: "a received message is hidden until the queue's visibility timeout is over", source: sqsGuide + "sqs-visibility-timeout.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "2")
				t.send(url, "x")
				first := t.receive(url)
				at := time.Now()
				require.Empty(t, t.poll(url, 10, 0))
				second := t.receive(url)
				require.GreaterOrEqual(t, time.Since(at), 1500*time.Millisecond)
				require.Equal(t, []string{"1", "2"}, []string{count(first), count(second)})
			},
		},
		{
			on: onSQS, name: "a receive's own visibility timeout goes before the queue's", source: sqsAPI + "ReceiveMessage.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				t.send(url, "x")
				t.untilDepth(url, depth{"1", "0", "0"})
				_, err := t.sqs.ReceiveMessage(t.ctx, &sqs.ReceiveMessageInput{QueueUrl: url, VisibilityTimeout: 1, WaitTimeSeconds: 1})
				require.NoError(t, err)
				require.Equal(t, "2", count(t.receive(url)))
			},
		},
		{
			on: onSQS, name: "a visibility of 0 shows a message at once", source: sqsGuide + "sqs-visibility-timeout.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				t.send(url, "x")
				t.release(url, t.receive(url), 0)
				require.Equal(t, "2", count(t.receive(url)))
			},
		},
		{
			on: onSQS, name: "a visibility that is set counts from then, and shortens or extends", source: sqsAPI + "ChangeMessageVisibility.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "1")
				t.send(url, "x")
				m := t.receive(url)
				at := time.Now()
				t.release(url, m, 300)
				require.Empty(t, t.poll(url, 10, 2), "longer than the queue's")
				t.release(url, m, 1)
				require.Equal(t, "2", count(t.receive(url)))
				require.Less(t, time.Since(at), 30*time.Second)
			},
		},
		{
			on: onSQS, name: "a visibility that is set is not remembered for the next receive", source: sqsGuide + "sqs-visibility-timeout.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "1")
				t.send(url, "x")
				t.release(url, t.receive(url), 4)
				t.receive(url)
				at := time.Now()
				require.Equal(t, "3", count(t.receive(url)))
				require.Less(t, time.Since(at), 3*time.Second, "the queue's own again")
			},
		},
		{
			on: onSQS, name: "a visibility of more than 43,200 s cannot be set", source: sqsAPI + "ChangeMessageVisibility.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				t.send(url, "x")
				m := t.receive(url)
				t.release(url, m, 43000)
				err := t.tryRelease(url, m, 43201)
				require.Equal(t, "InvalidParameterValue", code(err), "%v", err)
			},
			exceptions: []exception{{
				target: localStack, instead: "it takes any visibility", source: localStackSQS + "models.py#L494", shows: "actual  : \"\"",
			}},
		},
		{
			on: onSQS, name: "twelve hours from its receive are the longest that a message is hidden in all", source: sqsGuide + "sqs-visibility-timeout.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				t.send(url, "x")
				m := t.receive(url)
				at := time.Now()
				t.until("a second", func() bool { return time.Since(at) > 1100*time.Millisecond })
				err := t.tryRelease(url, m, 43200)
				require.Equal(t, "InvalidParameterValue", code(err), "%v", err)
				t.release(url, m, 43200-30)
			},
			exceptions: []exception{{
				target: localStack, instead: "it takes any visibility", source: localStackSQS + "models.py#L494", shows: "actual  : \"\"",
			}},
		},
		{
			on: onSQS, name: "the visibility of a message that is not in flight cannot be set", source: sqsAPI + "ChangeMessageVisibility.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				t.send(url, "x")
				m := t.receive(url)
				t.release(url, m, 0)
				t.untilDepth(url, depth{"1", "0", "0"})
				var visible *types.MessageNotInflight
				require.ErrorAs(t, t.tryRelease(url, m, 10), &visible)
			},
			exceptions: []exception{{
				target: localStack, instead: "it answers as if it had set it", source: localStackSQS + "models.py#L506", shows: "An error is expected but got nil",
			}},
		},
		{
			on: onSQS, name: "the visibility of a message that was deleted cannot be set", source: sqsAPI + "ChangeMessageVisibility.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				t.send(url, "x")
				m := t.receive(url)
				t.delete(url, m)
				err := t.tryRelease(url, m, 10)
				require.Equal(t, "InvalidParameterValue", code(err), "%v", err)
			},
		},
		{
			on: onSQS, name: "of a batch of visibilities those at fault fail alone, and the caller is at fault", source: sqsAPI + "ChangeMessageVisibilityBatch.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				t.send(url, "a", "b")
				a, b := t.receive(url), t.receive(url)
				t.delete(url, b)
				out, err := t.sqs.ChangeMessageVisibilityBatch(t.ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{
					{Id: ptr("good"), ReceiptHandle: a.ReceiptHandle, VisibilityTimeout: 0},
					{Id: ptr("gone"), ReceiptHandle: b.ReceiptHandle, VisibilityTimeout: 10},
					{Id: ptr("none"), ReceiptHandle: ptr("no handle"), VisibilityTimeout: 10},
				}})
				require.NoError(t, err)
				require.Len(t, out.Successful, 1)
				require.Equal(t, *a.MessageId, *t.receive(url).MessageId)
				require.Equal(t, map[string]string{"gone": "InvalidParameterValue of the sender", "none": "ReceiptHandleIsInvalid of the sender"}, failures(out.Failed))
			},
			exceptions: []exception{{
				target: localStack, instead: "it takes the fault upon itself", source: localStackSQS + "provider.py#L907", shows: "ReceiptHandleIsInvalid of the service",
			}},
		},
		{
			on: onSQS, name: "ten visibilities are set in one batch", source: sqsAPI + "ChangeMessageVisibilityBatch.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url}
				for i := range 10 {
					t.send(url, strconv.Itoa(i))
				}
				for i := range 10 {
					in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: ptr(strconv.Itoa(i)), ReceiptHandle: t.receive(url).ReceiptHandle})
				}
				out, err := t.sqs.ChangeMessageVisibilityBatch(t.ctx, in)
				require.NoError(t, err)
				require.Empty(t, out.Failed)
				require.Len(t, out.Successful, 10)
				t.untilDepth(url, depth{"10", "0", "0"})
				in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: ptr("10"), ReceiptHandle: ptr("x")})
				_, err = t.sqs.ChangeMessageVisibilityBatch(t.ctx, in)
				var many *types.TooManyEntriesInBatchRequest
				require.ErrorAs(t, err, &many)
			},
		},
		{
			on: onSQS, name: "a deleted message does not come back, and may be deleted again", source: sqsAPI + "DeleteMessage.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "1")
				t.send(url, "x")
				m := t.receive(url)
				t.delete(url, m)
				t.delete(url, m)
				require.Empty(t, t.poll(url, 10, 2))
				t.untilDepth(url, depth{"0", "0", "0"})
			},
		},
		{
			on: onSQS, name: "a message is deleted by its latest handle after it has become visible", source: sqsAPI + "DeleteMessage.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				t.send(url, "x")
				m := t.receive(url)
				t.release(url, m, 0)
				t.untilDepth(url, depth{"1", "0", "0"})
				t.delete(url, m)
				t.untilDepth(url, depth{"0", "0", "0"})
			},
		},
		{
			on: onSQS, name: "of a batch of deletes those at fault fail alone, and the caller is at fault", source: sqsAPI + "DeleteMessageBatch.html",
			run: func(t *trial) {
				url := t.queue()
				t.send(url, "x")
				m := t.receive(url)
				out, err := t.sqs.DeleteMessageBatch(t.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{
					{Id: ptr("good"), ReceiptHandle: m.ReceiptHandle}, {Id: ptr("none"), ReceiptHandle: ptr("no handle")},
				}})
				require.NoError(t, err)
				require.Len(t, out.Successful, 1)
				t.untilDepth(url, depth{"0", "0", "0"})
				require.Equal(t, map[string]string{"none": "ReceiptHandleIsInvalid of the sender"}, failures(out.Failed))
			},
			exceptions: []exception{{
				target: localStack, instead: "it takes the fault upon itself", source: localStackSQS + "provider.py#L1238", shows: "ReceiptHandleIsInvalid of the service",
			}},
		},
		{
			on: onSQS, name: "ten messages are deleted in one batch", source: sqsAPI + "DeleteMessageBatch.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				in := &sqs.DeleteMessageBatchInput{QueueUrl: url}
				for i := range 10 {
					t.send(url, strconv.Itoa(i))
				}
				for i := range 10 {
					in.Entries = append(in.Entries, types.DeleteMessageBatchRequestEntry{Id: ptr(strconv.Itoa(i)), ReceiptHandle: t.receive(url).ReceiptHandle})
				}
				out, err := t.sqs.DeleteMessageBatch(t.ctx, in)
				require.NoError(t, err)
				require.Empty(t, out.Failed)
				require.Len(t, out.Successful, 10)
				t.untilDepth(url, depth{"0", "0", "0"})
				_, err = t.sqs.DeleteMessageBatch(t.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{}})
				var none *types.EmptyBatchRequest
				require.ErrorAs(t, err, &none)
			},
		},
	}
}
