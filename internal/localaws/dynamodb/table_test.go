package dynamodb

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

func TestTables(t *testing.T) {
	t.Parallel()
	s := start(t)
	out, err := s.CreateTable(s.ctx, tableInput(tableName))
	require.NoError(t, err)
	require.Equal(t, tableName, *out.TableDescription.TableName)
	require.NoError(t, sdk.NewTableExistsWaiter(s).Wait(s.ctx, &sdk.DescribeTableInput{TableName: aws.String(tableName)}, time.Minute))
	described, err := s.DescribeTable(s.ctx, &sdk.DescribeTableInput{TableName: aws.String(tableName)})
	require.NoError(t, err)
	require.Equal(t, types.TableStatusActive, described.Table.TableStatus)
	require.Equal(t, tableInput(tableName).KeySchema, described.Table.KeySchema)
	require.ElementsMatch(t, tableInput(tableName).AttributeDefinitions, described.Table.AttributeDefinitions)
	require.Len(t, described.Table.GlobalSecondaryIndexes, 3)
	require.Equal(t, types.BillingModePayPerRequest, described.Table.BillingModeSummary.BillingMode)
	_, err = s.DescribeTable(s.ctx, &sdk.DescribeTableInput{TableName: aws.String("nothing")})
	var none *types.ResourceNotFoundException
	require.ErrorAs(t, err, &none)

	for i := range 4 {
		_, err = s.CreateTable(s.ctx, tableInput(fmt.Sprint("another-", i)))
		require.NoError(t, err)
	}
	var names []string
	for pages := sdk.NewListTablesPaginator(s, &sdk.ListTablesInput{Limit: aws.Int32(2)}); pages.HasMorePages(); {
		page, err := pages.NextPage(s.ctx)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.TableNames), 2)
		names = append(names, page.TableNames...)
	}
	require.Equal(t, []string{"another-0", "another-1", "another-2", "another-3", tableName}, names)

	// A table made again is empty.
	s.put(t, thing("p", "s", attrs{"GPK": str("g"), "GSK": num("1")}))
	_, err = s.DeleteTable(s.ctx, &sdk.DeleteTableInput{TableName: aws.String(tableName)})
	require.NoError(t, err)
	require.NoError(t, sdk.NewTableNotExistsWaiter(s).Wait(s.ctx, &sdk.DescribeTableInput{TableName: aws.String(tableName)}, time.Minute))
	_, err = s.CreateTable(s.ctx, tableInput(tableName))
	require.NoError(t, err)
	require.Nil(t, s.get(t, "p", "s"))
	scan, err := s.Scan(s.ctx, &sdk.ScanInput{TableName: aws.String(tableName), IndexName: aws.String("KEYS")})
	require.NoError(t, err)
	require.Empty(t, scan.Items)
}

func TestTimeToLive(t *testing.T) {
	t.Parallel()
	s := start(t)
	_, err := s.CreateTable(s.ctx, tableInput(tableName))
	require.NoError(t, err)
	status := func() *types.TimeToLiveDescription {
		out, err := s.DescribeTimeToLive(s.ctx, &sdk.DescribeTimeToLiveInput{TableName: aws.String(tableName)})
		require.NoError(t, err)
		return out.TimeToLiveDescription
	}
	set := func(on bool) error {
		_, err := s.UpdateTimeToLive(s.ctx, &sdk.UpdateTimeToLiveInput{TableName: aws.String(tableName), TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String("gone_at"), Enabled: aws.Bool(on)}})
		return err
	}
	require.Equal(t, types.TimeToLiveStatusDisabled, status().TimeToLiveStatus)
	s.put(t, thing("p", "s", attrs{"gone_at": num("1799999999")}))
	n, err := s.server.SweepExpired(s.ctx)
	require.NoError(t, err)
	require.Zero(t, n)

	require.NoError(t, set(true))
	require.Equal(t, types.TimeToLiveStatusEnabled, status().TimeToLiveStatus)
	require.Equal(t, "gone_at", *status().AttributeName)
	requireError(t, set(true), validation, "TimeToLive is already enabled")
	n, err = s.server.SweepExpired(s.ctx)
	require.NoError(t, err)
	require.Equal(t, 1, n, "what was there before expires too")

	require.NoError(t, set(false))
	s.put(t, thing("p", "s", attrs{"gone_at": num("1799999999")}))
	n, err = s.server.SweepExpired(s.ctx)
	require.NoError(t, err)
	require.Zero(t, n)
	requireError(t, set(false), validation, "TimeToLive is already disabled")
}

func TestContinuousBackups(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.createTable(t)
	_, err := s.UpdateContinuousBackups(s.ctx, &sdk.UpdateContinuousBackupsInput{TableName: aws.String(tableName), PointInTimeRecoverySpecification: &types.PointInTimeRecoverySpecification{PointInTimeRecoveryEnabled: aws.Bool(true)}})
	require.NoError(t, err)
	out, err := s.DescribeContinuousBackups(s.ctx, &sdk.DescribeContinuousBackupsInput{TableName: aws.String(tableName)})
	require.NoError(t, err)
	require.Equal(t, types.PointInTimeRecoveryStatusEnabled, out.ContinuousBackupsDescription.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus)
}
