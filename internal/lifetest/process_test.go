package lifetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"posthorn/internal/bulk"
	"posthorn/internal/deadletter"
	"posthorn/internal/deliver"
	"posthorn/internal/deliver/breaker"
	"posthorn/internal/deliver/post"
	policy "posthorn/internal/deliver/retry"
	"posthorn/internal/dynamo"
	"posthorn/internal/hook"
	"posthorn/internal/httpapi"
	"posthorn/internal/id"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/redrive"
)

const (
	tableName    = "posthorn"
	functionTime = time.Minute // what an invocation has
	retention    = 30 * 24 * time.Hour
	deadTime     = 7 * 24 * time.Hour
)

// process is an invocation, of a function's environment of its own: nothing is
// in its caches.
type process struct {
	w      *world
	number int
	what   string
	clock  time.Duration // how far its clock is ahead
	began  time.Time
	ctx    context.Context
	cancel context.CancelFunc
	table  *table

	// When it began: the rows, and which endpoints had been answered to be
	// inactive.
	rows     map[hook.Ref]*hook.Delivery
	inactive map[string]inactivity

	dead bool // guarded by the world's lock
	over chan struct{}
	// ended is what the model learns from its end; it is called once, unless the
	// process died.
	ended func(status int)
	batch []hook.Received // of a deliverer
}

// spawn starts a process.
func (w *world) spawn(what string, clock time.Duration, run func(p *process) (status int)) *process {
	w.spawned++
	p := &process{
		w: w, number: w.spawned, what: what, clock: clock, began: time.Now(), over: make(chan struct{}),
		rows: map[hook.Ref]*hook.Delivery{}, inactive: maps.Clone(w.inactive),
	}
	for ref, l := range w.lives {
		p.rows[ref] = l.row
	}
	p.ctx, p.cancel = context.WithTimeout(context.Background(), functionTime)
	p.table = &table{Table: dynamo.New(config(&http.Client{Transport: wire{p, inproc.Transport{Handler: w.service}}}, w.tries), tableName, dynamo.Options{
		EventRetention: retention, DeadLetterRetention: deadTime, Rand: half,
	}), turn: make(chan struct{}, 1)}
	w.processes = append(w.processes, p)
	w.note("process %d: %s", p.number, what)
	go func() {
		defer close(p.over)
		defer p.cancel()
		status := run(p)
		w.mu.Lock()
		defer w.mu.Unlock()
		if !p.dead && p.ended != nil {
			p.ended(status)
		}
	}()
	return p
}

// table is a process's table. It reads the endpoints for one caller at a time:
// those that wait for another's read do so where synctest sees it.
type table struct {
	*dynamo.Table
	turn chan struct{}
}

// EndpointSet is the Table's.
func (t *table) EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error) {
	t.turn <- struct{}{}
	defer func() { <-t.turn }()
	return t.Table.EndpointSet(ctx, tenant)
}

// config is a configuration whose client gives up after so many tries.
func config(client *http.Client, tries int) aws.Config {
	return aws.Config{
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:   client,
		BaseEndpoint: aws.String("http://dynamodb.test"),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts = tries
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		},
	}
}

// after says whether the process, by its clock, began after a moment.
func (p *process) after(at time.Time) bool { return p.began.Add(p.clock).After(at) }

func (p *process) now() time.Time { return time.Now().Add(p.clock) }

var log = slog.New(slog.DiscardHandler)

func half() float64 { return 0.5 }

func (p *process) newID(prefix string, at time.Time) string {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.made++
	sum := sha256.Sum256([]byte(fmt.Sprint(p.w.made)))
	return id.FromParts(prefix, at, sum[:])
}

func (p *process) redriver() *redrive.Redriver {
	return &redrive.Redriver{Store: p.table, Queue: p, Retention: retention, DeadLetters: deadTime, Now: p.now, Log: log}
}

func (p *process) jobs() *bulk.Jobs {
	return &bulk.Jobs{Store: p.table, Redriver: p.redriver(), Queue: p, Meter: p, Retention: retention, NewID: p.newID, Rand: half, Now: p.now, Log: log}
}

// The parts of the world that are not under test.

// Attempt does nothing.
func (p *process) Attempt(hook.Outcome, time.Duration) {}

// Lag does nothing.
func (p *process) Lag(time.Duration) {}

// EndToEnd implements deliver.Meter.
func (p *process) EndToEnd(time.Duration) {}

// Throttled implements deliver.Meter.
func (p *process) Throttled(hook.Throttle) {}

// Taken implements deliver.Meter.
func (p *process) Taken() {}

// Ended does nothing.
func (p *process) Ended(hook.Status) {}

// Notify does nothing: a notice is an event of its own.
func (p *process) Notify(context.Context, hook.Notice) error { return nil }

// Open opens what is sealed: nothing is.
func (p *process) Open(_ context.Context, _, _ string, sealed []byte) ([]byte, error) {
	return sealed, nil
}

// Post posts to an endpoint, whose answer comes through the gate.
func (p *process) Post(ctx context.Context, r post.Request) post.Result {
	ref, err := hook.ParseDeliveryID(tenant, r.Header.Get("X-Webhook-Delivery"))
	if err != nil {
		panic(err)
	}
	result := post.Result{Outcome: hook.OutcomeTimeout, Reason: "timeout"}
	sent := false
	err = p.ask(ctx, "Post "+p.w.letter(ref), func(c *call) {
		sent = true
		if !c.unseen {
			result = c.answer
		}
	})
	if sent || errors.Is(err, errFault) {
		result.ResponseBody = p.w.post(p, ref, result.Outcome == hook.OutcomeSuccess)
	}
	return result
}

func (p *process) deliverer() *deliver.Deliverer {
	return &deliver.Deliverer{
		Rows: p.table, Endpoints: p.table, Events: p.table, Unsealer: p, Queue: p, Poster: p, Meter: p, Jobs: p.jobs(), Notifier: p,
		Sign:     func(http.Header, []hook.Secret, string, time.Time, []byte) {},
		Policies: &policy.Policies{Default: p.w.policy},
		Breaker:  breaker.Config{Window: time.Minute, MinAttempts: p.w.minAttempts, FailureRatio: 0.5, OpenFor: 10 * time.Second, MaxOpenFor: 40 * time.Second, DisableAfter: 120 * time.Hour},
		Shares:   deliver.NewShares(4, p.now), Keep: deliver.Limits{Retention: retention, DeadLetters: deadTime}, MaxReceives: maxReceives,
		UserAgent: "Posthorn/test", NewID: func() string { return p.newID("", time.Now()) }, Rand: half, Now: p.now, Log: log,
	}
}

// deliver starts the deliver function for a batch, and the mapping's deletes
// behind it.
func (w *world) deliver(clock time.Duration, batch []hook.Received) *process {
	names := make([]string, len(batch))
	for i, r := range batch {
		names[i] = r.ReceiptHandle
	}
	return w.spawn("deliver "+strings.Join(names, " "), clock, func(p *process) int {
		p.batch = batch
		failed := p.deliverer().Deliver(p.ctx, batch)
		for _, r := range batch {
			if !slices.Contains(failed, r.MessageID) {
				// The mapping is no part of the function: it has its own time.
				_ = p.remove(context.WithoutCancel(p.ctx), r.ReceiptHandle)
			}
		}
		return 0
	})
}

// sweep starts the sweeper.
func (w *world) sweep(clock time.Duration) *process {
	return w.spawn("sweep", clock, func(p *process) int {
		s := &deadletter.Sweeper{
			Rows: p.table, Entries: p.table, Events: p.table, Endpoints: p.table, Queues: p, Jobs: p.table, Growth: p.table, Notifier: p, Meter: p,
			Retention: deadTime, EventRetention: retention, OperatorTenant: tenant, Now: p.now, Log: log,
			EntryID: func(at time.Time, digest [32]byte) string { return id.FromParts(hook.DeadLetterPrefix, at, digest[:]) },
		}
		_, _ = s.Sweep(p.ctx)
		return 0
	})
}

// request starts a request to the API. ended is called with the answer's
// status, unless the process dies.
func (w *world) request(clock time.Duration, method, path, body string, ended func(p *process, status int)) *process {
	p := w.spawn(method+" "+path, clock, func(p *process) int {
		api := httpapi.New(httpapi.Options{
			Endpoints: p.table, Events: p.table, Deliveries: p.table, DeadLetters: p.table, Redriver: p.redriver(),
			Jobs: struct {
				*bulk.Jobs
				*table
			}{p.jobs(), p.table},
			Now: p.now, NewID: p.newID, Open: true, Log: log,
		})
		r := httptest.NewRequestWithContext(p.ctx, method, "/api/v1/"+path, strings.NewReader(body))
		if body != "" {
			r.Header.Set("Content-Type", "application/json")
		}
		answer := httptest.NewRecorder()
		api.ServeHTTP(answer, r)
		return answer.Code
	})
	p.ended = func(status int) { ended(p, status) }
	return p
}
