// Command posthorn is Posthorn's program for people: `posthorn local` runs the
// whole system on a laptop, without an account and without Docker, `posthorn
// serve` runs it as a process on an account's services,
// `posthorn keys` makes the first API key, and `posthorn reconcile` sends again
// what a queue has lost. The other commands call the API of a Posthorn, wherever it
// runs.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alexflint/go-arg"

	"posthorn/internal/config"
	"posthorn/internal/wire"
)

// commands is the command line. Its library finds no method by its name: one
// that does keeps the linker from leaving out the methods that nothing calls,
// which are a quarter of the program.
type commands struct {
	Local       *local         `arg:"subcommand:local" help:"Run everything in this process: the API, deliveries, SQS and DynamoDB, with the data in a folder."`
	Serve       *serve         `arg:"subcommand:serve" help:"Run the API and the workers as a long-running process on the SQS and DynamoDB of an account or an emulator; any number of them share the work."`
	Doctor      *doctor        `arg:"subcommand:doctor" help:"Examine a deployed table, its queues and its KMS key, changing nothing: what is wrong, and what to do."`
	Health      *health        `arg:"subcommand:health" help:"Ask a running server whether it lives, for the health check of a container."`
	Keys        *keys          `arg:"subcommand:keys" help:"Make, list and revoke API keys, in an account or of a running \"posthorn local\"."`
	Reconcile   *reconcile     `arg:"subcommand:reconcile" help:"Find deliveries and jobs that the queue has lost, and send them again."`
	Endpoints   *endpoints     `arg:"subcommand:endpoints" help:"Look at the endpoints of a running Posthorn; pause, resume and test them."`
	Events      *eventCommands `arg:"subcommand:events" help:"Look at its events."`
	Deliveries  *deliveries    `arg:"subcommand:deliveries" help:"Look at its deliveries, and send them again."`
	DLQ         *dlq           `arg:"subcommand:dlq" help:"Look at its dead letters, and send them again."`
	Jobs        *jobs          `arg:"subcommand:jobs" help:"Look at its jobs, and wait for them."`
	Stats       *stats         `arg:"subcommand:stats" help:"Print what it counts."`
	Listen      *listenHere    `arg:"subcommand:listen" help:"Register an endpoint for as long as this runs, and show each delivery with its signature checked."`
	ShowVersion *version       `arg:"subcommand:version" help:"Print the version."`
}

// Description implements arg.Described.
func (commands) Description() string {
	return "Webhooks sent from your own AWS account: signed, retried, never lost, visible when they fail."
}

// Version implements arg.Versioned.
func (commands) Version() string { return "posthorn " + wire.Version }

// command is what a command line asks for, with its flags.
type command interface{ Run() error }

// Exit codes: what was asked for is wrong, or it failed.
const (
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// run parses the command line and does what it says. It returns the exit code.
func run(args []string) int {
	var c commands
	parser, err := arg.NewParser(arg.Config{Program: "posthorn", IgnoreEnv: true}, &c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "posthorn:", err)
		return exitFailure
	}
	asked, err := parse(parser, args)
	switch {
	case errors.Is(err, arg.ErrHelp):
		return exit(parser.WriteHelpForSubcommand(os.Stdout, parser.SubcommandNames()...))
	case errors.Is(err, arg.ErrVersion):
		return exit(version{}.Run())
	case err != nil:
		fmt.Fprintf(os.Stderr, "posthorn: %v\nTry: %s --help\n", err, strings.Join(append([]string{"posthorn"}, parser.SubcommandNames()...), " "))
		return exitUsage
	}
	return exit(asked.Run())
}

// exit says what failed, and returns the exit code.
func exit(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "posthorn:", err)
		return codeOf(err)
	}
	return 0
}

// usageError is an error of what the command was asked for or told, and not of
// what it did.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// codeOf is what the program exits with after an error.
func codeOf(err error) int {
	var usage usageError
	var configuration *config.Error
	if errors.As(err, &usage) || errors.As(err, &configuration) {
		return exitUsage
	}
	return exitFailure
}

// parse is the command that was asked for. Its errors are the caller's.
func parse(parser *arg.Parser, args []string) (command, error) {
	if err := parser.Parse(args); err != nil {
		return nil, err
	}
	asked, ok := parser.Subcommand().(command)
	if !ok {
		return nil, errors.New("expected one of the commands that --help lists")
	}
	if v, ok := asked.(interface{ Validate() error }); ok {
		return asked, v.Validate()
	}
	return asked, nil
}

// version prints the program's version.
type version struct{}

// Run implements the command.
func (version) Run() error {
	_, err := fmt.Println("posthorn", wire.Version)
	return err
}
