package main

import (
	"context"

	"github.com/spf13/cobra"

	"posthorn/internal/client"
)

// eventsCommand has the commands on events.
func eventsCommand() *cobra.Command {
	r := &remote{}
	return r.group("events", "List events", listEvents(r))
}

func listEvents(r *remote) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the events, newest first", Args: none}
	var eventType, since, until string
	c.Flags().StringVar(&eventType, "type", "", "Those of this event `TYPE`.")
	c.Flags().StringVar(&since, "since", "", "Accepted at or after this `TIME`, as 2026-11-24T04:00:00Z.")
	c.Flags().StringVar(&until, "until", "", "Accepted before this `TIME`.")
	limit := limitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
		return r.list(ctx, c, "/api/v1/events", given("event_type", eventType, "since", since, "until", until), *limit,
			"id", "event_type", "created_at", "deliveries_total")
	})
	return c
}
