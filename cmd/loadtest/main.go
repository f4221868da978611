// Loadtest drives a Posthorn, deployed or local, and prints what it reaches:
// rates, latencies, losses, duplicates, and what the server used for it. Package
// load explains how it measures.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"posthorn/internal/cmdline"
	"posthorn/internal/load"
)

const description = `Put load on a Posthorn and print how fast it is.

Each run starts a receiver of its own, registers endpoints at it for an event type
that only this run uses, posts events, waits until everything that was accepted has
arrived, and deletes the endpoints. The events stay, as all do, until they expire.
It always ends by itself.

Exit codes: 0 everything accepted arrived; 1 something was lost, or the server
could not be reached; 2 wrong usage.`

// The generator shares the machine with the server it measures. It makes little
// garbage and keeps little, so collecting it less often costs a few MiB.
const gcPercent = 400

func main() {
	debug.SetGCPercent(gcPercent)
	cmdline.Main(run)
}

// target are the flags of every command that drives a server.
type target struct {
	URL         string
	Key         string
	PID         []int
	Listen      string
	ReceiverURL string
	Payload     int
	Timeout     time.Duration
	GiveUp      time.Duration
	Drain       time.Duration
	Linger      time.Duration
	JSON        bool
}

func (t *target) flags(f *pflag.FlagSet) {
	url := os.Getenv("POSTHORN_URL")
	if url == "" {
		url = "http://127.0.0.1:8000"
	}
	f.StringVar(&t.URL, "url", url, "Base `URL` of the Posthorn. Variable: POSTHORN_URL.")
	f.StringVar(&t.Key, "key", "", "API `KEY`, where one is asked for: registering endpoints takes an admin's. Variable: POSTHORN_KEY.")
	f.IntSliceVar(&t.PID, "pid", nil, "`PID`s of the server's processes, whose memory and CPU time are added up. Left out: the process that listens at a loopback --url.")
	f.StringVar(&t.Listen, "listen", "127.0.0.1:0", "Address of the receiver, `HOST:PORT`; port 0 is any free one.")
	f.StringVar(&t.ReceiverURL, "receiver-url", "", "`URL` at which the server reaches the receiver, when that is not --listen: the public side of a tunnel, for one.")
	f.IntVar(&t.Payload, "payload", 300, "`BYTES` of each event's payload.")
	f.DurationVar(&t.Timeout, "timeout", 10*time.Second, "Longest wait for one answer: a `TIME`.")
	f.DurationVar(&t.GiveUp, "give-up", 10*time.Second, "Stop posting when nothing was accepted for this `TIME`.")
	f.DurationVar(&t.Drain, "drain", time.Minute, "Longest wait for what was accepted and has not arrived: a `TIME`.")
	f.DurationVar(&t.Linger, "linger", 500*time.Millisecond, "For how much `TIME` to listen on for duplicates after the last delivery.")
	f.BoolVar(&t.JSON, "json", false, "Print one JSON object.")
}

// key is the API key: not a flag's default, which --help would print.
func (t *target) key() string {
	if t.Key == "" {
		return os.Getenv("POSTHORN_KEY")
	}
	return t.Key
}

func (t target) options() load.Options {
	o := load.Defaults()
	o.URL, o.Key, o.PIDs = t.URL, t.key(), t.PID
	o.Listen, o.ReceiverURL, o.Payload = t.Listen, t.ReceiverURL, t.Payload
	o.Timeout, o.GiveUp, o.Drain, o.Linger = t.Timeout, t.GiveUp, t.Drain, t.Linger
	return o
}

type runCommand struct {
	target
	Connections     int
	Rate            float64
	Events          int
	Duration        time.Duration
	Batch           int
	Endpoints       int
	EndpointTimeout int
	Slow            time.Duration
	Fail            float64
	Hang            bool
	Misbehaving     int
}

func (c *runCommand) flags(f *pflag.FlagSet) {
	c.target.flags(f)
	f.IntVarP(&c.Connections, "connections", "c", 32, "`N` posts under way at once; with --rate, at most.")
	f.Float64Var(&c.Rate, "rate", 0, "Open loop: post `N` events a second whether or not answers are in, and count latencies from the planned moment.")
	f.IntVarP(&c.Events, "events", "n", 0, "Post `N` events.")
	f.DurationVarP(&c.Duration, "duration", "d", 0, "Post for this `TIME` (10s when --events is not given either). With --events: whichever ends first.")
	f.IntVar(&c.Batch, "batch", 1, "`N` events in one POST, 1 to 100; from 2 on they go to /api/v1/events/batch.")
	f.IntVar(&c.Endpoints, "endpoints", 1, "`N` endpoints to register. Every event goes to each.")
	f.IntVar(&c.EndpointTimeout, "endpoint-timeout", 0, "Timeout of each endpoint in `SECONDS`, 1 to 30. Left out: the server's default.")
	f.DurationVar(&c.Slow, "slow", 0, "Endpoints answer this `TIME` later, such as 100ms.")
	f.Float64Var(&c.Fail, "fail", 0, "Endpoints answer this `SHARE` of the attempts, 0 to 1, with 503.")
	f.BoolVar(&c.Hang, "hang", false, "Endpoints never answer. Deliveries to them do not count as lost.")
	f.IntVar(&c.Misbehaving, "misbehaving", 0, "How many of the endpoints --slow, --fail or --hang is about, `N`; the others answer 200 at once. Left out: all.")
}

func (c runCommand) options() load.Options {
	o := c.target.options()
	o.Connections, o.Rate, o.Events, o.Duration = c.Connections, c.Rate, c.Events, c.Duration
	if c.Events == 0 && c.Duration == 0 {
		o.Duration = load.Defaults().Duration
	}
	o.Batch = c.Batch
	o.Endpoints, o.EndpointTimeout, o.Misbehaving = c.Endpoints, c.EndpointTimeout, c.Misbehaving
	o.Behaviour = load.Behaviour{Slow: c.Slow, Fail: c.Fail, Hang: c.Hang}
	return o
}

// batchConnections of the suite's last run keep a server busy with their
// hundred events each, and do not make it wait for a queue of its own.
const batchConnections = 4

// batchEvents are half of what waits in a local Posthorn at most: it accepts
// batches faster than it delivers, and refuses what is over that.
const batchEvents = 50_000

type suiteCommand struct {
	target
	Duration time.Duration
}

func (c *suiteCommand) flags(f *pflag.FlagSet) {
	c.target.flags(f)
	f.DurationVarP(&c.Duration, "duration", "d", 10*time.Second, "Length of each run: a `TIME`.")
}

func (c suiteCommand) options() []load.Options {
	var all []load.Options
	for _, rate := range []float64{0, 200, 1000} {
		o := c.target.options()
		o.Rate, o.Duration = rate, c.Duration
		all = append(all, o)
	}
	batches := c.target.options()
	batches.Batch, batches.Connections, batches.Duration = load.MaxBatch, batchConnections, c.Duration
	batches.Events = batchEvents
	return append(all, batches)
}

type slowCommand struct {
	target
	Connections int
	Rate        float64
	Duration    time.Duration
	Endpoints   int
	Slow        time.Duration
	Rounds      int
}

func (c *slowCommand) flags(f *pflag.FlagSet) {
	c.target.flags(f)
	f.IntVarP(&c.Connections, "connections", "c", 32, "`N` posts under way at once, at most.")
	f.Float64Var(&c.Rate, "rate", 200, "`N` events a second; each goes to every endpoint.")
	f.DurationVarP(&c.Duration, "duration", "d", 10*time.Second, "Length of each run: a `TIME`.")
	f.IntVar(&c.Endpoints, "endpoints", 2, "`N` endpoints, of which one answers late.")
	f.DurationVar(&c.Slow, "slow", 100*time.Millisecond, "How much `TIME` later.")
	f.IntVar(&c.Rounds, "rounds", 3, "`N` runs without and with it.")
}

func (c slowCommand) options() load.Options {
	o := c.target.options()
	o.Connections, o.Rate, o.Duration = c.Connections, c.Rate, c.Duration
	o.Endpoints, o.Misbehaving, o.Behaviour.Slow = c.Endpoints, 1, c.Slow
	return o
}

type waitingCommand struct {
	target
	Connections int
	Duration    time.Duration
	Batch       int
	Deliveries  int
}

func (c *waitingCommand) flags(f *pflag.FlagSet) {
	c.target.flags(f)
	f.IntVarP(&c.Connections, "connections", "c", 4, "`N` posts under way at once.")
	f.DurationVarP(&c.Duration, "duration", "d", 10*time.Second, "Length of each of the two runs: a `TIME`.")
	f.IntVar(&c.Batch, "batch", 100, "`N` events in one POST, 1 to 100.")
	f.IntVar(&c.Deliveries, "deliveries", 1_000_000, "`N` deliveries wait.")
}

func (c waitingCommand) options() load.Options {
	o := c.target.options()
	o.Connections, o.Duration, o.Batch = c.Connections, c.Duration, c.Batch
	return o
}

type selftestCommand struct {
	Connections int
	Rate        float64
	Duration    time.Duration
	Payload     int
	Batch       int
	JSON        bool
}

func (c *selftestCommand) flags(f *pflag.FlagSet) {
	f.IntVarP(&c.Connections, "connections", "c", 32, "`N` posts under way at once.")
	f.Float64Var(&c.Rate, "rate", 0, "Open loop at `N` events a second: the latencies that are this program's own.")
	f.DurationVarP(&c.Duration, "duration", "d", 5*time.Second, "Length of the run: a `TIME`.")
	f.IntVar(&c.Payload, "payload", 300, "`BYTES` of each event's payload.")
	f.IntVar(&c.Batch, "batch", 1, "`N` events in one POST, 1 to 100.")
	f.BoolVar(&c.JSON, "json", false, "Print one JSON object.")
}

func (c selftestCommand) options(url string) load.Options {
	o := load.Defaults()
	o.URL, o.Connections, o.Rate, o.Duration, o.Payload = url, c.Connections, c.Rate, c.Duration, c.Payload
	o.Batch = c.Batch
	return o
}

// program is where a command writes.
type program struct {
	out    io.Writer
	errOut io.Writer
	fresh  bool // errOut is a terminal: a progress line is rewritten
}

// errUsage marks an error of the caller's.
var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	root := program{out: out, errOut: errOut, fresh: isTerminal(errOut)}.command()
	root.SetArgs(append([]string{}, args...)) // nil would mean the process's own
	err := root.ExecuteContext(ctx)
	switch {
	case errors.Is(err, errUsage), errors.Is(err, load.ErrOptions):
		return complain(errOut, err, 2)
	case err != nil:
		return complain(errOut, err, 1)
	}
	return 0
}

// command is the command line.
func (p program) command() *cobra.Command {
	root := &cobra.Command{
		Use: "loadtest", Long: description, SilenceErrors: true, SilenceUsage: true,
		Args: nothing, RunE: func(*cobra.Command, []string) error { return misused("expected run, suite, slow, waiting or selftest") },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetOut(p.out)
	root.SetErr(p.errOut)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return misused(err.Error()) })
	r, s, t := &runCommand{}, &suiteCommand{}, &selftestCommand{}
	slow, waiting := &slowCommand{}, &waitingCommand{}
	add := func(name, short string, flags func(*pflag.FlagSet), run func(ctx context.Context) error) {
		c := &cobra.Command{Use: name, Short: short, Args: nothing, RunE: func(c *cobra.Command, _ []string) error { return run(c.Context()) }}
		flags(c.Flags())
		root.AddCommand(c)
	}
	add("run", "One run: a closed loop, or with --rate an open one.", r.flags, func(ctx context.Context) error { return p.run(ctx, *r) })
	add("suite", "Four runs in a row, as one table: a closed loop, open loops at 200 and 1,000 events a second, and a closed loop of 100 events a POST.", s.flags,
		func(ctx context.Context) error { return p.suite(ctx, *s) })
	add("slow", "What an endpoint that answers late does to the others: runs without and with it, in turns.", slow.flags,
		func(ctx context.Context) error { return p.slow(ctx, *slow) })
	add("waiting", "What deliveries that wait for a paused endpoint do to the speed: the same run before and after they were made.", waiting.flags,
		func(ctx context.Context) error { return p.waiting(ctx, *waiting) })
	add("selftest", "What generator and receiver reach by themselves on this machine, against a stub that only passes events on: the ceiling of any other figure.", t.flags,
		func(ctx context.Context) error { return p.selftest(ctx, *t) })
	return root
}

// nothing refuses arguments.
func nothing(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return misused(fmt.Sprintf("unexpected %q", args[0]))
	}
	return nil
}

func misused(what string) error {
	return fmt.Errorf("%w: %s (loadtest --help shows what there is)", errUsage, what)
}

func complain(errOut io.Writer, err error, code int) int {
	line := strings.ReplaceAll(err.Error(), "\n", "; ")
	if _, failed := fmt.Fprintf(errOut, "loadtest: %s\n", line); failed != nil {
		return code // nowhere left to say it
	}
	return code
}

func (p program) run(ctx context.Context, c runCommand) error {
	r, err := p.one(ctx, c.options())
	if err != nil {
		return err
	}
	if err := p.print(c.JSON, r, func() error { return r.WriteText(p.out) }); err != nil {
		return err
	}
	return verdict(r)
}

func (p program) suite(ctx context.Context, c suiteCommand) error {
	var results []load.Result
	for _, o := range c.options() {
		r, err := p.one(ctx, o)
		if err != nil {
			return err
		}
		results = append(results, r)
		if r.Stopped != "" {
			break // what is down, or told to stop, stays so
		}
	}
	all := struct {
		Runs []load.Result `json:"runs"`
	}{results}
	if err := p.print(c.JSON, all, func() error { return load.WriteTable(p.out, results) }); err != nil {
		return err
	}
	return verdicts(results...)
}

func (p program) slow(ctx context.Context, c slowCommand) error {
	var all load.Slow
	err := p.with(c.options(), func(o load.Options) (err error) {
		all, err = load.RunSlow(ctx, o, c.Rounds)
		return err
	})
	if err != nil {
		return err
	}
	p.warn(append(all.Without, all.With...)...)
	if err := p.print(c.JSON, all, func() error { return all.WriteText(p.out) }); err != nil {
		return err
	}
	return verdicts(append(all.Without, all.With...)...)
}

func (p program) waiting(ctx context.Context, c waitingCommand) error {
	var both load.Waiting
	err := p.with(c.options(), func(o load.Options) (err error) {
		both, err = load.RunWaiting(ctx, o, c.Deliveries)
		return err
	})
	if err != nil {
		return err
	}
	p.warn(both.Without, both.With)
	if err := p.print(c.JSON, both, func() error { return both.WriteText(p.out) }); err != nil {
		return err
	}
	return verdicts(both.Without, both.With)
}

// with does what measures, with its progress on errOut.
func (p program) with(o load.Options, measure func(load.Options) error) error {
	if err := o.Check(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	line := &progressLine{out: p.errOut, rewrite: p.fresh}
	o.Progress, o.ProgressEvery = line.show, line.every()
	err := measure(o)
	line.clear()
	return err
}

func (p program) warn(results ...load.Result) {
	for _, r := range results {
		for _, w := range r.Warnings {
			complain(p.errOut, errors.New(w), 0)
		}
	}
}

func verdicts(results ...load.Result) error {
	for _, r := range results {
		if err := verdict(r); err != nil {
			return fmt.Errorf("%s: %w", r.Name(), err)
		}
	}
	return nil
}

func (p program) selftest(ctx context.Context, c selftestCommand) (err error) {
	stub, err := load.StartStub(ctx, c.Connections)
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, stub.Close(stopping))
	}()
	r, err := p.one(ctx, c.options(stub.URL))
	if err != nil {
		return err
	}
	err = p.print(c.JSON, r, func() error {
		if err := r.WriteText(p.out); err != nil {
			return err
		}
		if c.Rate > 0 {
			return nil
		}
		_, err := fmt.Fprintf(p.out, "\nceiling of this machine: %s delivered/s by generator, receiver and stub together, in this one process\n",
			load.Count(int(r.DeliveredPerSecond)))
		return err
	})
	if err != nil {
		return err
	}
	return verdict(r)
}

// one does a run with its progress on errOut, and writes its warnings there.
func (p program) one(ctx context.Context, o load.Options) (r load.Result, err error) {
	err = p.with(o, func(o load.Options) (err error) {
		r, err = load.Run(ctx, o)
		return err
	})
	p.warn(r)
	return r, err
}

func (p program) print(asJSON bool, v any, text func() error) error {
	if !asJSON {
		return text()
	}
	enc := json.NewEncoder(p.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func verdict(r load.Result) error {
	if why := r.Failed(); why != "" {
		return errors.New(why)
	}
	return nil
}
