package faultpairs

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/dynamo"
	"posthorn/internal/faultwire"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/localaws/poller"
	"posthorn/internal/localaws/schedule"
	"posthorn/internal/permit"
	"posthorn/internal/wire"
)

// Timeouts of the functions, as in template.yaml.
const (
	apiTimeout     = 29 * time.Second
	deliverTimeout = 45 * time.Second
	sweepTimeout   = 55 * time.Second
)

const (
	awsURL    = "http://aws.test"
	mainQueue = "posthorn-deliveries"
	deadQueue = "posthorn-dead-letters"
)

// account is Posthorn in an account: its functions, its services, and what
// invokes the ones for the others.
type account struct {
	t        *testing.T
	cfg      *config.Config
	services *localaws.Services
	table    *dynamo.Table // past all faults
	receiver *receiver
	ledger   ledger

	api, deliver, sweeper *function
	operator              *environment // of the API, past all faults

	key string // that callers send; empty: none

	stop    context.CancelFunc
	running sync.WaitGroup
}

// open starts an account. It is closed by close.
func open(t *testing.T, asksForKeys bool) *account {
	services, err := localaws.Open("")
	require.NoError(t, err)
	direct := wire.Local(inproc.Client(services), awsURL)
	local, err := config.Load(config.Local, config.Source{Getenv: func(string) string { return "" }})
	require.NoError(t, err)
	require.NoError(t, wire.Provision(t.Context(), local, direct))
	made, err := kms.NewFromConfig(direct).CreateKey(t.Context(), &kms.CreateKeyInput{})
	require.NoError(t, err)
	env := map[string]string{
		"POSTHORN_TABLE": local.Table, "POSTHORN_KMS_KEY_ID": *made.KeyMetadata.Arn, "POSTHORN_AUTH": "off",
		"POSTHORN_QUEUE_URL": awsURL + "/000000000000/" + mainQueue, "POSTHORN_DLQ_URL": awsURL + "/000000000000/" + deadQueue,
	}
	if asksForKeys {
		env["POSTHORN_AUTH"] = "keys"
	}
	cfg, err := config.Load(config.Function, config.Source{Getenv: func(name string) string { return env[name] }})
	require.NoError(t, err)

	a := &account{t: t, cfg: cfg, services: services, table: dynamo.New(direct, cfg.Table, dynamo.Options{}), receiver: newReceiver(t)}
	a.ledger.wanted = map[string]string{}
	a.api = a.function("api", "ApiFunction", apiTimeout)
	a.deliver = a.function("deliver", "DeliverFunction", deliverTimeout)
	a.sweeper = a.function("sweeper", "DlqSweeperFunction", sweepTimeout)
	a.operator = a.environment(direct)

	var ctx context.Context
	ctx, a.stop = context.WithCancel(context.Background())
	mapping := poller.New(poller.Options{
		Queue: polled{a}, Function: a.invokeDeliver, BatchSize: cfg.Queue.BatchSize, Workers: cfg.Queue.BatchSize,
		ARN: "arn:aws:sqs:us-east-1:000000000000:" + mainQueue, Logger: slog.New(slog.DiscardHandler),
	})
	a.running.Go(func() {
		if err := mapping.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	sweeps := schedule.Schedule{Name: "dlq-sweeper", Interval: time.Minute, Function: a.invokeSweeper, Logger: slog.New(slog.DiscardHandler)}
	a.running.Go(func() {
		if err := sweeps.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return a
}

func (a *account) close() {
	a.stop()
	a.running.Wait()
	time.Sleep(time.Minute) // what killed environments left behind ends
	require.NoError(a.t, a.services.Close())
}

// function is one of the three: environments that come and go.
type function struct {
	name       string
	inTemplate string // its logical id there
	timeout    time.Duration
	account    *account
	faults     *faultwire.Transport // on the calls of all its environments
	seen       *sites               // of those calls; nil: nobody asks

	mu       sync.Mutex
	idle     []*environment
	busy     int // invocations under way
	killed   int
	timedOut int
}

func (a *account) functions() []*function { return []*function{a.api, a.deliver, a.sweeper} }

// environment is one execution environment of a function.
type environment struct {
	app     *wire.App
	api     func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error)
	deliver func(context.Context, events.SQSEvent) (events.SQSEventResponse, error)
	sweep   func(context.Context, events.EventBridgeEvent) error
	gone    chan struct{} // closed when it is killed: nothing leaves it any more
	kill    func()
}

func (a *account) function(name, inTemplate string, timeout time.Duration) *function {
	f := &function{name: name, inTemplate: inTemplate, timeout: timeout, account: a}
	f.renew()
	return f
}

func (a *account) environment(to aws.Config) *environment {
	e := &environment{gone: make(chan struct{})}
	e.kill = sync.OnceFunc(func() { close(e.gone) })
	app, err := wire.New(a.cfg, to, slog.New(slog.DiscardHandler))
	require.NoError(a.t, err)
	deliverer := app.Deliverer()
	deliverer.Poster = posts{receiver: a.receiver, from: e}
	deliverer.Rand = func() float64 { return 0.5 } // all walks take as long
	e.app, e.api, e.deliver, e.sweep = app, app.APIFunction(), app.DeliverFunctionWith(deliverer), app.SweepFunction()
	return e
}

// gate lets calls out of an environment that lives.
type gate struct {
	of   *environment
	next http.RoundTripper
	seen *sites // nil: nobody asks
}

// inEnvironment is the key of the environment in the context of its calls.
type inEnvironment struct{}

// RoundTrip implements http.RoundTripper.
func (g gate) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-g.of.gone:
		<-r.Context().Done()
		return nil, r.Context().Err()
	default:
		if g.seen != nil {
			g.seen.see()
		}
		return g.next.RoundTrip(r.WithContext(context.WithValue(r.Context(), inEnvironment{}, g.of)))
	}
}

// take returns a free environment, or a new one.
func (f *function) take() *environment {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy++
	if n := len(f.idle); n > 0 {
		e := f.idle[n-1]
		f.idle = f.idle[:n-1]
		return e
	}
	names := permit.Names{Table: f.account.cfg.Table, Queue: mainQueue, DeadLetterQueue: deadQueue}
	g := &gate{next: policies.Transport(f.inTemplate, names, f.faults), seen: f.seen}
	g.of = f.account.environment(wire.Local(&http.Client{Transport: g}, awsURL))
	return g.of
}

// renew lets go of all environments: the next invocation starts cold, and what
// was called so far does not count.
func (f *function) renew() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.idle, f.faults = nil, faultwire.New(inproc.Client(f.account.services).Transport)
}

var (
	errKilled  = errors.New("the environment was killed")
	errTimeout = errors.New("the function timed out")
)

// invoke runs one invocation, which do makes. The error is Lambda's: of do
// nothing is known after it.
func (f *function) invoke(do func(ctx context.Context, e *environment)) error {
	e := f.take()
	ctx, cancel := context.WithTimeout(context.Background(), f.timeout)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do(ctx, e)
	}()
	err := errKilled
	select {
	case <-done:
		err = nil
	case <-e.gone:
	case <-ctx.Done():
		err = errTimeout
		e.kill()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy--
	select {
	case <-e.gone:
		if f.killed++; errors.Is(err, errTimeout) {
			f.timedOut++
		}
		return errors.Join(err, errKilled)
	default:
		f.idle = append(f.idle, e)
		return nil
	}
}

// outcome is what an invocation came to.
type outcome[T any] struct {
	answer T
	err    error
}

// call invokes a function that answers.
func call[T any](f *function, do func(ctx context.Context, e *environment) (T, error)) (T, error) {
	answered := make(chan outcome[T], 1)
	err := f.invoke(func(ctx context.Context, e *environment) {
		answer, err := do(ctx, e)
		answered <- outcome[T]{answer, err}
	})
	if err != nil {
		var none T
		return none, err
	}
	o := <-answered
	return o.answer, o.err
}

func (a *account) invokeDeliver(_ context.Context, batch events.SQSEvent, _ func(string)) (events.SQSEventResponse, error) {
	return call(a.deliver, func(ctx context.Context, e *environment) (events.SQSEventResponse, error) {
		return e.deliver(ctx, batch)
	})
}

// invokeSweeper sweeps when there is something to sweep: a sweep of nothing is
// one receive, which would be the same in every path.
func (a *account) invokeSweeper(context.Context) error {
	ready, _, _, err := a.services.SQS.Depth(deadQueue)
	if err != nil || ready == 0 {
		return err
	}
	_, err = call(a.sweeper, func(ctx context.Context, e *environment) (struct{}, error) {
		return struct{}{}, e.sweep(ctx, events.EventBridgeEvent{})
	})
	return err
}

// polled is the queue as the event source mapping takes it.
type polled struct{ *account }

func (q polled) Receive(ctx context.Context, limit int, wait time.Duration) ([]poller.Message, error) {
	received, err := q.services.SQS.Receive(ctx, mainQueue, limit, wait)
	messages := make([]poller.Message, len(received))
	for i, m := range received {
		messages[i] = poller.Message{ID: m.MessageID, ReceiptHandle: m.ReceiptHandle, Body: m.Body, MD5OfBody: m.MD5OfBody, Attributes: m.Attributes}
	}
	return messages, err
}

func (q polled) Delete(ctx context.Context, receiptHandles []string) error {
	return q.services.SQS.DeleteBatch(ctx, mainQueue, receiptHandles)
}

// longest is how long a path may take until nothing is left to do, however it
// was disturbed: five visibility timeouts, a few sweeps, and a job's two quiet
// minutes stay below it.
const longest = 2 * time.Hour

// settle waits until nothing is left to do.
func (a *account) settle() {
	a.t.Helper()
	for began := time.Now(); time.Since(began) < longest; {
		time.Sleep(time.Second)
		if a.quiet() {
			return
		}
	}
	ready, inFlight, delayed, err := a.services.SQS.Depth(mainQueue)
	a.t.Fatalf("it does not come to rest: %d messages ready, %d in flight, %d delayed (%v)", ready, inFlight, delayed, err)
}

func (a *account) quiet() bool {
	for _, f := range a.functions() {
		f.mu.Lock()
		busy := f.busy
		f.mu.Unlock()
		if busy > 0 {
			return false
		}
	}
	for _, queue := range []string{mainQueue, deadQueue} {
		ready, inFlight, delayed, err := a.services.SQS.Depth(queue)
		require.NoError(a.t, err)
		if ready+inFlight+delayed > 0 {
			return false
		}
	}
	return true
}
