package load

import (
	"cmp"
	"context"
	"errors"
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
	start := time.Now()
	for done := 0; done < n; {
		part := min(n-done, fillPart)
		if err := f.post(ctx, part, func(p Progress) {
			if progress != nil {
				p.Elapsed, p.Posted, p.Accepted = time.Since(start), p.Posted+done, p.Accepted+done
				progress(p)
			}
		}); err != nil {
			return err
		}
		done += part
		if err := f.settled(ctx, before+done); err != nil {
			return err
		}
	}
	return nil
}

// fillPart is how many events are posted before they are held: a server takes no
// more when too much is in its queue.
const fillPart = 20_000

// post posts so many events, and fails where one is not accepted.
func (f *fill) post(ctx context.Context, events int, progress func(Progress)) error {
	o := f.o
	o.Events = events
	l := newLedger(o)
	g := &generator{
		ledger: l, bodies: newBodies(f.eventType, o.Payload), post: f.api.post, sleepUntil: preciseSleep,
		connections: o.Connections, events: events, batch: o.Batch, length: maxFill, giveUp: o.GiveUp, timeout: o.Timeout,
	}
	stop := watch(Options{Progress: progress, ProgressEvery: o.ProgressEvery}, l)
	defer stop()
	g.run(ctx)
	if accepted := l.progress(time.Now()).Accepted; ctx.Err() != nil || accepted < events {
		return fmt.Errorf("%s of %s events were accepted: %w", Count(accepted), Count(events), cmp.Or(ctx.Err(), errNotAccepted))
	}
	return nil
}

var errNotAccepted = errors.New("the others were refused")

// maxFill bounds how long a part is posted.
const maxFill = 10 * time.Minute

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
