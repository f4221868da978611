package dynamo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/gather"
	"posthorn/internal/hook"
	"posthorn/internal/stack"
)

// rowsAsked is what one caller wants to read.
type rowsAsked struct {
	refs   []hook.Ref
	states bool // of the refs' endpoints too
}

// rowsFound answers rowsAsked, in the order of its refs.
type rowsFound struct {
	rows   []*hook.Delivery // nil where there is none
	states []hook.EndpointState
}

// Deliveries reads the rows of refs strongly consistently, in their order, nil
// where there is none. Reads of concurrent callers travel together.
func (t *Table) Deliveries(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, error) {
	found, err := t.readTogether(ctx, rowsAsked{refs: refs})
	return found.rows, err
}

// DeliveriesAndStates is Deliveries together with the states of the refs'
// endpoints, in the same order; the zero state where there is none.
func (t *Table) DeliveriesAndStates(ctx context.Context, refs []hook.Ref) ([]*hook.Delivery, []hook.EndpointState, error) {
	found, err := t.readTogether(ctx, rowsAsked{refs: refs, states: true})
	return found.rows, found.states, err
}

func (t *Table) readTogether(ctx context.Context, asked rowsAsked) (found rowsFound, err error) {
	switch {
	case len(asked.refs) == 0:
		return rowsFound{}, nil
	case len(asked.refs) <= sharedRefs:
		found, err = t.rows.Do(ctx, asked)
	default:
		r := t.readRows(ctx, []rowsAsked{asked})[0]
		found, err = r.Value, r.Err
	}
	if err != nil {
		return rowsFound{}, fmt.Errorf("read deliveries: %w", err)
	}
	return found, nil
}

// readRows reads the rows of some callers' refs in as few calls as take them,
// or in calls of each caller's own where DynamoDB refuses some of the refs.
func (t *Table) readRows(ctx context.Context, asked []rowsAsked) []gather.Result[rowsFound] {
	results := make([]gather.Result[rowsFound], len(asked))
	var keys []item
	rowKeys := make(map[hook.Ref]item)
	stateKeys := make(map[string]item)
	for _, a := range asked {
		for _, ref := range a.refs {
			if rowKeys[ref] == nil {
				rowKeys[ref] = deliveryKey(ref)
				keys = append(keys, rowKeys[ref])
			}
			if a.states && stateKeys[ref.EndpointID] == nil {
				stateKeys[ref.EndpointID] = stateKey(ref.Tenant, ref.EndpointID)
				keys = append(keys, stateKeys[ref.EndpointID])
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
	for i, a := range asked {
		if results[i].Err = err; err != nil {
			continue
		}
		answer := rowsFound{rows: make([]*hook.Delivery, len(a.refs))}
		if a.states {
			answer.states = make([]hook.EndpointState, len(a.refs))
		}
		for j, ref := range a.refs {
			if it := found[keyName(rowKeys[ref])]; it != nil && !expired(it, now) {
				answer.rows[j] = decodeDelivery(ref, it)
			}
			if a.states {
				answer.states[j] = decodeState(found[keyName(stateKeys[ref.EndpointID])])
			}
		}
		results[i].Value = answer
	}
	return results
}

// SaveDelivery makes a write all or nothing. It returns hook.ErrConflict when
// the row is not at the revision before the write's, and nil when the row
// carries this very write already: its answer was lost. For a write that holds:
// hook.ErrNotHeld when the endpoint is not what the write says, and
// hook.ErrEventGone when the event is no longer stored.
func (t *Table) SaveDelivery(ctx context.Context, w hook.DeliveryWrite) error {
	if err := t.saveDelivery(ctx, w); err != nil {
		return fmt.Errorf("save delivery %s: %w", w.Delivery.ID(), err)
	}
	return nil
}

func (t *Table) saveDelivery(ctx context.Context, w hook.DeliveryWrite) error {
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
	extra := t.alongWith(w)
	hold := t.holding(w, d)
	for holds := 1; ; {
		err := t.writeRow(ctx, put, append(extra[:len(extra):len(extra)], hold...))
		if old, no := refused(err, 0); no {
			if old != nil && sameWrite(put.Item, old) {
				return nil
			}
			return hook.ErrConflict
		}
		if n := 1 + len(extra); len(hold) > 0 {
			event, no := refused(err, n+len(hold)-1) // it is the last
			switch {
			case w.Hold != nil && no:
				return hook.ErrEventGone
			case w.Unhold && no:
				// More of the event's deliveries are held than was thought, or none.
				if now := int(getNum(event, evHolds)); now != holds && now > 0 {
					holds = now
					hold = t.unhold(d, holds)
				} else {
					hold = nil
				}
				continue
			}
			if _, no := refused(err, n); w.Hold != nil && no {
				return hook.ErrNotHeld
			}
		}
		return err
	}
}

// writeRow puts a row, alone or together with what belongs to it.
func (t *Table) writeRow(ctx context.Context, put *types.Put, more []types.TransactWriteItem) error {
	if len(more) == 0 {
		return t.put(ctx, put) // at half a transaction's price
	}
	return t.transact(ctx, append([]types.TransactWriteItem{{Put: put}}, more...))
}

// holding is what holding a delivery asks of its endpoint and its event, or the
// end of it; the event's write is the last.
func (t *Table) holding(w hook.DeliveryWrite, d *hook.Delivery) []types.TransactWriteItem {
	switch {
	case w.Hold != nil:
		check := types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
			TableName: t.name, Key: endpointKey(d.Tenant, d.EndpointID), ConditionExpression: aws.String("e = :epoch AND st <> :active"),
			ExpressionAttributeValues: item{":epoch": num(w.Hold.Epoch), ":active": str(string(hook.EndpointActive))},
		}}
		event := &types.Update{
			TableName: t.name, Key: eventKey(d.Tenant, d.EventID), UpdateExpression: aws.String("ADD hd :one REMOVE expires_at"),
			ConditionExpression:       aws.String("attribute_exists(PK) AND (attribute_not_exists(expires_at) OR expires_at > :now)"),
			ExpressionAttributeValues: item{":one": num(1), ":now": num(t.now().Unix())},
		}
		if w.Hold.Again { // it is counted already
			event.UpdateExpression = aws.String("REMOVE expires_at")
			delete(event.ExpressionAttributeValues, ":one")
		}
		return []types.TransactWriteItem{check, {Update: event}}
	case w.Unhold:
		return t.unhold(d, 1)
	default:
		return nil
	}
}

// unhold lets an event expire again of which so many deliveries are held, this
// one among them: when it is the last, with the row.
func (t *Table) unhold(d *hook.Delivery, holds int) []types.TransactWriteItem {
	u := &types.Update{
		TableName: t.name, Key: eventKey(d.Tenant, d.EventID), ConditionExpression: aws.String("hd = :holds"),
		ExpressionAttributeValues:           item{":holds": num(int64(holds))},
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
	}
	if holds > 1 {
		u.UpdateExpression = aws.String("SET hd = :less")
		u.ExpressionAttributeValues[":less"] = num(int64(holds - 1))
	} else {
		until := item{}
		setExpiry(until, d.ExpiresAt)
		u.UpdateExpression = aws.String("SET expires_at = :until REMOVE hd")
		u.ExpressionAttributeValues[":until"] = until[TTL]
	}
	return []types.TransactWriteItem{{Update: u}}
}

// put makes one write as it would be made in a transaction.
func (t *Table) put(ctx context.Context, p *types.Put) error {
	stack.Grow()
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

// ByState lists an endpoint's deliveries in one state through the index,
// oldest first: of the dead by their deaths, of the others by their events.
// next is empty at the end. The index trails the table by a moment, so that
// what it names has to be looked up.
func (t *Table) ByState(ctx context.Context, q hook.StateQuery) (refs []hook.Ref, next string, err error) {
	from := "0"
	if q.Status == hook.Dead && !q.Since.IsZero() {
		from = hook.FormatTime(q.Since)
	}
	if q.After != "" {
		from = q.After + "!" // above it, and below everything else that is
	}
	found := make([][]item, shards)
	errs := make([]error, shards)
	var wg sync.WaitGroup
	for i := range shards {
		wg.Go(func() {
			found[i], _, errs[i] = t.query(ctx, search{
				pk: indexPK(q.Tenant, q.EndpointID, q.Status, strconv.Itoa(i)), from: from, below: aboveAll, index: true, ascending: true, limit: q.Limit + 1,
			})
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, "", fmt.Errorf("list deliveries by state: %w", err)
	}
	all := slices.Concat(found...)
	slices.SortFunc(all, func(a, b item) int { return strings.Compare(getStr(a, IndexSortKey), getStr(b, IndexSortKey)) })
	for _, it := range all[:min(len(all), q.Limit)] {
		refs = append(refs, refOf(q.Tenant, q.EndpointID, it))
	}
	if len(all) > q.Limit {
		next = getStr(all[q.Limit-1], IndexSortKey)
	}
	return refs, next, nil
}

// CountByState counts an endpoint's deliveries in one state through the index.
func (t *Table) CountByState(ctx context.Context, q hook.StateQuery) (int, error) {
	from := "0"
	if q.Status == hook.Dead && !q.Since.IsZero() {
		from = hook.FormatTime(q.Since)
	}
	total := 0
	for i := range shards {
		n, err := t.count(ctx, &dynamodb.QueryInput{
			IndexName: aws.String(Index), KeyConditionExpression: aws.String("GSI1PK = :pk AND GSI1SK >= :from"),
			ExpressionAttributeValues: item{":pk": str(indexPK(q.Tenant, q.EndpointID, q.Status, strconv.Itoa(i))), ":from": str(from)},
		})
		if err != nil {
			return 0, fmt.Errorf("count deliveries by state: %w", err)
		}
		total += n
	}
	return total, nil
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
