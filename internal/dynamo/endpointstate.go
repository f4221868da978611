package dynamo

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// Attributes of an endpoint's state.
const (
	esRev      = "r"
	esMark     = "w"
	esEpoch    = "e"
	esWindow   = "ws"
	esAttempts = "wa"
	esFailures = "wf"
	esFailing  = "fs"
	esLast     = "lf"
	esOpen     = "op"
	esOpened   = "on"
	esProbe    = "pr"
	esSlot     = "rl" // microseconds
)

// stateTime is how long a state outlives its last write. One that is written
// when its endpoint was deleted already, and nobody removes, ends by that.
const stateTime = 30 * 24 * time.Hour

// stateExpiry is when a state that is written now expires.
func (t *Table) stateExpiry() types.AttributeValue {
	it := item{}
	setExpiry(it, t.now().Add(stateTime))
	return it[TTL]
}

func decodeState(it item) hook.EndpointState {
	s := hook.EndpointState{
		Rev: getNum(it, esRev), Mark: getStr(it, esMark), Epoch: getNum(it, esEpoch),
		WindowStart: getTime(it, esWindow), WindowAttempts: int(getNum(it, esAttempts)), WindowFailures: int(getNum(it, esFailures)),
		FailingSince: getTime(it, esFailing), LastFailure: getTime(it, esLast),
		OpenUntil: getTime(it, esOpen), Opened: int(getNum(it, esOpened)), ProbeUntil: getTime(it, esProbe),
	}
	if us := getNum(it, esSlot); us != 0 {
		s.NextSlot = time.UnixMicro(us).UTC()
	}
	return s
}

// EndpointState reads what deliveries have shown of an endpoint; the zero state
// where that is nothing. Where id is empty, only NextSlot is set, to that of
// everybody's posts together.
func (t *Table) EndpointState(ctx context.Context, tenant, id string) (hook.EndpointState, error) {
	where := egressKey()
	if id != "" {
		where = stateKey(tenant, id)
	}
	out, err := t.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: t.name, Key: where, ConsistentRead: aws.Bool(true)})
	if err != nil {
		return hook.EndpointState{}, fmt.Errorf("read state of %s: %w", id, err)
	}
	return decodeState(out.Item), nil
}

// EndpointStates is EndpointState of several endpoints of a tenant, different
// ones, in the order of ids, in as few calls as take them.
func (t *Table) EndpointStates(ctx context.Context, tenant string, ids []string) ([]hook.EndpointState, error) {
	keys := make([]item, len(ids))
	for i, id := range ids {
		keys[i] = stateKey(tenant, id)
	}
	found, err := t.batchGet(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read states of %d endpoints: %w", len(ids), err)
	}
	states := make([]hook.EndpointState, len(ids))
	for i, k := range keys {
		states[i] = decodeState(found[keyName(k)])
	}
	return states, nil
}

// SaveEndpointState writes a state whose Rev is the new revision, only where it
// is at Rev-1, or, for Rev 1, where there is none: hook.ErrConflict otherwise.
// The rate limit's slots are not touched: they are taken all the while.
func (t *Table) SaveEndpointState(ctx context.Context, tenant, id string, s hook.EndpointState) error {
	set := item{}
	setNum(set, esRev, s.Rev)
	setStr(set, esMark, s.Mark)
	setNum(set, esEpoch, s.Epoch)
	setTime(set, esWindow, s.WindowStart)
	setNum(set, esAttempts, int64(s.WindowAttempts))
	setNum(set, esFailures, int64(s.WindowFailures))
	setTime(set, esFailing, s.FailingSince)
	setTime(set, esLast, s.LastFailure)
	setTime(set, esOpen, s.OpenUntil)
	setNum(set, esOpened, int64(s.Opened))
	setTime(set, esProbe, s.ProbeUntil)
	u := newUpdate()
	for _, name := range []string{esRev, esMark, esEpoch, esWindow, esAttempts, esFailures, esFailing, esLast, esOpen, esOpened, esProbe} {
		if v, ok := set[name]; ok {
			u.set(name, v)
		} else {
			u.removes = append(u.removes, u.name(name))
		}
	}
	u.set(TTL, t.stateExpiry())
	rev := u.name(esRev)
	condition := "attribute_not_exists(" + rev + ")"
	if s.Rev > 1 {
		condition = rev + " = " + u.value(num(s.Rev-1))
	}
	err := t.whileBusy(ctx, func() error {
		_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: t.name, Key: stateKey(tenant, id), UpdateExpression: aws.String(u.expression()), ConditionExpression: &condition,
			ExpressionAttributeNames: u.names, ExpressionAttributeValues: u.values,
		})
		return err
	})
	if _, no := refused(err, 0); no {
		err = hook.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("save state of %s: %w", id, err)
	}
	return nil
}

// DeleteEndpointState removes an endpoint's state.
func (t *Table) DeleteEndpointState(ctx context.Context, tenant, id string) error {
	if _, err := t.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: t.name, Key: stateKey(tenant, id)}); err != nil {
		return fmt.Errorf("remove state of %s: %w", id, err)
	}
	return nil
}

// ReserveSlots takes n slots, interval apart, of an endpoint's rate limit, or,
// where id is empty, of everybody's, and returns where they begin: where those
// taken before end, or now where that has passed. Whoever asks at the same time
// gets others. After an error the slots may be taken, by nobody.
func (t *Table) ReserveSlots(ctx context.Context, tenant, id string, n int, interval time.Duration, now time.Time) (begin time.Time, err error) {
	where := egressKey()
	if id != "" {
		where = stateKey(tenant, id)
	}
	taken := time.Duration(n) * interval
	for try := 0; ; try++ {
		// Either they follow those that are taken, or there are none: what
		// decides is the store's, so that nobody has to try again for others.
		end, ok, err := t.takeSlots(ctx, where, "SET rl = rl + :n", "rl >= :now", item{":n": num(taken.Microseconds()), ":now": num(now.UnixMicro())})
		if err == nil && !ok {
			end, ok, err = t.takeSlots(ctx, where, "SET rl = :end", "attribute_not_exists(rl) OR rl < :now",
				item{":end": num(now.UnixMicro() + taken.Microseconds()), ":now": num(now.UnixMicro())})
		}
		if err != nil {
			return time.Time{}, fmt.Errorf("reserve %d slots: %w", n, err)
		}
		if ok {
			return time.UnixMicro(end).UTC().Add(-taken), nil
		}
		if !t.pause(ctx, try) {
			return time.Time{}, fmt.Errorf("reserve %d slots: %w", n, ctx.Err())
		}
	}
}

// takeSlots makes an update of the end of the slots that are taken, and returns
// it; ok is false when the condition does not hold.
func (t *Table) takeSlots(ctx context.Context, where item, update, condition string, values item) (end int64, ok bool, err error) {
	update += ", " + TTL + " = :ttl"
	values[":ttl"] = t.stateExpiry()
	var out *dynamodb.UpdateItemOutput
	err = t.whileBusy(ctx, func() (err error) {
		out, err = t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
			TableName: t.name, Key: where, UpdateExpression: &update, ConditionExpression: &condition,
			ExpressionAttributeValues: values, ReturnValues: types.ReturnValueUpdatedNew,
		})
		return err
	})
	if _, no := refused(err, 0); no {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	n, ok := out.Attributes[esSlot].(*types.AttributeValueMemberN)
	if !ok {
		return 0, false, fmt.Errorf("no %s in the answer", esSlot)
	}
	end, err = strconv.ParseInt(n.Value, 10, 64)
	return end, err == nil, err
}
