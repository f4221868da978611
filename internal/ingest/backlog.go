package ingest

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// backlogAge is how long a count of the ready messages is taken for current.
const backlogAge = time.Second

// backlog knows, to within a second, how many messages are ready in the queue.
type backlog struct {
	queue Queue
	now   func() time.Time
	log   *slog.Logger

	mu    sync.Mutex
	count int
	asked time.Time
}

// ready returns the number of ready messages. One caller a second asks the
// queue; the others take the last answer meanwhile, and so does everybody when
// the queue does not say: whether it works is for Send to find out.
func (b *backlog) ready(ctx context.Context) int {
	count, due := b.last()
	if !due {
		return count
	}
	depths, err := b.queue.Depths(ctx)
	if err != nil {
		b.log.LogAttrs(ctx, slog.LevelWarn, "queue size not known", slog.String("error", err.Error()))
		return count
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.count = depths.Ready
	return b.count
}

// last returns the last count, and whether it is the caller's turn to ask again.
func (b *backlog) last() (count int, due bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	due = now.Sub(b.asked) >= backlogAge
	if due {
		b.asked = now
	}
	return b.count, due
}
