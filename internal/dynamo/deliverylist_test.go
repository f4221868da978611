package dynamo_test

import (
	"slices"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

// listed reads a whole list of an endpoint's deliveries.
func (w *world) listed(f hook.DeliveryFilter, limit int) []string {
	w.t.Helper()
	f.Tenant = tenant
	got, _ := collect(w.t, limit, func(p hook.Page) ([]*hook.Delivery, string, error) { return w.ListDeliveries(w.ctx(), f, p) })
	out := make([]string, len(got))
	for i, d := range got {
		out[i] = d.ID()
	}
	return out
}

func TestAnEndpointsDeliveriesListNewestFirst(t *testing.T) {
	t.Parallel()
	w := setup(t)
	endpoint := w.endpointID()
	statuses := []hook.Status{hook.Delivered, hook.Retrying, hook.Dead, hook.Held, hook.Cancelled, hook.Queued}
	var all []*hook.Delivery
	for i := range 40 {
		if i%4 > 0 {
			w.advance(time.Hour)
		}
		dw := w.delivery(endpoint, statuses[i%len(statuses)])
		dw.Delivery.EventType = []string{"order.created", "user.created", "user.deleted", "order.paid", "a"}[i%5]
		dw.Delivery.CompletedAt = w.clock().Add(-time.Duration(i) * time.Hour) // deaths come in another order
		w.save(dw)
		all = append(all, dw.Delivery)
	}
	w.save(w.delivery(w.endpointID(), hook.Delivered))
	slices.Reverse(all)
	filters := []hook.DeliveryFilter{
		{},
		{EventType: "user.created"},
		{EventType: "nothing"},
		{Since: all[20].CreatedAt},
		{Until: all[20].CreatedAt},
		{Since: all[30].CreatedAt, Until: all[10].CreatedAt},
		{Since: all[20].CreatedAt, Until: all[20].CreatedAt},
		{Since: w.clock().Add(time.Hour)},
		{Until: epoch.Add(-time.Hour)},
	}
	for _, status := range statuses {
		filters = append(filters, hook.DeliveryFilter{Status: status}, hook.DeliveryFilter{Status: status, EventType: "user.created"},
			hook.DeliveryFilter{Status: status, Since: all[30].CreatedAt, Until: all[10].CreatedAt})
	}
	for _, f := range filters {
		want := []string{}
		for _, d := range all {
			if (f.Status == "" || f.Status == d.Status) && (f.EventType == "" || f.EventType == d.EventType) &&
				!d.CreatedAt.Before(f.Since) && (f.Until.IsZero() || d.CreatedAt.Before(f.Until)) {
				want = append(want, d.ID())
			}
		}
		f.EndpointID = endpoint
		for _, limit := range []int{1, 3, 40, 200} {
			require.Equal(t, want, w.listed(f, limit), "%+v in pages of %d", f, limit)
		}
	}
}

func TestAPageCanStartAfterAnyDelivery(t *testing.T) {
	t.Parallel()
	w := setup(t)
	endpoint := w.endpointID()
	var ids []string
	for range 12 {
		dw := w.delivery(endpoint, hook.Retrying)
		w.save(dw)
		ids = append(ids, dw.Delivery.EventID)
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	for _, status := range []hook.Status{"", hook.Retrying} {
		for i, after := range ids {
			got, _, err := w.ListDeliveries(w.ctx(), hook.DeliveryFilter{Tenant: tenant, EndpointID: endpoint, Status: status}, hook.Page{Limit: 50, After: after})
			require.NoError(t, err)
			require.Len(t, got, len(ids)-i-1)
		}
	}
}

func TestTheIndexFollowsTheRow(t *testing.T) {
	t.Parallel()
	w := setup(t)
	endpoint := w.endpointID()
	dw := w.delivery(endpoint, hook.Retrying)
	w.save(dw)
	indexed := func() (n int) {
		out, err := w.raw.Scan(w.ctx(), &awsdynamodb.ScanInput{TableName: ptr(tableName), IndexName: ptr("GSI1")})
		require.NoError(t, err)
		return len(out.Items)
	}
	require.Equal(t, 1, indexed())
	dw = again(dw.Delivery, hook.Dead, w.clock())
	w.save(dw)
	require.Equal(t, 1, indexed())
	require.Empty(t, w.listed(hook.DeliveryFilter{EndpointID: endpoint, Status: hook.Retrying}, 10))
	dw = again(dw.Delivery, hook.Delivered, w.clock())
	w.save(dw)
	require.Zero(t, indexed())
}

// The index trails the rows: what a row says is what counts.
func TestAListShowsNoDeliveryThatHasLeftItsStatusMeanwhile(t *testing.T) {
	t.Parallel()
	w := setup(t)
	endpoint := w.endpointID()
	stays, leaves := w.delivery(endpoint, hook.Retrying), w.delivery(endpoint, hook.Retrying)
	w.save(stays)
	w.save(leaves)
	straight := dynamo.New(w.straight, tableName, dynamo.Options{Now: w.clock})
	w.faults.Add(faultwire.Fault{Operation: "BatchGetItem", Match: func([]byte) bool { // between the index and the rows
		if err := straight.SaveDelivery(w.ctx(), again(leaves.Delivery, hook.Delivered, w.clock())); err != nil {
			t.Error(err)
		}
		return false
	}})
	got, _, err := w.ListDeliveries(w.ctx(), hook.DeliveryFilter{Tenant: tenant, EndpointID: endpoint, Status: hook.Retrying}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, stays.Delivery.Ref, got[0].Ref)
}
