package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"posthorn/internal/client"
)

// deliveriesCommand has the commands on deliveries.
func deliveriesCommand() *cobra.Command {
	r := &remote{}
	return r.group("deliveries", "List deliveries, look at their attempts, and send them again",
		listDeliveries(r), showDelivery(r), retryDelivery(r))
}

func listDeliveries(r *remote) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the deliveries of an endpoint or of an event, newest first", Args: none}
	var endpoint, event, status string
	c.Flags().StringVar(&endpoint, "endpoint", "", "Those of the endpoint with this `ID`; this or --event is required.")
	c.Flags().StringVar(&event, "event", "", "Those of the event with this `ID`.")
	c.Flags().StringVar(&status, "status", "", "Those with this `STATUS`: queued, retrying, delivered, dead, held or cancelled.")
	limit := limitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
		return r.list(ctx, c, "/api/v1/deliveries", given("endpoint_id", endpoint, "event_id", event, "status", status), *limit,
			"id", "status", "waiting_for", "attempts", "event_type", "created_at", "completed_at")
	})
	return c
}

func showDelivery(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a delivery with its attempts", Args: one("ID"),
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			var d item
			if err := c.Call(ctx, http.MethodGet, "/api/v1/deliveries/"+url.PathEscape(args[0]), nil, nil, &d); err != nil {
				return err
			}
			if err := r.showOne(os.Stdout, d, "id", "status", "waiting_for", "event_id", "event_type", "endpoint_id", "attempts", "next_attempt_at", "created_at", "completed_at", "traceparent"); err != nil || r.JSON {
				return err
			}
			var attempts []item
			if err := json.Unmarshal(d.fields["attempt_log"], &attempts); err != nil || len(attempts) == 0 {
				return err
			}
			if _, err := fmt.Println(); err != nil {
				return err
			}
			return r.show(os.Stdout, attempts, "number", "at", "duration_ms", "status_code", "error", "response_body")
		}),
	}
}

func retryDelivery(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "retry ID", Short: "Send a delivery again", Args: one("ID"),
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.post(ctx, c, "/api/v1/deliveries/"+url.PathEscape(args[0])+"/retry", nil, "delivery_id")
		}),
	}
}
