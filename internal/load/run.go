package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"time"
)

// memoryEvery is how often memory is looked at for its peak.
const memoryEvery = 250 * time.Millisecond

// cleanup bounds the deleting of a run's endpoints.
const cleanup = 15 * time.Second

// Run does one run. It fails when the options are wrong, the receiver cannot
// listen, or the endpoints cannot be registered (the server cannot be reached,
// for one); everything that happens after that is in the result. It always ends
// by itself: after the posting, at most Timeout, Drain and Linger, and a few
// seconds for deleting the endpoints. When ctx is done it stops posting, does
// not wait for deliveries, and cleans up.
func Run(ctx context.Context, o Options) (res Result, err error) {
	if err := o.Check(); err != nil {
		return Result{}, err
	}
	a, err := newAPI(o)
	if err != nil {
		return Result{}, err
	}
	defer a.close()

	name := "r" + strconv.FormatUint(rand.Uint64(), 36)
	l := newLedger(o)
	r, err := listen(ctx, o, name, l)
	if err != nil {
		return Result{}, err
	}
	defer func() {
		if closed := r.close(); closed != nil && err == nil {
			res.warn("the receiver did not close cleanly: %v", closed)
		}
	}()

	eventType := "loadtest." + name
	ids, err := registerAll(ctx, a, o, r, name, eventType)
	defer func() {
		for _, problem := range removeAll(ctx, a, ids) {
			res.warn("%v", problem)
		}
	}()
	if err != nil {
		return Result{}, err
	}

	res = Result{
		URL: o.URL, Mode: Closed, Connections: o.Connections, Rate: o.Rate,
		Endpoints: o.Endpoints, Batch: o.Batch, PayloadBytes: o.Payload, StartedAt: time.Now().UTC(),
	}
	if o.Rate > 0 {
		res.Mode = Open
	}
	events, length := o.limits()
	g := &generator{
		ledger: l, bodies: newBodies(eventType, o.Payload), post: a.post, sleepUntil: preciseSleep,
		connections: o.Connections, rate: o.Rate, events: events, batch: o.Batch, length: length,
		giveUp: o.GiveUp, timeout: o.Timeout,
	}

	server := newMeter(serverPIDs(o), "server", &res)
	self := newMeter([]int{os.Getpid()}, "loadtest", &res)
	stopWatching := watch(o, l, server, self)
	res.Planned = g.run(ctx)
	posted := time.Now()
	res.DurationSeconds = time.Since(res.StartedAt).Seconds()
	drain(ctx, o, l)
	stopWatching()
	switch {
	case g.gaveUp.Load():
		res.Stopped = fmt.Sprintf("%s accepted no event for %s", o.URL, o.GiveUp)
	case ctx.Err() != nil:
		res.Stopped = "interrupted"
	}
	l.fill(&res)
	res.Server = server.result(res.Delivered, posted, &res)
	res.Self = self.result(res.Delivered, posted, &res)
	return res, nil
}

func registerAll(ctx context.Context, a *api, o Options, r *receiver, name, eventType string) ([]string, error) {
	base := o.ReceiverURL
	if base == "" {
		base = r.base()
	}
	var ids []string
	for i := range o.Endpoints {
		id, err := a.register(ctx, base+"/"+name+"/"+strconv.Itoa(i), eventType, o.EndpointTimeout)
		if err != nil {
			return ids, fmt.Errorf("register an endpoint: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// removeAll deletes the run's endpoints even when ctx is done, and returns what
// was left behind.
func removeAll(ctx context.Context, a *api, ids []string) []error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanup)
	defer cancel()
	var problems []error
	for _, id := range ids {
		if err := a.remove(ctx, id); err != nil {
			problems = append(problems, fmt.Errorf("endpoint %s was not deleted: %w", id, err))
		}
	}
	return problems
}

// drain waits for everything owed, then for duplicates.
func drain(ctx context.Context, o Options, l *ledger) {
	empty := l.seal()
	limit := time.NewTimer(o.Drain)
	defer limit.Stop()
	select {
	case <-empty:
	case <-limit.C:
	case <-ctx.Done():
		return
	}
	linger := time.NewTimer(o.Linger)
	defer linger.Stop()
	select {
	case <-linger.C:
	case <-ctx.Done():
	}
}

// watch calls Progress and looks at the meters until the function it returns
// has returned.
func watch(o Options, l *ledger, meters ...*meter) func() {
	done := make(chan struct{})
	var watchers sync.WaitGroup
	every := func(d time.Duration, f func(time.Time)) {
		watchers.Go(func() {
			ticker := time.NewTicker(d)
			defer ticker.Stop()
			for {
				select {
				case <-done:
					return
				case now := <-ticker.C:
					f(now)
				}
			}
		})
	}
	every(memoryEvery, func(time.Time) {
		for _, m := range meters {
			m.look()
		}
	})
	if o.Progress != nil && o.ProgressEvery > 0 {
		every(o.ProgressEvery, func(now time.Time) { o.Progress(l.progress(now)) })
	}
	return func() {
		close(done)
		watchers.Wait()
	}
}

func serverPIDs(o Options) []int {
	if len(o.PIDs) > 0 {
		return o.PIDs
	}
	if pid := listenerOf(o.URL); pid > 0 && pid != os.Getpid() {
		return []int{pid}
	}
	return nil
}

// meter takes the memory and CPU time of processes over a run.
type meter struct {
	name   string
	pids   []int
	before usage
	began  time.Time
	peak   int64
	seen   []look
	err    error
}

// look is the memory at a moment.
type look struct {
	at  time.Time
	rss int64
}

var errUnseen = errors.New("cannot be seen from here")

func newMeter(pids []int, name string, res *Result) *meter {
	m := &meter{name: name, pids: pids, began: time.Now(), err: errUnseen}
	if len(pids) == 0 {
		return m
	}
	m.before, m.err = readUsage(pids)
	m.peak = m.before.rssBytes
	if m.err != nil {
		res.warn("the %s cannot be measured: %v", name, m.err)
	}
	return m
}

// look is called from one goroutine at a time.
func (m *meter) look() {
	if m.err != nil {
		return
	}
	if now, err := readUsage(m.pids); err == nil {
		m.peak = max(m.peak, now.rssBytes)
		m.seen = append(m.seen, look{time.Now(), now.rssBytes})
	}
}

// tenths are the means of the looks in each tenth of the time until end; nil where
// there are not ten looks in each.
func (m *meter) tenths(end time.Time) []int64 {
	var sums, looks [10]int64
	for _, l := range m.seen {
		if tenth := int(10 * l.at.Sub(m.began) / max(end.Sub(m.began), 1)); tenth < 10 {
			sums[tenth] += l.rss
			looks[tenth]++
		}
	}
	means := make([]int64, 10)
	for i, n := range looks {
		if n < 10 {
			return nil
		}
		means[i] = sums[i] / n
	}
	return means
}

// result is what was used; memory by tenths is of the time until posted.
func (m *meter) result(deliveries int, posted time.Time, res *Result) *Process {
	if m.err != nil {
		return nil
	}
	after, err := readUsage(m.pids)
	if err != nil {
		res.warn("the %s cannot be measured: %v", m.name, err)
		return nil
	}
	p := &Process{
		PIDs: m.pids, CPUSeconds: after.cpuSeconds - m.before.cpuSeconds,
		RSSBefore: m.before.rssBytes, RSSAfter: after.rssBytes, RSSPeak: max(m.peak, after.rssBytes), RSSTenths: m.tenths(posted),
	}
	if deliveries > 0 {
		p.CPUPerThousand = p.CPUSeconds * 1000 / float64(deliveries)
	}
	return p
}
