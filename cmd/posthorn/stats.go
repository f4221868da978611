package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"posthorn/internal/client"
)

// statsCommand shows the figures.
func statsCommand() *cobra.Command {
	r := &remote{}
	c := &cobra.Command{Use: "stats", Short: "Show the figures", Args: none, Example: "  posthorn stats\n  posthorn stats --json | jq .dlq.entries", RunE: r.runs(r.stats)}
	r.flags(c.Flags())
	return c
}

func (r *remote) stats(ctx context.Context, c *client.Client, _ []string) error {
	var s item
	if err := c.Call(ctx, http.MethodGet, "/api/v1/stats", nil, nil, &s); err != nil {
		return err
	}
	flat := item{raw: s.raw, fields: map[string]json.RawMessage{"events_total": s.fields["events_total"], "lag_seconds": s.fields["lag_seconds"]}}
	fields := []string{"events_total", "lag_seconds"}
	for _, of := range [][]string{{"queue", "ready", "in_flight", "delayed"}, {"dlq", "waiting", "entries"}, {"endpoints", "active", "paused", "disabled"}, {"deliveries", "delivered", "failed", "held", "cancelled"}, {"attempts", "succeeded", "failed"}} {
		var counts map[string]json.RawMessage
		if err := json.Unmarshal(s.fields[of[0]], &counts); err != nil {
			return fmt.Errorf("%s: %w", r.URL, client.ErrNotPosthorn)
		}
		for _, name := range of[1:] {
			flat.fields[of[0]+" "+name] = counts[name]
			fields = append(fields, of[0]+" "+name)
		}
	}
	return r.showOne(os.Stdout, flat, fields...)
}
