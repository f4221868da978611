package conformance

import (
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

// redriven makes a queue whose messages move after so many receives, and its
// dead-letter queue.
func (t *trial) redriven(receives string) (url, dead *string) {
	dead = t.queue("VisibilityTimeout", "300")
	arn := t.attributes(dead, "QueueArn")["QueueArn"]
	return t.queue("VisibilityTimeout", "300", "RedrivePolicy", `{"deadLetterTargetArn":"`+arn+`","maxReceiveCount":`+receives+`}`), dead
}

func redriveChecks() []check {
	return []check{
		{
			on: onSQS, name: "a message moves to the dead-letter queue at the receive after its last, and not before", source: sqsGuide + "sqs-dead-letter-queues.html",
			run: func(t *trial) {
				url, dead := t.redriven("2")
				t.send(url, "x")
				for range 2 {
					t.release(url, t.receive(url), 0)
				}
				t.untilDepth(url, depth{"1", "0", "0"})
				require.Equal(t, depth{"0", "0", "0"}, t.depth(dead), "not when it becomes visible")
				require.Empty(t, t.poll(url, 10, 1), "the next receive does not get it")
				t.untilDepth(dead, depth{"1", "0", "0"})
				t.untilDepth(url, depth{"0", "0", "0"})
			},
		},
		{
			on: onSQS, name: "a message that has moved keeps its id, its body, its attributes and when it was sent", source: sqsGuide + "setting-up-dead-letter-queue-retention.html",
			run: func(t *trial) {
				url, dead := t.redriven("1")
				_, err := t.sqs.SendMessage(t.ctx, &sqs.SendMessageInput{
					QueueUrl: url, MessageBody: ptr("x"), MessageAttributes: map[string]types.MessageAttributeValue{"a": {DataType: ptr("String"), StringValue: ptr("b")}},
				})
				require.NoError(t, err)
				m := t.receive(url)
				t.release(url, m, 0)
				require.Empty(t, t.poll(url, 10, 1))
				moved := t.receive(dead)
				require.Equal(t, *m.MessageId, *moved.MessageId)
				require.Equal(t, "x", *moved.Body)
				require.Equal(t, "b", *moved.MessageAttributes["a"].StringValue)
				require.Equal(t, m.Attributes["SentTimestamp"], moved.Attributes["SentTimestamp"])
			},
		},
		{
			on: onSQS, name: "a message that has moved names the queue it came from", source: sqsAPI + "ReceiveMessage.html",
			run: func(t *trial) {
				url, dead := t.redriven("1")
				t.send(url, "x")
				t.release(url, t.receive(url), 0)
				require.Empty(t, t.poll(url, 10, 1))
				require.Equal(t, t.attributes(url, "QueueArn")["QueueArn"], t.receive(dead).Attributes["DeadLetterQueueSourceArn"])
			},
		},
		{
			on: onSQS, name: "what is in flight for the last time stays until it becomes visible", source: sqsGuide + "sqs-dead-letter-queues.html",
			run: func(t *trial) {
				url, dead := t.redriven("1")
				t.send(url, "x")
				m := t.receive(url)
				require.Empty(t, t.poll(url, 10, 1))
				require.Equal(t, depth{"0", "0", "0"}, t.depth(dead))
				t.delete(url, m)
				t.untilDepth(url, depth{"0", "0", "0"})
			},
		},
		{
			on: onSQS, name: "messages of others are received while one moves", source: sqsGuide + "sqs-dead-letter-queues.html",
			run: func(t *trial) {
				url, dead := t.redriven("1")
				t.send(url, "worn")
				t.release(url, t.receive(url), 0)
				t.send(url, "fresh")
				require.Equal(t, "fresh", *t.receive(url).Body)
				t.poll(url, 10, 1)
				require.Equal(t, "worn", *t.receive(dead).Body)
			},
		},
		{
			on: onSQS, name: "a dead-letter queue takes messages that are sent to it", source: sqsGuide + "sqs-dead-letter-queues.html",
			run: func(t *trial) {
				_, dead := t.redriven("5")
				t.send(dead, "buried")
				m := t.receive(dead)
				require.Equal(t, []string{"buried", "1"}, []string{*m.Body, count(m)})
			},
		},
		{
			on: onSQS, name: "the queues of a dead-letter queue are listed", source: sqsAPI + "ListDeadLetterSourceQueues.html",
			run: func(t *trial) {
				url, dead := t.redriven("5")
				out, err := t.sqs.ListDeadLetterSourceQueues(t.ctx, &sqs.ListDeadLetterSourceQueuesInput{QueueUrl: dead})
				require.NoError(t, err)
				require.Equal(t, []string{*url}, out.QueueUrls)
			},
		},
		{
			on: onSQS, name: "StartMessageMoveTask brings messages back to the queue they came from", source: sqsAPI + "StartMessageMoveTask.html",
			run: func(t *trial) {
				url, dead := t.redriven("1")
				t.send(url, "x")
				m := t.receive(url)
				t.release(url, m, 0)
				require.Empty(t, t.poll(url, 10, 1))
				t.untilDepth(dead, depth{"1", "0", "0"})
				arn := t.attributes(dead, "QueueArn")["QueueArn"]
				_, err := t.sqs.StartMessageMoveTask(t.ctx, &sqs.StartMessageMoveTaskInput{SourceArn: &arn})
				require.NoError(t, err)
				again := t.receive(url)
				require.Equal(t, "x", *again.Body)
				t.untilDepth(dead, depth{"0", "0", "0"})
				t.until("a task that is completed", func() bool {
					out, err := t.sqs.ListMessageMoveTasks(t.ctx, &sqs.ListMessageMoveTasksInput{SourceArn: &arn})
					require.NoError(t, err)
					return len(out.Results) == 1 && *out.Results[0].Status == "COMPLETED" && out.Results[0].ApproximateNumberOfMessagesMoved == 1
				})
			},
		},
	}
}
