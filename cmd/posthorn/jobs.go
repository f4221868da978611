package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"posthorn/internal/client"
)

// jobsCommand has the commands on jobs.
func jobsCommand() *cobra.Command {
	r := &remote{}
	return r.group("jobs", "List jobs, and wait for them", listJobs(r), waitJob(r))
}

var jobFields = []string{"id", "kind", "status", "done", "total", "error"}

func jobPath(id string) string { return "/api/v1/jobs/" + url.PathEscape(id) }

func listJobs(r *remote) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the jobs, newest first", Args: none}
	limit := limitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
		return r.list(ctx, c, "/api/v1/jobs", nil, *limit, append(jobFields, "created_at")...)
	})
	return c
}

func waitJob(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "wait ID", Short: "Wait until a job is over", Args: one("ID"),
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error { return r.wait(ctx, c, args[0]) }),
	}
}

func noWaitFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("no-wait", false, "Print the job, and do not wait until it is over.")
}

// start starts a job, and waits until it is over.
func (r *remote) start(ctx context.Context, c *client.Client, path string, body any, noWait bool) error {
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
}

func (r *remote) job(ctx context.Context, c *client.Client, id string) error {
	return r.get(ctx, c, jobPath(id), jobFields...)
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
