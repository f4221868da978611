package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

// Waiting is what a number of deliveries that wait do to a server's speed: the
// same run before and after they were made.
type Waiting struct {
	Deliveries int     `json:"deliveries"`
	FillTook   float64 `json:"fill_seconds"` // until all of them were held
	Without    Result  `json:"without"`
	With       Result  `json:"with"`
	// Ratio is the deliveries a second with them, to those without.
	Ratio float64 `json:"ratio"`
}

// fillPosts is how many POSTs of MaxBatch events are under way while deliveries
// are made that wait.
const fillPosts = 4

// heldEvery is how often is asked how many deliveries are held, and heldPatience
// how long that number may stay as it is.
const (
	heldEvery    = 500 * time.Millisecond
	heldPatience = time.Minute
)

// RunWaiting does the run of o, has n deliveries wait for an endpoint that is
// paused, and does the run again beside them. Those that waited are given up with
// their endpoint in the end.
func RunWaiting(ctx context.Context, o Options, n int) (w Waiting, err error) {
	if n < 1 || n > maxEvents {
		return w, fmt.Errorf("%w: deliveries: %d is outside 1 to %d", ErrOptions, n, maxEvents)
	}
	w.Deliveries = n
	if w.Without, err = Run(ctx, o); err != nil || w.Without.Failed() != "" {
		return w, err
	}
	f, err := newFill(o)
	if err != nil {
		return w, err
	}
	defer func() {
		for _, problem := range f.close(ctx) {
			w.With.warn("%v", problem)
		}
	}()
	start := time.Now()
	if err := f.fill(ctx, n, o.Progress); err != nil {
		return w, fmt.Errorf("have %s deliveries wait: %w", Count(n), err)
	}
	w.FillTook = time.Since(start).Seconds()
	if w.With, err = Run(ctx, o); err != nil {
		return w, err
	}
	if w.Without.DeliveredPerSecond > 0 {
		w.Ratio = w.With.DeliveredPerSecond / w.Without.DeliveredPerSecond
	}
	return w, nil
}

// fill makes deliveries that wait.
type fill struct {
	o         Options
	api       *api
	eventType string
	endpoint  string
	ledger    *ledger
}

func newFill(o Options) (*fill, error) {
	// Nothing of it arrives: its endpoint is as good as one that hangs.
	o.Rate, o.Duration, o.Batch, o.Connections = 0, 0, MaxBatch, fillPosts
	o.Endpoints, o.Misbehaving, o.Behaviour = 1, 0, Behaviour{Hang: true}
	a, err := newAPI(o)
	if err != nil {
		return nil, err
	}
	return &fill{o: o, api: a, eventType: "loadtest.waiting" + strconv.FormatUint(rand.Uint64(), 36)}, nil
}

// fill returns when n deliveries are held that were not before.
func (f *fill) fill(ctx context.Context, n int, progress func(Progress)) (err error) {
	// Nobody is called there: port 9 is that of nobody.
	if f.endpoint, err = f.api.register(ctx, "http://127.0.0.1:9/waiting", f.eventType, 0); err != nil {
		return fmt.Errorf("register an endpoint: %w", err)
	}
	if err := f.api.call(ctx, http.MethodPost, "/api/v1/webhooks/"+f.endpoint+"/pause", nil, http.StatusOK, nil); err != nil {
		return fmt.Errorf("pause it: %w", err)
	}
	before, err := f.held(ctx)
	if err != nil {
		return err
	}
	f.o.Events = n
	f.ledger = newLedger(f.o)
	g := &generator{
		ledger: f.ledger, bodies: newBodies(f.eventType, f.o.Payload), post: f.api.post, sleepUntil: preciseSleep,
		connections: f.o.Connections, events: n, batch: f.o.Batch, length: maxFill, giveUp: f.o.GiveUp, timeout: f.o.Timeout,
	}
	posting, posted := context.WithCancel(ctx)
	defer posted()
	stop := watch(Options{Progress: progress, ProgressEvery: f.o.ProgressEvery}, f.ledger)
	defer stop()
	g.run(posting)
	accepted := f.ledger.progress(time.Now()).Accepted
	if err := ctx.Err(); err != nil || accepted < n {
		return fmt.Errorf("%s of %s events were accepted: %w", Count(accepted), Count(n), err)
	}
	f.ledger.seal()
	return f.settled(ctx, before+n)
}

// maxFill bounds how long events are posted that are to wait.
const maxFill = 2 * time.Hour

// settled returns when so many deliveries are held.
func (f *fill) settled(ctx context.Context, want int) error {
	last, since := -1, time.Now()
	for {
		held, err := f.held(ctx)
		if err != nil {
			return err
		}
		if held >= want {
			return nil
		}
		if held != last {
			last, since = held, time.Now()
		}
		if time.Since(since) > heldPatience {
			return fmt.Errorf("%s of them are held, and no more for %s", Count(max(held, 0)), heldPatience)
		}
		timer := time.NewTimer(heldEvery)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// held is how many deliveries were held so far, as the counters say.
func (f *fill) held(ctx context.Context) (int, error) {
	var stats struct {
		Deliveries struct {
			Held int `json:"held"`
		} `json:"deliveries"`
	}
	err := f.api.call(ctx, http.MethodGet, "/api/v1/stats", nil, http.StatusOK, &stats)
	return stats.Deliveries.Held, err
}

// close gives up what waits, and returns what could not be.
func (f *fill) close(ctx context.Context) []error {
	defer f.api.close()
	if f.endpoint == "" {
		return nil
	}
	return removeAll(ctx, f.api, []string{f.endpoint})
}
