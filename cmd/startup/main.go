// Startup prints how long each function takes to start, and fails above a
// budget, or where one calls a service at its start. Package startup explains
// how it is measured.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"posthorn/internal/startup"
)

const usage = `Usage: startup [flags] BOOTSTRAP...

Start each bootstrap as Lambda would, some times, and print how long it takes until it asks for its first invocation.

A median above the budget is measured again, twice at most: a machine that is busy with other things is no fault of the function's.

Exit codes: 0 all are within the budget; 1 one is not, calls a service at its start, or does not start; 2 wrong usage.

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	flags := flag.NewFlagSet("startup", flag.ContinueOnError)
	flags.SetOutput(errOut)
	flags.Usage = func() {
		if _, err := io.WriteString(errOut, usage); err == nil {
			flags.PrintDefaults()
		}
	}
	budget := flags.Duration("budget", 10*time.Millisecond, "most that the median of the starts may take")
	starts := flags.Int("starts", 20, "how often each is started, 1 to 1000")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() == 0:
		return complain(errOut, errors.New("BOOTSTRAP: which is to be started?"), 2)
	case *starts < 1 || *starts > 1000:
		return complain(errOut, errors.New("-starts: must be 1 to 1000"), 2)
	case *budget <= 0:
		return complain(errOut, errors.New("-budget: must be above 0"), 2)
	}
	var wrong error
	for _, path := range flags.Args() {
		if err := measure(ctx, path, *starts, *budget, out); err != nil {
			wrong = errors.Join(wrong, err)
		}
	}
	if wrong != nil {
		return complain(errOut, wrong, 1)
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

func complain(errOut io.Writer, err error, code int) int {
	if _, failed := fmt.Fprintf(errOut, "startup: %s\n", err); failed != nil {
		return code // nowhere left to say it
	}
	return code
}
