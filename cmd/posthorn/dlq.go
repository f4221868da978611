package main

import (
	"context"
	"errors"
	"net/url"

	"github.com/spf13/cobra"

	"posthorn/internal/client"
)

// dlqCommand has the commands on dead letters.
func dlqCommand() *cobra.Command {
	r := &remote{}
	return r.group("dlq", "List dead letters, and send them again", listDeadLetters(r), replayDeadLetters(r))
}

// deadLetterFilter narrows dead letters down.
type deadLetterFilter struct{ endpoint, eventType, since, until string }

func (f *deadLetterFilter) flags(c *cobra.Command) {
	c.Flags().StringVar(&f.endpoint, "endpoint", "", "Those of the endpoint with this `ID`.")
	c.Flags().StringVar(&f.eventType, "type", "", "Those of this event `TYPE`.")
	c.Flags().StringVar(&f.since, "since", "", "Dead at or after this `TIME`, as 2026-11-24T04:00:00Z.")
	c.Flags().StringVar(&f.until, "until", "", "Dead before this `TIME`.")
}

func (f *deadLetterFilter) given() url.Values {
	return given("endpoint_id", f.endpoint, "event_type", f.eventType, "since", f.since, "until", f.until)
}

func listDeadLetters(r *remote) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the dead letters, newest first", Args: none}
	filter := &deadLetterFilter{}
	filter.flags(c)
	limit := limitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
		return r.list(ctx, c, "/api/v1/dlq", filter.given(), *limit, "id", "event_type", "endpoint_url", "failure_reason", "attempts", "created_at")
	})
	return c
}

func replayDeadLetters(r *remote) *cobra.Command {
	c := &cobra.Command{Use: "replay", Short: "Send dead letters again, and wait until that is done", Args: none}
	filter := &deadLetterFilter{}
	filter.flags(c)
	var reason string
	var all, dryRun bool
	var rate float64
	c.Flags().StringVar(&reason, "reason", "", "Those with this failure reason: `TEXT`, word for word.")
	c.Flags().BoolVar(&all, "all", false, "All of them: without a filter this has to be said.")
	c.Flags().Float64Var(&rate, "rate", 0, "At most `N` a second.")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "Say how many they would be, and send nothing.")
	noWait := noWaitFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		chosen := map[string]string{}
		for name, values := range filter.given() {
			chosen[name] = values[0]
		}
		if reason != "" {
			chosen["failure_reason"] = reason
		}
		if (len(chosen) == 0) != all {
			return lineError{errors.New("give either a filter or --all")}
		}
		body := map[string]any{"filter": chosen}
		if rate != 0 {
			body["rate"] = rate
		}
		return r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
			if dryRun {
				body["dry_run"] = true
				return r.post(ctx, c, "/api/v1/dlq/replay", body, "matched")
			}
			return r.start(ctx, c, "/api/v1/dlq/replay", body, *noWait)
		})(cmd, args)
	}
	return c
}
