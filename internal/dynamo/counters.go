package dynamo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
	"posthorn/internal/metrics"
)

// Attributes of counters, each behind its prefix.
const (
	ctEvent     = "e#" // event type
	ctDelivery  = "d#" // status
	ctAttempt   = "a#" // outcome
	ctBucket    = "h#" // bucket of the histogram
	ctHistSum   = "hs" // microseconds
	ctHistCount = "hc"
	ctLag       = "l"  // and the minute's slot: a set of marks
	ctThrottle  = "t#" // what is waited for
	ctErrors    = "x"  // events that could not be taken
	ctLong      = "g#" // bucket of the histogram from acceptance to delivery
	ctLongSum   = "gs" // microseconds
	ctLongCount = "gc"
	ctAccepted  = "ta" // when an event was last accepted, in Unix milliseconds
	ctTaken     = "tt" // when messages were last taken up, likewise
	ctStalled   = "ts" // since when nobody takes any, likewise; in the first shard alone
)

const (
	// maxEventTypes bounds the counters' size: what comes after is counted as
	// metrics.OtherType.
	maxEventTypes = 200
	// lagSlots is how many sets of lags there are; see lagSlot.
	lagSlots = 8
	// lagStep is how far apart the marks of two lags are: a tenth.
	lagStep = 1.1
	lagBase = time.Millisecond
	lagMark = 1000 // a mark is minute%lagMinutes*lagMark + step
	// lagMinutes keeps marks short: an item that is updated counts by the
	// kilobyte. After so many minutes, 69 days, those of a stack in which nothing
	// happened meanwhile would be taken for new ones.
	lagMinutes = 100_000
)

// knownTypes are the event types that have counters.
type knownTypes struct {
	mu    sync.Mutex
	known map[string]bool
}

// markedLag is the greatest lag that this process has noted in a minute. Lesser
// ones need no mark, which keeps them few.
type markedLag struct {
	mu     sync.Mutex
	minute int64
	step   int
}

// exceeded says whether a lag needs a mark.
func (m *markedLag) exceeded(at time.Time, lag time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	minute := at.Unix() / 60
	return minute > m.minute || minute == m.minute && lagSteps(lag) > m.step
}

// noted says that a lag has its mark.
func (m *markedLag) noted(at time.Time, lag time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch minute := at.Unix() / 60; {
	case minute > m.minute:
		m.minute, m.step = minute, lagSteps(lag)
	case minute == m.minute:
		m.step = max(m.step, lagSteps(lag))
	}
}

// AddCounters adds what was counted, in one update of one of the counter items
// and, where events were counted, one of the items of those. It is not tried
// again: after an error it is not known whether all, some or none was added.
func (t *Table) AddCounters(ctx context.Context, d *metrics.Delta) error {
	shard := min(int(t.rand()*shards), shards-1)
	u := counted(d)
	marks := !d.LagAt.IsZero() && t.markedLag.exceeded(d.LagAt, d.Lag)
	if marks {
		u.lag(d.LagAt, d.Lag)
	}
	err := t.applyUpdate(ctx, countersKey(shard), u)
	if err == nil && marks {
		t.markedLag.noted(d.LagAt, d.Lag)
	}
	return errors.Join(t.addEventCounts(ctx, eventCountsKey(shard), d.Events, d.AcceptedAt), err)
}

func (t *Table) addEventCounts(ctx context.Context, key item, counts map[string]int64, at time.Time) error {
	if len(counts) == 0 {
		return nil
	}
	events, err := t.countedTypes(ctx, counts)
	if err != nil {
		return err
	}
	u := newUpdate()
	for eventType, n := range events {
		u.add(ctEvent+eventType, n)
	}
	u.moment(ctAccepted, at)
	return t.applyUpdate(ctx, key, u)
}

// counted is the update that adds all of d but its events and its lag.
func counted(d *metrics.Delta) *update {
	u := newUpdate()
	for status, n := range d.Deliveries {
		u.add(ctDelivery+string(status), n)
	}
	for outcome, n := range d.Attempts {
		u.add(ctAttempt+string(outcome), n)
	}
	for i, n := range d.Durations.Buckets {
		u.add(ctBucket+strconv.Itoa(i), n)
	}
	u.add(ctHistSum, d.Durations.Sum.Microseconds())
	u.add(ctHistCount, d.Durations.Count)
	for i, n := range d.EndToEnd.Buckets {
		u.add(ctLong+strconv.Itoa(i), n)
	}
	u.add(ctLongSum, d.EndToEnd.Sum.Microseconds())
	u.add(ctLongCount, d.EndToEnd.Count)
	for reason, n := range d.Throttled {
		u.add(ctThrottle+string(reason), n)
	}
	u.add(ctErrors, d.AcceptErrors)
	if len(u.adds) > 0 || !d.LagAt.IsZero() { // not for itself: it would be a write for each batch that only waits
		u.moment(ctTaken, d.TakenAt)
	}
	return u
}

// applyUpdate makes an update, unless there is nothing in it.
func (t *Table) applyUpdate(ctx context.Context, key item, u *update) error {
	if len(u.adds)+len(u.sets) == 0 {
		return nil
	}
	_, err := t.client.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: t.name, Key: key, UpdateExpression: aws.String(u.expression()),
		ExpressionAttributeNames: u.names, ExpressionAttributeValues: u.values,
	}, func(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} })
	if err != nil {
		return fmt.Errorf("add counters: %w", err)
	}
	return nil
}

// countedTypes replaces event types beyond the first maxEventTypes by
// metrics.OtherType. The stored counters are read only when a type appears
// that this process has not seen.
func (t *Table) countedTypes(ctx context.Context, events map[string]int64) (map[string]int64, error) {
	t.eventType.mu.Lock()
	defer t.eventType.mu.Unlock()
	known := t.eventType.known
	for eventType := range events {
		if known[eventType] || len(known) >= maxEventTypes {
			continue
		}
		totals, err := t.sumCounters(ctx, eventCountsKey)
		if err != nil {
			return nil, err
		}
		known = make(map[string]bool, len(totals.Events)+len(events))
		for stored := range totals.Events {
			known[stored] = true
		}
		break
	}
	counted := make(map[string]int64, len(events))
	for eventType, n := range events {
		if !known[eventType] {
			if len(known) >= maxEventTypes {
				eventType = metrics.OtherType
			} else {
				known[eventType] = true
			}
		}
		counted[eventType] += n
	}
	t.eventType.known = known
	return counted, nil
}

// moment sets an attribute to a time, unless that is zero.
func (u *update) moment(attribute string, at time.Time) {
	if !at.IsZero() {
		u.set(attribute, num(at.UnixMilli()))
	}
}

// MarkStalled notes since when nobody takes what is ready. It is not tried
// again: the next sweep sees the same.
func (t *Table) MarkStalled(ctx context.Context, since time.Time) error {
	u := newUpdate()
	u.moment(ctStalled, since)
	return t.applyUpdate(ctx, countersKey(0), u)
}

// lag notes a lag in its minute's set, and clears all sets but that one and
// the one of the minute before.
func (u *update) lag(at time.Time, lag time.Duration) {
	minute := at.Unix() / 60
	mark := minute%lagMinutes*lagMark + int64(lagSteps(lag))
	u.addValue(ctLag+strconv.Itoa(lagSlot(minute)), &types.AttributeValueMemberNS{Value: []string{strconv.FormatInt(mark, 10)}})
	for slot := range lagSlots {
		if slot != lagSlot(minute) && slot != lagSlot(minute-1) {
			u.removes = append(u.removes, u.name(ctLag+strconv.Itoa(slot)))
		}
	}
}

// lagSlot is the set that a minute's lags go to: never the set of the minute
// before, and otherwise so irregular that no schedule, however regular, keeps
// adding to one set that nothing else clears.
func lagSlot(minute int64) int {
	const golden = 0x9E3779B97F4A7C15 // 2^64 divided by the golden ratio
	return int(uint64(minute)*golden>>62)<<1 | int(minute&1)
}

// lagSteps puts a lag on a scale of tenths above a millisecond.
func lagSteps(lag time.Duration) int {
	if lag <= lagBase {
		return 0
	}
	return min(int(math.Round(math.Log(float64(lag)/float64(lagBase))/math.Log(lagStep))), lagMark-1)
}

func stepsLag(steps int64) time.Duration {
	if steps <= 0 {
		return 0
	}
	return time.Duration(float64(lagBase) * math.Pow(lagStep, float64(steps)))
}

// Counters reads the sums of all counter items.
func (t *Table) Counters(ctx context.Context) (*metrics.Totals, error) {
	return t.sumCounters(ctx, countersKey, eventCountsKey)
}

// Activity reads the sums of all counters but those of events.
func (t *Table) Activity(ctx context.Context) (*metrics.Totals, error) {
	return t.sumCounters(ctx, countersKey)
}

// sumCounters reads all shards of the counter items with such keys.
func (t *Table) sumCounters(ctx context.Context, kinds ...func(shard int) item) (*metrics.Totals, error) {
	var keys []item
	for _, keyOf := range kinds {
		for shard := range shards {
			keys = append(keys, keyOf(shard))
		}
	}
	found, err := t.batchGet(ctx, keys)
	if err != nil {
		return nil, fmt.Errorf("read counters: %w", err)
	}
	totals := metrics.NewTotals()
	minute := t.now().Unix() / 60
	for _, it := range found {
		for name := range it {
			sumCounter(totals, it, name, minute)
		}
	}
	return totals, nil
}

// sumCounter adds one attribute of a counter item to the totals.
func sumCounter(totals *metrics.Totals, it item, name string, minute int64) {
	if set, ok := it[name].(*types.AttributeValueMemberNS); ok {
		for _, v := range set.Value {
			mark, err := strconv.ParseInt(v, 10, 64)
			if of := mark / lagMark; err == nil && (of == minute%lagMinutes || of == (minute-1)%lagMinutes) {
				totals.RecentLag = max(totals.RecentLag, stepsLag(mark%lagMark))
			}
		}
		return
	}
	n := getNum(it, name)
	if v, ok := strings.CutPrefix(name, ctEvent); ok {
		totals.Events[v] += n
		return
	}
	if v, ok := strings.CutPrefix(name, ctDelivery); ok {
		totals.Deliveries[hook.Status(v)] += n
		return
	}
	if v, ok := strings.CutPrefix(name, ctAttempt); ok {
		totals.Attempts[hook.Outcome(v)] += n
		return
	}
	if v, ok := strings.CutPrefix(name, ctThrottle); ok {
		totals.Throttled[hook.Throttle(v)] += n
		return
	}
	if v, ok := strings.CutPrefix(name, ctBucket); ok {
		addBucket(&totals.Durations, v, n)
		return
	}
	if v, ok := strings.CutPrefix(name, ctLong); ok {
		addBucket(&totals.EndToEnd, v, n)
		return
	}
	switch name {
	case ctErrors:
		totals.AcceptErrors += n
	case ctLongSum:
		totals.EndToEnd.Sum += time.Duration(n) * time.Microsecond
	case ctLongCount:
		totals.EndToEnd.Count += n
	case ctAccepted:
		totals.LastAccepted = latest(totals.LastAccepted, n)
	case ctTaken:
		totals.LastTaken = latest(totals.LastTaken, n)
	case ctStalled:
		totals.StalledSince = latest(totals.StalledSince, n)
	case ctHistSum:
		totals.Durations.Sum += time.Duration(n) * time.Microsecond
	case ctHistCount:
		totals.Durations.Count += n
	}
}

func addBucket(h *metrics.Histogram, name string, n int64) {
	if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < metrics.BucketCount {
		h.Buckets[i] += n
	}
}

// latest is the later of a time and a moment in Unix milliseconds.
func latest(at time.Time, millis int64) time.Time {
	if m := time.UnixMilli(millis).UTC(); m.After(at) {
		return m
	}
	return at
}
