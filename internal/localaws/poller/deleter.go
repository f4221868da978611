package poller

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// linger is how long a delete waits for others to travel with. Nobody waits
	// for a delete: until then the message is invisible, and a loss makes a
	// duplicate at worst.
	linger = 5 * time.Millisecond
	// concurrentDeletes bounds the calls that are under way at once.
	concurrentDeletes = 4
	// deleteAttempts is how often a failing delete is tried in all; the first
	// pause is doubled each time.
	deleteAttempts = 4
	deletePause    = 100 * time.Millisecond
	deleteTimeout  = 5 * time.Second
	// deleteBacklog is the number of invocations whose deletes may wait. Beyond
	// it invocations end no more, so that a poller that cannot delete does not
	// go on receiving.
	deleteBacklog = 256
)

// deleter deletes messages in batches over concurrent invocations.
type deleter struct {
	queue   Queue
	log     *slog.Logger
	in      chan []string
	quit    chan struct{}
	stopped chan struct{}
}

func startDeleter(q Queue, log *slog.Logger) *deleter {
	d := &deleter{queue: q, log: log, in: make(chan []string, deleteBacklog), quit: make(chan struct{}), stopped: make(chan struct{})}
	go d.run()
	return d
}

// add has these messages deleted soon. After close it does nothing.
func (d *deleter) add(receipts []string) {
	select {
	case d.in <- receipts:
	case <-d.quit:
	}
}

// close performs what was added before, and returns once it is done or given up.
func (d *deleter) close() {
	close(d.quit)
	<-d.stopped
}

func (d *deleter) run() {
	defer close(d.stopped)
	var calls sync.WaitGroup
	defer calls.Wait()
	slots := make(chan struct{}, concurrentDeletes)
	send := func(batch []string) {
		slots <- struct{}{}
		calls.Go(func() {
			d.delete(batch)
			<-slots
		})
	}

	timer := time.NewTimer(linger)
	defer timer.Stop()
	timer.Stop()
	var pending []string
	add := func(receipts []string) {
		if len(pending) == 0 {
			timer.Reset(linger)
		}
		pending = append(pending, receipts...)
		for len(pending) >= maxBatch {
			send(pending[:maxBatch:maxBatch])
			pending = pending[maxBatch:]
		}
		if len(pending) == 0 {
			timer.Stop()
		}
	}
	for {
		select {
		case receipts := <-d.in:
			add(receipts)
			continue
		case <-timer.C:
			send(pending)
			pending = nil
			continue
		case <-d.quit:
		}
		for {
			select {
			case receipts := <-d.in:
				add(receipts)
				continue
			default:
			}
			break
		}
		if len(pending) > 0 {
			send(pending)
		}
		return
	}
}

// delete tries a batch a few times. What remains comes back as a duplicate.
func (d *deleter) delete(batch []string) {
	wait := deletePause
	for attempt := 1; ; attempt++ {
		ctx, cancel := context.WithTimeout(context.Background(), deleteTimeout)
		err := d.queue.Delete(ctx, batch)
		cancel()
		switch {
		case err == nil:
			return
		case attempt == deleteAttempts:
			d.log.Error("delete given up: the messages will come again", "messages", len(batch), "error", err)
			return
		}
		d.log.Warn("delete failed", "messages", len(batch), "attempt", attempt, "error", err)
		pause(context.Background(), wait)
		wait *= 2
	}
}
