package metrics

import (
	"context"
	"fmt"
	"time"
)

// OldestAge is how old the oldest delivery is that waits in the queue for its first
// attempt, or had it within the last minute, where so many messages are ready now.
// What waits for a retry, a breaker or a rate limit is late on purpose.
//
// SQS tells the age of its oldest message to CloudWatch alone, so that of a
// queue from which nobody takes is put together from what else is known. The oldest
// waits at least since messages were last taken up or, where later, since the last
// event was accepted: that much is certain. Where events go on being accepted, it
// is the sweep that sees that nothing is taken, within two minutes.
func (t *Totals) OldestAge(ready int, now time.Time) time.Duration {
	age := t.RecentLag
	if ready == 0 {
		return age
	}
	since := t.LastTaken
	if t.LastAccepted.After(since) {
		since = t.LastAccepted
	}
	if t.Stalled() && t.StalledSince.Before(since) {
		since = t.StalledSince
	}
	if !since.IsZero() {
		age = max(age, now.Sub(since))
	}
	return age
}

// Stalled says whether nothing was taken up since a sweep saw that nothing was.
func (t *Totals) Stalled() bool { return !t.StalledSince.IsZero() && t.StalledSince.After(t.LastTaken) }

// stallTime is how long nothing is taken up that is ready before a queue counts
// as stalled.
const stallTime = time.Minute

// Watched are the counters as a Watch reads and marks them.
type Watched interface {
	// Activity reads the totals without the counts of events.
	Activity(ctx context.Context) (*Totals, error)
	// MarkStalled notes since when nothing is taken up.
	MarkStalled(ctx context.Context, since time.Time) error
}

// Backlog is the queue of deliveries as a Watch reads it.
type Backlog interface {
	// Ready counts the messages that can be taken now, approximately.
	Ready(ctx context.Context) (int, error)
}

// Watch looks, every so often, whether anybody takes what is ready.
type Watch struct {
	Counters Watched
	Backlog  Backlog
	Recorder *Recorder // is told what waits
	Now      func() time.Time
}

// Look notes whether the queue stands still. It reads the counters only where
// messages are ready, and writes once in a standstill.
func (w *Watch) Look(ctx context.Context) error {
	ready, err := w.Backlog.Ready(ctx)
	if err != nil {
		return fmt.Errorf("look whether the queue stands still: %w", err)
	}
	if ready == 0 {
		return nil
	}
	t, err := w.Counters.Activity(ctx)
	if err != nil {
		return fmt.Errorf("look whether the queue stands still: %w", err)
	}
	now := w.Now()
	if !t.Stalled() && now.Sub(t.LastTaken) >= stallTime {
		t.StalledSince = now
		if err = w.Counters.MarkStalled(ctx, now); err != nil {
			err = fmt.Errorf("note that the queue stands still: %w", err)
		}
	}
	w.Recorder.Waiting(t.OldestAge(ready, now))
	return err
}
