package dynamo

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"posthorn/internal/gather"
	"posthorn/internal/hook"
)

// Attributes of an item of events.
const (
	evType    = "t"  // where all are of one type
	evTypes   = "ts" // where they are not: the set of them
	evHolds   = "hd" // how many of their deliveries are held, while they do not expire
	evMembers = "v"  // where there are several: what is each one's own
	// Of the only event, or of each in evMembers.
	evNumber    = "i" // in its block; absent: 0
	evEndpoints = "e" // the ULIDs of the first matched endpoints, one behind the other; in evMembers absent: those of the one before
	evTargets   = "n" // how many it matched; absent: those of evEndpoints
	evTrace     = "tp"
	evLength    = "l" // in evMembers: of its body
	// The bodies, one behind the other.
	evBody   = "b" // as text
	evPacked = "z" // or deflated
)

// targetsPerItem is how many endpoints are kept in an item of those that an
// event matched beyond hook.MaxInlineTargets.
const targetsPerItem = 1000

// writeUnit is what one write unit pays for, in bytes.
const writeUnit = 1024

// encodeEvents writes events of one block, in ascending order, as one item.
func encodeEvents(events []*hook.Event) (item, error) {
	first := events[0]
	it := eventKey(first.Tenant, first.ID)
	setExpiry(it, first.ExpiresAt)
	kinds := make([]string, 0, 1)
	var body []byte
	for _, e := range events {
		if !slices.Contains(kinds, e.Type) {
			kinds = append(kinds, e.Type)
		}
		body = append(body, e.Body...)
	}
	if len(kinds) == 1 {
		it[evType] = str(kinds[0])
	} else {
		it[evTypes] = strSet(kinds)
	}
	if len(events) == 1 {
		encodeMember(it, first, nil)
	} else {
		it[evMembers] = encodeMembers(events, len(kinds) > 1)
	}
	packed, err := pack(body, size(it)+1)
	if err != nil {
		return nil, err
	}
	if packed != nil {
		it[evPacked] = &types.AttributeValueMemberB{Value: packed}
	} else {
		it[evBody] = str(string(body))
	}
	return it, nil
}

func encodeMembers(events []*hook.Event, withTypes bool) types.AttributeValue {
	list := make([]types.AttributeValue, len(events))
	var before *hook.Event
	for i, e := range events {
		m := item{evLength: num(int64(len(e.Body)))}
		encodeMember(m, e, before)
		if withTypes {
			m[evType] = str(e.Type)
		}
		list[i], before = &types.AttributeValueMemberM{Value: m}, e
	}
	return &types.AttributeValueMemberL{Value: list}
}

// encodeMember writes what is an event's own, but for what is that of the event
// before it.
func encodeMember(it item, e, before *hook.Event) {
	_, number := blockOf(ulid(e.ID))
	setNum(it, evNumber, int64(number))
	setStr(it, evTrace, e.Trace)
	inline := e.EndpointIDs[:min(len(e.EndpointIDs), hook.MaxInlineTargets)]
	if before == nil || !slices.Equal(e.EndpointIDs, before.EndpointIDs) {
		it[evEndpoints] = encodeTargets(inline)
	}
	if n := len(e.EndpointIDs); n > len(inline) {
		it[evTargets] = num(int64(n))
	}
}

// encodeTargets writes endpoints' ULIDs one behind the other.
func encodeTargets(ids []string) types.AttributeValue {
	var b strings.Builder
	b.Grow(len(ids) * ulidLen)
	for _, id := range ids {
		b.WriteString(ulid(id))
	}
	return str(b.String())
}

func decodeTargets(it item) []string {
	all := getStr(it, evEndpoints)
	if len(all) < ulidLen {
		return nil
	}
	ids := make([]string, 0, len(all)/ulidLen)
	for ; len(all) >= ulidLen; all = all[ulidLen:] {
		ids = append(ids, hook.EndpointPrefix+all[:ulidLen])
	}
	return ids
}

// pack deflates a body that goes into an item with rest other bytes, where
// that saves a write unit; nil where it does not.
func pack(body []byte, rest int) ([]byte, error) {
	if rest+len(body) <= writeUnit {
		return nil, nil
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	if _, err := w.Write(body); err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	if units(rest+b.Len()) >= units(rest+len(body)) {
		return nil, nil
	}
	return b.Bytes(), nil
}

func units(bytes int) int { return (bytes + writeUnit - 1) / writeUnit }

// maxBody bounds what a packed body may unfold to, in bytes: the largest
// payload and its envelope.
const maxBody = 1 << 20

func unpack(packed []byte) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxBody+1))
	if err != nil {
		return nil, fmt.Errorf("inflate: %w", err)
	}
	if len(body) > maxBody {
		return nil, fmt.Errorf("inflate: more than %d bytes", maxBody)
	}
	return body, nil
}

// decodeEvents reads the events of an item, in ascending order.
func decodeEvents(tenant string, it item) ([]*hook.Event, error) {
	block := getStr(it, SortKey)
	body := []byte(getStr(it, evBody))
	if v, ok := it[evPacked].(*types.AttributeValueMemberB); ok {
		var err error
		if body, err = unpack(v.Value); err != nil {
			return nil, fmt.Errorf("body of event %s: %w", hook.EventPrefix+block, err)
		}
	}
	list := getList(it, evMembers)
	if list == nil {
		e := decodeMember(tenant, block, it, it, nil)
		e.Body = body
		return []*hook.Event{e}, nil
	}
	events := make([]*hook.Event, 0, len(list))
	var before *hook.Event
	for _, v := range list {
		m, ok := v.(*types.AttributeValueMemberM)
		if !ok {
			return nil, fmt.Errorf("events of %s: one of them is no map", hook.EventPrefix+block)
		}
		length := int(getNum(m.Value, evLength))
		if length < 0 || length > len(body) {
			return nil, fmt.Errorf("events of %s: the bodies are cut off", hook.EventPrefix+block)
		}
		e := decodeMember(tenant, block, it, m.Value, before)
		e.Body, body = body[:length:length], body[length:]
		events, before = append(events, e), e
	}
	return events, nil
}

// decodeMember reads what is an event's own out of own, and the rest out of its
// item and the event before it.
func decodeMember(tenant, block string, it, own item, before *hook.Event) *hook.Event {
	e := &hook.Event{
		ID:        hook.EventPrefix + inBlock(block, int(getNum(own, evNumber))),
		Tenant:    tenant,
		Type:      getStr(it, evType),
		Trace:     getStr(own, evTrace),
		ExpiresAt: getExpiry(it),
	}
	if t := getStr(own, evType); t != "" {
		e.Type = t
	}
	e.CreatedAt = hook.IDTime(e.ID)
	if own[evEndpoints] == nil && before != nil {
		e.EndpointIDs = before.EndpointIDs
	} else {
		e.EndpointIDs = decodeTargets(own)
	}
	e.Targets = max(int(getNum(own, evTargets)), len(e.EndpointIDs))
	return e
}

// PutEvent stores an event, or several of one block: all of them or none. They
// are in ascending order, of one tenant, with ids that are the same but for
// their lowest seven bits, and expire at the same time. Events of concurrent
// callers travel together.
func (t *Table) PutEvent(ctx context.Context, events ...*hook.Event) error {
	it, err := encodeEvents(events)
	if err != nil {
		return fmt.Errorf("store event %s: %w", events[0].ID, err)
	}
	for _, e := range events {
		if err := t.putTargets(ctx, e); err != nil {
			return fmt.Errorf("store event %s: %w", e.ID, err)
		}
	}
	if _, err := t.events.Do(ctx, it); err != nil {
		return fmt.Errorf("store event %s: %w", events[0].ID, err)
	}
	return nil
}

// putTargets stores the endpoints that the event's own item does not hold. They
// come before it, so that whoever finds the event finds them.
func (t *Table) putTargets(ctx context.Context, e *hook.Event) error {
	if len(e.EndpointIDs) <= hook.MaxInlineTargets {
		return nil
	}
	var writes []types.WriteRequest
	for ids := range slices.Chunk(e.EndpointIDs[hook.MaxInlineTargets:], targetsPerItem) {
		it := targetsKey(e.Tenant, e.ID, len(writes))
		it[evEndpoints] = encodeTargets(ids)
		setExpiry(it, e.ExpiresAt)
		writes = append(writes, types.WriteRequest{PutRequest: &types.PutRequest{Item: it}})
	}
	for part := range slices.Chunk(writes, batchWriteLimit) {
		if _, err := t.batchWrite(ctx, part); err != nil {
			return fmt.Errorf("store targets: %w", err)
		}
	}
	return nil
}

// AllTargets returns the ids of all endpoints that an event matched, oldest
// first.
func (t *Table) AllTargets(ctx context.Context, e *hook.Event) ([]string, error) {
	if e.Targets <= len(e.EndpointIDs) {
		return e.EndpointIDs, nil
	}
	rest := (e.Targets - len(e.EndpointIDs) + targetsPerItem - 1) / targetsPerItem
	ids := make([]string, 0, e.Targets)
	ids = append(ids, e.EndpointIDs...)
	for first := 0; first < rest; first += batchGetLimit {
		var keys []item
		for n := first; n < min(first+batchGetLimit, rest); n++ {
			keys = append(keys, targetsKey(e.Tenant, e.ID, n))
		}
		found, err := t.batchGet(ctx, keys)
		if err != nil {
			return nil, fmt.Errorf("read targets of %s: %w", e.ID, err)
		}
		for _, k := range keys {
			ids = append(ids, decodeTargets(found[keyName(k)])...)
		}
	}
	return ids, nil
}

// putEvents writes up to 25 events. What DynamoDB leaves unprocessed is sent
// again until ctx ends.
func (t *Table) putEvents(ctx context.Context, items []item) []gather.Result[struct{}] {
	results := make([]gather.Result[struct{}], len(items))
	if len(items) == 1 {
		_, results[0].Err = t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: t.name, Item: items[0]})
		return results
	}
	writes := make([]types.WriteRequest, len(items))
	for i, it := range items {
		writes[i] = types.WriteRequest{PutRequest: &types.PutRequest{Item: it}}
	}
	missing, err := t.batchWrite(ctx, writes)
	alone := isInvalid(err)
	for i, it := range items {
		switch {
		case alone: // one of them is at fault, and the others need not suffer
			_, results[i].Err = t.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: t.name, Item: it})
		case err != nil && (missing == nil || missing[keyName(it)]):
			results[i].Err = err
		}
	}
	return results
}

// isInvalid says whether DynamoDB refused a call for what it asks: nothing of
// it was done, and it is not worth another try.
func isInvalid(err error) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == "ValidationException"
}

// batchWrite makes up to 25 puts of different keys. After an error, missing
// names those that were not made; nil means any of them.
func (t *Table) batchWrite(ctx context.Context, writes []types.WriteRequest) (missing map[string]bool, err error) {
	todo := map[string][]types.WriteRequest{*t.name: writes}
	for n := 0; ; n++ {
		out, err := t.client.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: todo})
		if err != nil && n == 0 {
			return nil, err
		}
		if err == nil {
			todo = out.UnprocessedItems
		}
		if len(todo) == 0 {
			return nil, nil
		}
		if err != nil || !t.pause(ctx, n) {
			missing = make(map[string]bool, len(todo[*t.name]))
			for _, w := range todo[*t.name] {
				missing[keyName(w.PutRequest.Item)] = true
			}
			return missing, errors.Join(err, fmt.Errorf("%d items left unprocessed", len(missing)))
		}
	}
}

// Event reads an event; hook.ErrNotFound when there is none.
func (t *Table) Event(ctx context.Context, tenant, id string) (*hook.Event, error) {
	if !hook.ValidID(hook.EventPrefix, id) {
		return nil, fmt.Errorf("event %q: %w", id, hook.ErrNotFound)
	}
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: eventKey(tenant, id), ConsistentRead: aws.Bool(true)})
	if err != nil {
		return nil, fmt.Errorf("read event %s: %w", id, err)
	}
	if out.Item == nil || expired(out.Item, t.now()) {
		return nil, fmt.Errorf("event %s: %w", id, hook.ErrNotFound)
	}
	events, err := decodeEvents(tenant, out.Item)
	if err != nil {
		return nil, fmt.Errorf("read event %s: %w", id, err)
	}
	for _, e := range events {
		if e.ID == id {
			return e, nil
		}
	}
	return nil, fmt.Errorf("event %s: %w", id, hook.ErrNotFound)
}

// ListEvents lists a tenant's events, newest first. next is where the next
// page goes on; empty at the end. A page can end early, even with nothing on
// it, when the filter lets little through or there is nothing for days.
func (t *Table) ListEvents(ctx context.Context, f hook.EventFilter, p hook.Page) (events []*hook.Event, next string, err error) {
	first, last := t.eventSpan(f, p)
	from, below := ulidSpan(first, last, ulid(p.After))
	room := maxAnswerBytes
	// Day by day backwards, more of them at a time the longer nothing is found.
	for days, round := 1, 1; last.After(first); days, round = min(2*days, maxDays), round+1 {
		if round > maxLooks {
			return events, hook.EventPrefix + lowest(last), nil
		}
		var searches []search
		for range days {
			if !last.After(first) {
				break
			}
			day := last.Add(-time.Nanosecond).Truncate(24 * time.Hour)
			for i := range shards {
				searches = append(searches, search{
					pk: eventsPK(f.Tenant, day.Format(dayLayout), strconv.Itoa(i)), from: from, below: below,
					conditions: ofType(f.Type),
				})
			}
			last = day
		}
		// One more, since the cursor may stand within an item. A page that is full
		// looks for one more still, to know whether it is the last.
		items, ended, err := t.page(ctx, searches, p.Limit-len(events)+2, room)
		if err != nil {
			return nil, "", fmt.Errorf("list events: %w", err)
		}
		for _, it := range items {
			all, err := decodeEvents(f.Tenant, it)
			if err != nil {
				return nil, "", fmt.Errorf("list events: %w", err)
			}
			for _, e := range slices.Backward(all) {
				if f.Type != "" && e.Type != f.Type || p.After != "" && e.ID >= p.After {
					continue
				}
				if len(events) == p.Limit || room <= 0 {
					return events, events[len(events)-1].ID, nil
				}
				events = append(events, e)
				// What counts for the reader is the event as it is shown.
				room -= max(size(it)/len(all), len(e.Body))
			}
		}
		if ended != "" {
			return events, hook.EventPrefix + ended, nil
		}
	}
	return events, "", nil
}

const (
	// maxDays is how many days are looked at at the same time at most: each
	// takes as many calls as it has shards.
	maxDays = 4
	// maxLooks bounds the looks of a page, and with it the days without an
	// event that it passes over: 23, of 1, 2, and 4 five times.
	maxLooks = 7
)

// ofType is the condition that an item has events of a type.
func ofType(eventType string) []condition {
	conditions := where(nil, evType, eventType)
	for i := range conditions {
		conditions[i].set = evTypes
	}
	return conditions
}

// eventSpan is the time that a page of a list can hold events of: first is
// inclusive, last exclusive.
func (t *Table) eventSpan(f hook.EventFilter, p hook.Page) (first, last time.Time) {
	now := t.now().UTC()
	// Clocks of environments differ a little, and an event that has a dead
	// letter lives as long as that.
	first, last = now.Add(-t.retention-max(t.retention, t.deadRetention)), now.Add(time.Minute)
	if f.Since.After(first) {
		first = f.Since.UTC()
	}
	if !f.Until.IsZero() && f.Until.Before(last) {
		last = f.Until.UTC()
	}
	if p.After != "" {
		at := hook.IDTime(p.After)
		if ulid(p.After) > lowest(at) { // there may be more of that millisecond
			at = at.Add(time.Millisecond)
		}
		if at.Before(last) {
			last = at
		}
	}
	return first, last
}

// ExtendEvent lets an event, and what is kept beside it of the endpoints that it
// goes to, expire no sooner than until. An event that is gone stays gone, and
// one that does not expire at all stays so.
func (t *Table) ExtendEvent(ctx context.Context, tenant, id string, until time.Time) error {
	// What is beside it first: whoever finds the event finds all of it.
	beside, _, err := t.query(ctx, search{pk: targetsPK(tenant, id), from: "0", below: aboveAll, consistent: true})
	if err != nil {
		return fmt.Errorf("extend event %s: %w", id, err)
	}
	for _, it := range beside {
		if getExpiry(it).Before(until) {
			if err := t.extend(ctx, key(getStr(it, PartitionKey), getStr(it, SortKey)), until); err != nil {
				return fmt.Errorf("extend targets of event %s: %w", id, err)
			}
		}
	}
	if err := t.extend(ctx, eventKey(tenant, id), until); err != nil {
		return fmt.Errorf("extend event %s: %w", id, err)
	}
	return nil
}

// extend lets an item expire no sooner than until.
func (t *Table) extend(ctx context.Context, where item, until time.Time) error {
	it := item{}
	setExpiry(it, until)
	err := t.whileBusy(ctx, func() error {
		_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: t.name, Key: where,
			UpdateExpression:          aws.String("SET expires_at = :until"),
			ConditionExpression:       aws.String("expires_at < :until AND expires_at > :now"),
			ExpressionAttributeValues: item{":until": it[TTL], ":now": num(t.now().Unix())},
		})
		return err
	})
	if _, no := refused(err, 0); no {
		return nil
	}
	return err
}
