package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"posthorn/internal/config"
	"posthorn/internal/hook"
	reconciling "posthorn/internal/reconcile"
	"posthorn/internal/wire"
)

// reconcile finds what the queue has lost, and sends it again.
type reconcile struct {
	place
	Queue        *string
	Tenant       string
	OlderThan    time.Duration
	Since, Until time.Time
	DryRun       bool
	JSON         bool
}

func reconcileCommand() *cobra.Command {
	r := &reconcile{}
	c := &cobra.Command{
		Use: "reconcile", Short: "Find deliveries and jobs that the queue has lost, and send them again", Args: none,
		Example: "  posthorn reconcile --dry-run --table NAME --queue URL\n  posthorn reconcile --local --since 2026-11-24T04:00:00Z",
		RunE:    checked(r.Validate, r.Run),
	}
	r.flags(c.Flags())
	f := c.Flags()
	f.Var(optional{&r.Queue, "URL"}, "queue", "SQS queue of deliveries; of a stack, its output QueueUrl. Variable: POSTHORN_QUEUE_URL (posthorn-deliveries).")
	f.StringVar(&r.Tenant, "tenant", "", "What is of this `TENANT`. Without it: what is of the tenant \"default\", and of all that have API keys.")
	f.DurationVar(&r.OlderThan, "older-than", time.Hour, "For how much `TIME` nothing has happened to what counts as lost, at least 30m.")
	f.TimeVar(&r.Since, "since", time.Time{}, []string{time.RFC3339}, "What was accepted at or after this `TIME`, as 2026-11-24T04:00:00Z. Without it: all that is kept.")
	f.TimeVar(&r.Until, "until", time.Time{}, []string{time.RFC3339}, "What was accepted before this `TIME`.")
	f.BoolVar(&r.DryRun, "dry-run", false, "Count what would be sent, and send nothing.")
	f.BoolVar(&r.JSON, "json", false, "Print the counts as one JSON object.")
	return c
}

// Validate checks the command line.
func (c *reconcile) Validate() error {
	switch {
	case c.Tenant != "" && !hook.ValidTenant(c.Tenant):
		return errTenant
	case c.OlderThan < reconciling.MinOlderThan:
		return fmt.Errorf("--older-than: must be at least %s: what is younger may be waiting", reconciling.MinOlderThan)
	case !c.Until.IsZero() && !c.Since.Before(c.Until):
		return errors.New("--until: must be after --since")
	}
	return c.place.Validate()
}

// Run implements the command.
func (c *reconcile) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return c.at(ctx, []flag{{"--queue", "POSTHORN_QUEUE_URL", c.Queue}}, func(ctx context.Context, cfg *config.Config, on wire.Services) error {
		progress := newProgress(os.Stderr, isTerminal(os.Stderr), time.Now)
		log := slog.New(slog.NewTextHandler(progress, &slog.HandlerOptions{Level: slog.LevelWarn}))
		result, err := wire.Reconciler(cfg, on, time.Now, log).Run(ctx, reconciling.Options{
			Tenant: c.Tenant, Since: c.Since, Until: c.Until, OlderThan: c.OlderThan, DryRun: c.DryRun, Progress: progress.show,
		})
		progress.end()
		return c.report(os.Stdout, result, err)
	})
}

// crowded is how many ready messages say that the queue is behind.
const crowded = 1000

// report prints what a run did, also of one that failed once it had begun.
func (c *reconcile) report(out io.Writer, r reconciling.Result, err error) error {
	if err != nil && r.Tenants+r.Events+r.Jobs+r.Recorded == 0 {
		return err
	}
	printed := c.print(out, r)
	switch {
	case errors.Is(err, context.Canceled):
		return errors.New("stopped before the end: run it again to go over all")
	case err != nil:
		return err
	case r.Failed > 0:
		return fmt.Errorf("%d could not be sent again: run it again", r.Failed)
	case printed != nil:
		return fmt.Errorf("print the counts: %w", printed)
	case r.Ready >= crowded && r.Total() > 0:
		return hint(fmt.Sprintf("About %d messages were ready in the queue: it is behind, and some of what counts as lost may be among them. That does no harm.", r.Ready))
	}
	return nil
}

func (c *reconcile) print(out io.Writer, r reconciling.Result) error {
	if c.JSON {
		return c.printJSON(out, r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Looked at %d events with %d deliveries, %d deliveries on record that wait or are dead, and %d running jobs.\n", r.Events, r.Deliveries, r.Recorded, r.Jobs)
	sent := "Sent again"
	if c.DryRun {
		sent = "To be sent again"
	}
	fmt.Fprintf(&b, "%s: %d\n", sent, r.Total())
	for _, reason := range reconciling.Reasons() {
		if n := r.SentAgain[reason]; n > 0 {
			fmt.Fprintf(&b, "%8d  %s\n", n, explain(reason))
		}
	}
	if r.Waiting > 0 {
		fmt.Fprintf(&b, "Left alone, since they may be waiting for a breaker or a rate limit: %d\n", r.Waiting)
	}
	if r.Failed > 0 {
		fmt.Fprintf(&b, "Not sent again, since that failed: %d\n", r.Failed)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// explain is a reason for people.
func explain(reason reconciling.Reason) string {
	switch reason {
	case reconciling.Unrecorded:
		return "nothing was recorded since the event was accepted"
	case reconciling.Requeued:
		return "nothing was recorded since it was sent again"
	case reconciling.Overdue:
		return "an attempt was due and was not made"
	case reconciling.Unreleased:
		return "held although the endpoint is active"
	case reconciling.Uncancelled:
		return "held although the endpoint was deleted"
	case reconciling.Unburied:
		return "dead without a dead letter"
	case reconciling.Stopped:
		return "jobs that made no step"
	}
	return string(reason)
}

func (c *reconcile) printJSON(out io.Writer, r reconciling.Result) error {
	reasons := make(map[reconciling.Reason]int, len(reconciling.Reasons()))
	for _, reason := range reconciling.Reasons() {
		reasons[reason] = r.SentAgain[reason]
	}
	enc := json.NewEncoder(out)
	return enc.Encode(struct {
		DryRun     bool                       `json:"dry_run"`
		Ready      int                        `json:"ready"`
		Tenants    int                        `json:"tenants"`
		Events     int                        `json:"events"`
		Deliveries int                        `json:"deliveries"`
		Recorded   int                        `json:"recorded"`
		Jobs       int                        `json:"jobs"`
		SentAgain  int                        `json:"sent_again"`
		Reasons    map[reconciling.Reason]int `json:"reasons"`
		Waiting    int                        `json:"waiting"`
		Failed     int                        `json:"failed"`
	}{c.DryRun, r.Ready, r.Tenants, r.Events, r.Deliveries, r.Recorded, r.Jobs, r.Total(), reasons, r.Waiting, r.Failed})
}
