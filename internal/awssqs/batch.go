package awssqs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"posthorn/internal/gather"
	"posthorn/internal/stack"
)

const (
	// maxEntries and maxBytes bound a batch; see "Message quotas" in the SQS
	// Developer Guide.
	maxEntries = 10
	maxBytes   = 1 << 20
	// maxRetries is how often entries that a batch's answer lists as failed are
	// tried again. Calls that fail as a whole are the SDK's to retry.
	maxRetries = 3
	firstPause = 50 * time.Millisecond
)

// result is what became of one entry of a call: the message's id where the
// service gives one, or an error.
type result = gather.Result[string]

// inBatches does items and returns what came of each, in order. Full tens are
// batches of their own, at the same time; what is left over goes one by one to
// shared, where it meets that of other callers. What batch leaves unanswered
// has failed.
func inBatches[In any](ctx context.Context, items []In, shared *gather.Group[In, string], batch func(context.Context, []In) []result) []result {
	out := make([]result, len(items))
	if len(items) == 1 { // the usual case
		out[0].Value, out[0].Err = shared.Do(ctx, items[0])
		return out
	}
	whole := len(items) / maxEntries * maxEntries
	var wg sync.WaitGroup
	for i := 0; i < whole; i += maxEntries {
		wg.Go(func() {
			part := out[i : i+maxEntries]
			for n := copy(part, batch(ctx, items[i:i+maxEntries])); n < len(part); n++ {
				part[n].Err = errUnanswered
			}
		})
	}
	for i := whole; i < len(items); i++ {
		wg.Go(func() { out[i].Value, out[i].Err = shared.Do(ctx, items[i]) })
	}
	wg.Wait()
	return out
}

// entry is what became of one entry of a batch.
type entry struct {
	messageID string
	err       error
	final     bool // the entry itself is at fault: trying again is no use
}

// errUnanswered is for an entry that a batch's answer does not mention.
var errUnanswered = errors.New("the batch's answer does not mention the entry")

// answer collects the answer to a batch's entries.
type answer struct {
	entries []entry
}

func (a *answer) succeeded(id *string, messageID string) {
	if i, ok := a.index(id); ok {
		a.entries[i] = entry{messageID: messageID}
	}
}

func (a *answer) failed(list []types.BatchResultErrorEntry) {
	for _, f := range list {
		if i, ok := a.index(f.Id); ok {
			a.entries[i] = entry{err: fmt.Errorf("%s: %s", str(f.Code), str(f.Message)), final: f.SenderFault}
		}
	}
}

func (a *answer) index(id *string) (int, bool) {
	i, err := strconv.Atoi(str(id))
	return i, err == nil && i >= 0 && i < len(a.entries)
}

// results turns entries into the results of what was being done.
func results(doing string, entries []entry) []result {
	rs := make([]result, len(entries))
	for i, e := range entries {
		rs[i].Value = e.messageID
		if e.err != nil {
			rs[i].Err = fmt.Errorf("%s: %w", doing, e.err)
		}
	}
	return rs
}

// errorsOf leaves only the errors of results.
func errorsOf(rs []result) []error {
	errs := make([]error, len(rs))
	for i, r := range rs {
		errs[i] = r.Err
	}
	return errs
}

// perform makes a batch call for n entries, and again for those that failed
// but may succeed, a few times. call gets the indices of the entries to send,
// uses them as their ids, and tells the answer what became of each. An error of
// the call is the error of every entry in it.
func (q *Queues) perform(ctx context.Context, n int, call func(ctx context.Context, todo []int, a *answer) error) []entry {
	stack.Grow()
	a := &answer{entries: make([]entry, n)}
	todo := make([]int, n)
	for i := range n {
		todo[i] = i
		a.entries[i].err = errUnanswered
	}
	for try := 0; ; try++ {
		if err := call(ctx, todo, a); err != nil {
			for _, i := range todo {
				a.entries[i] = entry{err: err}
			}
			return a.entries
		}
		todo = todo[:0]
		for i, e := range a.entries {
			if e.err != nil && !e.final {
				todo = append(todo, i)
			}
		}
		if len(todo) == 0 || try == maxRetries || !q.pause(ctx, firstPause<<try) {
			return a.entries
		}
	}
}

// pause waits for about d, between half and one and a half of it; false when
// ctx ended first.
func (q *Queues) pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d/2 + time.Duration(q.rand()*float64(d)))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func str(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// seconds rounds d up to whole seconds of the service.
func seconds(d time.Duration) int32 {
	return int32((max(d, 0) + time.Second - 1) / time.Second)
}
