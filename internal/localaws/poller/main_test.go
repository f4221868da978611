package poller

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

var errAway = errors.New("the queue is away")

// memory is a queue in memory. A received message never becomes visible again.
type memory struct {
	mu       sync.Mutex
	arrived  chan struct{} // closed and replaced by each send
	visible  []Message
	deleted  []string
	deletes  [][]string
	receives []int // the max of each receive
	// failReceive and failDelete are asked before a call, with its number from 1.
	failReceive func(call int) error
	failDelete  func(call int) error
	// lostAnswer makes a failing delete take effect all the same.
	lostAnswer bool
}

func newMemory(ids ...string) *memory {
	q := &memory{arrived: make(chan struct{})}
	q.send(ids...)
	return q
}

func (q *memory) send(ids ...string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		q.visible = append(q.visible, Message{ID: id, ReceiptHandle: "r-" + id, Body: "body of " + id})
	}
	close(q.arrived)
	q.arrived = make(chan struct{})
}

func (q *memory) Receive(ctx context.Context, max int, wait time.Duration) ([]Message, error) {
	q.mu.Lock()
	q.receives = append(q.receives, max)
	fail, call := q.failReceive, len(q.receives)
	q.mu.Unlock()
	if fail != nil {
		if err := fail(call); err != nil {
			return nil, err
		}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		q.mu.Lock()
		if len(q.visible) > 0 {
			n := min(max, len(q.visible))
			batch := slices.Clone(q.visible[:n])
			q.visible = q.visible[n:]
			q.mu.Unlock()
			return batch, nil
		}
		arrived := q.arrived
		q.mu.Unlock()
		select {
		case <-arrived:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (q *memory) Delete(_ context.Context, receipts []string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deletes = append(q.deletes, slices.Clone(receipts))
	var err error
	if q.failDelete != nil {
		err = q.failDelete(len(q.deletes))
	}
	if err == nil || q.lostAnswer {
		for _, r := range receipts {
			if !slices.Contains(q.deleted, r) {
				q.deleted = append(q.deleted, r)
			}
		}
	}
	return err
}

// gone returns the receipt handles of the deleted messages, sorted.
func (q *memory) gone() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	d := slices.Clone(q.deleted)
	slices.Sort(d)
	return d
}

func (q *memory) calls() (receives []int, deletes [][]string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.receives), slices.Clone(q.deletes)
}

// ids returns n message ids from m00 on.
func ids(n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprintf("m%02d", i)
	}
	return s
}

func receipts(ids ...string) []string {
	s := make([]string, len(ids))
	for i, id := range ids {
		s[i] = "r-" + id
	}
	return s
}

// start runs a poller in the background. stop ends it and returns what Run did.
func start(o Options) (stop func() error) {
	o.Logger = quiet()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- New(o).Run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

func reporting(ids ...string) events.SQSEventResponse {
	var resp events.SQSEventResponse
	for _, id := range ids {
		resp.BatchItemFailures = append(resp.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: id})
	}
	return resp
}
