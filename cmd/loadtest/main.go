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
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type commands struct {
	Run      runCommand      `cmd:"" help:"One run: a closed loop, or with --rate an open one."`
	Suite    suiteCommand    `cmd:"" help:"Four runs in a row, as one table: a closed loop, open loops at 200 and 1,000 events a second, and a closed loop of 100 events a POST."`
	Slow     slowCommand     `cmd:"" help:"What an endpoint that answers late does to the others: runs without and with it, in turns."`
	Waiting  waitingCommand  `cmd:"" help:"What deliveries that wait for a paused endpoint do to the speed: the same run before and after they were made."`
	Selftest selftestCommand `cmd:"" help:"What generator and receiver reach by themselves on this machine, against a stub that only passes events on: the ceiling of any other figure."`
}

// target are the flags of every command that drives a server.
type target struct {
	URL         string        `default:"http://127.0.0.1:8000" env:"POSTHORN_URL" help:"Base URL of the Posthorn."`
	Key         string        `env:"POSTHORN_API_KEY" placeholder:"KEY" help:"API key, where one is asked for: registering endpoints takes an admin's."`
	PID         []int         `name:"pid" placeholder:"PID" help:"The server's processes, whose memory and CPU time are added up. Left out: the process that listens at a loopback --url."`
	Listen      string        `default:"127.0.0.1:0" help:"Address of the receiver; port 0 is any free one."`
	ReceiverURL string        `placeholder:"URL" help:"URL at which the server reaches the receiver, when that is not --listen: the public side of a tunnel, for one."`
	Payload     int           `default:"300" help:"Bytes of each event's payload."`
	Timeout     time.Duration `default:"10s" help:"Longest wait for one answer."`
	GiveUp      time.Duration `default:"10s" help:"Stop posting when nothing was accepted for this long."`
	Drain       time.Duration `default:"60s" help:"Longest wait for what was accepted and has not arrived."`
	Linger      time.Duration `default:"500ms" help:"How long to listen on for duplicates after the last delivery."`
	JSON        bool          `name:"json" help:"Print one JSON object."`
}

func (t target) options() load.Options {
	o := load.Defaults()
	o.URL, o.Key, o.PIDs = t.URL, t.Key, t.PID
	o.Listen, o.ReceiverURL, o.Payload = t.Listen, t.ReceiverURL, t.Payload
	o.Timeout, o.GiveUp, o.Drain, o.Linger = t.Timeout, t.GiveUp, t.Drain, t.Linger
	return o
}

type runCommand struct {
	target
	Connections     int           `short:"c" default:"32" help:"Posts under way at once; with --rate, at most."`
	Rate            float64       `placeholder:"N" help:"Open loop: post this many events a second whether or not answers are in, and count latencies from the planned moment."`
	Events          int           `short:"n" placeholder:"N" help:"Post this many events."`
	Duration        time.Duration `short:"d" placeholder:"10s" help:"Post for this long (10s when --events is not given either). With --events: whichever ends first."`
	Batch           int           `default:"1" placeholder:"N" help:"Events in one POST, 1 to 100; from 2 on they go to /api/v1/events/batch."`
	Endpoints       int           `default:"1" help:"Endpoints to register. Every event goes to each."`
	EndpointTimeout int           `placeholder:"S" help:"Timeout of each endpoint in seconds, 1 to 30. Left out: the server's default."`
	Slow            time.Duration `placeholder:"100ms" help:"Endpoints answer this much later."`
	Fail            float64       `placeholder:"SHARE" help:"Endpoints answer this share of the attempts, 0 to 1, with 503."`
	Hang            bool          `help:"Endpoints never answer. Deliveries to them do not count as lost."`
	Misbehaving     int           `placeholder:"N" help:"How many of the endpoints --slow, --fail or --hang is about; the others answer 200 at once. Left out: all."`
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

type suiteCommand struct {
	target
	Duration time.Duration `short:"d" default:"10s" help:"Length of each run."`
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
	return append(all, batches)
}

type slowCommand struct {
	target
	Connections int           `short:"c" default:"32" help:"Posts under way at once, at most."`
	Rate        float64       `default:"200" help:"Events a second; each goes to every endpoint."`
	Duration    time.Duration `short:"d" default:"10s" help:"Length of each run."`
	Endpoints   int           `default:"2" help:"Endpoints, of which one answers late."`
	Slow        time.Duration `default:"100ms" help:"How much later."`
	Rounds      int           `default:"3" help:"Runs without and with it."`
}

func (c slowCommand) options() load.Options {
	o := c.target.options()
	o.Connections, o.Rate, o.Duration = c.Connections, c.Rate, c.Duration
	o.Endpoints, o.Misbehaving, o.Behaviour.Slow = c.Endpoints, 1, c.Slow
	return o
}

type waitingCommand struct {
	target
	Connections int           `short:"c" default:"4" help:"Posts under way at once."`
	Duration    time.Duration `short:"d" default:"10s" help:"Length of each of the two runs."`
	Batch       int           `default:"100" placeholder:"N" help:"Events in one POST, 1 to 100."`
	Deliveries  int           `default:"1000000" help:"How many wait."`
}

func (c waitingCommand) options() load.Options {
	o := c.target.options()
	o.Connections, o.Duration, o.Batch = c.Connections, c.Duration, c.Batch
	return o
}

type selftestCommand struct {
	Connections int           `short:"c" default:"32" help:"Posts under way at once."`
	Rate        float64       `placeholder:"N" help:"Open loop at this many events a second: the latencies that are this program's own."`
	Duration    time.Duration `short:"d" default:"5s" help:"Length of the run."`
	Payload     int           `default:"300" help:"Bytes of each event's payload."`
	Batch       int           `default:"1" placeholder:"N" help:"Events in one POST, 1 to 100."`
	JSON        bool          `name:"json" help:"Print one JSON object."`
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
	var c commands
	parser, err := kong.New(&c, kong.Name("loadtest"), kong.Description(description),
		kong.Writers(out, errOut), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}))
	if err != nil {
		return complain(errOut, err, 1)
	}
	chosen, err := parser.Parse(args)
	if err != nil {
		return complain(errOut, fmt.Errorf("%w (loadtest --help shows what there is)", err), 2)
	}
	p := program{out: out, errOut: errOut, fresh: isTerminal(errOut)}
	switch chosen.Command() {
	case "suite":
		err = p.suite(ctx, c.Suite)
	case "slow":
		err = p.slow(ctx, c.Slow)
	case "waiting":
		err = p.waiting(ctx, c.Waiting)
	case "selftest":
		err = p.selftest(ctx, c.Selftest)
	default:
		err = p.run(ctx, c.Run)
	}
	switch {
	case errors.Is(err, errUsage), errors.Is(err, load.ErrOptions):
		return complain(errOut, err, 2)
	case err != nil:
		return complain(errOut, err, 1)
	}
	return 0
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
