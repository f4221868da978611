package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"posthorn/internal/backup"
	"posthorn/internal/client"
)

// The commands that keep dead letters in files.

func exportDeadLetters(r *remote) *cobra.Command {
	c := &cobra.Command{
		Use: "export [FILE]", Short: "Write dead letters to a file, or to standard output", Args: atMostOne,
		Long: "Write dead letters with their payloads, newest first, one a line as JSON, to a file or to standard output. An export to a file that is interrupted goes on " +
			"where it stopped when it is run again.",
		Example:           "  posthorn dlq export dead-letters.jsonl\n  posthorn dlq export --since 24h | gzip >dead-letters.jsonl.gz",
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
	}
	filter := &deadLetterFilter{}
	filter.flags(r, c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, args []string) error {
		asked, err := filter.given()
		if err != nil {
			return err
		}
		bar := newJobBar(os.Stderr, isTerminal(os.Stderr))
		defer bar.end()
		total := 0
		if len(asked) == 0 {
			total = countDeadLetters(ctx, c)
		}
		e := &backup.Export{API: c, Asked: asked, Filter: filter.written(), Told: func(lines int) {
			bar.show(client.Job{Kind: "dead letters", Done: lines, Total: max(total, lines)})
		}}
		if len(args) == 0 || args[0] == "-" {
			lines, err := e.To(ctx, os.Stdout)
			bar.end()
			if err != nil {
				return stopped(ctx, err, fmt.Sprintf("interrupted after %d dead letters", lines))
			}
			return hint(fmt.Sprintf("%d dead letters.", lines))
		}
		lines, err := e.ToFile(ctx, args[0])
		bar.end()
		switch {
		case errors.Is(err, backup.ErrExists):
			return usageError{err}
		case err != nil:
			return stopped(ctx, err, fmt.Sprintf("interrupted after %d dead letters: run it again, and it goes on from there", lines))
		}
		return hint(fmt.Sprintf("%d dead letters are in %s.", lines, args[0]))
	})
	return c
}

// stopped is an error, or what is said of an interruption.
func stopped(ctx context.Context, err error, interrupted string) error {
	if ctx.Err() != nil {
		return errors.New(interrupted)
	}
	return err
}

// countDeadLetters is about how many there are, 0 where that is not known: for a bar.
func countDeadLetters(ctx context.Context, c *client.Client) int {
	var s struct {
		DLQ struct {
			Entries int `json:"entries"`
		} `json:"dlq"`
	}
	if c.Call(ctx, http.MethodGet, "/api/v1/stats", nil, nil, &s) != nil {
		return 0
	}
	return s.DLQ.Entries
}

// written is the filter as it was written.
func (f *deadLetterFilter) written() url.Values {
	return given("endpoint", f.endpoint, "type", f.eventType, "since", f.since, "until", f.until)
}

func importDeadLetters(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "import FILE", Short: "Send the dead letters of a file again, as events", Args: one("FILE"),
		Long: "Send the events of the dead letters in a file again, to the Posthorn they came from or to another one: to all endpoints that match them there. The dead letters " +
			"of one event are one event, and so is a repeat within 24 hours. An import that is interrupted goes on where it stopped when it is run again; FILE.imported says " +
			"where that is, and, while it is kept, that it is done. For a Posthorn that still has the dead letters, replay sends each to its own endpoint.",
		Example:           "  posthorn dlq import dead-letters.jsonl --profile staging\n  posthorn dlq import - <dead-letters.jsonl",
		ValidArgsFunction: cobra.FixedCompletions(nil, cobra.ShellCompDirectiveDefault),
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			bar := newJobBar(os.Stderr, isTerminal(os.Stderr))
			defer bar.end()
			i := &backup.Import{API: c, Told: func(lines, of int) {
				bar.show(client.Job{Kind: "dead letters", Done: lines, Total: of})
			}}
			var result backup.Result
			var err error
			if args[0] == "-" {
				result, err = i.From(ctx, os.Stdin, "standard input")
			} else {
				result, err = i.FromFile(ctx, args[0])
			}
			bar.end()
			if wrong := (*backup.LineError)(nil); errors.As(err, &wrong) {
				err = usageError{err}
				if result.Sent > 0 {
					err = usageError{fmt.Errorf("%w; the %d dead letters before it are sent", err, result.Sent)}
				}
			}
			if err != nil {
				return stopped(ctx, err, fmt.Sprintf("interrupted after %d dead letters: run it again, and it goes on from there", result.Sent))
			}
			return r.imported(result)
		}),
	}
}

func (r *remote) imported(result backup.Result) error {
	if r.JSON {
		return writeJSON(os.Stdout, result)
	}
	said := fmt.Sprintf("%d dead letters are sent again.", result.Sent-result.Before)
	if result.Before > 0 {
		said += fmt.Sprintf(" %d were before.", result.Before)
	}
	if n := result.PassedOver[backup.OwnEvent]; n > 0 {
		said += fmt.Sprintf(" %d of Posthorn's own events are passed over.", n)
	}
	if n := result.PassedOver[backup.NoEvent]; n > 0 {
		said += fmt.Sprintf(" %d that have no event are passed over.", n)
	}
	return hint(said)
}
