package awssqs

import (
	"context"
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"posthorn/internal/hook"
)

// outgoing is a message ready to be sent.
type outgoing struct {
	body  string
	group string
	delay int32
}

// Send puts messages into the queue, grouped by endpoint so that a busy one
// does not hold up the others (see "Amazon SQS fair queues"). The answers are
// in the order of the messages. A nil Err means the message is durably in the
// queue; after an error it may be there all the same, when only the answer was
// lost. Concurrent calls travel together.
func (q *Queues) Send(ctx context.Context, out []hook.Outgoing) []hook.Sent {
	sent := make([]hook.Sent, len(out))
	ready := make([]outgoing, 0, len(out))
	at := make([]int, 0, len(out)) // where each of ready stands in out
	for i, o := range out {
		body, group, err := encode(o)
		if err != nil {
			sent[i].Err = fmt.Errorf("send message: %w", err)
			continue
		}
		ready = append(ready, outgoing{body: string(body), group: group, delay: seconds(o.Delay)})
		at = append(at, i)
	}
	for i, r := range inBatches(ctx, ready, q.sends, q.sendBatch) {
		sent[at[i]] = hook.Sent{MessageID: r.Value, Err: r.Err}
	}
	return sent
}

// encode writes a message's body, and names the group it belongs to: a delivery
// to its endpoint's, a control message to its job's.
func encode(o hook.Outgoing) (body []byte, group string, err error) {
	if o.Control != nil {
		body, err = hook.EncodeControl(o.Control)
		return body, o.Control.JobID, err
	}
	body, err = hook.EncodeMessage(o.Message)
	return body, o.Message.EndpointID, err
}

// sendBatch sends at most ten messages, in as many calls as their size asks for.
func (q *Queues) sendBatch(ctx context.Context, batch []outgoing) []result {
	rs := make([]result, 0, len(batch))
	for len(batch) > 0 {
		n := fitting(batch)
		rs = append(rs, q.sendFitting(ctx, batch[:n])...)
		batch = batch[n:]
	}
	return rs
}

// fitting says how many of the messages, at least one, fit into one call.
func fitting(batch []outgoing) int {
	size := 0
	for i, o := range batch {
		if size += len(o.body); size > maxBytes && i > 0 {
			return i
		}
	}
	return len(batch)
}

func (q *Queues) sendFitting(ctx context.Context, batch []outgoing) []result {
	return results("send message", q.perform(ctx, len(batch), func(ctx context.Context, todo []int, a *answer) error {
		url, err := q.main.url(ctx)
		if err != nil {
			return err
		}
		in := &sqs.SendMessageBatchInput{QueueUrl: url, Entries: make([]types.SendMessageBatchRequestEntry, len(todo))}
		for n, i := range todo {
			id, o := strconv.Itoa(i), &batch[i]
			in.Entries[n] = types.SendMessageBatchRequestEntry{Id: &id, MessageBody: &o.body, MessageGroupId: &o.group, DelaySeconds: o.delay}
		}
		out, err := q.client.SendMessageBatch(ctx, in)
		if err != nil {
			return err
		}
		for _, s := range out.Successful {
			a.succeeded(s.Id, str(s.MessageId))
		}
		a.failed(out.Failed)
		return nil
	}))
}

// SendDead puts a message body as it stands into the dead-letter queue. After
// an error it may be there all the same.
func (q *Queues) SendDead(ctx context.Context, raw string) error {
	url, err := q.dead.url(ctx)
	if err != nil {
		return err
	}
	if _, err := q.client.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: &raw}); err != nil {
		return fmt.Errorf("send to the dead-letter queue: %w", err)
	}
	return nil
}
