package main

import (
	"context"
	"net/url"

	"github.com/spf13/cobra"

	"posthorn/internal/client"
)

// endpointsCommand has the commands on endpoints.
func endpointsCommand() *cobra.Command {
	r := &remote{}
	return r.group("endpoints", "List, pause, resume and test endpoints",
		listEndpoints(r), pauseEndpoint(r), resumeEndpoint(r), testEndpoint(r))
}

func endpointPath(id, action string) string {
	return "/api/v1/webhooks/" + url.PathEscape(id) + action
}

func listEndpoints(r *remote) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the endpoints, newest first", Args: none}
	limit := limitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
		return r.list(ctx, c, "/api/v1/webhooks", nil, *limit, "id", "status", "events", "url", "status_reason")
	})
	return c
}

func pauseEndpoint(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "pause ID", Short: "Hold an endpoint's deliveries", Args: one("ID"),
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.post(ctx, c, endpointPath(args[0], "/pause"), nil, "id", "status", "status_reason", "url")
		}),
	}
}

func resumeEndpoint(r *remote) *cobra.Command {
	c := &cobra.Command{Use: "resume ID", Short: "Release what is held at an endpoint, and make it active", Args: one("ID")}
	noWait := noWaitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, args []string) error {
		return r.start(ctx, c, endpointPath(args[0], "/resume"), nil, *noWait)
	})
	return c
}

func testEndpoint(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "test ID", Short: "Send a test event to an endpoint", Args: one("ID"),
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.post(ctx, c, endpointPath(args[0], "/test"), nil, "id", "event_type", "created_at")
		}),
	}
}
