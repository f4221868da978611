package cost

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"
)

// Options say what is measured, and where.
type Options struct {
	Prices    *Prices
	Memory    map[string]int // in MB, by function; as in the template
	Functions string         // the folder that Build made
}

// Measured is a workload with what it used.
type Measured struct {
	Workload   Workload
	Deliveries int
	Attempts   int
	Failed     int // of the attempts
	Usage      *Usage
	Cold       map[string]time.Duration // from a process's start to its first request for an invocation, by function: the first one's
}

// warmUp is how many POSTs are not counted: they start environments, fill
// caches and open connections.
const warmUp = 5

// Measure runs a workload in a stack of its own.
func Measure(ctx context.Context, o Options, w Workload) (m *Measured, err error) {
	s, err := start(ctx, o.Prices, o.Memory, o.Functions, w.Failing)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for n := range w.FanOut {
		hook := fmt.Sprintf(`{"url":"http://127.0.0.1:%d/hooks/%d","events":["*"]}`, s.receiver.port(), n)
		if err := s.post(ctx, "/api/v1/webhooks", []byte(hook), http.StatusCreated); err != nil {
			return nil, fmt.Errorf("register an endpoint: %w", err)
		}
	}
	dice := rand.New(rand.NewPCG(3, 4))
	if err := s.posts(ctx, dice, w, warmUp); err != nil {
		return nil, err
	}
	before, err := s.stored(ctx)
	if err != nil {
		return nil, err
	}
	used, err := s.processorTime()
	if err != nil {
		return nil, err
	}
	s.meter.take()
	s.receiver.seen()

	if err := s.posts(ctx, dice, w, w.Posts); err != nil {
		return nil, err
	}
	m = &Measured{Workload: w, Deliveries: w.Deliveries()}
	m.Usage, m.Cold = s.meter.take(), map[string]time.Duration{}
	for name, fn := range s.fn {
		if cold := fn.ColdStarts(); len(cold) > 0 {
			m.Cold[name] = cold[0]
		}
	}
	m.Attempts, m.Failed = s.receiver.seen()
	after, err := s.stored(ctx)
	if err != nil {
		return nil, err
	}
	m.Usage.Storage = Storage{Items: after.Items - before.Items, Bytes: max(after.Bytes-before.Bytes, 0)}
	now, err := s.processorTime()
	if err != nil {
		return nil, err
	}
	for name, c := range m.Usage.Function {
		c.CPU = now[name] - used[name]
		m.Usage.Function[name] = c
	}
	return m, nil
}

// settling is how long the first attempts of a POST are given before the next.
const settling = 250 * time.Millisecond

// posts makes so many POSTs, one after the other, and waits until all is
// delivered or dead. One that comes while the one before is being delivered
// would share its batches: what is measured is the dear case.
func (s *stack) posts(ctx context.Context, dice *rand.Rand, w Workload, posts int) error {
	for range posts {
		path, body, err := body(dice, w.Events)
		if err != nil {
			return fmt.Errorf("make a body: %w", err)
		}
		s.meter.count(func(u *Usage) { u.Answers.Requests++ })
		if err := s.post(ctx, path, body, http.StatusAccepted); err != nil {
			return fmt.Errorf("post events: %w", err)
		}
		if w.Failing > 0 { // what is left of it comes back a second later
			time.Sleep(settling)
			continue
		}
		if err := s.rest(ctx); err != nil {
			return err
		}
	}
	return s.rest(ctx)
}

func (s *stack) post(ctx context.Context, path string, body []byte, want int) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.client.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s: answered %d: %.300s", path, resp.StatusCode, text)
	}
	return nil
}

// rest waits until both queues are empty. The sweeper is invoked when there is
// something in the dead-letter queue and nothing else to wait for.
func (s *stack) rest(ctx context.Context) error {
	for {
		ready, inFlight, delayed, err := s.services.SQS.Depth(s.queue)
		if err != nil {
			return fmt.Errorf("look at the queue: %w", err)
		}
		deadReady, deadInFlight, deadDelayed, err := s.services.SQS.Depth(s.dead)
		if err != nil {
			return fmt.Errorf("look at the dead-letter queue: %w", err)
		}
		switch {
		case ready+inFlight+delayed > 0:
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("wait for deliveries: %w", ctx.Err())
			}
		case deadReady+deadInFlight+deadDelayed > 0:
			if _, err := s.invoke(ctx, nameSweeper, []byte(`{}`)); err != nil {
				return err
			}
		default:
			return nil
		}
	}
}

// HourOfSweeps is how often the sweeper is invoked in an hour.
const HourOfSweeps = 60

// MeasureIdle is what so many sweeps use that find nothing, which is all that
// happens while nothing is posted, but for what the event source mapping asks of
// the queue.
func MeasureIdle(ctx context.Context, o Options, sweeps int) (u *Usage, err error) {
	s, err := start(ctx, o.Prices, o.Memory, o.Functions, 0)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if _, err := s.invoke(ctx, nameSweeper, []byte(`{}`)); err != nil { // starts it
		return nil, err
	}
	used, err := s.processorTime()
	if err != nil {
		return nil, err
	}
	s.meter.take()
	for range sweeps {
		if _, err := s.invoke(ctx, nameSweeper, []byte(`{}`)); err != nil {
			return nil, err
		}
	}
	u = s.meter.take()
	now, err := s.processorTime()
	if err != nil {
		return nil, err
	}
	for name, c := range u.Function {
		c.CPU = now[name] - used[name]
		u.Function[name] = c
	}
	return u, nil
}
