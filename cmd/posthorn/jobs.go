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
	return r.group("jobs", "List jobs, wait for them, and cancel them",
		"  posthorn jobs list --limit 5", listJobs(r), showJob(r), waitJob(r), cancelJob(r))
}

const jobsPath = "/api/v1/jobs"

var jobFields = []string{"id", "kind", "status", "done", "total", "error"}

func jobPath(id string) string { return jobsPath + "/" + url.PathEscape(id) }

func listJobs(r *remote) *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List the jobs, newest first", Args: none, Example: "  posthorn jobs list --limit 5"}
	limit := limitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
		return r.list(ctx, c, jobsPath, nil, *limit, append(jobFields, "created_at")...)
	})
	return c
}

// onJob is a command on one job.
func onJob(r *remote, name, short string, do does) *cobra.Command {
	return &cobra.Command{
		Use: name + " ID", Short: short, Args: one("ID"), ValidArgsFunction: r.ids(jobsPath, "kind"), RunE: r.runs(do),
		Example: "  posthorn jobs " + name + " job_01M87K26FARC0R50GZBDJ5A1WE",
	}
}

func showJob(r *remote) *cobra.Command {
	return onJob(r, "show", "Show a job", func(ctx context.Context, c *client.Client, args []string) error {
		return r.get(ctx, c, jobPath(args[0]), "id", "kind", "status", "done", "total", "error", "endpoint_id", "event_id", "created_at", "updated_at")
	})
}

func waitJob(r *remote) *cobra.Command {
	return onJob(r, "wait", "Wait until a job is over", func(ctx context.Context, c *client.Client, args []string) error {
		return r.wait(ctx, c, args[0])
	})
}

func cancelJob(r *remote) *cobra.Command {
	return onJob(r, "cancel", "End a job; what it did stays done", func(ctx context.Context, c *client.Client, args []string) error {
		return r.post(ctx, c, jobPath(args[0])+"/cancel", nil, jobFields...)
	})
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
	if !isTerminal(os.Stderr) { // on one, the bar says it
		if err := hint("Waiting until " + answer.Job.ID + " is over."); err != nil {
			return err
		}
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
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted; the job goes on: posthorn jobs wait %s", id)
	}
	if err != nil {
		return err
	}
	if err := r.job(ctx, c, id); err != nil {
		return err
	}
	if n := ended.Total - ended.Done; ended.Kind == "replay" && ended.Status == "done" && ended.Error == "" && n > 0 {
		return hint(fmt.Sprintf("%d of %d were passed over: their endpoint was deleted, or their event is gone.", n, ended.Total))
	}
	if ended.Status != "done" {
		return fmt.Errorf("the job has ended as %s", ended.Status)
	}
	return nil
}
