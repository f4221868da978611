package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/gather"
)

// Options of a Table. Zero fields take the defaults named.
type Options struct {
	EventRetention      time.Duration    // how long events are kept, and so how far back they are listed; 30 days
	DeadLetterRetention time.Duration    // how long a dead letter lets its event live on; EventRetention
	Now                 func() time.Time // time.Now
	Rand                func() float64   // uniform in [0, 1); math/rand
}

// Table is Posthorn's table. It is safe for concurrent use. What concurrent
// callers ask of it travels together where DynamoDB takes batches.
type Table struct {
	client        *dynamodb.Client
	name          *string
	retention     time.Duration // of events
	deadRetention time.Duration // of dead letters
	now           func() time.Time
	rand          func() float64

	sets      endpointSets
	versions  *gather.Group[string, int64]
	events    *gather.Group[item, struct{}]
	rows      *gather.Group[rowsAsked, rowsFound]
	eventType knownTypes
	markedLag markedLag
}

// New returns the table of that name. It calls nothing.
func New(cfg aws.Config, name string, o Options) *Table {
	if o.EventRetention <= 0 {
		o.EventRetention = 30 * 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	t := &Table{
		client: dynamodb.NewFromConfig(cfg), name: &name,
		retention: o.EventRetention, deadRetention: o.DeadLetterRetention, now: o.Now, rand: o.Rand,
	}
	t.versions = gather.New(gather.Options{Size: batchGetLimit, Parallel: 1}, t.readVersions)
	t.events = gather.New(gather.Options{Size: batchWriteLimit, Parallel: 1}, t.putEvents)
	t.rows = gather.New(gather.Options{Size: sharedReads, Parallel: 1}, t.readRows)
	return t
}

const (
	batchGetLimit   = 100 // keys of a BatchGetItem
	sharedReads     = 10  // reads of rows that travel together
	sharedRefs      = 10  // rows that such a read is for at most
	batchWriteLimit = 25  // items of a BatchWriteItem
	firstPause      = 20 * time.Millisecond
	longestPause    = time.Second
)

// pause waits before the try after n failed ones, jittered; false when ctx
// ended first.
func (t *Table) pause(ctx context.Context, n int) bool {
	d := min(firstPause<<min(n, 10), longestPause)
	timer := time.NewTimer(d/2 + time.Duration(t.rand()*float64(d)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Ready says whether the table answers.
func (t *Table) Ready(ctx context.Context) error {
	_, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: endpointCountsKey()})
	if err != nil {
		return fmt.Errorf("read table %s: %w", *t.name, err)
	}
	return nil
}

// IsNoTable says whether a call failed because there is no table of that name in
// the account and region.
func IsNoTable(err error) bool {
	var none *types.ResourceNotFoundException
	return errors.As(err, &none)
}

// Definition is the table as CreateTable makes it, and as the template must
// describe it.
func Definition(name string) *dynamodb.CreateTableInput {
	attribute := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
	}
	keys := func(hash, sort string) []types.KeySchemaElement {
		return []types.KeySchemaElement{
			{AttributeName: &hash, KeyType: types.KeyTypeHash},
			{AttributeName: &sort, KeyType: types.KeyTypeRange},
		}
	}
	return &dynamodb.CreateTableInput{
		TableName:   &name,
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			attribute(PartitionKey), attribute(SortKey), attribute(IndexPartitionKey), attribute(IndexSortKey),
		},
		KeySchema: keys(PartitionKey, SortKey),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName:  aws.String(Index),
			KeySchema:  keys(IndexPartitionKey, IndexSortKey),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	}
}

// CreateTable makes the table with its time to live, unless it is there. It is
// for places without a template: the local default, and tests.
func CreateTable(ctx context.Context, cfg aws.Config, name string) error {
	client := dynamodb.NewFromConfig(cfg)
	_, err := client.CreateTable(ctx, Definition(name))
	var exists *types.ResourceInUseException
	if err != nil && !errors.As(err, &exists) {
		return fmt.Errorf("create table %s: %w", name, err)
	}
	if err := dynamodb.NewTableExistsWaiter(client).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &name}, time.Minute); err != nil {
		return fmt.Errorf("wait for table %s: %w", name, err)
	}
	if set, err := hasTTL(ctx, client, name); err != nil || set {
		return err
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &name,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: aws.String(TTL), Enabled: aws.Bool(true)},
	})
	if err != nil {
		// It may be set all the same: DynamoDB refuses to set it twice, as the
		// SDK does after a lost answer.
		if set, lookErr := hasTTL(ctx, client, name); lookErr == nil && set {
			return nil
		}
		return fmt.Errorf("set time to live of %s: %w", name, err)
	}
	return nil
}

// hasTTL says whether a table's time to live is set.
func hasTTL(ctx context.Context, client *dynamodb.Client, name string) (bool, error) {
	out, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	if err != nil {
		return false, fmt.Errorf("describe time to live of %s: %w", name, err)
	}
	d := out.TimeToLiveDescription
	return d != nil && (d.TimeToLiveStatus == types.TimeToLiveStatusEnabled || d.TimeToLiveStatus == types.TimeToLiveStatusEnabling), nil
}
