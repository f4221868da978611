package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"posthorn/internal/client"
)

// dlqCommand has the commands on dead letters.
func dlqCommand() *cobra.Command {
	r := &remote{}
	return r.group("dlq", "List dead letters, send them again, and keep them in files",
		"  posthorn dlq list --since 6h\n  posthorn dlq replay --all",
		listDeadLetters(r), showDeadLetter(r), deleteDeadLetters(r), replayDeadLetters(r), exportDeadLetters(r), importDeadLetters(r))
}

const dlqPath = "/api/v1/dlq"

func deadLetterPath(id, action string) string { return dlqPath + "/" + url.PathEscape(id) + action }

// deadLetterFilter narrows dead letters down.
type deadLetterFilter struct{ endpoint, eventType, since, until string }

func (f *deadLetterFilter) flags(r *remote, c *cobra.Command) {
	endpointFlag(r, c, &f.endpoint, "Those of the endpoint with this `ID`.")
	typeFlag(r, c, &f.eventType)
	c.Flags().StringVar(&f.since, "since", "", "Dead at or after this `TIME`, as 2026-11-24T04:00:00Z, or as 6h for so long ago.")
	c.Flags().StringVar(&f.until, "until", "", "Dead before this `TIME`.")
}

func (f *deadLetterFilter) given() (url.Values, error) {
	return between(given("endpoint_id", f.endpoint, "event_type", f.eventType), f.since, f.until)
}

func listDeadLetters(r *remote) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the dead letters, newest first", Args: none,
		Example: "  posthorn dlq list --since 6h\n  posthorn dlq list --endpoint ep_01M87K1Y771YB2C77R73KNNW8P --limit 0 --json",
	}
	filter := &deadLetterFilter{}
	filter.flags(r, c)
	limit := limitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
		query, err := filter.given()
		if err != nil {
			return err
		}
		return r.list(ctx, c, dlqPath, query, *limit, "id", "endpoint_id", "event_type", "failure_reason", "attempts", "created_at", "endpoint_url")
	})
	return c
}

func showDeadLetter(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a dead letter with its payload", Args: one("ID"),
		ValidArgsFunction: r.ids(dlqPath, "failure_reason"),
		Example:           "  posthorn dlq show dlq_01M87K2575H9FEVR9DGHQTQG2R",
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.get(ctx, c, deadLetterPath(args[0], ""), "id", "event_type", "failure_reason", "attempts", "endpoint_url",
				"delivery_id", "event_id", "endpoint_id", "created_at", "expires_at", "payload", "raw_body")
		}),
	}
}

func deleteDeadLetters(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID...", Short: "Forget dead letters; their deliveries stay dead", Args: some("ID"),
		ValidArgsFunction: r.all(dlqPath, "failure_reason"),
		Example:           "  posthorn dlq delete dlq_01M87K2575H9FEVR9DGHQTQG2R",
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			for _, id := range args {
				if err := r.remove(ctx, c, deadLetterPath(id, ""), id); err != nil {
					return err
				}
			}
			return nil
		}),
	}
}

func replayDeadLetters(r *remote) *cobra.Command {
	c := &cobra.Command{
		Use: "replay [ID...]", Short: "Send dead letters again, and wait until they are sent", Args: cobra.ArbitraryArgs,
		Long: "Send dead letters again: those with the ids that are given, or those that a filter finds, by a job that is waited for.",
		Example: "  posthorn dlq replay --endpoint ep_01M87K1Y771YB2C77R73KNNW8P --dry-run\n" +
			"  posthorn dlq replay --reason 'HTTP 503: Service Unavailable' --rate 20\n" +
			"  posthorn dlq replay --all\n" +
			"  posthorn dlq replay dlq_01M87K2575H9FEVR9DGHQTQG2R",
		ValidArgsFunction: r.all(dlqPath, "failure_reason"),
	}
	filter := &deadLetterFilter{}
	filter.flags(r, c)
	var reason string
	var all, dryRun bool
	var rate float64
	c.Flags().StringVar(&reason, "reason", "", "Those with this failure reason: `TEXT`, word for word.")
	c.Flags().BoolVar(&all, "all", false, "All of them: without a filter this has to be said.")
	c.Flags().Float64Var(&rate, "rate", 0, "At most `N` a second, 0.1 to 1000.")
	most := c.Flags().Int("limit", 0, "At most `N`, the newest.")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "Say how many they would be, and send nothing.")
	noWait := noWaitFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		query, err := filter.given()
		if err != nil {
			return err
		}
		chosen := map[string]string{}
		for name, values := range query {
			chosen[name] = values[0]
		}
		if reason != "" {
			chosen["failure_reason"] = reason
		}
		if len(args) > 0 {
			if len(chosen) > 0 || all || dryRun || cmd.Flags().Changed("rate") || cmd.Flags().Changed("limit") {
				return lineError{errors.New("give either ids, and nothing else, or a filter or --all")}
			}
			return r.runs(r.replayEach)(cmd, args)
		}
		if (len(chosen) == 0) != all {
			return lineError{errors.New("give either a filter or --all")}
		}
		if cmd.Flags().Changed("limit") && *most < 1 {
			return lineError{fmt.Errorf("--limit: must be 1 or more, and not %d", *most)}
		}
		body := map[string]any{"filter": chosen}
		if cmd.Flags().Changed("rate") {
			body["rate"] = rate
		}
		if cmd.Flags().Changed("limit") {
			body["limit"] = *most
		}
		return r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
			if dryRun {
				body["dry_run"] = true
				return r.post(ctx, c, dlqPath+"/replay", body, "matched")
			}
			return r.start(ctx, c, dlqPath+"/replay", body, *noWait)
		})(cmd, args)
	}
	return c
}

// replayEach sends the dead letters with these ids again. Those before one that
// fails are sent.
func (r *remote) replayEach(ctx context.Context, c *client.Client, ids []string) error {
	var sent []item
	var failed error
	for _, id := range ids {
		var answer item
		if err := c.Call(ctx, http.MethodPost, deadLetterPath(id, "/replay"), nil, nil, &answer); err != nil {
			failed = fmt.Errorf("%s: %w", id, err)
			break
		}
		sent = append(sent, answer)
	}
	if len(sent) == 0 {
		return failed
	}
	return errors.Join(r.show(os.Stdout, sent, "delivery_id"), failed)
}
