package poller

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/aws/aws-lambda-go/events"
)

// invoke hands a batch on, has deleted what may be deleted, and gives back the
// places the batch held: each as soon as a message is over, where the function
// says so, and the others at the end.
func (r *run) invoke(batch []Message, held int) {
	places := &places{run: r, left: held, in: make(map[string]bool, len(batch))}
	for i := range batch {
		places.in[batch[i].ID] = true
	}
	defer places.end()
	ctx := r.work
	if r.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.timeout)
		defer cancel()
	}
	resp, err := r.call(ctx, batch, places.over)
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
func (r *run) call(ctx context.Context, batch []Message, over func(messageID string)) (resp events.SQSEventResponse, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return r.fn(ctx, r.event(batch), over)
}

// places are those that a batch holds.
type places struct {
	run *run

	mu   sync.Mutex
	left int
	in   map[string]bool // ids of the messages that are not over
}

// over gives back the place of a message, once.
func (p *places) over(messageID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.in[messageID] && p.left > 0 {
		p.left--
		p.run.give(1)
	}
	delete(p.in, messageID)
}

// end gives back what is left.
func (p *places) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.run.give(p.left)
	p.left = 0
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
