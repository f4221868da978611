package awssqs

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"posthorn/internal/hook"
)

// Release sets how long received messages of the queue stay invisible from
// now. The errors are in the order of the messages; a message that was deleted
// or has become visible again is one. Concurrent calls travel together.
func (q *Queues) Release(ctx context.Context, rs []hook.Release) []error {
	return errorsOf(inBatches(ctx, rs, q.releases, q.releaseBatch))
}

func (q *Queues) releaseBatch(ctx context.Context, batch []hook.Release) []result {
	return results("change visibility", q.perform(ctx, len(batch), func(ctx context.Context, todo []int, a *answer) error {
		url, err := q.main.url(ctx)
		if err != nil {
			return err
		}
		in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url, Entries: make([]types.ChangeMessageVisibilityBatchRequestEntry, len(todo))}
		for n, i := range todo {
			id, r := strconv.Itoa(i), &batch[i]
			in.Entries[n] = types.ChangeMessageVisibilityBatchRequestEntry{Id: &id, ReceiptHandle: &r.ReceiptHandle, VisibilityTimeout: seconds(r.After)}
		}
		out, err := q.client.ChangeMessageVisibilityBatch(ctx, in)
		if err != nil {
			return err
		}
		for _, s := range out.Successful {
			a.succeeded(s.Id, "")
		}
		a.failed(out.Failed)
		return nil
	}))
}

// Receive takes up to limit messages (at most ten) out of the queue of
// deliveries, and waits up to wait, in whole seconds and at most 20, for a first;
// none is no error. They come back after the queue's visibility timeout unless
// they are deleted. A call that ctx ends may have taken messages that nobody
// then knows of.
func (q *Queues) Receive(ctx context.Context, limit int, wait time.Duration) ([]hook.Received, error) {
	received, err := q.receive(ctx, q.main, limit, wait)
	if err != nil {
		return nil, fmt.Errorf("receive from the queue: %w", err)
	}
	return received, nil
}

// Delete deletes received messages from the queue of deliveries. The errors are
// in the order of the handles.
func (q *Queues) Delete(ctx context.Context, receiptHandles []string) []error {
	return q.deleteFrom(ctx, q.main, "delete from the queue", receiptHandles)
}

// ReceiveDead takes up to limit messages (at most ten) out of the dead-letter
// queue; none is no error. They come back after the queue's visibility timeout
// unless they are deleted.
func (q *Queues) ReceiveDead(ctx context.Context, limit int) ([]hook.Received, error) {
	received, err := q.receive(ctx, q.dead, limit, q.deadWait)
	if err != nil {
		return nil, fmt.Errorf("receive from the dead-letter queue: %w", err)
	}
	return received, nil
}

func (q *Queues) receive(ctx context.Context, from *queue, limit int, wait time.Duration) ([]hook.Received, error) {
	url, err := from.url(ctx)
	if err != nil {
		return nil, err
	}
	out, err := q.client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
		QueueUrl:                    url,
		MaxNumberOfMessages:         int32(min(limit, maxEntries)),
		WaitTimeSeconds:             int32(wait / time.Second),
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
	})
	if err != nil {
		return nil, err
	}
	received := make([]hook.Received, len(out.Messages))
	for i, m := range out.Messages {
		received[i] = hook.Received{
			MessageID:     str(m.MessageId),
			ReceiptHandle: str(m.ReceiptHandle),
			ReceiveCount:  1,
			Raw:           str(m.Body),
		}
		if n, err := strconv.Atoi(m.Attributes[string(types.MessageSystemAttributeNameApproximateReceiveCount)]); err == nil {
			received[i].ReceiveCount = n
		}
		if ms, err := strconv.ParseInt(m.Attributes[string(types.MessageSystemAttributeNameSentTimestamp)], 10, 64); err == nil {
			received[i].SentAt = time.UnixMilli(ms).UTC()
		}
	}
	return received, nil
}

// DeleteDead deletes received messages from the dead-letter queue. The errors
// are in the order of the handles.
func (q *Queues) DeleteDead(ctx context.Context, receiptHandles []string) []error {
	return q.deleteFrom(ctx, q.dead, "delete from the dead-letter queue", receiptHandles)
}

func (q *Queues) deleteFrom(ctx context.Context, from *queue, doing string, receiptHandles []string) []error {
	errs := make([]error, 0, len(receiptHandles))
	for batch := range slices.Chunk(receiptHandles, maxEntries) {
		errs = append(errs, errorsOf(q.deleteBatch(ctx, from, doing, batch))...)
	}
	return errs
}

func (q *Queues) deleteBatch(ctx context.Context, from *queue, doing string, batch []string) []result {
	return results(doing, q.perform(ctx, len(batch), func(ctx context.Context, todo []int, a *answer) error {
		url, err := from.url(ctx)
		if err != nil {
			return err
		}
		in := &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: make([]types.DeleteMessageBatchRequestEntry, len(todo))}
		for n, i := range todo {
			id := strconv.Itoa(i)
			in.Entries[n] = types.DeleteMessageBatchRequestEntry{Id: &id, ReceiptHandle: &batch[i]}
		}
		out, err := q.client.DeleteMessageBatch(ctx, in)
		if err != nil {
			return err
		}
		for _, s := range out.Successful {
			a.succeeded(s.Id, "")
		}
		a.failed(out.Failed)
		return nil
	}))
}
