package poller

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

const (
	maxBatch = 10 // of a receive and of a delete: SQS's own limit

	// busy is the number of messages in work from which on receives are spaced.
	// By Little's law it is the arrival rate times the time a message takes: a
	// quick function gets here at some thousand messages a second, where a
	// batch saves work; below it every message is handed on at once.
	busy = 4

	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 10 * time.Second
	// idlePause keeps a queue whose long poll ends at once from being polled in
	// a tight loop.
	idlePause = 50 * time.Millisecond
	// cancelGrace is how long invocations may take to end once they are told to.
	cancelGrace = 5 * time.Second
)

// Options are the settings of a Poller.
type Options struct {
	Queue    Queue
	Function Function

	// BatchSize is the largest batch, 1 to 10. 0: 10.
	BatchSize int
	// Workers is the number of messages that may be in the function at once: until
	// it says that they are over, or to the end of their batch. A batch takes no
	// more than are free. 0: 64.
	Workers int
	// Receivers is the number of concurrent receives. One is enough for a queue
	// on the same machine; each hides the round trip of a distant one. 0: 1.
	Receivers int
	// Window is the pause after a receive that did not fill its batch while
	// messages are in work. 0: 2 ms. Negative: none.
	Window time.Duration
	// Wait is the long poll. 0: 20 s, the longest that SQS allows.
	Wait time.Duration
	// Timeout is the deadline of one invocation, as the function's timeout is
	// in an account. 0: none.
	Timeout time.Duration
	// Drain is how long running invocations may go on after Run's context is
	// done. 0: 30 s.
	Drain time.Duration
	// ARN names the queue in events, "arn:aws:sqs:us-east-1:000000000000:name".
	ARN string
	// Logger gets one line for each failure. Nil: slog.Default().
	Logger *slog.Logger
}

// Poller moves messages from a queue to a function.
type Poller struct {
	queue     Queue
	fn        Function
	log       *slog.Logger
	batchSize int
	workers   int
	receivers int
	window    time.Duration
	wait      time.Duration
	timeout   time.Duration
	drain     time.Duration
	arn       string
	region    string
	none      map[string]events.SQSMessageAttribute // of a message without attributes; never written
}

// New returns a poller. It does nothing before Run.
func New(o Options) *Poller {
	p := &Poller{
		queue: o.Queue, fn: o.Function, log: o.Logger,
		batchSize: positive(o.BatchSize, maxBatch), workers: positive(o.Workers, 64), receivers: positive(o.Receivers, 1),
		window: o.Window, wait: positive(o.Wait, 20*time.Second), timeout: o.Timeout, drain: positive(o.Drain, 30*time.Second),
		arn: o.ARN, none: map[string]events.SQSMessageAttribute{},
	}
	p.batchSize = min(p.batchSize, maxBatch)
	if p.window == 0 {
		p.window = 2 * time.Millisecond
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	if parts := strings.Split(o.ARN, ":"); len(parts) > 3 {
		p.region = parts[3]
	}
	return p
}

func positive[T int | time.Duration](v, otherwise T) T {
	if v > 0 {
		return v
	}
	return otherwise
}

// Run polls until ctx is done. Then it receives no more, lets running
// invocations finish within Options.Drain, cancels those that do not, performs
// the deletes that are due, and returns. An error says that the function did
// not even return after its context was cancelled; its messages are left to
// the queue's visibility timeout.
func (p *Poller) Run(ctx context.Context) error {
	// Invocations outlive ctx, up to the drain's end.
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	r := &run{Poller: p, work: work, free: make(chan struct{}, p.workers), deletes: startDeleter(p.queue, p.log)}
	for range p.workers {
		r.free <- struct{}{}
	}
	var receivers sync.WaitGroup
	for range p.receivers {
		receivers.Go(func() { r.receive(ctx) })
	}
	receivers.Wait()

	ended := make(chan struct{})
	go func() {
		r.invocations.Wait()
		close(ended)
	}()
	var err error
	if !within(ended, p.drain) {
		cancel()
		if !within(ended, cancelGrace) {
			err = fmt.Errorf("poller: %d messages are still in the function", p.workers-len(r.free))
			p.log.Error("drain", "error", err)
		}
	}
	r.deletes.close()
	return err
}

// run is the state of one Run.
type run struct {
	*Poller
	work        context.Context // of invocations
	invocations sync.WaitGroup
	free        chan struct{} // one token for each message that may enter the function
	deletes     *deleter
}

// receive polls until ctx is done.
func (r *run) receive(ctx context.Context) {
	backoff := firstBackoff
	for {
		n := r.take(ctx)
		if n == 0 {
			return
		}
		begin := time.Now()
		batch, err := r.queue.Receive(ctx, n, r.wait)
		if len(batch) > 0 { // also when ctx is done: they are received, and invisible to others
			held := min(n, len(batch))
			n -= held
			r.invocations.Go(func() { r.invoke(batch, held) })
		}
		r.give(n)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.log.Warn("receive failed", "error", err, "retry_in", backoff)
			pause(ctx, backoff)
			backoff = min(2*backoff, lastBackoff)
			continue
		case len(batch) == 0:
			if time.Since(begin) < min(r.wait, idlePause) {
				pause(ctx, idlePause)
			}
		case len(batch) < r.batchSize && r.window > 0 && r.workers-len(r.free) >= busy:
			// The pause comes before the next receive: the message that ended a
			// long poll is on its way, and what arrives in the window is fetched
			// by one receive. Measured with 3 ms of work a batch, no window
			// against 2 ms: at 200 messages a second no difference; at 3,000
			// the receives and invocations fall from 0.5 to 0.16 a message and
			// the CPU time of both by half, for 1.2 ms more in the median.
			pause(ctx, r.window)
		}
		backoff = firstBackoff
	}
}

// take waits for a free place and takes it, with up to BatchSize places in all.
// It returns how many; 0 when ctx is done.
func (r *run) take(ctx context.Context) int {
	select {
	case <-r.free:
	case <-ctx.Done():
		return 0
	}
	if ctx.Err() != nil { // both were ready
		r.give(1)
		return 0
	}
	n := 1
	for n < r.batchSize {
		select {
		case <-r.free:
			n++
		default:
			return n
		}
	}
	return n
}

func (r *run) give(n int) {
	for range n {
		r.free <- struct{}{}
	}
}

// within reports whether done is closed within d.
func within(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
