package dynamo

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Description is what a table is like, as far as Posthorn depends on it.
type Description struct {
	Status   string // ACTIVE when it can be used
	Keys     Keys
	Index    *IndexDescription // that of the name Index; nil: there is none
	TTL      string            // the attribute of the time to live; empty: it is off
	Recovery bool              // it can be restored to any second of the last weeks
}

// Keys are the key attributes of a table or an index, each with its type behind
// a colon, as in "PK:S"; a sort key that is not there is empty.
type Keys struct {
	Partition, Sort string
}

// IndexDescription is what an index is like.
type IndexDescription struct {
	Status     string // ACTIVE when it can be used
	Keys       Keys
	Projection string // KEYS_ONLY, INCLUDE or ALL
}

// Describe reads what a table is like, and changes nothing. An error for which
// IsNoTable holds says that it is not there.
func Describe(ctx context.Context, on aws.Config, name string) (*Description, error) {
	client := dynamodb.NewFromConfig(on)
	table, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		return nil, fmt.Errorf("describe table %s: %w", name, err)
	}
	t := table.Table
	d := &Description{Status: string(t.TableStatus), Keys: keysOf(t.KeySchema, t.AttributeDefinitions)}
	for _, index := range t.GlobalSecondaryIndexes {
		if aws.ToString(index.IndexName) != Index {
			continue
		}
		d.Index = &IndexDescription{Status: string(index.IndexStatus), Keys: keysOf(index.KeySchema, t.AttributeDefinitions)}
		if index.Projection != nil {
			d.Index.Projection = string(index.Projection.ProjectionType)
		}
	}
	ttl, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	if err != nil {
		return nil, fmt.Errorf("describe time to live of %s: %w", name, err)
	}
	if l := ttl.TimeToLiveDescription; l != nil && (l.TimeToLiveStatus == types.TimeToLiveStatusEnabled || l.TimeToLiveStatus == types.TimeToLiveStatusEnabling) {
		d.TTL = aws.ToString(l.AttributeName)
	}
	backups, err := client.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &name})
	if err != nil {
		return nil, fmt.Errorf("describe backups of %s: %w", name, err)
	}
	if b := backups.ContinuousBackupsDescription; b != nil && b.PointInTimeRecoveryDescription != nil {
		d.Recovery = b.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == types.PointInTimeRecoveryStatusEnabled
	}
	return d, nil
}

// WantedKeys are the keys of the table and of its index as they have to be.
func WantedKeys() (table, index Keys) {
	d := Definition("")
	return keysOf(d.KeySchema, d.AttributeDefinitions), keysOf(d.GlobalSecondaryIndexes[0].KeySchema, d.AttributeDefinitions)
}

func keysOf(schema []types.KeySchemaElement, attributes []types.AttributeDefinition) Keys {
	var k Keys
	for _, e := range schema {
		name := aws.ToString(e.AttributeName)
		for _, a := range attributes {
			if aws.ToString(a.AttributeName) == name {
				name += ":" + string(a.AttributeType)
				break
			}
		}
		if e.KeyType == types.KeyTypeHash {
			k.Partition = name
		} else {
			k.Sort = name
		}
	}
	return k
}
