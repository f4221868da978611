// Command posthorn is Posthorn's program for people: `posthorn local` runs the
// whole system on a laptop, without an account and without Docker,
// `posthorn keys` makes the first API key, and `posthorn reconcile` sends again
// what a queue has lost.
package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"

	"posthorn/internal/httpapi"
	"posthorn/internal/wire"
)

// commands is the command line.
type commands struct {
	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`

	Local     local     `cmd:"" help:"Run everything in this process: the API, deliveries, SQS and DynamoDB, with the data in a folder."`
	Keys      keys      `cmd:"" help:"Make, list and revoke API keys, in an account or of a running \"posthorn local\"."`
	Reconcile reconcile `cmd:"" help:"Find deliveries and jobs that the queue has lost, and send them again."`
	Version   version   `cmd:"" help:"Print the version."`
}

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
	exited := false
	parser, err := kong.New(&c,
		kong.Name("posthorn"),
		kong.Description("Webhooks sent from your own AWS account: signed, retried, never lost, visible when they fail."),
		kong.Vars{"version": "posthorn " + wire.Version, "defaultTenant": httpapi.DefaultTenant},
		kong.Exit(func(int) { exited = true }),
	)
	if err != nil {
		fmt.Fprintln(os.Stderr, "posthorn:", err)
		return exitFailure
	}
	ctx, err := parser.Parse(args)
	switch {
	case exited: // --help
		return 0
	case err != nil:
		fmt.Fprintf(os.Stderr, "posthorn: %v\nTry: posthorn --help\n", err)
		return exitUsage
	}
	if err := ctx.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "posthorn:", err)
		return exitFailure
	}
	return 0
}

// version prints the program's version.
type version struct{}

// Run implements the command.
func (version) Run() error {
	_, err := fmt.Println("posthorn", wire.Version)
	return err
}
