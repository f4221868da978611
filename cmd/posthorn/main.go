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

	"github.com/spf13/cobra"

	"posthorn/internal/config"
	"posthorn/internal/wire"
)

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
	root := posthornCommand()
	root.SetArgs(append([]string{}, args...)) // nil would mean the process's own
	asked, err := root.ExecuteC()
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "posthorn:", err)
	if misspelt := (lineError{}); errors.As(err, &misspelt) {
		fmt.Fprintf(os.Stderr, "Try: %s --help\n", asked.CommandPath())
	}
	return codeOf(err)
}

// posthornCommand is the command line.
func posthornCommand() *cobra.Command {
	root := group("posthorn", "Webhooks sent from your own AWS account: signed, retried, never lost, visible when they fail.")
	show := root.Flags().Bool("version", false, "Print the version.")
	misused := root.RunE
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if *show {
			return printVersion(cmd, args)
		}
		return misused(cmd, args)
	}
	root.PersistentFlags().BoolP("help", "h", false, "Show this.")
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return lineError{flagError(err)} })
	root.SetHelpFunc(printHelp)

	const (
		running = "run"
		calling = "call"
		tending = "tend"
	)
	root.AddGroup(
		&cobra.Group{ID: running, Title: "Run it:"},
		&cobra.Group{ID: calling, Title: "Call a running Posthorn:"},
		&cobra.Group{ID: tending, Title: "Tend what is in an account:"},
	)
	add := func(id string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	add(running, localCommand(), serveCommand(), healthCommand())
	add(calling, endpointsCommand(), eventsCommand(), deliveriesCommand(), dlqCommand(), jobsCommand(), statsCommand(), eventTypesCommand(), listenCommand())
	add(tending, keysCommand(), reconcileCommand(), doctorCommand())
	root.AddCommand(&cobra.Command{Use: "version", Short: "Print the version", Args: none, RunE: printVersion})
	ownCompletion(root)
	offerNoFiles(root)
	return root
}

// printVersion prints the program's version.
func printVersion(*cobra.Command, []string) error {
	_, err := fmt.Println("posthorn", wire.Version)
	return err
}

// usageError is an error of what the command was asked for or told, and not of
// what it did.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// lineError is an error of the command line itself, which --help helps with.
type lineError struct{ error }

func (e lineError) Unwrap() error { return e.error }

// codeOf is what the program exits with after an error.
func codeOf(err error) int {
	var usage usageError
	var line lineError
	var configuration *config.Error
	if errors.As(err, &usage) || errors.As(err, &line) || errors.As(err, &configuration) {
		return exitUsage
	}
	return exitFailure
}
