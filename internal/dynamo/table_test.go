package dynamo_test

import (
	"context"
	"testing"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
	"posthorn/internal/faultwire"
)

func TestTheTableIsMadeOnceWithIndexAndTimeToLive(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.put(w.event("a", `{}`))
	require.NoError(t, dynamo.CreateTable(w.ctx(), w.config, tableName), "again")
	require.Len(t, w.items(), 1)

	out, err := w.raw.DescribeTable(w.ctx(), &awsdynamodb.DescribeTableInput{TableName: ptr(tableName)})
	require.NoError(t, err)
	require.Equal(t, []types.KeySchemaElement{{AttributeName: ptr("PK"), KeyType: types.KeyTypeHash}, {AttributeName: ptr("SK"), KeyType: types.KeyTypeRange}}, out.Table.KeySchema)
	require.Len(t, out.Table.GlobalSecondaryIndexes, 1)
	index := out.Table.GlobalSecondaryIndexes[0]
	require.Equal(t, "GSI1", *index.IndexName)
	require.Equal(t, []types.KeySchemaElement{{AttributeName: ptr("GSI1PK"), KeyType: types.KeyTypeHash}, {AttributeName: ptr("GSI1SK"), KeyType: types.KeyTypeRange}}, index.KeySchema)
	require.Equal(t, types.ProjectionTypeKeysOnly, index.Projection.ProjectionType)
	require.Equal(t, types.BillingModePayPerRequest, out.Table.BillingModeSummary.BillingMode)

	ttl, err := w.raw.DescribeTimeToLive(w.ctx(), &awsdynamodb.DescribeTimeToLiveInput{TableName: ptr(tableName)})
	require.NoError(t, err)
	require.Equal(t, types.TimeToLiveStatusEnabled, ttl.TimeToLiveDescription.TimeToLiveStatus)
	require.Equal(t, "expires_at", *ttl.TimeToLiveDescription.AttributeName)
}

// A start that was interrupted between its calls is made up for by the next.
func TestMakingTheTableUnderFaults(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"CreateTable", "DescribeTable", "DescribeTimeToLive", "UpdateTimeToLive"} {
		for _, f := range faultPairs() {
			t.Run(operation+" "+f.name, func(t *testing.T) {
				t.Parallel()
				w := setup(t)
				w.faults.Add(faultwire.Fault{Operation: operation, Times: f.times, Mode: f.mode})
				err := dynamo.CreateTable(w.ctx(), w.config, "another")
				if operation == "UpdateTimeToLive" && f.mode == faultwire.LoseAnswer {
					f.fails = false // it can be seen to be set
				}
				require.Equal(t, f.fails, err != nil, "%v", err)
				w.faults.Clear()
				require.NoError(t, dynamo.CreateTable(w.ctx(), w.config, "another"))
				ttl, err := w.raw.DescribeTimeToLive(w.ctx(), &awsdynamodb.DescribeTimeToLiveInput{TableName: ptr("another")})
				require.NoError(t, err)
				require.Equal(t, types.TimeToLiveStatusEnabled, ttl.TimeToLiveDescription.TimeToLiveStatus)
			})
		}
	}
}

func TestReadySaysWhetherTheTableAnswers(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.NoError(t, w.Ready(w.ctx()))
	w.faults.Add(faultwire.Fault{Operation: "GetItem", Times: faultwire.Always})
	require.Error(t, w.Ready(w.ctx()))
	w.faults.Clear()
	require.ErrorContains(t, dynamo.New(w.config, "no-such-table", dynamo.Options{}).Ready(w.ctx()), "no-such-table")
}

func TestACallEndsWithItsContext(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx, cancel := context.WithCancel(w.ctx())
	cancel()
	dw := w.delivery(w.endpointID(), "delivered")
	for name, call := range map[string]func() error{
		"read":  func() error { _, err := w.Event(ctx, tenant, w.eventID()); return err },
		"store": func() error { return w.PutEvent(ctx, w.event("a", `{}`)) },
		"save":  func() error { return w.SaveDelivery(ctx, dw) },
		"set":   func() error { _, err := w.EndpointSet(ctx, tenant); return err },
	} {
		require.ErrorIs(t, call(), context.Canceled, name)
	}
	w.busy.Store(1 << 40)
	waiting, stop := context.WithTimeout(w.ctx(), 100_000_000)
	defer stop()
	require.Error(t, w.SaveDelivery(waiting, dw), "busy for ever")
	w.busy.Store(0)
}
