package dynamo

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// Codes of cancellation reasons; see TransactWriteItems in the DynamoDB API
// reference.
const (
	conditionFailed = "ConditionalCheckFailed"
	transactionBusy = "TransactionConflict"
	noReason        = "None"
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

// onlyConflicts says whether a transaction was cancelled for no other reason
// than that another one was at the same items.
func onlyConflicts(codes []string) bool {
	for _, c := range codes {
		if c != noReason && c != transactionBusy {
			return false
		}
	}
	return len(codes) > 0
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

// asConflict is hook.ErrConflict for a write that lost to a concurrent
// transaction, and err itself otherwise.
func asConflict(err error) error {
	var busy *types.TransactionConflictException
	if errors.As(err, &busy) || onlyConflicts(cancelled(err)) {
		return hook.ErrConflict
	}
	return err
}
