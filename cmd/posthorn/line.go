package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// This file is about the command line itself: how commands are put together, what
// is said of a wrong one, and how --help looks.

// group is a command that has others and does nothing by itself.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: subcommand}
	c.RunE = func(c *cobra.Command, _ []string) error {
		return lineError{fmt.Errorf("expected one of: %s", strings.Join(names(c), ", "))}
	}
	c.AddCommand(commands...)
	return c
}

// names are those of a group's commands that are not hidden.
func names(c *cobra.Command) []string {
	var all []string
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			all = append(all, sub.Name())
		}
	}
	return all
}

// subcommand refuses what is not the name of one.
func subcommand(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		return lineError{fmt.Errorf("there is no command %q: did you mean %s?", args[0], strings.Join(near, " or "))}
	}
	return lineError{fmt.Errorf("there is no command %q: expected one of: %s", args[0], strings.Join(names(c), ", "))}
}

// none refuses arguments.
func none(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return lineError{fmt.Errorf("%q is one argument too many", args[0])}
	}
	return nil
}

// one takes a single argument, such as "ID".
func one(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 0 || args[0] == "":
			return lineError{fmt.Errorf("%s is missing", name)}
		case len(args) > 1:
			return lineError{fmt.Errorf("%q is one argument too many", args[1])}
		}
		return nil
	}
}

// atMostOne takes an argument or none.
func atMostOne(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return lineError{fmt.Errorf("%q is one argument too many", args[1])}
	}
	return nil
}

// some takes one argument or more.
func some(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return lineError{fmt.Errorf("%s is missing", name)}
		}
		return nil
	}
}

// checked runs a command whose flags are right.
func checked(validate, run func() error) func(*cobra.Command, []string) error {
	return func(*cobra.Command, []string) error {
		if err := validate(); err != nil {
			return onTheLine(err)
		}
		return run()
	}
}

// onTheLine is an error of the command line, where it is not one of what else the
// command was told.
func onTheLine(err error) error {
	if errors.As(err, &usageError{}) {
		return err
	}
	return lineError{err}
}

// optional is a flag that may not be given, which is not the same as given empty.
type optional struct {
	to   **string
	what string // what --help calls its value
}

// String implements pflag.Value.
func (o optional) String() string {
	if o.to == nil || *o.to == nil {
		return ""
	}
	return **o.to
}

// Set implements pflag.Value.
func (o optional) Set(s string) error {
	*o.to = &s
	return nil
}

// Type implements pflag.Value.
func (o optional) Type() string { return o.what }

// filled is a flag that is not given empty: a variable of a script that has no value
// is a mistake, and not the same as no flag.
type filled struct{ to *string }

// String implements pflag.Value.
func (f filled) String() string {
	if f.to == nil {
		return ""
	}
	return *f.to
}

// Set implements pflag.Value.
func (f filled) Set(s string) error {
	if s == "" {
		return errors.New("has no value")
	}
	*f.to = s
	return nil
}

// Type implements pflag.Value.
func (f filled) Type() string { return "string" }

// flagError says which flag is wrong, and how, without the library's words.
func flagError(err error) error {
	var unknown *pflag.NotExistError
	var empty *pflag.ValueRequiredError
	var wrong *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		dashes := "--"
		if unknown.GetSpecifiedShortnames() != "" {
			dashes = "-"
		}
		return fmt.Errorf("there is no flag %s%s", dashes, unknown.GetSpecifiedName())
	case errors.As(err, &empty):
		return fmt.Errorf("--%s: has no value", empty.GetFlag().Name)
	case errors.As(err, &wrong) && wrong.GetValue() == "":
		return fmt.Errorf("--%s: has no value", wrong.GetFlag().Name)
	case errors.As(err, &wrong):
		f := wrong.GetFlag()
		return fmt.Errorf("--%s: must be %s, and not %q", f.Name, aValue(f), wrong.GetValue())
	}
	return err
}

// aValue is what a flag takes.
func aValue(f *pflag.Flag) string {
	switch f.Value.Type() {
	case "int":
		return "a whole number"
	case "float64":
		return "a number"
	case "bool":
		return "true or false"
	case "duration":
		return "a time such as 90s or 2h"
	case "time":
		return "a time such as 2026-11-24T04:00:00Z"
	}
	return "a " + f.Value.Type()
}

// helpWidth is how wide --help is, in columns.
const helpWidth = 100

// printHelp writes what --help shows of a command.
func printHelp(c *cobra.Command, _ []string) {
	var b strings.Builder
	about := c.Long
	if about == "" {
		about = strings.TrimSuffix(c.Short, ".") + "."
	}
	fmt.Fprintf(&b, "%s\n\nUsage:\n  %s\n", wrapped(strings.TrimSpace(about)), usageLine(c))
	if c.Example != "" {
		fmt.Fprintf(&b, "\nExamples:\n%s\n", strings.TrimRight(c.Example, "\n"))
	}
	listCommands(&b, c)
	own, shared := c.NonInheritedFlags(), c.InheritedFlags()
	if !c.HasParent() || !c.Parent().HasParent() { // only --help is shared
		own.AddFlagSet(shared)
		shared = &pflag.FlagSet{}
	}
	if own.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nFlags:\n%s", own.FlagUsagesWrapped(helpWidth))
	}
	if shared.HasAvailableFlags() {
		fmt.Fprintf(&b, "\nFlags of every \"%s\":\n%s", c.Parent().CommandPath(), shared.FlagUsagesWrapped(helpWidth))
	}
	if _, err := io.WriteString(c.OutOrStdout(), b.String()); err != nil {
		return // nobody listens
	}
}

// wrapped breaks the lines of a text where they are longer than --help is wide.
func wrapped(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		width := 0
		for word := range strings.SplitSeq(strings.TrimSuffix(line, "\n"), " ") {
			switch {
			case width == 0:
			case width+1+len(word) > helpWidth:
				b.WriteByte('\n')
				width = 0
			default:
				b.WriteByte(' ')
				width++
			}
			b.WriteString(word)
			width += len(word)
		}
		if strings.HasSuffix(line, "\n") {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// usageLine is a command with what it takes.
func usageLine(c *cobra.Command) string {
	if c.HasAvailableSubCommands() {
		return c.CommandPath() + " COMMAND"
	}
	return c.UseLine()
}

// listCommands lists a command's commands, by their groups.
func listCommands(b *strings.Builder, c *cobra.Command) {
	if !c.HasAvailableSubCommands() {
		return
	}
	all := slices.DeleteFunc(slices.Clone(c.Commands()), func(sub *cobra.Command) bool { return !sub.IsAvailableCommand() })
	list := func(title, id string) {
		fmt.Fprintf(b, "\n%s\n", title)
		for _, sub := range all {
			if sub.GroupID == id {
				fmt.Fprintf(b, "  %-*s  %s\n", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
	}
	for _, g := range c.Groups() {
		list(g.Title, g.ID)
	}
	rest := "Commands:"
	if len(c.Groups()) > 0 {
		rest = "Others:"
	}
	list(rest, "")
}
