package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"posthorn/internal/localaws/poller"
	"posthorn/internal/localaws/schedule"
)

// Counts is what was counted, and stored as it goes.
type Counts interface {
	// Run stores every so often until ctx ends, and then once more.
	Run(ctx context.Context, every time.Duration)
}

// Options are the settings of Run. All fields are required.
type Options struct {
	API    http.Handler
	Listen net.Listener // of the API; Run closes it

	Queue   Queue
	Deliver Deliver
	Sweep   func(ctx context.Context) error
	Leases  Leases
	Counts  Counts

	Name           string // of this process among all
	BatchSize      int    // 1 to 10
	Workers        int    // messages in Deliver at once
	DeliverTimeout time.Duration
	SweepInterval  time.Duration
	Drain          time.Duration // what is under way may finish for so long once ctx has ended

	Log *slog.Logger
}

const (
	// countsEvery is how often counters are stored; a process that is killed
	// forgets as much. Each is a write that costs.
	countsEvery = time.Second
	// answerTime bounds one answer of the API, so that services that hang are
	// answered for before a load balancer, which commonly waits a minute, gives up.
	answerTime = 29 * time.Second
	// readTime bounds the reading of a request, writeTime the writing of an answer
	// to whoever is slow to read it, and idleTime a connection without a request:
	// longer than the 60 s of common load balancers, so that it is never the
	// server that closes a connection just as it is used.
	readTime  = 30 * time.Second
	writeTime = 30 * time.Second
	idleTime  = 75 * time.Second
	// workersAReceiver is how many places of work one receive at a time keeps
	// filled: a receive of ten messages takes some ten milliseconds from within
	// the region.
	workersAReceiver = 64
	maxReceivers     = 8
)

// Run serves until ctx ends. Then it receives no more, lets answers and posts
// under way finish within the drain's time, cuts off those that do not, gives
// what was not begun back to the queue, stores its counts, and returns. An error
// of the listener begins the same at once and is returned, and so is work that
// does not even return once it is cut off.
func Run(ctx context.Context, o Options) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	server := &http.Server{
		Handler: within(answerTime, o.API), ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
		ReadHeaderTimeout: readTime / 3, ReadTimeout: readTime, IdleTimeout: idleTime,
		WriteTimeout: readTime + answerTime + writeTime, // it counts from the end of the header
	}
	var serving, work, counting sync.WaitGroup
	var listening, polling, sweeping error
	serving.Go(func() {
		defer stop()
		if err := server.Serve(o.Listen); !errors.Is(err, http.ErrServerClosed) {
			listening = fmt.Errorf("serve the API: %w", err)
		}
	})
	counts, countLast := context.WithCancel(context.WithoutCancel(ctx))
	defer countLast()
	counting.Go(func() { o.Counts.Run(counts, countsEvery) })

	p := poller.New(poller.Options{
		Queue: polled{queue: o.Queue}, Function: function(ctx, o.Deliver, o.Queue, o.Log),
		BatchSize: o.BatchSize, Workers: o.Workers, Receivers: receivers(o.Workers),
		Timeout: o.DeliverTimeout, Drain: o.Drain, Logger: o.Log,
	})
	work.Go(func() {
		defer stop()
		polling = p.Run(ctx)
	})
	sweeper := &sweeper{sweep: o.Sweep, leases: o.Leases, name: o.Name, interval: o.SweepInterval, now: time.Now}
	sweeps := schedule.Schedule{Name: "dlq-sweeper", Interval: o.SweepInterval, Function: sweeper.run, Logger: o.Log}
	work.Go(func() {
		defer stop()
		sweeping = sweeps.Run(ctx)
	})

	<-ctx.Done()
	err := shut(ctx, server, o.Drain)
	serving.Wait()
	work.Wait()
	countLast()
	counting.Wait()
	return errors.Join(listening, polling, sweeping, err)
}

// receivers is how many receives are under way at once for so many places.
func receivers(workers int) int {
	return min((workers+workersAReceiver-1)/workersAReceiver, maxReceivers)
}

// within gives each request a deadline.
func within(d time.Duration, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
}

// shut lets the answers of a server finish within a bound, and cuts off those
// that do not.
func shut(ctx context.Context, s *http.Server, within time.Duration) error {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	err := s.Shutdown(late)
	if errors.Is(err, context.DeadlineExceeded) {
		return s.Close()
	}
	return err
}
