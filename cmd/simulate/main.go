// Simulate runs a day of 10,000 endpoints and 10,000 events a second, of whom a
// tenth hangs, in simulated time. Package simulate explains how.
package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"posthorn/internal/cmdline"
	"posthorn/internal/cost"
	"posthorn/internal/deliver/breaker"
	"posthorn/internal/simulate"
)

const usage = `Usage: simulate [flags]

Run days of deliveries in simulated time: Posthorn's own retries and breakers, and a model of what AWS does.

Exit codes: 0 done; 1 it could not be done; 2 wrong usage.

`

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, out, errOut io.Writer) int {
	line := cmdline.New("simulate", usage, errOut)
	day := simulate.Day()
	scale := line.Int("scale", day.Scale, "by which endpoints, events and environments are divided; 1 is slow")
	duration := line.Duration("duration", day.Duration, "how long it goes on, in simulated time")
	seed := line.Uint64("seed", day.Seed, "what the chances follow from")
	plot := line.String("plot", "", "file to draw the days into, such as docs/images/scale.svg")
	if code, over := line.Parse(args); over {
		return code
	}
	if err := line.NoArguments(); err != nil {
		return line.Misused(err)
	}
	scenarios := simulate.Scenarios()
	for i := range scenarios {
		o := &scenarios[i].Options
		o.Scale, o.Duration, o.Seed = *scale, *duration, *seed
		if err := o.Check(); err != nil {
			return line.Misused(err)
		}
	}
	if err := simulateAll(scenarios, *plot, out); err != nil {
		return line.Failed(err)
	}
	return 0
}

// day is a scenario with its minutes.
type day struct {
	name    string
	samples []simulate.Sample
	dollars []float64 // an hour, by minute
}

func simulateAll(scenarios []simulate.Scenario, plot string, out io.Writer) error {
	prices, err := cost.Load()
	if err != nil {
		return err
	}
	var days []day
	for _, s := range scenarios {
		d := day{name: s.Name}
		err := simulate.Run(s.Options, func(m simulate.Sample) {
			d.samples = append(d.samples, m)
			d.dollars = append(d.dollars, simulate.DollarsPerHour(m, s.Options.Rate, prices))
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.Name, err)
		}
		days = append(days, d)
		if err := d.print(out); err != nil {
			return fmt.Errorf("print: %w", err)
		}
	}
	if err := printFlaky(out); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if plot == "" {
		return nil
	}
	return draw(days, plot)
}

// printFlaky writes what breakers do to an endpoint that works and fails now and
// then, at one attempt a second.
func printFlaky(out io.Writer) error {
	shares := []float64{0.05, 0.1, 0.2, 0.3}
	head := fmt.Sprintf("how often an hour a breaker opens on an endpoint that fails a share of its attempts by chance\n%38s", "")
	for _, failing := range shares {
		head += fmt.Sprintf(" %7.0f %%", 100*failing)
	}
	if _, err := fmt.Fprintln(out, head); err != nil {
		return err
	}
	for _, b := range []struct {
		name   string
		config breaker.Config
	}{
		{"20 attempts in a minute", simulate.Strict()},
		{"as shipped: 10 in five minutes", breaker.Default()},
		{"5 in five minutes", simulate.Eager()},
	} {
		line := fmt.Sprintf("%38s", b.name)
		for _, failing := range shares {
			opens, _ := simulate.Flaky(b.config, failing, 1, 1000, 1)
			line += fmt.Sprintf(" %9.2f", opens)
		}
		if _, err := fmt.Fprintln(out, line); err != nil {
			return err
		}
	}
	return nil
}

// print writes a few moments of the day as a table.
func (d day) print(out io.Writer) error {
	_, err := fmt.Fprintf(out, "%s\n%10s %14s %14s %13s %16s %16s %9s %9s %9s %8s\n", d.name,
		"after", "ready", "waiting", "environments", "lag p50, healthy", "lag p99, healthy", "posts/s", "copies/s", "breakers", "$/hour")
	if err != nil {
		return err
	}
	sum := 0.0
	for i, m := range d.samples {
		sum += d.dollars[i] / 60
		if !shown(m.At, i == len(d.samples)-1) {
			continue
		}
		_, err := fmt.Fprintf(out, "%10s %14.0f %14.0f %13.0f %16s %16s %9.0f %9.0f %9.0f %8.0f\n", m.At, m.Ready, m.Delayed, m.Environments,
			m.LagP50.Round(100*time.Millisecond), m.LagP99.Round(100*time.Millisecond), m.Attempts, m.Copies, m.Open, d.dollars[i])
		if err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "%10s %.0f dollars\n\n", "in all", sum)
	return err
}

func shown(at time.Duration, last bool) bool {
	switch at {
	case time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 6 * time.Hour, 12 * time.Hour:
		return true
	default:
		return last
	}
}
