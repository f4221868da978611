package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"posthorn/internal/awssqs"
	"posthorn/internal/config"
	"posthorn/internal/dynamo"
	serving "posthorn/internal/serve"
	"posthorn/internal/wire"
)

// serve runs the API and the workers on an account's services. A flag wins over
// its variable.
type serve struct {
	Host, Port, Table, Queue, DeadLetterQueue, KMSKey, Workers, Drain *string

	Provision bool
}

func serveCommand() *cobra.Command {
	s := &serve{}
	c := &cobra.Command{
		Use: "serve", Short: "Run the API and the workers on the services of an account or an emulator", Args: none,
		Long:    "Run the API and the workers as a long-running process on the SQS and DynamoDB of an account or an emulator; any number of them share the work.",
		Example: "  posthorn serve --table NAME --queue URL --dead-letter-queue URL --kms-key ID",
		RunE:    func(*cobra.Command, []string) error { return s.Run() },
	}
	f := c.Flags()
	f.Var(optional{&s.Host, "ADDR"}, "host", "Address of the API. Variable: HOST (127.0.0.1).")
	f.Var(optional{&s.Port, "PORT"}, "port", "Port of the API; 0: any free one. Variable: PORT (8000).")
	f.Var(optional{&s.Table, "NAME"}, "table", "DynamoDB table; of a stack, its output TableName. Variable: POSTHORN_TABLE.")
	f.Var(optional{&s.Queue, "URL"}, "queue", "SQS queue of deliveries; of a stack, its output QueueUrl. Variable: POSTHORN_QUEUE_URL.")
	f.Var(optional{&s.DeadLetterQueue, "URL"}, "dead-letter-queue", "Its dead-letter queue; of a stack, its output DeadLetterQueueUrl. Variable: POSTHORN_DLQ_URL.")
	f.Var(optional{&s.KMSKey, "ID"}, "kms-key", "KMS key that seals secrets; or set POSTHORN_SEAL_KEY. Variable: POSTHORN_KMS_KEY_ID.")
	f.Var(optional{&s.Workers, "N"}, "workers", "Posts under way at once. Variable: WEBHOOK_WORKER_COUNT (64).")
	f.Var(optional{&s.Drain, "SECONDS"}, "drain", "Seconds that requests and posts under way may take to finish after SIGTERM. Variable: POSTHORN_DRAIN_TIMEOUT (30).")
	f.BoolVar(&s.Provision, "provision", false, "Make the table and the queues where they are not there: for an emulator. An account's are the template's.")
	return c
}

// reachTime bounds how long a start asks its services whether they are there.
const reachTime = 10 * time.Second

// Run implements the command.
func (c *serve) Run() error {
	ctx, release := untilSignal(context.Background())
	defer release()
	cfg, account, err := c.configuration(ctx)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: cfg.LogLevel}))
	if c.Provision {
		if err := wire.Provision(ctx, cfg, account); err != nil {
			return wire.Explain(err)
		}
	}
	return runServe(ctx, cfg, account, log)
}

// configuration is what the command is told, and the account's services. Its
// error names everything that is missing or wrong at once.
func (c *serve) configuration(ctx context.Context) (*config.Config, wire.Services, error) {
	src := withFlags(config.Environment(), []flag{
		{"--host", "HOST", c.Host},
		{"--port", "PORT", c.Port},
		{"--table", "POSTHORN_TABLE", c.Table},
		{"--queue", "POSTHORN_QUEUE_URL", c.Queue},
		{"--dead-letter-queue", "POSTHORN_DLQ_URL", c.DeadLetterQueue},
		{"--kms-key", "POSTHORN_KMS_KEY_ID", c.KMSKey},
		{"--workers", "WEBHOOK_WORKER_COUNT", c.Workers},
		{"--drain", "POSTHORN_DRAIN_TIMEOUT", c.Drain},
	})
	cfg, err := config.Load(config.Serve, src)
	account, err := reached(ctx, err)
	if err != nil {
		return nil, wire.Services{}, usageError{fmt.Errorf("%w. posthorn doctor checks what is deployed", err)}
	}
	if c.Provision && (config.IsURL(cfg.Queue.Main) || config.IsURL(cfg.Queue.DeadLetters)) {
		return nil, wire.Services{}, usageError{errors.New("--provision: makes queues by their names: set POSTHORN_QUEUE_URL and POSTHORN_DLQ_URL to names")}
	}
	return cfg, wire.LongRunning(account), nil
}

// runServe serves until ctx ends.
func runServe(ctx context.Context, cfg *config.Config, account wire.Services, log *slog.Logger) error {
	app, err := wire.New(cfg, account, log)
	if err != nil {
		return err
	}
	if err := reach(ctx, cfg, account, app, log); err != nil {
		return err
	}
	listener, err := listen(cfg.HTTP.Host, cfg.HTTP.Port, "HOST and PORT, or --host and --port")
	if err != nil {
		return err
	}
	log.Info("serving", "version", wire.Version, "address", listener.Addr().String(), "region", account.Region, "table", cfg.Table,
		"queue", cfg.Queue.Main, "workers", cfg.Queue.Workers)
	tellIgnored(log, cfg)
	context.AfterFunc(ctx, func() {
		log.Info("stopping", "waits_for", "answers and posts under way", "at_most", cfg.Drain.String())
	})
	sweeper := app.Sweeper()
	err = serving.Run(ctx, serving.Options{
		API: app.API(wire.APIOptions{TestReceiver: cfg.TestReceiver}), Listen: listener,
		Queue: app.Queues(), Deliver: app.Deliverer().DeliverEach, Leases: app.Table(), Counts: app.Counts(), Name: app.NewName(),
		Sweep: func(ctx context.Context) error {
			_, err := sweeper.Sweep(ctx)
			return err
		},
		BatchSize: cfg.Queue.BatchSize, Workers: cfg.Queue.Workers, DeliverTimeout: deliverTimeout,
		SweepInterval: cfg.SweepInterval, Drain: cfg.Drain, Log: log,
	})
	log.Info("stopped")
	return err
}

// reach refuses a start on services that are not there, or that do not let this
// process in. Ones that do not answer are waited for: /ready tells of them.
func reach(ctx context.Context, cfg *config.Config, account wire.Services, app *wire.App, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	err := app.Reach(ctx)
	switch {
	case err == nil:
		return nil
	case dynamo.IsNoTable(err):
		return fmt.Errorf("there is no table %s in %s: set POSTHORN_TABLE or --table, or AWS_REGION. posthorn doctor checks what is deployed", cfg.Table, account.Region)
	case awssqs.IsNoQueue(err):
		return fmt.Errorf("there is no queue %s, or no dead-letter queue %s, in %s: set POSTHORN_QUEUE_URL and POSTHORN_DLQ_URL, or --queue and --dead-letter-queue. posthorn doctor checks what is deployed",
			cfg.Queue.Main, cfg.Queue.DeadLetters, account.Region)
	case wire.Refused(err):
		return fmt.Errorf("%w. posthorn doctor checks what is deployed", wire.Explain(err))
	}
	log.Warn("services do not answer yet", "error", err)
	return nil
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. A
// second one ends the process at once.
func untilSignal(parent context.Context) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for first := true; ; first = false {
			select {
			case <-done:
				return
			case <-signals:
			}
			if !first {
				os.Exit(exitFailure)
			}
			cancel()
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel()
	}
}

// tellIgnored says which files look like configuration and are not read.
func tellIgnored(log *slog.Logger, cfg *config.Config) {
	for _, path := range cfg.Ignored {
		log.Warn("a file is not read: its name has to end in .yaml", "file", path)
	}
}
