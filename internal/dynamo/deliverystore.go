package dynamo

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/gather"
	"posthorn/internal/hook"
)

// Deliveries reads the rows of refs strongly consistently, in their order, nil
// where there is none. Reads of concurrent callers travel together.
func (t *Table) Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error) {
	if len(refs) == 0 {
		return nil, nil
	}
	if len(refs) <= batchGetLimit/sharedReads {
		rows, err := t.rows.Do(ctx, refs)
		if err != nil {
			return nil, fmt.Errorf("read deliveries: %w", err)
		}
		return rows, nil
	}
	rows := make([]*hook.Delivery, 0, len(refs))
	for part := range slices.Chunk(refs, batchGetLimit) {
		got := t.readRows(ctx, [][]hook.Ref{part})[0]
		if got.Err != nil {
			return nil, fmt.Errorf("read deliveries: %w", got.Err)
		}
		rows = append(rows, got.Value...)
	}
	return rows, nil
}

// readRows reads the rows of some callers' refs in one call, or in one for each
// where DynamoDB refuses some of the refs.
func (t *Table) readRows(ctx context.Context, asked [][]hook.Ref) []gather.Result[[]*hook.Delivery] {
	results := make([]gather.Result[[]*hook.Delivery], len(asked))
	var keys []item
	seen := make(map[hook.Ref]item)
	for _, refs := range asked {
		for _, ref := range refs {
			if seen[ref] == nil {
				seen[ref] = deliveryKey(ref)
				keys = append(keys, seen[ref])
			}
		}
	}
	found, err := t.batchGet(ctx, keys)
	if len(asked) > 1 && isInvalid(err) { // one of them is at fault, and the others need not suffer
		for i := range asked {
			results[i] = t.readRows(ctx, asked[i:i+1])[0]
		}
		return results
	}
	now := t.now()
	for i, refs := range asked {
		if results[i].Err = err; err != nil {
			continue
		}
		rows := make([]*hook.Delivery, len(refs))
		for j, ref := range refs {
			if it := found[keyName(seen[ref])]; it != nil && !expired(it, now) {
				rows[j] = decodeDelivery(ref, it)
			}
		}
		results[i].Value = rows
	}
	return results
}

// SaveDelivery makes a write all or nothing. It returns hook.ErrConflict when
// the row is not at the revision before the write's, and nil when the row
// carries this very write already: its answer was lost.
func (t *Table) SaveDelivery(ctx context.Context, w hook.DeliveryWrite) error {
	d := w.Delivery
	condition, values := "r = :rev", item{":rev": num(d.Rev - 1)}
	if d.Rev == 1 {
		// What has expired may still be there; nobody sees it.
		condition, values = "attribute_not_exists(PK) OR expires_at <= :now", item{":now": num(t.now().Unix())}
	}
	put := &types.Put{
		TableName: t.name, Item: encodeDelivery(d), ConditionExpression: &condition, ExpressionAttributeValues: values,
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	var err error
	if extra := t.alongWith(w); len(extra) == 0 {
		err = t.put(ctx, put) // at half a transaction's price
	} else {
		err = t.transact(ctx, append([]types.TransactWriteItem{{Put: put}}, extra...))
	}
	if old, no := refused(err, 0); no {
		if old != nil && sameWrite(put.Item, old) {
			return nil
		}
		err = hook.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("save delivery %s: %w", d.ID(), err)
	}
	return nil
}

// put makes one write as it would be made in a transaction.
func (t *Table) put(ctx context.Context, p *types.Put) error {
	return t.whileBusy(ctx, func() error {
		_, err := t.client.PutItem(ctx, &dynamodb.PutItemInput{
			TableName: p.TableName, Item: p.Item,
			ConditionExpression: p.ConditionExpression, ExpressionAttributeValues: p.ExpressionAttributeValues,
			ReturnValuesOnConditionCheckFailure: p.ReturnValuesOnConditionCheckFailure,
		})
		return err
	})
}

// sameWrite says whether the row that is there is the one that was to be
// written. A revision is written once, so what tells two writes of the same
// revision apart is who wrote it and to what end.
func sameWrite(row, old item) bool {
	return getNum(row, dlRev) == getNum(old, dlRev) &&
		getStr(row, dlLast) == getStr(old, dlLast) &&
		getStr(row, dlMessage) == getStr(old, dlMessage) &&
		getStr(row, dlStatus) == getStr(old, dlStatus) &&
		getNum(row, dlGen) == getNum(old, dlGen) &&
		getNum(row, dlHop) == getNum(old, dlHop) &&
		getStr(row, dlDeadLetter) == getStr(old, dlDeadLetter)
}

// alongWith is what is written together with a row, if anything.
func (t *Table) alongWith(w hook.DeliveryWrite) []types.TransactWriteItem {
	var extra []types.TransactWriteItem
	if a := w.Attempt; a != nil && a.Number > 1 {
		it := encodeAttempt(key(attemptsPK(w.Delivery.Ref), attemptSK(a.Number)), a)
		setExpiry(it, w.Delivery.ExpiresAt)
		extra = append(extra, types.TransactWriteItem{Put: &types.Put{TableName: t.name, Item: it}})
	}
	if w.DropDeadLetter != "" && (w.AddDeadLetter == nil || w.AddDeadLetter.ID != w.DropDeadLetter) {
		extra = append(extra, types.TransactWriteItem{Delete: &types.Delete{
			TableName: t.name, Key: deadLetterKey(w.Delivery.Tenant, w.DropDeadLetter),
		}})
	}
	if w.AddDeadLetter != nil {
		extra = append(extra, types.TransactWriteItem{Put: &types.Put{TableName: t.name, Item: encodeDeadLetter(w.AddDeadLetter)}})
	}
	return extra
}

// Attempts reads the later attempts (number 2 and up), newest first.
func (t *Table) Attempts(ctx context.Context, ref hook.Ref, newest int) ([]hook.Attempt, error) {
	items, _, err := t.query(ctx, search{pk: attemptsPK(ref), from: "0", below: aboveAll, limit: newest, consistent: true})
	if err != nil {
		return nil, fmt.Errorf("read attempts of %s: %w", ref.ID(), err)
	}
	attempts := make([]hook.Attempt, len(items))
	for i, it := range items {
		attempts[i] = decodeAttempt(it)
	}
	return attempts, nil
}

// ListDeliveries lists the deliveries of one endpoint of which something is
// recorded, newest event first. next, the id of an event, is where the next
// page goes on; empty at the end. A page can end early, even with nothing on
// it, when the filter lets little through.
func (t *Table) ListDeliveries(ctx context.Context, f hook.DeliveryFilter, p hook.Page) (deliveries []*hook.Delivery, next string, err error) {
	from, below := ulidSpan(f.Since, f.Until, ulid(p.After))
	if f.Status == hook.Retrying || f.Status == hook.Held {
		deliveries, next, err = t.listByStatus(ctx, f, p.Limit, from, below)
	} else {
		deliveries, next, err = t.listRows(ctx, f, p.Limit, from, below)
	}
	if err != nil {
		return nil, "", fmt.Errorf("list deliveries: %w", err)
	}
	return deliveries, next, nil
}

// listRows lists through the rows. next is an event's id.
func (t *Table) listRows(ctx context.Context, f hook.DeliveryFilter, limit int, from, below string) (deliveries []*hook.Delivery, next string, err error) {
	conditions := where(where(nil, dlStatus, string(f.Status)), dlType, f.EventType)
	searches := make([]search, shards)
	for i := range searches {
		searches[i] = search{
			pk:   deliveriesPK(f.Tenant, f.EndpointID, strconv.Itoa(i)),
			from: deliverySKPrefix + from, below: deliverySKPrefix + below, conditions: conditions,
		}
	}
	items, next, err := t.page(ctx, searches, limit, maxAnswerBytes)
	if err != nil {
		return nil, "", err
	}
	for _, it := range items {
		deliveries = append(deliveries, decodeDelivery(refOf(f.Tenant, f.EndpointID, it), it))
	}
	if next != "" {
		next = hook.EventPrefix + strings.TrimPrefix(next, deliverySKPrefix)
	}
	return deliveries, next, nil
}

// listByStatus lists through the index, which holds the few deliveries that
// are in such a state among the many that are not. It trails the table by a
// moment, so what it names is looked up. next is an event's id.
func (t *Table) listByStatus(ctx context.Context, f hook.DeliveryFilter, limit int, from, below string) (deliveries []*hook.Delivery, next string, err error) {
	searches := make([]search, shards)
	for i := range searches {
		searches[i] = search{pk: indexPK(f.Tenant, f.EndpointID, f.Status, strconv.Itoa(i)), from: from, below: below, index: true}
	}
	items, next, err := t.page(ctx, searches, limit, maxAnswerBytes)
	if err != nil {
		return nil, "", err
	}
	refs := make([]hook.Ref, len(items))
	for i, it := range items {
		refs[i] = refOf(f.Tenant, f.EndpointID, it)
	}
	rows, err := t.Deliveries(ctx, refs)
	if err != nil {
		return nil, "", err
	}
	for _, d := range rows {
		if d != nil && d.Status == f.Status && (f.EventType == "" || d.EventType == f.EventType) {
			deliveries = append(deliveries, d)
		}
	}
	if next != "" {
		next = hook.EventPrefix + next
	}
	return deliveries, next, nil
}
