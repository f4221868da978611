package dynamo

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// Attributes of the item by which processes agree on who sweeps.
const (
	swHolder = "h"
	swUntil  = "u" // milliseconds of Unix time
)

// TakeSweep takes the sweep of the dead-letter queue for holder until a moment,
// and says whether it has: only one of all has it, and nobody before the moment
// that was set last. What holder took it keeps, and may take again: an answer
// that was lost takes nothing away.
func (t *Table) TakeSweep(ctx context.Context, holder string, now, until time.Time) (bool, error) {
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: t.name, Key: sweepKey(),
		UpdateExpression:          aws.String("SET #h = :h, #u = :u"),
		ConditionExpression:       aws.String("attribute_not_exists(PK) OR #u <= :now OR (#h = :h AND #u = :u)"),
		ExpressionAttributeNames:  map[string]string{"#h": swHolder, "#u": swUntil},
		ExpressionAttributeValues: item{":h": str(holder), ":u": num(until.UnixMilli()), ":now": num(now.UnixMilli())},
	})
	if _, no := refused(err, 0); no {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take the sweep: %w", err)
	}
	return true, nil
}

// EndSweep sets when the next sweep may be taken, by anybody. It does nothing
// where holder no longer has it.
func (t *Table) EndSweep(ctx context.Context, holder string, next time.Time) error {
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: t.name, Key: sweepKey(),
		UpdateExpression:          aws.String("SET #u = :u"),
		ConditionExpression:       aws.String("#h = :h"),
		ExpressionAttributeNames:  map[string]string{"#h": swHolder, "#u": swUntil},
		ExpressionAttributeValues: item{":h": str(holder), ":u": num(next.UnixMilli())},
	})
	if _, no := refused(err, 0); err != nil && !no {
		return fmt.Errorf("end the sweep: %w", err)
	}
	return nil
}
