package main

import (
	"context"
	"errors"
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
		"  posthorn deliveries list --event evt_01M87K1Z80JKZK34SJK66W381Y",
		listDeliveries(r), showDelivery(r), retryDelivery(r))
}

const deliveriesPath = "/api/v1/deliveries"

func listDeliveries(r *remote) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the deliveries of an endpoint or of an event, newest first", Args: none,
		Example: "  posthorn deliveries list --endpoint ep_01M87K1Y771YB2C77R73KNNW8P --status dead --since 6h\n" +
			"  posthorn deliveries list --event evt_01M87K1Z80JKZK34SJK66W381Y",
	}
	var endpoint, event, status, eventType, since, until string
	endpointFlag(r, c, &endpoint, "Those of the endpoint with this `ID`; this or --event is required.")
	c.Flags().StringVar(&event, "event", "", "Those of the event with this `ID`.")
	completeFlag(c, "event", r.all(eventsPath, "event_type"))
	c.Flags().StringVar(&status, "status", "", "Those with this `STATUS`: queued, retrying, delivered, dead, held or cancelled.")
	completeFlag(c, "status", cobra.FixedCompletions([]string{"queued", "retrying", "delivered", "dead", "held", "cancelled"}, cobra.ShellCompDirectiveNoFileComp))
	typeFlag(r, c, &eventType)
	c.Flags().StringVar(&since, "since", "", "Whose event was accepted at or after this `TIME`, as 2026-11-24T04:00:00Z, or as 6h for so long ago.")
	c.Flags().StringVar(&until, "until", "", "Whose event was accepted before this `TIME`.")
	limit := limitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
		if endpoint == "" && event == "" {
			return lineError{errors.New("give --endpoint or --event: whose deliveries")}
		}
		query, err := between(given("endpoint_id", endpoint, "event_id", event, "status", status, "event_type", eventType), since, until)
		if err != nil {
			return err
		}
		return r.list(ctx, c, deliveriesPath, query, *limit, "id", "endpoint_id", "status", "waiting_for", "attempts", "event_type", "created_at", "completed_at")
	})
	return c
}

func showDelivery(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show a delivery with its attempts", Args: one("ID"),
		Example: "  posthorn deliveries show dlv_01M87K1Z80JKZK34SJK66W381Y_01M87K1Y771YB2C77R73KNNW8P",
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			var d item
			if err := c.Call(ctx, http.MethodGet, deliveriesPath+"/"+url.PathEscape(args[0]), nil, nil, &d); err != nil {
				return err
			}
			if err := r.showOne(os.Stdout, d, "id", "status", "waiting_for", "event_id", "event_type", "endpoint_id", "attempts", "next_attempt_at", "created_at", "completed_at", "traceparent"); err != nil || r.JSON {
				return err
			}
			return r.showWithin(d, "attempt_log", "number", "at", "duration_ms", "status_code", "error", "response_body")
		}),
	}
}

func retryDelivery(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "retry ID", Short: "Send a delivery again", Args: one("ID"),
		Example: "  posthorn deliveries retry dlv_01M87K1Z80JKZK34SJK66W381Y_01M87K1Y771YB2C77R73KNNW8P",
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.post(ctx, c, deliveriesPath+"/"+url.PathEscape(args[0])+"/retry", nil, "delivery_id")
		}),
	}
}
