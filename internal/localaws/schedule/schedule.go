// Package schedule stands in for an Amazon EventBridge schedule: it runs a
// function at a fixed rate.
package schedule

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"
)

// Schedule runs one function every Interval, for the first time one interval
// after the start.
type Schedule struct {
	// Name names the schedule in log lines.
	Name string
	// Interval is the time from one run's start to the next one's; positive.
	Interval time.Duration
	// Function is what is run. Its context ends with Run's.
	Function func(ctx context.Context) error
	// Logger gets one line for each run that fails. Nil: slog.Default().
	Logger *slog.Logger
}

// Run runs the schedule until ctx is done, and returns once no run is left.
//
// No two runs overlap: what falls due while the function runs is skipped, and
// the next run is at the next multiple of the interval since the start. A run
// that fails or panics is logged and changes nothing about the next.
func (s Schedule) Run(ctx context.Context) error {
	if s.Interval <= 0 {
		return fmt.Errorf("schedule %s: interval %s", s.Name, s.Interval)
	}
	log := s.Logger
	if log == nil {
		log = slog.Default()
	}
	// A time.Ticker keeps one missed tick and would run it late.
	due := time.Now().Add(s.Interval)
	timer := time.NewTimer(s.Interval)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		err := s.once(ctx)
		if ctx.Err() != nil { // a run cut short by the end is no failure
			return nil
		}
		if err != nil {
			log.Error("scheduled run failed", "schedule", s.Name, "error", err)
		}
		now := time.Now()
		missed := now.Sub(due) / s.Interval
		due = due.Add((missed + 1) * s.Interval)
		timer.Reset(due.Sub(now))
	}
}

// once runs the function and turns a panic into an error.
func (s Schedule) once(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return s.Function(ctx)
}
