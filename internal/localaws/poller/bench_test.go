package poller

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// endless has as many messages as are asked for, up to left, and reports the
// last delete.
type endless struct {
	left, kept atomic.Int64
	done       chan struct{}
}

func (e *endless) Receive(ctx context.Context, max int, _ time.Duration) ([]Message, error) {
	n := min(int64(max), e.left.Load())
	if n == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	e.left.Add(-n)
	batch := make([]Message, n)
	for i := range batch {
		batch[i] = Message{ID: "00000000-0000-0000-0000-000000000000", ReceiptHandle: "handle", Body: "body"}
	}
	return batch, nil
}

func (e *endless) Delete(_ context.Context, receipts []string) error {
	if e.kept.Add(-int64(len(receipts))) == 0 {
		close(e.done)
	}
	return nil
}

// BenchmarkPoller measures what a message costs from receive to delete beside
// the queue and the function.
func BenchmarkPoller(b *testing.B) {
	for _, size := range []int{1, 10} {
		b.Run(fmt.Sprintf("batch=%d", size), func(b *testing.B) {
			q := &endless{done: make(chan struct{})}
			q.left.Store(int64(b.N))
			q.kept.Store(int64(b.N))
			b.ReportAllocs()
			stop := start(Options{Queue: q, BatchSize: size, Window: -1, Function: succeed})
			<-q.done
			if err := stop(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
