package localaws

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"posthorn/internal/localaws/gateway"
	"posthorn/internal/localaws/poller"
	"posthorn/internal/localaws/schedule"
	"posthorn/internal/localaws/sqs"
)

// Functions are the three functions, in the process or behind a Runtime API.
type Functions struct {
	API     gateway.Function
	Deliver poller.Function
	Sweep   func(ctx context.Context) error
}

// Options are the settings of Run. All fields are required unless they say
// otherwise.
type Options struct {
	Services  *Services
	Functions Functions

	Queue          string        // name of the queue that is polled
	BatchSize      int           // 1 to 10
	Workers        int           // messages in the function at once
	DeliverTimeout time.Duration // of one invocation; 0: none
	SweepInterval  time.Duration

	API net.Listener // of the HTTP API
	AWS net.Listener // of SQS, DynamoDB and KMS; nil: not served to others

	Ingress float64 // requests a second that the HTTP API takes; 0: no limit

	AllowedHosts []string // hosts that requests may name beside the listeners' own
	Log          *slog.Logger
}

const (
	// expiryInterval is how often items past their time to live are removed.
	expiryInterval = time.Minute
	// shutdownTime is how long answers of the API may take at the end: no longer
	// than API Gateway lets them.
	shutdownTime = 30 * time.Second
	// othersTime is the same for others' calls of the services, of which a long
	// poll may have 20 s to go.
	othersTime = time.Second
)

// Run serves until ctx ends. Then it takes nothing new, lets answers and posts
// under way finish within a bound, and returns. An error of a listener ends it
// at once.
func Run(ctx context.Context, o Options) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var work, serving sync.WaitGroup
	serve := func(name string, l net.Listener, h http.Handler) (*http.Server, error) {
		guarded, err := gateway.HostGuard(h, l.Addr().String(), o.AllowedHosts)
		if err != nil {
			return nil, fmt.Errorf("guard %s: %w", name, err)
		}
		s := &http.Server{Handler: guarded, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn)}
		serving.Go(func() {
			if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				stop(fmt.Errorf("serve %s: %w", name, err))
			}
		})
		return s, nil
	}
	api, err := serve("API", o.API, gateway.New(o.Functions.API, gateway.Options{Logger: o.Log, Rate: o.Ingress}))
	if err != nil {
		return err
	}
	services := &http.Server{} // not served to others
	if o.AWS != nil {
		if services, err = serve("SQS, DynamoDB and KMS", o.AWS, o.Services); err != nil {
			return errors.Join(err, api.Close())
		}
	}
	for _, s := range []schedule.Schedule{
		{Name: "dlq-sweeper", Interval: o.SweepInterval, Function: o.Functions.Sweep, Logger: o.Log},
		{Name: "expiry", Interval: expiryInterval, Function: o.Services.SweepExpired, Logger: o.Log},
	} {
		work.Go(func() {
			if err := s.Run(ctx); err != nil {
				stop(err)
			}
		})
	}
	mapping := poller.New(poller.Options{
		Queue: polled{server: o.Services.SQS, name: o.Queue}, Function: o.Functions.Deliver,
		BatchSize: o.BatchSize, Workers: o.Workers, Timeout: o.DeliverTimeout,
		ARN: "arn:aws:sqs:us-east-1:000000000000:" + o.Queue, Logger: o.Log,
	})
	work.Go(func() {
		if err := mapping.Run(ctx); err != nil {
			stop(err)
		}
	})

	<-ctx.Done()
	cause := context.Cause(ctx)
	// First the API, whose answers under way need the functions; then the posts
	// and the sweep, which need the services; the services last.
	err = shut(ctx, api, shutdownTime)
	work.Wait()
	err = errors.Join(err, shut(ctx, services, othersTime))
	serving.Wait()
	if !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// shut lets the answers of a server finish within a bound, and cuts off those
// that do not.
func shut(ctx context.Context, s *http.Server, within time.Duration) error {
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), within)
	defer cancel()
	err := s.Shutdown(late)
	if errors.Is(err, context.DeadlineExceeded) {
		return s.Close()
	}
	return err
}

// polled is the queue as the poller takes it.
type polled struct {
	server *sqs.Server
	name   string
}

func (q polled) Receive(ctx context.Context, limit int, wait time.Duration) ([]poller.Message, error) {
	received, err := q.server.Receive(ctx, q.name, limit, wait)
	messages := make([]poller.Message, len(received))
	for i, m := range received {
		messages[i] = poller.Message{
			ID: m.MessageID, ReceiptHandle: m.ReceiptHandle, Body: m.Body,
			MD5OfBody: m.MD5OfBody, MD5OfMessageAttributes: m.MD5OfMessageAttributes, Attributes: m.Attributes,
		}
		if len(m.MessageAttributes) > 0 {
			messages[i].MessageAttributes = attributes(m.MessageAttributes)
		}
	}
	return messages, err
}

func attributes(from map[string]sqs.MessageAttribute) map[string]poller.Attribute {
	to := make(map[string]poller.Attribute, len(from))
	for name, a := range from {
		to[name] = poller.Attribute{DataType: a.DataType, BinaryValue: a.BinaryValue}
		if a.BinaryValue == nil {
			to[name] = poller.Attribute{DataType: a.DataType, StringValue: &a.StringValue}
		}
	}
	return to
}

func (q polled) Delete(ctx context.Context, receiptHandles []string) error {
	return q.server.DeleteBatch(ctx, q.name, receiptHandles)
}
