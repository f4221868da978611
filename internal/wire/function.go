package wire

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"posthorn/internal/config"
	"posthorn/internal/lambdaevent"
)

// APIFunction returns the API as a Lambda function behind an HTTP API. What an
// invocation counted is stored before it answers: an environment may be frozen
// afterwards. Services that hang are answered for in time, with a problem
// document instead of the gateway's own 503.
func (a *App) APIFunction() lambdaevent.GatewayHandler {
	serve := lambdaevent.Gateway(a.API(APIOptions{}))
	return func(ctx context.Context, req events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		defer a.flush(ctx)
		if deadline, ok := ctx.Deadline(); ok {
			within, cancel := context.WithDeadline(ctx, deadline.Add(-returnTime))
			defer cancel()
			return serve(within, req)
		}
		return serve(ctx, req)
	}
}

// DeliverFunction returns the deliverer as a Lambda function behind an event
// source mapping with ReportBatchItemFailures.
func (a *App) DeliverFunction() func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
	d := a.Deliverer()
	return func(ctx context.Context, e events.SQSEvent) (events.SQSEventResponse, error) {
		defer a.flush(ctx)
		return lambdaevent.Failures(d.Deliver(ctx, lambdaevent.Batch(e))), nil
	}
}

// SweepFunction returns the sweeper as a Lambda function behind a schedule.
func (a *App) SweepFunction() func(context.Context, events.EventBridgeEvent) error {
	s := a.Sweeper()
	return func(ctx context.Context, _ events.EventBridgeEvent) error {
		defer a.flush(ctx)
		_, err := s.Sweep(ctx)
		return err
	}
}

// returnTime is what is kept back of an invocation's time for the flush and the
// answer.
const returnTime = flushTime + time.Second

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
	return New(cfg, account, slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: cfg.LogLevel})))
}
