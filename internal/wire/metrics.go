package wire

import (
	"bytes"
	"context"
	"time"

	"posthorn/internal/awssqs"
	"posthorn/internal/dynamo"
	"posthorn/internal/hook"
	"posthorn/internal/httpapi"
	"posthorn/internal/metrics"
)

// figures puts together what /stats and /metrics show.
type figures struct {
	table  *dynamo.Table
	queues *awssqs.Queues
	now    func() time.Time
}

// Counts reads the stored counters.
func (f *figures) Counts(ctx context.Context) (httpapi.Counts, error) {
	t, err := f.table.Counters(ctx)
	if err != nil {
		return httpapi.Counts{}, err
	}
	c := httpapi.Counts{
		Events:            t.Events,
		Delivered:         t.Deliveries[hook.Delivered],
		Failed:            t.Deliveries[hook.Dead],
		Held:              t.Deliveries[hook.Held],
		Cancelled:         t.Deliveries[hook.Cancelled],
		AttemptsSucceeded: t.Attempts[hook.OutcomeSuccess],
		OldestAge:         func(ready int) time.Duration { return t.OldestAge(ready, f.now()) },
	}
	c.AttemptsFailed = t.AttemptCount() - c.AttemptsSucceeded
	return c, nil
}

// WriteMetrics writes the Prometheus text.
func (f *figures) WriteMetrics(ctx context.Context, b *bytes.Buffer) error {
	t, err := f.table.Counters(ctx)
	if err != nil {
		return err
	}
	depths, err := f.queues.Depths(ctx)
	if err != nil {
		return err
	}
	endpoints, err := f.table.EndpointCounts(ctx)
	if err != nil {
		return err
	}
	metrics.Write(b, &metrics.Snapshot{At: f.now(), Totals: *t, Queue: depths, Endpoints: endpoints})
	return nil
}
