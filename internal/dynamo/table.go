package dynamo

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"posthorn/internal/hook"
	"posthorn/internal/metrics"
)

// Options vary a Table. The zero value is what production uses.
type Options struct {
	EventRetention time.Duration // how far back lists of events reach; 0: 30 days
}

// Table is the one table.
type Table struct{}

// New returns a Table. It calls nothing.
func New(cfg aws.Config, table string, o Options) *Table { return &Table{} }

// CreateTable makes the table.
func CreateTable(ctx context.Context, cfg aws.Config, table string) error { return errNotYet }

var errNotYet = errors.New("not yet")

func (t *Table) Ready(ctx context.Context) error { return errNotYet }
func (t *Table) EndpointSet(ctx context.Context, tenant string) (*hook.EndpointSet, error) {
	return nil, errNotYet
}
func (t *Table) CreateEndpoint(ctx context.Context, e *hook.Endpoint) error { return errNotYet }
func (t *Table) Endpoint(ctx context.Context, tenant, id string) (*hook.Endpoint, error) {
	return nil, errNotYet
}
func (t *Table) UpdateEndpoint(ctx context.Context, tenant, id string, change func(*hook.Endpoint) error) (*hook.Endpoint, error) {
	return nil, errNotYet
}
func (t *Table) DeleteEndpoint(ctx context.Context, tenant, id string) error { return errNotYet }
func (t *Table) ListEndpoints(ctx context.Context, tenant string, p hook.Page) (eps []*hook.Endpoint, next string, err error) {
	return nil, "", errNotYet
}
func (t *Table) EndpointCounts(ctx context.Context) (hook.EndpointCounts, error) {
	return hook.EndpointCounts{}, errNotYet
}
func (t *Table) PutEvent(ctx context.Context, e *hook.Event) error { return errNotYet }
func (t *Table) PutEventWithKey(ctx context.Context, e *hook.Event, k *hook.IdempotencyKey) (existing *hook.IdempotencyKey, err error) {
	return nil, errNotYet
}
func (t *Table) MarkKeySent(ctx context.Context, k *hook.IdempotencyKey) error { return errNotYet }
func (t *Table) Event(ctx context.Context, tenant, id string) (*hook.Event, error) {
	return nil, errNotYet
}
func (t *Table) ListEvents(ctx context.Context, f hook.EventFilter, p hook.Page) ([]*hook.Event, string, error) {
	return nil, "", errNotYet
}
func (t *Table) ExtendEvent(ctx context.Context, tenant, id string, until time.Time) error {
	return errNotYet
}
func (t *Table) Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error) {
	return nil, errNotYet
}
func (t *Table) SaveDelivery(ctx context.Context, w hook.DeliveryWrite) error { return errNotYet }
func (t *Table) Attempts(ctx context.Context, r hook.Ref, newest int) ([]hook.Attempt, error) {
	return nil, errNotYet
}
func (t *Table) ListDeliveries(ctx context.Context, f hook.DeliveryFilter, p hook.Page) ([]*hook.Delivery, string, error) {
	return nil, "", errNotYet
}
func (t *Table) DeadLetter(ctx context.Context, tenant, id string) (*hook.DeadLetter, error) {
	return nil, errNotYet
}
func (t *Table) ListDeadLetters(ctx context.Context, f hook.DeadLetterFilter, p hook.Page) ([]*hook.DeadLetter, string, error) {
	return nil, "", errNotYet
}
func (t *Table) PutDeadLetter(ctx context.Context, e *hook.DeadLetter) error { return errNotYet }
func (t *Table) DeleteDeadLetter(ctx context.Context, tenant, id string) error {
	return errNotYet
}
func (t *Table) CountDeadLetters(ctx context.Context, tenant string) (int, error) {
	return 0, errNotYet
}
func (t *Table) AddCounters(ctx context.Context, d *metrics.Delta) error { return errNotYet }
func (t *Table) Counters(ctx context.Context) (*metrics.Totals, error)   { return nil, errNotYet }
