package wire

import (
	"context"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"posthorn/internal/config"
	"posthorn/internal/deliver"
	"posthorn/internal/lambdaevent"
	"posthorn/internal/metrics"
)

// APIFunction returns the API as a Lambda function behind an HTTP API. What an
// invocation counted is stored before it answers: an environment may be frozen
// afterwards. Services that hang are answered for in time, with a problem
// document instead of the gateway's own 503.
func (a *App) APIFunction() lambdaevent.GatewayHandler {
	serve := lambdaevent.Gateway(a.API(APIOptions{}))
	return func(ctx context.Context, req events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		defer a.flush(ctx)
		within, cancel := inTime(ctx)
		defer cancel()
		return serve(within, req)
	}
}

// DeliverFunction returns the deliverer as a Lambda function behind an event
// source mapping with ReportBatchItemFailures.
func (a *App) DeliverFunction() func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	return a.DeliverFunctionWith(a.Deliverer())
}

// DeliverFunctionWith is DeliverFunction for a deliverer of the App's in which
// something was replaced.
func (a *App) DeliverFunctionWith(d *deliver.Deliverer) func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	return func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		defer a.flush(ctx)
		return lambdaevent.Failures(d.Deliver(ctx, lambdaevent.Batch(e))), nil
	}
}

// SweepFunction returns the sweeper as a Lambda function behind a schedule. It
// returns in time, too: one that runs out of it would lose its counts, and its
// environment.
func (a *App) SweepFunction() func(context.Context, events.EventBridgeEvent) error {
	s := a.Sweeper()
	return func(ctx context.Context, _ events.EventBridgeEvent) error {
		defer a.flush(ctx)
		within, cancel := inTime(ctx)
		defer cancel()
		_, err := s.Sweep(within)
		return err
	}
}

// returnTime is what is kept back of an invocation's time for the flush and the
// answer.
const returnTime = flushTime + time.Second

// inTime is ctx less the time to return, where it has a deadline.
func inTime(ctx context.Context) (context.Context, context.CancelFunc) {
	if deadline, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, deadline.Add(-returnTime))
	}
	return ctx, func() {}
}

// flushTime bounds how long an answer waits for its counts.
const flushTime = 2 * time.Second

// flush stores what was counted. Counts whose outcome is unknown are dropped:
// counted twice would be worse than not at all.
func (a *App) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTime)
	defer cancel()
	if err := a.counts.Flush(ctx); err != nil {
		a.log.WarnContext(ctx, "counts not stored", "error", err)
	}
}

// ForFunction returns the App of a Lambda function: configured by its
// environment, on the services of its account, logging JSON lines to out. It
// calls no service.
func ForFunction(out io.Writer) (*App, error) {
	cfg, err := config.Load(config.Function, config.Environment())
	if err != nil {
		return nil, err
	}
	account, err := functionAccount()
	if err != nil {
		return nil, err
	}
	app, err := New(cfg, account, slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: cfg.LogLevel})))
	if err == nil && cfg.EMF {
		app.emit(out, os.Getenv("AWS_LAMBDA_FUNCTION_NAME"))
	}
	return app, err
}

// emit has what each invocation counts written to its log as metrics.
func (a *App) emit(out io.Writer, function string) {
	emf := &metrics.EMF{Out: out, Function: function, Now: time.Now, Failed: func(err error) { a.log.Warn("metrics not written", "error", err) }}
	a.counts.Emit = emf.Write
}
