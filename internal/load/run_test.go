package load

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// runOptions are for a run of some events whose end does not wait long.
func runOptions(url string, events int) Options {
	o := Defaults()
	o.URL, o.Events, o.Duration, o.Connections = url, events, 0, 8
	o.Drain, o.Linger = 100*time.Millisecond, 10*time.Millisecond
	return o
}

func mustRun(t *testing.T, o Options) Result {
	t.Helper()
	r, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.Empty(t, r.Warnings)
	return r
}

func TestRunCountsWhatTheServerDoes(t *testing.T) {
	t.Parallel()
	const events = 210
	for name, c := range map[string]struct {
		fake      *fakePosthorn
		endpoints int
		batch     int
		behaviour Behaviour
		odd       int

		accepted, delivered, lost, duplicates, unconfirmed, refused int
		errors                                                      map[string]int
	}{
		"all right":                 {accepted: events, delivered: events},
		"answers before delivering": {fake: &fakePosthorn{later: true}, accepted: events, delivered: events},
		"three endpoints":           {endpoints: 3, accepted: events, delivered: 3 * events},
		"several events a POST":     {batch: 100, accepted: events, delivered: events},
		"several events a POST, of which every 21st is refused": {
			fake: &fakePosthorn{refuse: every(21)}, batch: 40, endpoints: 2,
			accepted: 200, delivered: 400, errors: map[string]int{"503": 10},
		},
		"loses every tenth":        {fake: &fakePosthorn{lose: every(10)}, accepted: events, delivered: 189, lost: 21},
		"loses at three endpoints": {fake: &fakePosthorn{lose: every(10)}, endpoints: 3, accepted: events, delivered: 567, lost: 63},
		"doubles every seventh":    {fake: &fakePosthorn{double: every(7)}, accepted: events, delivered: events, duplicates: 30},
		"refuses every 21st": {
			fake:     &fakePosthorn{refuse: every(21)},
			accepted: 200, delivered: 200, errors: map[string]int{"503": 10},
		},
		"delivers, but loses every 42nd answer": {
			fake:     &fakePosthorn{cut: every(42)},
			accepted: 205, delivered: events, unconfirmed: 5, errors: map[string]int{"connection": 5},
		},
		"loses every 42nd answer and delivery": {
			fake:     &fakePosthorn{cut: every(42), lose: every(42)},
			accepted: 205, delivered: 205, errors: map[string]int{"connection": 5},
		},
		"loses some, doubles some": {
			fake:     &fakePosthorn{lose: every(10), double: every(7)},
			accepted: events, delivered: 189, lost: 21, duplicates: 27,
		},
		"one of three endpoints always refuses": {
			endpoints: 3, behaviour: Behaviour{Fail: 1}, odd: 1,
			accepted: events, delivered: 2 * events, lost: events, refused: events,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := c.fake
			if fake == nil {
				fake = &fakePosthorn{}
			}
			o := runOptions(fake.start(t), events)
			o.Endpoints, o.Batch, o.Behaviour, o.Misbehaving = max(c.endpoints, 1), max(c.batch, 1), c.behaviour, c.odd
			if fake.later {
				o.Drain = time.Minute
			}
			r := mustRun(t, o)
			require.Equal(t, events, r.Planned)
			require.Equal(t, events, r.Posted)
			require.Equal(t, events, fake.events, "no POST is sent twice")
			require.Equal(t, c.accepted, r.Accepted, "accepted")
			require.Equal(t, c.delivered, r.Delivered, "delivered")
			require.Equal(t, c.lost, r.Lost, "lost")
			require.Equal(t, c.duplicates, r.Duplicates, "duplicates")
			require.Equal(t, c.unconfirmed, r.Unconfirmed, "unconfirmed")
			require.Equal(t, c.refused, r.Refused, "refused")
			require.Zero(t, r.Stray)
			if c.errors == nil {
				c.errors = map[string]int{}
			}
			require.Equal(t, c.errors, r.Errors)
			require.Equal(t, c.lost > 0, r.Failed() != "", r.Failed())
			require.Positive(t, r.Accept.P50)
			require.GreaterOrEqual(t, r.Accept.Max, r.Accept.P50)
			require.Positive(t, r.EndToEnd.Max)
			require.Equal(t, len(fake.seen), fake.deleted, "every endpoint is deleted")
		})
	}
}

func TestRefusedAttemptsAreNoDeliveries(t *testing.T) {
	t.Parallel()
	const events = 400
	t.Run("tried once", func(t *testing.T) {
		t.Parallel()
		o := runOptions((&fakePosthorn{}).start(t), events)
		o.Behaviour.Fail = 0.25
		r := mustRun(t, o)
		require.InDelta(t, 0.25*events, r.Refused, 45)
		require.Equal(t, r.Refused, r.Lost)
		require.Equal(t, events-r.Refused, r.Delivered)
	})
	t.Run("tried until taken", func(t *testing.T) {
		t.Parallel()
		o := runOptions((&fakePosthorn{tries: 100}).start(t), events)
		o.Behaviour.Fail = 0.5
		r := mustRun(t, o)
		require.InDelta(t, events, r.Refused, 140, "as many as are taken, when half are refused")
		require.Equal(t, events, r.Delivered)
		require.Zero(t, r.Lost+r.Duplicates)
	})
}

func TestRunsDoNotMix(t *testing.T) {
	t.Parallel()
	fake := &fakePosthorn{}
	url := fake.start(t)
	o := runOptions(url, 500)
	results := make(chan Result, 2)
	for range 2 {
		go func() {
			r, err := Run(t.Context(), o)
			if err != nil {
				r.Stopped = err.Error()
			}
			results <- r
		}()
	}
	for range 2 {
		r := <-results
		require.Empty(t, r.Failed())
		require.Equal(t, 500, r.Delivered)
		require.Zero(t, r.Stray+r.Duplicates)
	}
	require.NotEqual(t, fake.seen[0].Events, fake.seen[1].Events)
}

func TestOpenLoopRun(t *testing.T) {
	t.Parallel()
	fake := &fakePosthorn{later: true}
	o := runOptions(fake.start(t), 0)
	o.Rate, o.Duration, o.Drain = 500, 200*time.Millisecond, time.Minute
	r := mustRun(t, o)
	require.Equal(t, Open, r.Mode)
	require.Equal(t, 100, r.Planned)
	require.Equal(t, 100, r.Delivered)
	require.NotNil(t, r.BehindPlan)
	require.LessOrEqual(t, r.AcceptedPerSecond, 510.0)
	require.GreaterOrEqual(t, r.DurationSeconds, 0.198)
	require.GreaterOrEqual(t, r.Accept.Max, r.BehindPlan.P50, "lateness is part of the latency")
}

func TestRunWithHangingEndpointsEnds(t *testing.T) {
	t.Parallel()
	fake := &fakePosthorn{later: true}
	o := runOptions(fake.start(t), 50)
	o.Endpoints, o.Misbehaving, o.Behaviour.Hang, o.EndpointTimeout = 2, 1, true, 30
	o.Drain = time.Minute
	r := mustRun(t, o)
	require.Equal(t, 50, r.Delivered)
	require.Zero(t, r.Lost)
	require.Empty(t, r.Failed())
	require.NotNil(t, r.EndToEndHealthy)
	for _, seen := range fake.seen {
		require.Equal(t, 30, seen.Timeout)
	}
}

func TestSlowAnswersCountAsReceivedWhenTheRequestCame(t *testing.T) {
	t.Parallel()
	fake := &fakePosthorn{}
	o := runOptions(fake.start(t), 16)
	o.Behaviour.Slow = 100 * time.Millisecond
	r := mustRun(t, o)
	require.Equal(t, 16, r.Delivered)
	require.GreaterOrEqual(t, r.Accept.P50, 100.0, "the fake answers after it delivered")
	require.Less(t, r.EndToEnd.P50, r.Accept.P50-99)
}

func TestSlowAnswersThatTheServerDoesNotWaitForAreNoDeliveries(t *testing.T) {
	t.Parallel()
	fake := &fakePosthorn{patience: time.Second, tries: 2}
	o := runOptions(fake.start(t), 4)
	o.Behaviour.Slow = time.Hour
	o.Drain = 2 * time.Second // in which the receiver sees the last server hang up
	r := mustRun(t, o)
	require.Zero(t, r.Delivered)
	require.Equal(t, 4, r.Lost)
	require.Equal(t, 8, r.Abandoned)
	require.Zero(t, r.Duplicates)
}

func TestTimeoutsArePostErrors(t *testing.T) {
	t.Parallel()
	fake := &fakePosthorn{stall: every(10)}
	o := runOptions(fake.start(t), 30)
	o.Timeout = 3 * time.Second
	r := mustRun(t, o)
	require.Equal(t, map[string]int{"timeout": 3}, r.Errors)
	require.Equal(t, 27, r.Accepted)
	require.Equal(t, 27, r.Delivered)
}

func TestKeyIsSent(t *testing.T) {
	t.Parallel()
	fake := &fakePosthorn{key: "ph_1_secret"}
	o := runOptions(fake.start(t), 5)
	_, err := Run(t.Context(), o)
	require.ErrorContains(t, err, "answered 401: no such key")
	o.Key = "ph_1_secret"
	require.Equal(t, 5, mustRun(t, o).Delivered)
}

func TestRunSaysWhatItCannotReach(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	require.NoError(t, free.Close())
	_, err = Run(t.Context(), runOptions("http://"+address, 5))
	require.ErrorContains(t, err, "cannot reach http://"+address)
	require.ErrorContains(t, err, "connection refused")
	require.NotContains(t, err.Error(), "\n")
}

func TestRunDoesNotWaitForeverForAServerThatIsSilent(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o := runOptions("http://"+silent.Addr().String(), 5)
	o.Timeout = 50 * time.Millisecond
	_, err = Run(t.Context(), o)
	require.ErrorContains(t, err, "cannot reach "+o.URL+": no answer within 50ms")
	require.NoError(t, silent.Close())
}

func TestRunSaysWhyAnEndpointIsRefusedAndLeavesNoneBehind(t *testing.T) {
	t.Parallel()
	fake := &fakePosthorn{noHooks: true}
	o := runOptions(fake.start(t), 5)
	o.Endpoints = 3
	_, err := Run(t.Context(), o)
	require.ErrorContains(t, err, "/api/v1/webhooks answered 400: url: must be https")
	require.Len(t, fake.seen, 1)
	require.Equal(t, 1, fake.deleted)
}

func TestRunFailsWhereTheReceiverCannotListen(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	o := runOptions("http://127.0.0.1:1", 1)
	o.Listen = taken.Addr().String()
	_, err = Run(t.Context(), o)
	require.ErrorContains(t, err, "start the receiver")
	require.NoError(t, taken.Close())
}

func TestInterruptedRunCleansUp(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fake := &fakePosthorn{lose: every(1)}
	fake.refuse = func(n int) bool {
		if n == 50 {
			cancel()
		}
		return false
	}
	o := runOptions(fake.start(t), 0)
	o.Duration, o.Drain = time.Hour, time.Hour
	r, err := Run(ctx, o)
	require.NoError(t, err)
	require.Contains(t, r.Failed(), "interrupted")
	require.GreaterOrEqual(t, r.Posted, 50)
	require.Equal(t, 1, fake.deleted)
}

func TestRunEndsWhenTheServerDies(t *testing.T) {
	t.Parallel()
	fake := &fakePosthorn{cut: func(n int) bool { return n > 20 }, lose: func(n int) bool { return n > 20 }}
	o := runOptions(fake.start(t), 0)
	o.Duration, o.GiveUp = time.Hour, 200*time.Millisecond
	r := mustRun(t, o)
	require.Contains(t, r.Failed(), "accepted no event for 200ms (connection: ")
	require.Equal(t, 20, r.Accepted)
	require.Zero(t, r.Lost)
}

func TestEndpointThatCannotBeDeletedIsNamed(t *testing.T) {
	t.Parallel()
	var posts atomic.Int64
	mux := http.NewServeMux()
	fake := &fakePosthorn{}
	fake.start(t)
	mux.HandleFunc("POST /api/v1/webhooks", fake.create)
	mux.HandleFunc("POST /api/v1/events", func(w http.ResponseWriter, req *http.Request) {
		posts.Add(1)
		fake.post(w, req)
	})
	mux.HandleFunc("DELETE /", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	fake.server.Config.Handler = mux
	r, err := Run(t.Context(), runOptions(fake.server.URL, 5))
	require.NoError(t, err)
	require.Equal(t, int64(5), posts.Load())
	require.Len(t, r.Warnings, 1)
	require.Contains(t, r.Warnings[0], "endpoint ep_1 was not deleted")
	require.Contains(t, r.Warnings[0], "answered 500")
}

func TestProgressIsShownWhileTheRunLasts(t *testing.T) {
	t.Parallel()
	fake := &fakePosthorn{}
	o := runOptions(fake.start(t), 0)
	var shown []Progress
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.Duration, o.ProgressEvery = time.Hour, 5*time.Millisecond
	o.Progress = func(p Progress) {
		shown = append(shown, p)
		if p.Delivered > 0 && p.Accepted > 0 && len(shown) > 3 { // delivered may be first
			cancel()
		}
	}
	_, err := Run(ctx, o)
	require.NoError(t, err)
	require.Greater(t, len(shown), 3)
	last := shown[len(shown)-1]
	require.Positive(t, last.Accepted)
	require.Positive(t, last.Elapsed)
	require.GreaterOrEqual(t, last.Posted, last.Accepted)
}

func TestStrayRequestsAreNotDeliveries(t *testing.T) {
	t.Parallel()
	b := newBook(2, 0, Behaviour{})
	o := Defaults()
	o.Endpoints = 2
	r, err := listen(t.Context(), o, "rabc", b.ledger)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	b.plan(b.ms(0), 1)
	good := string(newBodies("x", MinPayload).of(0))
	for _, c := range []struct {
		path, body string
		want       int
	}{
		{"/rabc/0", good, 200},
		{"/rabc/1", good, 200},
		{"/rabc/2", good, 404},
		{"/rabc/-1", good, 404},
		{"/rabc/", good, 404},
		{"/rabd/0", good, 404},
		{"/", good, 404},
		{"/rabc/0", `{"type":"posthorn.test"}`, 400},
		{"/rabc/0", string(newBodies("x", MinPayload).of(1)), 404},
		{"/rabc/0", strings.Repeat(" ", largestDelivery+1), 400},
	} {
		res, err := client.Post(r.base()+c.path, "application/json", strings.NewReader(c.body))
		require.NoError(t, err, c.path)
		require.NoError(t, res.Body.Close())
		require.Equal(t, c.want, res.StatusCode, c.path)
	}
	require.NoError(t, r.close())
	res := b.result()
	require.Equal(t, 2, res.Delivered)
	require.Equal(t, 8, res.Stray)
	require.Zero(t, res.Duplicates)
}

func TestStubPassesEverythingOn(t *testing.T) {
	t.Parallel()
	stub, err := StartStub(t.Context(), 4)
	require.NoError(t, err)
	o := runOptions(stub.URL, 1000)
	o.Endpoints, o.Drain = 2, time.Minute
	r := mustRun(t, o)
	require.Equal(t, 1000, r.Accepted)
	require.Equal(t, 2000, r.Delivered)
	require.Empty(t, r.Failed())
	require.NoError(t, stub.Close(t.Context()))
}

func TestServerProcessIsMeasured(t *testing.T) {
	t.Parallel()
	fake := &fakePosthorn{}
	o := runOptions(fake.start(t), 50)
	require.Nil(t, mustRun(t, o).Server, "the generator's own process is not taken for the server")
	o.PIDs = []int{os.Getpid()}
	r := mustRun(t, o)
	require.Equal(t, o.PIDs, r.Server.PIDs)
	require.Positive(t, r.Server.RSSBefore)
	require.GreaterOrEqual(t, r.Server.RSSPeak, r.Server.RSSAfter)
	require.InDelta(t, r.Server.CPUSeconds*20, r.Server.CPUPerThousand, 1e-9, "50 deliveries")
	require.NotNil(t, r.Self)

	o.PIDs = []int{1 << 30}
	gone, err := Run(t.Context(), o)
	require.NoError(t, err)
	require.Nil(t, gone.Server)
	require.Len(t, gone.Warnings, 1)
	require.Contains(t, gone.Warnings[0], "the server cannot be measured")
}

func TestOptionsNameEveryMistake(t *testing.T) {
	t.Parallel()
	require.NoError(t, Defaults().Check())
	for field, change := range map[string]func(*Options){
		"url":              func(o *Options) { o.URL = "127.0.0.1:8000" },
		"receiver-url":     func(o *Options) { o.ReceiverURL = "ftp://x" },
		"connections":      func(o *Options) { o.Connections = 0 },
		"rate":             func(o *Options) { o.Rate = -1 },
		"events":           func(o *Options) { o.Events = -1 },
		"duration":         func(o *Options) { o.Duration = -time.Second },
		"events or":        func(o *Options) { o.Duration = 0 },
		"payload":          func(o *Options) { o.Payload = MinPayload - 1 },
		"timeout":          func(o *Options) { o.Timeout = 0 },
		"give-up":          func(o *Options) { o.GiveUp = 0 },
		"drain":            func(o *Options) { o.Drain = -1 },
		"linger":           func(o *Options) { o.Linger = -1 },
		"endpoints":        func(o *Options) { o.Endpoints = 0 },
		"endpoint-timeout": func(o *Options) { o.EndpointTimeout = 31 },
		"slow":             func(o *Options) { o.Behaviour.Slow = -1 },
		"fail":             func(o *Options) { o.Behaviour.Fail = 1.5 },
		"misbehaving":      func(o *Options) { o.Misbehaving = 1 },
		"pid":              func(o *Options) { o.PIDs = []int{0} },
	} {
		o := Defaults()
		change(&o)
		require.ErrorContains(t, o.Check(), field)
	}
	var none Options
	require.Greater(t, strings.Count(none.Check().Error(), "\n"), 3, "all at once")
	_, err := Run(t.Context(), none)
	require.Error(t, err)
}

func TestResultIsPrinted(t *testing.T) {
	t.Parallel()
	r := Result{
		URL: "http://h", Mode: Open, Rate: 200, Connections: 32, Endpoints: 2, PayloadBytes: 300, DurationSeconds: 10,
		Planned: 2010, Posted: 2000, Accepted: 1990, AcceptedPerSecond: 199.4, Delivered: 3970, DeliveredPerSecond: 397,
		Accept: Latency{1.234, 12.34, 123.4, 1234.5}, EndToEnd: Latency{1, 2, 3, 4}, BehindPlan: &Latency{0, 0, 0, 1},
		Lost: 10, Duplicates: 3, Errors: map[string]int{"timeout": 4, "503": 6},
		Server: &Process{CPUSeconds: 1.985, CPUPerThousand: 0.5, RSSBefore: 40 << 20, RSSAfter: 60 << 20, RSSPeak: 64 << 20},
	}
	var text, table bytes.Buffer
	require.NoError(t, r.WriteText(&text))
	require.Equal(t, `200 events/s, 2 endpoints at http://h, 300-byte payloads, 10.0 s

accepted   1,990  199/s
delivered  3,970  397/s

milliseconds      p50   p95   p99   max
accept            1.23  12.3  123   1,235
end to end        1.00  2.00  3.00  4.00
sent behind plan  0.00  0.00  0.00  1.00

lost                             10
duplicates                       3
errors                           10
  503                            6
  timeout                        4
planned, but not posted in time  10

server    0.50 CPU-s per 1,000 deliveries (1.99 s in all), memory 40 MiB before, 60 after, 64 at most
loadtest  memory and CPU time cannot be seen from here (give its --pid)
`, text.String())
	require.NoError(t, WriteTable(&table, []Result{r, {Mode: Closed, Connections: 1000}}))
	require.Equal(t, `                             accepted/s  delivered/s  accept p50   p95   p99  end to end p50   p95   p99  max ms  lost  duplicates  errors  CPU-s/1,000  RSS MiB
  200 events/s, 2 endpoints         199          397        1.23  12.3   123            1.00  2.00  3.00    4.00    10           3      10         0.50       64
          1,000 connections           0            0        0.00  0.00  0.00            0.00  0.00  0.00    0.00     0           0       0            -        -
`, table.String())
	require.Equal(t, "10 of the deliveries that http://h accepted did not arrive", r.Failed())
	r.Lost, r.Accepted = 0, 0
	require.Equal(t, "http://h accepted none of 2,000 events (503: 6, timeout: 4)", r.Failed())
}
