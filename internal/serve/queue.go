package serve

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"posthorn/internal/hook"
	"posthorn/internal/lambdaevent"
	"posthorn/internal/localaws/poller"
)

// Queue is the queue of deliveries.
type Queue interface {
	// Receive takes up to limit messages, and waits up to wait for a first; none
	// is no error.
	Receive(ctx context.Context, limit int, wait time.Duration) ([]hook.Received, error)
	// Delete deletes received messages; an error, or none, for each.
	Delete(ctx context.Context, receiptHandles []string) []error
	// Release sets how long received messages stay invisible; an error, or
	// none, for each.
	Release(ctx context.Context, rs []hook.Release) []error
}

// Deliver takes a batch through and returns the ids of the messages that stay
// in the queue.
// It calls over with each message's id as soon as nothing more happens to that
// message.
type Deliver func(ctx context.Context, batch []hook.Received, over func(messageID string)) (failed []string)

const (
	// lastReceive is how long a receive may go on once the process is told to
	// stop. A busy queue answers within it; what a call that was cut off had
	// taken would be seen again only after the visibility timeout.
	lastReceive = time.Second
	// returnTime bounds the return of messages to the queue.
	returnTime = 3 * time.Second
)

// polled is the queue as the poller takes it.
type polled struct{ queue Queue }

// Receive implements poller.Queue.
func (q polled) Receive(ctx context.Context, limit int, wait time.Duration) ([]poller.Message, error) {
	late, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	ended := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(lastReceive, cut)
		context.AfterFunc(late, func() { timer.Stop() })
	})
	defer ended()
	received, err := q.queue.Receive(late, limit, wait)
	messages := make([]poller.Message, len(received))
	for i, r := range received {
		messages[i] = poller.Message{
			ID: r.MessageID, ReceiptHandle: r.ReceiptHandle, Body: r.Raw,
			Attributes: map[string]string{
				"ApproximateReceiveCount": strconv.Itoa(r.ReceiveCount),
				"SentTimestamp":           strconv.FormatInt(r.SentAt.UnixMilli(), 10),
			},
		}
	}
	return messages, err
}

// Delete implements poller.Queue.
func (q polled) Delete(ctx context.Context, receiptHandles []string) error {
	return errors.Join(q.queue.Delete(ctx, receiptHandles)...)
}

// function is what the poller hands batches to. What comes once stopping has
// ended is not begun but returned, and so is what had to be cut off, so that
// another process has it at once and not after the visibility timeout.
func function(stopping context.Context, deliver Deliver, queue Queue, log *slog.Logger) poller.Function {
	return func(ctx context.Context, e events.SQSEvent, over func(messageID string)) (events.SQSEventResponse, error) {
		batch := lambdaevent.Batch(e)
		select {
		case <-stopping.Done():
			return lambdaevent.Failures(giveBack(ctx, queue, batch, log)), nil
		default:
		}
		failed := deliver(ctx, batch, over)
		if errors.Is(ctx.Err(), context.Canceled) {
			failed = giveBack(ctx, queue, only(batch, failed), log)
		}
		return lambdaevent.Failures(failed), nil
	}
}

// only returns the messages of a batch that have these ids.
func only(batch []hook.Received, ids []string) []hook.Received {
	return slices.DeleteFunc(slices.Clone(batch), func(r hook.Received) bool { return !slices.Contains(ids, r.MessageID) })
}

// giveBack makes messages visible in the queue, and returns their ids. One that
// it cannot make visible comes back by itself, later.
func giveBack(ctx context.Context, queue Queue, batch []hook.Received, log *slog.Logger) (ids []string) {
	if len(batch) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnTime)
	defer cancel()
	released := make([]hook.Release, len(batch))
	ids = make([]string, len(batch))
	for i, r := range batch {
		released[i].ReceiptHandle, ids[i] = r.ReceiptHandle, r.MessageID
	}
	if err := errors.Join(queue.Release(ctx, released)...); err != nil {
		log.WarnContext(ctx, "messages not returned: they come back after the visibility timeout", "messages", len(batch), "error", err)
	} else {
		log.InfoContext(ctx, "messages returned", "messages", len(batch))
	}
	return ids
}
