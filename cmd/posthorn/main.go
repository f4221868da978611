// Command posthorn is Posthorn's program for people: `posthorn local` runs the
// whole system on a laptop, without an account and without Docker, `posthorn
// serve` runs it as a process on an account's services,
// `posthorn keys` makes the first API key, and `posthorn reconcile` sends again
// what a queue has lost.
package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"posthorn/internal/config"
	"posthorn/internal/httpapi"
	"posthorn/internal/wire"
)

// commands is the command line.
type commands struct {
	ShowVersion kong.VersionFlag `name:"version" help:"Print the version."`

	Local     local     `cmd:"" help:"Run everything in this process: the API, deliveries, SQS and DynamoDB, with the data in a folder."`
	Serve     serve     `cmd:"" help:"Run the API and the workers as a long-running process on the SQS and DynamoDB of an account or an emulator; any number of them share the work."`
	Health    health    `cmd:"" help:"Ask a running server whether it lives, for the health check of a container."`
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
		fmt.Fprintf(os.Stderr, "posthorn: %v\nTry: %s\n", err, helpFor(parser, args))
		return exitUsage
	}
	if err := ctx.Run(); err != nil {
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

// helpFor is what prints help on the command that args begin with.
func helpFor(parser *kong.Kong, args []string) string {
	words, at := []string{"posthorn"}, parser.Model.Node
	for _, arg := range args {
		i := slices.IndexFunc(at.Children, func(n *kong.Node) bool { return n.Type == kong.CommandNode && n.Name == arg })
		if i < 0 {
			break
		}
		at = at.Children[i]
		words = append(words, arg)
	}
	return strings.Join(append(words, "--help"), " ")
}

// version prints the program's version.
type version struct{}

// Run implements the command.
func (version) Run() error {
	_, err := fmt.Println("posthorn", wire.Version)
	return err
}
