package wire

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"posthorn/internal/awssqs"
	"posthorn/internal/bulk"
	"posthorn/internal/config"
	"posthorn/internal/console"
	"posthorn/internal/deadletter"
	"posthorn/internal/deliver"
	"posthorn/internal/deliver/post"
	"posthorn/internal/dynamo"
	"posthorn/internal/hook"
	"posthorn/internal/httpapi"
	"posthorn/internal/id"
	"posthorn/internal/ingest"
	"posthorn/internal/metrics"
	"posthorn/internal/reconcile"
	"posthorn/internal/redrive"
	"posthorn/internal/seal"
	"posthorn/internal/sign"
)

// Version is the program's, as /health and the User-Agent show it. A release's
// build sets it, with -ldflags "-X posthorn/internal/wire.Version=..."; nothing
// else may.
var Version = "0.1.0"

// App is what functions and programs are made of. Making one calls nothing.
type App struct {
	cfg    *config.Config
	table  *dynamo.Table
	queues *awssqs.Queues
	sealer *seal.Sealer
	ids    *id.Source
	counts *metrics.Recorder
	log    *slog.Logger
}

// New returns the App for a configuration and an account, or its stand-in. The
// configuration has a key to seal with.
func New(cfg *config.Config, account aws.Config, log *slog.Logger) (*App, error) {
	wrapper, err := wrapper(cfg.Seal, account)
	if err != nil {
		return nil, err
	}
	a := onServices(cfg, account, log)
	a.sealer = seal.New(seal.Options{Keys: a.table, Wrapper: wrapper})
	return a, nil
}

// parallelBatches is how many batches to SQS of one kind a long-running process
// has under way: see awssqs.Options.
const parallelBatches = 4

// onServices returns an App without a sealer.
func onServices(cfg *config.Config, on Services, log *slog.Logger) *App {
	parallel := 1
	if cfg.Mode == config.Serve {
		parallel = parallelBatches
	}
	table := dynamo.New(on, cfg.Table, dynamo.Options{
		EventRetention: cfg.Retention.Events, DeadLetterRetention: cfg.Retention.DeadLetters,
	})
	return &App{
		cfg:   cfg,
		table: table,
		queues: awssqs.New(on, awssqs.Options{
			Queue: cfg.Queue.Main, DeadLetterQueue: cfg.Queue.DeadLetters, DeadWait: time.Second, Parallel: parallel,
		}),
		ids:    id.NewSource(),
		counts: metrics.NewRecorder(table),
		log:    log,
	}
}

// wrapper returns what wraps the data keys of tenants.
func wrapper(s config.Seal, account aws.Config) (seal.Wrapper, error) {
	if s.KMSKey != "" {
		return seal.NewKMS(account, s.KMSKey), nil
	}
	return seal.NewMaster(s.Key)
}

// Counts is the recorder that the App's parts count into. Long-running
// programs run it; functions flush it before they answer.
func (a *App) Counts() *metrics.Recorder { return a.counts }

// Queues are the queue of deliveries and its dead-letter queue, for a program
// that receives from them itself.
func (a *App) Queues() *awssqs.Queues { return a.queues }

// Table is the table, for a program that shares work with others through it.
func (a *App) Table() *dynamo.Table { return a.table }

// NewName returns a name that no other process has.
func (a *App) NewName() string { return a.ids.New("", time.Now()) }

// Reach asks the table and the queues for an answer, one call each. Its error
// wraps what dynamo.IsNoTable or awssqs.IsNoQueue knows where one is not there.
func (a *App) Reach(ctx context.Context) error {
	if err := a.table.Ready(ctx); err != nil {
		return err
	}
	_, err := a.queues.Depths(ctx)
	return err
}

// APIOptions vary the API by where it runs.
type APIOptions struct {
	TestReceiver bool             // mount POST /test/webhook
	Now          func() time.Time // nil: time.Now
}

// API returns the HTTP API.
func (a *App) API(o APIOptions) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	rules := a.rules()
	types := make([]httpapi.EventType, len(a.cfg.EventTypes))
	for i, t := range a.cfg.EventTypes {
		types[i] = httpapi.EventType{Name: t.Name, Description: t.Description}
	}
	names := make([]string, 0, len(a.cfg.Retry.Named))
	for name := range a.cfg.Retry.Named {
		names = append(names, name)
	}
	slices.Sort(names)
	figures := &figures{table: a.table, queues: a.queues, now: o.Now}
	return httpapi.New(httpapi.Options{
		Ingest:    a.ingester(),
		Endpoints: a.table, Events: a.table, Deliveries: a.table, DeadLetters: a.table,
		Redriver: a.Redriver(), Jobs: jobs{a.bulk(), a.table}, Sealer: a.sealer,
		Queue: a.queues, Counters: figures, Metrics: figures,
		Ready: []httpapi.Check{
			{Name: "dynamodb", Ask: a.table.Ready},
			{Name: "sqs", Ask: func(ctx context.Context) error {
				_, err := a.queues.Depths(ctx)
				return err
			}},
		},
		Open: a.cfg.Security.Auth == config.AuthOff, Keys: a.table, Rand: rand.Reader,
		Now: o.Now, NewID: a.ids.New,
		NewSecret:     func() (string, error) { return sign.NewSecret(rand.Reader) },
		CheckURL:      rules.CheckURL,
		RetryPolicies: names, EventTypes: types, Version: Version,
		TestReceiver: o.TestReceiver,
		Verify: func(h http.Header, body []byte, secrets []string, now time.Time) bool {
			return sign.Verify(h, body, secrets, now).Valid()
		},
		Console: console.Handler(),
		Log:     a.log,
	})
}

// ingester returns what takes events in.
func (a *App) ingester() *ingest.Ingester {
	return ingest.New(ingest.Options{
		Store: a.table, Queue: a.queues, Jobs: a.bulk(), Recorder: a.counts, Log: a.log,
		Now: time.Now, NewIDs: a.ids.NewBatch,
		Retention: a.cfg.Retention.Events, MaxQueueSize: a.cfg.Queue.MaxSize,
	})
}

// Redriver returns what sends deliveries again.
func (a *App) Redriver() *redrive.Redriver {
	return &redrive.Redriver{
		Store: a.table, Queue: a.queues, Retention: a.cfg.Retention.Events, DeadLetters: a.cfg.Retention.DeadLetters, Now: time.Now, Log: a.log,
	}
}

// bulk returns what starts and does long work.
func (a *App) bulk() *bulk.Jobs {
	return &bulk.Jobs{
		Store: a.table, Redriver: a.Redriver(), Queue: a.queues, Meter: a.counts, Retention: a.cfg.Retention.Events,
		NewID: a.ids.New, Rand: mathrand.Float64, Now: time.Now, Log: a.log,
	}
}

// Reconciler returns what finds and sends again what the queue has lost. It is
// for a program that reaches the services, and needs no key to seal with.
func Reconciler(cfg *config.Config, on Services, now func() time.Time, log *slog.Logger) *reconcile.Reconciler {
	a := onServices(cfg, on, log)
	redriver, jobs := a.Redriver(), a.bulk()
	redriver.Now, jobs.Now = now, now
	return &reconcile.Reconciler{
		Store: a.table, Redriver: redriver, Jobs: jobs, Queue: a.queues, DefaultTenant: httpapi.DefaultTenant,
		Retention: cfg.Retention.Events, DeadLetters: cfg.Retention.DeadLetters, Now: now, Log: log,
	}
}

// jobs are long work as the API starts it and shows it.
type jobs struct {
	*bulk.Jobs
	*dynamo.Table
}

// Deliverer returns what takes batches of queue messages through.
func (a *App) Deliverer() *deliver.Deliverer {
	return &deliver.Deliverer{
		Rows: a.table, Endpoints: a.table, Events: a.table, Unsealer: a.sealer, Queue: a.queues,
		Jobs: a.bulk(), Notifier: a.ingester(), Breaker: a.cfg.Breaker, Egress: a.cfg.Limits.Egress,
		Poster: post.New(post.Options{Rules: a.rules()}),
		Sign:   sign.Headers, Meter: a.counts, Policies: a.cfg.Retry, Shares: deliver.NewShares(a.cfg.Queue.PerEndpoint, time.Now),
		Keep:        deliver.Limits{Retention: a.cfg.Retention.Events, DeadLetters: a.cfg.Retention.DeadLetters},
		MaxReceives: a.cfg.Queue.MaxReceiveCount,
		UserAgent:   "Posthorn/" + Version,
		NewID:       func() string { return a.ids.New("", time.Now()) },
		Rand:        mathrand.Float64, Now: time.Now, Log: a.log,
	}
}

// Sweeper returns what drains the dead-letter queue.
func (a *App) Sweeper() *deadletter.Sweeper {
	return &deadletter.Sweeper{
		Rows: a.table, Entries: a.table, Events: a.table, Endpoints: a.table, Queues: a.queues, Jobs: a.table, Growth: a.table, Notifier: a.ingester(), Meter: a.counts,
		GrowthNotice: a.cfg.Notices.DeadLetterGrowth, Retention: a.cfg.Retention.DeadLetters, EventRetention: a.cfg.Retention.Events, OperatorTenant: httpapi.DefaultTenant,
		Watch: (&metrics.Watch{Counters: a.table, Backlog: a.queues, Recorder: a.counts, Now: time.Now}).Look,
		EntryID: func(at time.Time, digest [32]byte) string {
			return id.FromParts(hook.DeadLetterPrefix, at, digest[:])
		},
		Now: time.Now, Log: a.log,
	}
}

func (a *App) rules() post.Rules {
	s := a.cfg.Security
	return post.Rules{AllowHTTP: s.AllowHTTP, AllowPrivate: s.AllowPrivate, AllowPorts: s.AllowPorts, AnyPort: s.AnyPort}
}

// Provision makes the table and the queues where there is no template to do
// so: the local default, and tests. What exists already stays.
func Provision(ctx context.Context, cfg *config.Config, account aws.Config) error {
	if err := dynamo.CreateTable(ctx, account, cfg.Table); err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	_, _, err := awssqs.CreateQueues(ctx, account, awssqs.Spec{
		Queue: cfg.Queue.Main, DeadLetterQueue: cfg.Queue.DeadLetters,
		Visibility: cfg.Queue.Visibility, MaxReceives: cfg.Queue.MaxReceiveCount,
	})
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	return nil
}
