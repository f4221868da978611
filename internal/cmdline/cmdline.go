// Package cmdline is how the programs that measure start and end: what they share
// of signals, flags, and the one line that says what is wrong.
package cmdline

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes of every program.
const (
	ExitFailure = 1
	ExitUsage   = 2
)

// Main calls a program with the process's arguments and streams, and exits with the
// code that it returns. Its context ends with SIGINT or SIGTERM; a second signal ends
// the process at once.
func Main(run func(ctx context.Context, args []string, out, errOut io.Writer) int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Line is a program's command line.
type Line struct {
	*flag.FlagSet

	errOut io.Writer
}

// New returns the command line of a program, whose flags are defined on it. usage is
// what --help prints above them.
func New(name, usage string, errOut io.Writer) *Line {
	l := &Line{flag.NewFlagSet(name, flag.ContinueOnError), errOut}
	l.SetOutput(errOut)
	l.Usage = func() {
		if _, err := io.WriteString(errOut, usage); err == nil {
			l.PrintDefaults()
		}
	}
	return l
}

// Parse reads the arguments. over says that the program ends with the code: help was
// asked for, or a flag is wrong, which has been said.
func (l *Line) Parse(args []string) (code int, over bool) {
	switch err := l.FlagSet.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0, true
	case err != nil:
		return ExitUsage, true
	}
	return 0, false
}

// NoArguments is nil when nothing stands behind the flags.
func (l *Line) NoArguments() error {
	if l.NArg() > 0 {
		return fmt.Errorf("%q: there are no arguments", l.Arg(0))
	}
	return nil
}

// Misused says what was asked for wrongly, and returns the code to end with.
func (l *Line) Misused(err error) int { return l.end(err, ExitUsage) }

// Failed says what failed, and returns the code to end with.
func (l *Line) Failed(err error) int { return l.end(err, ExitFailure) }

func (l *Line) end(err error, code int) int {
	if _, failed := fmt.Fprintf(l.errOut, "%s: %s\n", l.Name(), err); failed != nil {
		return code // nowhere left to say it
	}
	return code
}
