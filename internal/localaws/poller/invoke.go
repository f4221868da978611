package poller

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/aws/aws-lambda-go/events"
)

// invoke hands a batch on, has deleted what may be deleted, and gives back the
// places the batch held.
func (r *run) invoke(batch []Message, held int) {
	defer r.give(held)
	ctx := r.work
	if r.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	resp, err := r.call(ctx, batch)
	if err != nil {
		r.log.Error("batch failed", "messages", len(batch), "error", err)
		return
	}
	done, err := succeeded(batch, resp.BatchItemFailures)
	if err != nil {
		r.log.Error("batch failed: malformed report", "messages", len(batch), "error", err)
		return
	}
	if len(done) > 0 {
		r.deletes.add(done)
	}
}

// call runs the function and turns a panic into an error.
func (r *run) call(ctx context.Context, batch []Message) (resp events.SQSEventResponse, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return r.fn(ctx, r.event(batch))
}

// succeeded returns the receipt handles of the messages that are not reported.
// An identifier that names no message of the batch, as an empty one does, is an
// error: it fails the whole batch.
func succeeded(batch []Message, failures []events.SQSBatchItemFailure) ([]string, error) {
	failed := make([]bool, len(batch))
	for _, f := range failures {
		known := false
		for i := range batch {
			if batch[i].ID == f.ItemIdentifier {
				failed[i], known = true, true
			}
		}
		if !known {
			return nil, fmt.Errorf("itemIdentifier %q names no message of the batch", f.ItemIdentifier)
		}
	}
	done := make([]string, 0, len(batch))
	for i := range batch {
		if !failed[i] {
			done = append(done, batch[i].ReceiptHandle)
		}
	}
	return done, nil
}
