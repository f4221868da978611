package dynamo

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Codes of cancellation reasons; see TransactWriteItems in the DynamoDB API
// reference.
const (
	noReason           = "None"
	conditionFailed    = "ConditionalCheckFailed"
	transactionBusy    = "TransactionConflict"
	throttled          = "ThrottlingError"
	throughputExceeded = "ProvisionedThroughputExceeded"
)

// cancelled returns the reason code of each item of a cancelled transaction,
// nil for any other error.
func cancelled(err error) []string {
	var c *types.TransactionCanceledException
	if !errors.As(err, &c) {
		return nil
	}
	codes := make([]string, len(c.CancellationReasons))
	for i, r := range c.CancellationReasons {
		if r.Code != nil {
			codes[i] = *r.Code
		}
	}
	return codes
}

// busy says whether a call was refused for nothing but other calls: another
// transaction was at the same items, or there were too many at once.
func busy(err error) bool {
	var single *types.TransactionConflictException
	if errors.As(err, &single) {
		return true
	}
	codes := cancelled(err)
	for _, c := range codes {
		switch c {
		case noReason, transactionBusy, throttled, throughputExceeded:
		default:
			return false
		}
	}
	return len(codes) > 0
}

// whileBusy makes a call, again and again while it is busy, until ctx ends.
func (t *Table) whileBusy(ctx context.Context, call func() error) error {
	for n := 0; ; n++ {
		if err := call(); !busy(err) || !t.pause(ctx, n) {
			return err
		}
	}
}

// transact makes writes all or nothing. The SDK gives each call a token, by
// which DynamoDB recognises a retry after a lost answer.
func (t *Table) transact(ctx context.Context, writes []types.TransactWriteItem) error {
	return t.whileBusy(ctx, func() error {
		_, err := t.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: writes})
		return err
	})
}

// refused returns the item that failed the condition of a single write or of
// the n-th write of a transaction; ok is false when err is something else. The
// item is nil when there is none.
func refused(err error, n int) (it item, ok bool) {
	var single *types.ConditionalCheckFailedException
	if errors.As(err, &single) {
		return single.Item, true
	}
	var many *types.TransactionCanceledException
	if errors.As(err, &many) && n < len(many.CancellationReasons) {
		r := many.CancellationReasons[n]
		if r.Code != nil && *r.Code == conditionFailed {
			return r.Item, true
		}
	}
	return nil, false
}
