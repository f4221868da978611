package serve

import (
	"context"
	"errors"
	"time"
)

// Leases say which of several processes sweeps.
type Leases interface {
	// TakeSweep takes the sweep for holder until a moment, and says whether it
	// has: nobody has before the moment that was set last.
	TakeSweep(ctx context.Context, holder string, now, until time.Time) (bool, error)
	// EndSweep sets when the next sweep may be taken, unless another has it.
	EndSweep(ctx context.Context, holder string, next time.Time) error
}

const (
	// sweepTime bounds a sweep, and so how long one that died with its process
	// keeps the others waiting.
	sweepTime = time.Minute
	// endTime bounds the call by which a sweep ends.
	endTime = 3 * time.Second
)

// sweeper sweeps when it is this process's turn: all of them ask every interval,
// and in each interval one of them sweeps. Should clocks disagree so far that two
// do, no harm is done: SQS hides from one what the other has received, and what
// is recorded of a dead letter is recorded once.
type sweeper struct {
	sweep    func(ctx context.Context) error
	leases   Leases
	name     string
	interval time.Duration
	now      func() time.Time
}

// run sweeps, or leaves it to another process.
func (s *sweeper) run(ctx context.Context) error {
	start := s.now()
	until := start.Add(sweepTime)
	// A table that hangs is asked again at a later interval, and not for ever.
	within, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	mine, err := s.leases.TakeSweep(within, s.name, start, until)
	if err != nil || !mine {
		return err
	}
	err = s.sweep(within)
	// A little less than an interval: the timer that asks again is not exact.
	late, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancelEnd()
	return errors.Join(err, s.leases.EndSweep(late, s.name, start.Add(s.interval*9/10)))
}
