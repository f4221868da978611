// Startup prints how long each function takes to start, and fails above a
// budget, or where one calls a service at its start. Package startup explains
// how it is measured.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"posthorn/internal/cmdline"
	"posthorn/internal/startup"
)

const usage = `Usage: startup [flags] BOOTSTRAP...

Start each bootstrap as Lambda would, some times, and print how long it takes until it asks for its first invocation.

A median above the budget is measured again, twice at most: a machine that is busy with other things is no fault of the function's.

Exit codes: 0 all are within the budget; 1 one is not, calls a service at its start, or does not start; 2 wrong usage.

`

func main() { cmdline.Main(run) }

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	line := cmdline.New("startup", usage, errOut)
	budget := line.Duration("budget", 10*time.Millisecond, "most that the median of the starts may take")
	starts := line.Int("starts", 20, "how often each is started, 1 to 1000")
	if code, over := line.Parse(args); over {
		return code
	}
	switch {
	case line.NArg() == 0:
		return line.Misused(errors.New("BOOTSTRAP: which is to be started?"))
	case *starts < 1 || *starts > 1000:
		return line.Misused(errors.New("-starts: must be 1 to 1000"))
	case *budget <= 0:
		return line.Misused(errors.New("-budget: must be above 0"))
	}
	var wrong error
	for _, path := range line.Args() {
		if err := measure(ctx, path, *starts, *budget, out); err != nil {
			wrong = errors.Join(wrong, err)
		}
	}
	if wrong != nil {
		return line.Failed(wrong)
	}
	return 0
}

// environment is what the template gives the functions.
func environment() []string {
	return []string{
		"POSTHORN_AUTH=keys", "POSTHORN_TABLE=posthorn", "POSTHORN_EMF=true", "LOG_LEVEL=info",
		"POSTHORN_QUEUE_URL=https://sqs.us-east-1.amazonaws.com/000000000000/deliveries", "POSTHORN_DLQ_URL=https://sqs.us-east-1.amazonaws.com/000000000000/dead-letters",
		"POSTHORN_KMS_KEY_ID=arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000",
	}
}

// rounds is how often a function is measured that is above the budget.
const rounds = 3

func measure(ctx context.Context, path string, starts int, budget time.Duration, out io.Writer) error {
	name := filepath.Base(filepath.Dir(path))
	var best startup.Result
	for round := range rounds {
		r, err := startup.Measure(ctx, path, environment(), starts)
		if err != nil {
			return err
		}
		if len(r.Calls) > 0 {
			return fmt.Errorf("%s: it calls a service at its start: %s", name, r.Calls[0])
		}
		if round == 0 || r.Median() < best.Median() {
			best = r
		}
		if best.Median() <= budget {
			break
		}
	}
	_, err := fmt.Fprintf(out, "%-18s %6.2f ms until its first invocation, the median of %d starts; %.2f the fastest\n", name, millis(best.Median()), starts, millis(best.Least()))
	if err != nil {
		return fmt.Errorf("print: %w", err)
	}
	if best.Median() > budget {
		return fmt.Errorf("%s: starts in %.2f ms, the budget is %.2f ms", name, millis(best.Median()), millis(budget))
	}
	return nil
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
