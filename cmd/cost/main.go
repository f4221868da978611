// Cost measures what a million deliveries cost in an AWS account, and a month
// in which nothing happens. Package cost explains how.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"posthorn/internal/cmdline"
	"posthorn/internal/cost"
)

const usage = `Usage: cost [flags]

Measure what a million deliveries cost in an AWS account, by service, and a month in which nothing happens.

It builds the three functions, runs them as real processes on a stand-in for AWS of its own, counts what AWS would bill,
and needs nothing but Go. It is run in the root of the repository, whose template says how the functions are deployed.

Exit codes: 0 everything is within its budget; 1 something is not, or could not be measured; 2 wrong usage.

`

// figures is where what was measured is kept for the test of the document.
const figures = "internal/cost/measured.json"

func main() { cmdline.Main(run) }

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	line := cmdline.New("cost", usage, errOut)
	only := line.String("only", "", "run those workloads alone whose names begin so, such as \"10 events a POST, fan-out 1,\"")
	write := line.String("write", "", "document to write the tables to, such as docs/cost.md; not with -only")
	memory := line.Bool("memory", false, "measure how long the functions take with how much memory, instead; needs Linux's control groups")
	template := line.String("template", "template.yaml", "the template that says how the functions are deployed")
	if code, over := line.Parse(args); over {
		return code
	}
	if err := line.NoArguments(); err != nil {
		return line.Misused(err)
	}
	if *only != "" && *write != "" {
		return line.Misused(errors.New("-write needs all workloads, and -only leaves some out"))
	}
	measure := func(o cost.Options, t *cost.Template) error { return workloads(ctx, *only, *write, o, t, out, errOut) }
	if *memory {
		if *only != "" || *write != "" {
			return line.Misused(errors.New("-memory goes with neither -only nor -write"))
		}
		measure = func(o cost.Options, _ *cost.Template) error { return memories(ctx, o, out) }
	}
	if err := prepared(ctx, *template, errOut, measure); err != nil {
		return line.Failed(err)
	}
	return 0
}

// prepared builds the functions and calls measure.
func prepared(ctx context.Context, path string, errOut io.Writer, measure func(cost.Options, *cost.Template) error) (err error) {
	prices, err := cost.Load()
	if err != nil {
		return err
	}
	template, err := cost.ReadTemplate(path)
	if err != nil {
		return err
	}
	memory, err := template.Memory()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "posthorn-cost-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := say(errOut, "building the functions"); err != nil {
		return err
	}
	if err := cost.Build(ctx, dir); err != nil {
		return err
	}
	return measure(cost.Options{Prices: prices, Memory: memory, Functions: dir}, template)
}

// memories prints what the functions take with how much memory.
func memories(ctx context.Context, o cost.Options, out io.Writer) error {
	rows, err := cost.MeasureMemory(ctx, o)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(out, cost.MemoryTable(rows)); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// workloads runs the workloads, prints what they cost, and holds it against the
// budgets.
func workloads(ctx context.Context, only, document string, o cost.Options, template *cost.Template, out, errOut io.Writer) error {
	budgets, err := cost.LoadBudgets()
	if err != nil {
		return err
	}
	logging, err := template.Logging()
	if err != nil {
		return err
	}
	report := &cost.Report{Prices: o.Prices.Date, Region: o.Prices.Region, Memory: o.Memory}
	for _, w := range cost.Workloads() {
		if !strings.HasPrefix(w.Name(), only) {
			continue
		}
		if err := say(errOut, w.Name()); err != nil {
			return err
		}
		m, err := cost.Measure(ctx, o, w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name(), err)
		}
		report.Workloads = append(report.Workloads, m.Row(o.Prices, o.Memory, logging))
	}
	if len(report.Workloads) == 0 {
		return fmt.Errorf("-only: no workload's name begins with %q", only)
	}
	if err := idle(ctx, o, template, budgets, report); err != nil {
		return err
	}
	if _, err := io.WriteString(out, report.Text()); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if document != "" {
		if err := report.Write(document, figures); err != nil {
			return err
		}
	}
	return report.Verdict(budgets)
}

// idle adds what a stack costs in which nothing happens, with each set of
// parameters that has a budget.
func idle(ctx context.Context, o cost.Options, t *cost.Template, budgets *cost.Budgets, report *cost.Report) error {
	hour, err := cost.MeasureIdle(ctx, o, cost.HourOfSweeps)
	if err != nil {
		return fmt.Errorf("an idle hour: %w", err)
	}
	for _, b := range budgets.Idle {
		set, err := t.With(b.Parameters)
		if err != nil {
			return fmt.Errorf("an idle month, %s: %w", b.Name, err)
		}
		bill, err := set.Idle(o.Prices, hour)
		if err != nil {
			return fmt.Errorf("an idle month, %s: %w", b.Name, err)
		}
		report.Idle = append(report.Idle, cost.IdleRow{Name: b.Name, Bill: bill})
	}
	return nil
}

func say(errOut io.Writer, what string) error {
	if _, err := fmt.Fprintf(errOut, "cost: %s\n", what); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
