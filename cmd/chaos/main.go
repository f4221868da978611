// Chaos breaks everything around a Posthorn of its own while that works, and
// then compares what was acknowledged with what arrived. Package chaos explains
// what is broken and how.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"

	"posthorn/internal/chaos"
	"posthorn/internal/cmdline"
	"posthorn/internal/permit"
)

const usage = `Usage: chaos [middle] [flags]

Break everything around Posthorn's functions while they deliver, and do the books.

It builds the three functions, runs them as real processes on a stand-in for AWS of
its own, and needs nothing but Go; middle is a smaller run. The same -seed makes the same choices of faults.

Exit codes: 0 the books balance; 1 they do not, or the run could not be made; 2 wrong usage.

`

func main() { cmdline.Main(run) }

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	o := chaos.Full()
	if len(args) > 0 && args[0] == "middle" {
		o, args = chaos.Middle(), args[1:]
	}
	line := cmdline.New("chaos", usage, errOut)
	line.Uint64Var(&o.Seed, "seed", rand.Uint64N(1_000_000), "what the choices follow from; another one each time when it is left out")
	line.IntVar(&o.Events, "events", o.Events, "events to post")
	line.IntVar(&o.Endpoints, "endpoints", o.Endpoints, "endpoints to post them to")
	line.DurationVar(&o.Skew, "skew", o.Skew, "how far clocks of environments are off at most, either way")
	line.DurationVar(&o.Longest, "longest", o.Longest, "longest time that the run may take")
	template := line.String("template", "template.yaml", "SAM template whose policies the functions' AWS calls are held against; empty: none")
	if code, over := line.Parse(args); over {
		return code
	}
	if err := line.NoArguments(); err != nil {
		return line.Misused(err)
	}
	if err := o.Check(); err != nil {
		return line.Misused(err)
	}
	if *template != "" {
		policies, err := permit.Read(*template)
		if err != nil {
			return line.Misused(err)
		}
		o.Policies = policies
	}
	o.Progress = func(p chaos.Progress) { progress(errOut, p) }
	if err := chaosIn(ctx, o, out, errOut); err != nil {
		return line.Failed(err)
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
