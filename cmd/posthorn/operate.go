package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"posthorn/internal/client"
)

// The commands below call the API of a Posthorn, wherever it runs.

// endpoints are the commands on endpoints.
type endpoints struct {
	List   *listEndpoints  `arg:"subcommand:list" help:"List the endpoints, newest first."`
	Pause  *pauseEndpoint  `arg:"subcommand:pause" help:"Hold an endpoint's deliveries."`
	Resume *resumeEndpoint `arg:"subcommand:resume" help:"Release what is held at an endpoint, and make it active."`
	Test   *testEndpoint   `arg:"subcommand:test" help:"Send a test event to an endpoint."`
}

// page is how much of a list is shown.
type page struct {
	Limit int `arg:"--limit" default:"50" help:"At most so many; 0: all." placeholder:"N"`
}

// eventCommands are the commands on events.
type eventCommands struct {
	List *listEvents `arg:"subcommand:list" help:"List the events, newest first."`
}

// deliveries are the commands on deliveries.
type deliveries struct {
	List  *listDeliveries `arg:"subcommand:list" help:"List the deliveries of an endpoint or of an event, newest first."`
	Show  *showDelivery   `arg:"subcommand:show" help:"Show a delivery with its attempts."`
	Retry *retryDelivery  `arg:"subcommand:retry" help:"Send a delivery again."`
}

// jobs are the commands on jobs.
type jobs struct {
	List *listJobs `arg:"subcommand:list" help:"List the jobs, newest first."`
	Wait *waitJob  `arg:"subcommand:wait" help:"Wait until a job is over."`
}

type listEndpoints struct {
	remote
	page
}

// Run implements the command.
func (c *listEndpoints) Run() error {
	return c.list("/api/v1/webhooks", nil, c.Limit, "id", "status", "events", "url", "status_reason")
}

// list prints a list of the API.
func (r *remote) list(path string, query url.Values, most int, fields ...string) error {
	return r.call(func(ctx context.Context, c *client.Client) error {
		all, err := client.List[item](ctx, c, path, query, most)
		if err != nil {
			return err
		}
		return r.show(os.Stdout, all, fields...)
	})
}

type oneEndpoint struct {
	remote
	ID string `arg:"positional,required" help:"The endpoint's id."`
}

func (c *oneEndpoint) path(action string) string {
	return "/api/v1/webhooks/" + url.PathEscape(c.ID) + action
}

type pauseEndpoint struct{ oneEndpoint }

// Run implements the command.
func (c *pauseEndpoint) Run() error {
	return c.post(c.path("/pause"), nil, "id", "status", "status_reason", "url")
}

// post makes a call, and prints the answer.
func (r *remote) post(path string, body any, fields ...string) error {
	return r.call(func(ctx context.Context, c *client.Client) error {
		var answer item
		if err := c.Call(ctx, http.MethodPost, path, nil, body, &answer); err != nil {
			return err
		}
		return r.showOne(os.Stdout, answer, fields...)
	})
}

type testEndpoint struct{ oneEndpoint }

// Run implements the command.
func (c *testEndpoint) Run() error {
	return c.post(c.path("/test"), nil, "id", "event_type", "created_at")
}

type resumeEndpoint struct {
	oneEndpoint
	NoWait bool `arg:"--no-wait" help:"Print the job, and do not wait until it is over."`
}

// Run implements the command.
func (c *resumeEndpoint) Run() error { return c.start(c.path("/resume"), nil, c.NoWait) }

// start starts a job, and waits until it is over.
func (r *remote) start(path string, body any, noWait bool) error {
	return r.call(func(ctx context.Context, c *client.Client) error {
		var answer struct {
			Job client.Job `json:"job"`
		}
		if err := c.Call(ctx, http.MethodPost, path, nil, body, &answer); err != nil {
			return err
		}
		if noWait {
			return r.job(ctx, c, answer.Job.ID)
		}
		return r.wait(ctx, c, answer.Job.ID)
	})
}

var jobFields = []string{"id", "kind", "status", "done", "total", "error"}

func (r *remote) job(ctx context.Context, c *client.Client, id string) error {
	var shown item
	if err := c.Call(ctx, http.MethodGet, "/api/v1/jobs/"+url.PathEscape(id), nil, nil, &shown); err != nil {
		return err
	}
	return r.showOne(os.Stdout, shown, jobFields...)
}

// jobEvery is how often a job is looked at.
const jobEvery = 500 * time.Millisecond

// wait tells how far a job has come until it is over, and prints it.
func (r *remote) wait(ctx context.Context, c *client.Client, id string) error {
	bar := newJobBar(os.Stderr, isTerminal(os.Stderr))
	ended, err := c.Wait(ctx, id, jobEvery, bar.show)
	bar.end()
	if err != nil {
		return err
	}
	if err := r.job(ctx, c, id); err != nil {
		return err
	}
	if ended.Status != "done" {
		return fmt.Errorf("the job has ended as %s", ended.Status)
	}
	return nil
}

type listEvents struct {
	remote
	page
	Type  string `arg:"--type" help:"Those of this event type." placeholder:"TYPE"`
	Since string `arg:"--since" help:"Accepted at or after this time, as 2026-11-24T04:00:00Z." placeholder:"TIME"`
	Until string `arg:"--until" help:"Accepted before this time." placeholder:"TIME"`
}

// Run implements the command.
func (c *listEvents) Run() error {
	return c.list("/api/v1/events", given("event_type", c.Type, "since", c.Since, "until", c.Until), c.Limit, "id", "event_type", "created_at", "deliveries_total")
}

// given are the parameters that have a value, of pairs of name and value.
func given(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

type listDeliveries struct {
	remote
	page
	Endpoint string `arg:"--endpoint" help:"Those of this endpoint; this or --event is required." placeholder:"ID"`
	Event    string `arg:"--event" help:"Those of this event." placeholder:"ID"`
	Status   string `arg:"--status" help:"Those that are queued, retrying, delivered, dead, held or cancelled." placeholder:"STATUS"`
}

// Run implements the command.
func (c *listDeliveries) Run() error {
	return c.list("/api/v1/deliveries", given("endpoint_id", c.Endpoint, "event_id", c.Event, "status", c.Status), c.Limit,
		"id", "status", "waiting_for", "attempts", "event_type", "created_at", "completed_at")
}

type oneDelivery struct {
	remote
	ID string `arg:"positional,required" help:"The delivery's id."`
}

type showDelivery struct{ oneDelivery }

// Run implements the command.
func (c *showDelivery) Run() error {
	return c.call(func(ctx context.Context, api *client.Client) error {
		var d item
		if err := api.Call(ctx, http.MethodGet, "/api/v1/deliveries/"+url.PathEscape(c.ID), nil, nil, &d); err != nil {
			return err
		}
		if err := c.showOne(os.Stdout, d, "id", "status", "waiting_for", "event_id", "event_type", "endpoint_id", "attempts", "next_attempt_at", "created_at", "completed_at", "traceparent"); err != nil || c.JSON {
			return err
		}
		logged, ok := d["attempt_log"].([]any)
		if !ok || len(logged) == 0 {
			return nil
		}
		var attempts []item
		for _, a := range logged {
			if a, ok := a.(map[string]any); ok {
				attempts = append(attempts, a)
			}
		}
		fmt.Println()
		return c.show(os.Stdout, attempts, "number", "at", "duration_ms", "status_code", "error", "response_body")
	})
}

type retryDelivery struct{ oneDelivery }

// Run implements the command.
func (c *retryDelivery) Run() error {
	return c.post("/api/v1/deliveries/"+url.PathEscape(c.ID)+"/retry", nil, "delivery_id")
}

type listJobs struct {
	remote
	page
}

// Run implements the command.
func (c *listJobs) Run() error {
	return c.list("/api/v1/jobs", nil, c.Limit, append(jobFields, "created_at")...)
}

type waitJob struct {
	remote
	ID string `arg:"positional,required" help:"The job's id."`
}

// Run implements the command.
func (c *waitJob) Run() error {
	return c.call(func(ctx context.Context, api *client.Client) error { return c.wait(ctx, api, c.ID) })
}

// stats prints what is counted.
type stats struct{ remote }

// Run implements the command.
func (c *stats) Run() error {
	return c.call(func(ctx context.Context, api *client.Client) error {
		var s item
		if err := api.Call(ctx, http.MethodGet, "/api/v1/stats", nil, nil, &s); err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(os.Stdout, s)
		}
		flat := item{"events_total": s["events_total"], "lag_seconds": s["lag_seconds"]}
		fields := []string{"events_total", "lag_seconds"}
		for _, of := range [][]string{{"queue", "ready", "in_flight", "delayed"}, {"dlq", "waiting", "entries"}, {"endpoints", "active", "paused", "disabled"}, {"deliveries", "delivered", "failed", "held", "cancelled"}, {"attempts", "succeeded", "failed"}} {
			counts, ok := s[of[0]].(map[string]any)
			if !ok {
				return fmt.Errorf("%s: %w", c.URL, client.ErrNotPosthorn)
			}
			for _, name := range of[1:] {
				flat[of[0]+" "+name] = counts[name]
				fields = append(fields, of[0]+" "+name)
			}
		}
		return c.showOne(os.Stdout, flat, fields...)
	})
}

// dlq are the commands on dead letters.
type dlq struct {
	List   *listDeadLetters   `arg:"subcommand:list" help:"List the dead letters, newest first."`
	Replay *replayDeadLetters `arg:"subcommand:replay" help:"Send dead letters again, and wait until that is done."`
}

// deadLetterFilter narrows dead letters down.
type deadLetterFilter struct {
	Endpoint string `arg:"--endpoint" help:"Those of this endpoint." placeholder:"ID"`
	Type     string `arg:"--type" help:"Those of this event type." placeholder:"TYPE"`
	Since    string `arg:"--since" help:"Dead at or after this time, as 2026-11-24T04:00:00Z." placeholder:"TIME"`
	Until    string `arg:"--until" help:"Dead before this time." placeholder:"TIME"`
}

func (f deadLetterFilter) given() url.Values {
	return given("endpoint_id", f.Endpoint, "event_type", f.Type, "since", f.Since, "until", f.Until)
}

type listDeadLetters struct {
	remote
	page
	deadLetterFilter
}

// Run implements the command.
func (c *listDeadLetters) Run() error {
	return c.list("/api/v1/dlq", c.given(), c.Limit, "id", "event_type", "endpoint_url", "failure_reason", "attempts", "created_at")
}

type replayDeadLetters struct {
	remote
	deadLetterFilter
	Reason string  `arg:"--reason" help:"Those with this failure reason, word for word." placeholder:"TEXT"`
	All    bool    `arg:"--all" help:"All of them: without a filter this has to be said."`
	Rate   float64 `arg:"--rate" help:"So many a second at most." placeholder:"N"`
	DryRun bool    `arg:"--dry-run" help:"Say how many they would be, and send nothing."`
	NoWait bool    `arg:"--no-wait" help:"Print the job, and do not wait until it is over."`
}

// Validate checks the command line.
func (c *replayDeadLetters) Validate() error {
	if len(c.filter()) == 0 != c.All {
		return fmt.Errorf("give either a filter or --all")
	}
	return c.remote.Validate()
}

func (c *replayDeadLetters) filter() map[string]string {
	filter := map[string]string{}
	for name, values := range c.given() {
		filter[name] = values[0]
	}
	if c.Reason != "" {
		filter["failure_reason"] = c.Reason
	}
	return filter
}

// Run implements the command.
func (c *replayDeadLetters) Run() error {
	body := map[string]any{"filter": c.filter()}
	if c.Rate != 0 {
		body["rate"] = c.Rate
	}
	if c.DryRun {
		body["dry_run"] = true
		return c.post("/api/v1/dlq/replay", body, "matched")
	}
	return c.start("/api/v1/dlq/replay", body, c.NoWait)
}
