// Chaos breaks everything around a Posthorn of its own while that works, and
// then compares what was acknowledged with what arrived. Package chaos explains
// what is broken and how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"

	"posthorn/internal/chaos"
	"posthorn/internal/permit"
)

const usage = `Usage: chaos [middle] [flags]

Break everything around Posthorn's functions while they deliver, and do the books.

It builds the three functions, runs them as real processes on a stand-in for AWS of
its own, and needs nothing but Go; middle is a smaller run. The same -seed makes the same choices of faults.

Exit codes: 0 the books balance; 1 they do not, or the run could not be made; 2 wrong usage.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	o := chaos.Full()
	if len(args) > 0 && args[0] == "middle" {
		o, args = chaos.Middle(), args[1:]
	}
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() {
		if _, err := io.WriteString(errOut, usage); err == nil {
			flags.PrintDefaults()
		}
	}
	flags.Uint64Var(&o.Seed, "seed", rand.Uint64N(1_000_000), "what the choices follow from; another one each time when it is left out")
	flags.IntVar(&o.Events, "events", o.Events, "events to post")
	flags.IntVar(&o.Endpoints, "endpoints", o.Endpoints, "endpoints to post them to")
	flags.DurationVar(&o.Skew, "skew", o.Skew, "how far clocks of environments are off at most, either way")
	flags.DurationVar(&o.Longest, "longest", o.Longest, "longest time that the run may take")
	template := flags.String("template", "template.yaml", "SAM template whose policies the functions' AWS calls are held against; empty: none")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		return complain(errOut, fmt.Errorf("%q: there are no arguments", flags.Arg(0)), 2)
	}
	if err := o.Check(); err != nil {
		return complain(errOut, err, 2)
	}
	if *template != "" {
		policies, err := permit.Read(*template)
		if err != nil {
			return complain(errOut, err, 2)
		}
		o.Policies = policies
	}
	o.Progress = func(p chaos.Progress) { progress(errOut, p) }
	if err := chaosIn(ctx, o, out, errOut); err != nil {
		return complain(errOut, err, 1)
	}
	return 0
}

// chaosIn does a run in a folder of its own.
func chaosIn(ctx context.Context, o chaos.Options, out, errOut io.Writer) (err error) {
	if o.Functions, err = os.MkdirTemp("", "posthorn-chaos-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Functions)) }()
	if _, err := fmt.Fprintf(errOut, "chaos: seed %d; building the functions\n", o.Seed); err != nil {
		return err
	}
	if err := chaos.Build(ctx, o.Functions, o.Skew > 0); err != nil {
		return err
	}
	result, err := chaos.Run(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(result.WriteText(out), result.Verdict())
}

func progress(w io.Writer, p chaos.Progress) {
	doing := "breaking"
	if p.Calm {
		doing = "waiting"
	}
	_, err := fmt.Fprintf(w, "%-8s %4.0fs  %6d accepted  %6d posts arrived  %6d messages in the queue\n", doing, p.Elapsed.Seconds(), p.Accepted, p.Arrived, p.Waiting)
	if err != nil {
		return // progress is worth no failed run
	}
}

func complain(errOut io.Writer, err error, code int) int {
	if _, failed := fmt.Fprintf(errOut, "chaos: %s\n", err); failed != nil {
		return code // nowhere left to say it
	}
	return code
}
