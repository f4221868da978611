package dynamo_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/dynamo"
	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
	"posthorn/internal/metrics"
)

func (w *world) totals() *metrics.Totals {
	w.t.Helper()
	totals, err := w.Counters(w.ctx())
	require.NoError(w.t, err)
	return totals
}

func accepted(types ...string) *metrics.Delta {
	d := &metrics.Delta{Events: map[string]int64{}}
	for _, eventType := range types {
		d.Events[eventType]++
	}
	return d
}

func TestCountsAddUpOverAllProcesses(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.Equal(t, metrics.NewTotals(), w.totals())
	want := metrics.NewTotals()
	processes := []*dynamo.Table{w.Table, w.open(), w.open()}
	rapid.Check(t, func(rt *rapid.T) {
		d := &metrics.Delta{
			Events:     rapid.MapOfN(rapid.SampledFrom([]string{"order.created", "user.created", "a-b_c.D", "select"}), rapid.Int64Range(1, 1000), 0, 3).Draw(rt, "events"),
			Deliveries: rapid.MapOf(rapid.SampledFrom([]hook.Status{hook.Delivered, hook.Dead, hook.Held, hook.Cancelled}), rapid.Int64Range(1, 1000)).Draw(rt, "deliveries"),
			Attempts:   rapid.MapOf(rapid.SampledFrom(hook.Outcomes()), rapid.Int64Range(1, 1000)).Draw(rt, "attempts"),
			Throttled:  rapid.MapOf(rapid.SampledFrom(hook.Throttles()), rapid.Int64Range(1, 1000)).Draw(rt, "throttled"),

			AcceptErrors: rapid.Int64Range(0, 1000).Draw(rt, "accept errors"),
		}
		for range rapid.IntRange(0, 5).Draw(rt, "delivered") {
			took := time.Duration(rapid.Int64Range(0, 7_200_000_000).Draw(rt, "µs")) * time.Microsecond
			d.EndToEnd.Observe(metrics.EndToEndBounds(), took)
			want.EndToEnd.Observe(metrics.EndToEndBounds(), took)
		}
		for range rapid.IntRange(0, 5).Draw(rt, "observed") {
			took := time.Duration(rapid.Int64Range(0, 40_000_000).Draw(rt, "µs")) * time.Microsecond
			d.Durations.Observe(metrics.AttemptBounds(), took)
			want.Durations.Observe(metrics.AttemptBounds(), took)
		}
		require.NoError(rt, rapid.SampledFrom(processes).Draw(rt, "process").AddCounters(w.ctx(), d))
		for k, n := range d.Events {
			want.Events[k] += n
		}
		for k, n := range d.Deliveries {
			want.Deliveries[k] += n
		}
		for k, n := range d.Attempts {
			want.Attempts[k] += n
		}
		for k, n := range d.Throttled {
			want.Throttled[k] += n
		}
		want.AcceptErrors += d.AcceptErrors
		got, err := w.Counters(w.ctx())
		require.NoError(rt, err)
		require.Equal(rt, want, got)
	})
	require.Len(t, w.withPrefix("METRICS#"), 8, "both items over all shards")
}

func TestEventTypesBeyondTheFirst200AreCountedAsOther(t *testing.T) {
	t.Parallel()
	w := setup(t)
	other := w.open()
	names := make([]string, 260)
	for i := range names {
		names[i] = fmt.Sprintf("%03d.%s", i, strings.Repeat("x", 100))
	}
	require.NoError(t, w.AddCounters(w.ctx(), accepted(names[:150]...)))
	require.NoError(t, other.AddCounters(w.ctx(), accepted(names[100:230]...)))
	require.NoError(t, w.AddCounters(w.ctx(), accepted(names...)))
	totals := w.totals()
	require.EqualValues(t, 30+60, totals.Events[metrics.OtherType])
	require.Len(t, totals.Events, 201)
	var sum int64
	for _, n := range totals.Events {
		sum += n
	}
	require.EqualValues(t, 150+130+260, sum, "nothing is lost")
}

func TestStoredTypesAreReadOnlyWhenANewOneAppears(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.NoError(t, w.AddCounters(w.ctx(), accepted("a", "b")))
	reads := w.faults.Calls("BatchGetItem")
	for range 5 {
		require.NoError(t, w.AddCounters(w.ctx(), accepted("b", "a")))
		require.NoError(t, w.AddCounters(w.ctx(), &metrics.Delta{Deliveries: map[hook.Status]int64{hook.Delivered: 1}}))
	}
	require.Equal(t, reads, w.faults.Calls("BatchGetItem"))
	require.NoError(t, w.AddCounters(w.ctx(), accepted("c")))
	require.Equal(t, reads+1, w.faults.Calls("BatchGetItem"))
}

func TestNothingCountedIsNothingWritten(t *testing.T) {
	t.Parallel()
	w := setup(t)
	require.NoError(t, w.AddCounters(w.ctx(), &metrics.Delta{}))
	require.Empty(t, w.items())
}

// An update is billed by the size of its item.
func TestManyLongEventTypesDoNotMakeDeliveriesDear(t *testing.T) {
	t.Parallel()
	w := setup(t)
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprintf("%03d.%s", i, strings.Repeat("x", 120))
	}
	for range 20 { // over all shards
		require.NoError(t, w.AddCounters(w.ctx(), accepted(names...)))
		require.NoError(t, w.AddCounters(w.ctx(), &metrics.Delta{Deliveries: map[hook.Status]int64{hook.Delivered: 1}, Attempts: map[hook.Outcome]int64{hook.OutcomeSuccess: 1}}))
	}
	found := 0
	for _, it := range w.withPrefix("METRICS#") {
		if it["d#delivered"] == nil {
			continue
		}
		found++
		out, err := w.raw.PutItem(w.ctx(), &awsdynamodb.PutItemInput{TableName: ptr(tableName), Item: it, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
		require.NoError(t, err)
		require.EqualValues(t, 1, *out.ConsumedCapacity.CapacityUnits)
	}
	require.Positive(t, found)
	require.EqualValues(t, 20, w.totals().Events[names[0]])
	require.EqualValues(t, 20, w.totals().Deliveries[hook.Delivered])
}

// One of the two updates failing takes nothing from the other.
func TestCountsOfEventsAndOfTheRestDoNotDependOnEachOther(t *testing.T) {
	t.Parallel()
	for _, failing := range []string{"EVENTS", "COUNTERS"} {
		for _, mode := range []faultwire.Mode{faultwire.FailBefore, faultwire.LoseAnswer} {
			t.Run(failing+", "+mode.String(), func(t *testing.T) {
				t.Parallel()
				w := setup(t)
				w.faults.Add(faultwire.Fault{Operation: "UpdateItem", Mode: mode, Match: func(body []byte) bool { return strings.Contains(string(body), `"`+failing+`"`) }})
				d := accepted("a")
				d.Deliveries = map[hook.Status]int64{hook.Delivered: 1}
				require.Error(t, w.AddCounters(w.ctx(), d))
				require.Equal(t, 2, w.faults.Calls("UpdateItem"))
				applied := mode == faultwire.LoseAnswer
				require.Equal(t, applied || failing != "EVENTS", w.totals().Events["a"] == 1)
				require.Equal(t, applied || failing != "COUNTERS", w.totals().Deliveries[hook.Delivered] == 1)
			})
		}
	}
}

// Counts are not worth a second try that may count twice.
func TestAddingCountsIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		mode faultwire.Mode
		want int64
	}{{faultwire.FailBefore, 0}, {faultwire.Throttle, 0}, {faultwire.LoseAnswer, 1}} {
		t.Run(f.mode.String(), func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.faults.Add(faultwire.Fault{Operation: "UpdateItem", Mode: f.mode})
			require.Error(t, w.AddCounters(w.ctx(), accepted("a")))
			require.Equal(t, 1, w.faults.Calls("UpdateItem"))
			require.Equal(t, f.want, w.totals().Events["a"])
		})
	}
}

// Everything that a shard counts, and the lags of two minutes of heavy traffic,
// in figures of a trillion, still cost one unit to add to.
func TestCountersOfABusyYearAreUpdatedForOneUnit(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const many = 1_000_000_000_000
	d := &metrics.Delta{
		AcceptErrors: many, Deliveries: map[hook.Status]int64{}, Attempts: map[hook.Outcome]int64{}, Throttled: map[hook.Throttle]int64{}, TakenAt: w.clock(),
	}
	for _, s := range []hook.Status{hook.Delivered, hook.Dead, hook.Held, hook.Cancelled} {
		d.Deliveries[s] = many
	}
	for _, o := range hook.Outcomes() {
		d.Attempts[o] = many
	}
	for _, r := range hook.Throttles() {
		d.Throttled[r] = many
	}
	for i := range metrics.BucketCount {
		d.Durations.Buckets[i], d.EndToEnd.Buckets[i] = many, many
	}
	d.Durations.Sum, d.Durations.Count = many*time.Microsecond, many
	d.EndToEnd.Sum, d.EndToEnd.Count = many*time.Microsecond, many
	for range 20 { // over all shards
		require.NoError(t, w.AddCounters(w.ctx(), d))
	}
	require.NoError(t, w.MarkStalled(w.ctx(), w.clock()))
	processes := make([]*dynamo.Table, 20)
	for i := range processes {
		processes[i] = w.open()
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2 {
		w.advance(time.Minute)
		var most time.Duration
		for range 100 {
			for _, p := range processes {
				lag := time.Duration(float64(10*time.Millisecond) * math.Pow(1000, rng.Float64())) // 10 ms to 10 s
				most = max(most, lag)
				require.NoError(t, p.AddCounters(w.ctx(), &metrics.Delta{Lag: lag, LagAt: w.clock()}))
			}
		}
		require.InEpsilon(t, most, w.totals().RecentLag, 0.06)
	}
	for _, it := range w.withPrefix("METRICS#") {
		out, err := w.raw.PutItem(w.ctx(), &awsdynamodb.PutItemInput{TableName: ptr(tableName), Item: it, ReturnConsumedCapacity: types.ReturnConsumedCapacityTotal})
		require.NoError(t, err)
		require.EqualValues(t, 1, *out.ConsumedCapacity.CapacityUnits, "%d attributes", len(it))
	}
}

func TestWhenEventsWereAcceptedAndMessagesTakenIsKnownToAll(t *testing.T) {
	t.Parallel()
	w := setup(t)
	first := w.clock().UTC()
	for i := range 8 { // over all shards
		d := accepted("a")
		d.AcceptedAt = first.Add(time.Duration(i) * time.Second)
		require.NoError(t, w.AddCounters(w.ctx(), d))
		require.NoError(t, w.open().AddCounters(w.ctx(), &metrics.Delta{
			Attempts: map[hook.Outcome]int64{hook.OutcomeSuccess: 1}, TakenAt: first.Add(time.Duration(i) * time.Minute),
		}))
	}
	require.NoError(t, w.MarkStalled(w.ctx(), first.Add(time.Hour)))
	require.Equal(t, first.Add(7*time.Second), w.totals().LastAccepted)
	require.Equal(t, first.Add(7*time.Minute), w.totals().LastTaken)
	require.Equal(t, first.Add(time.Hour), w.totals().StalledSince)
	activity, err := w.Activity(w.ctx())
	require.NoError(t, err)
	require.Equal(t, first.Add(7*time.Minute), activity.LastTaken)
	require.Equal(t, first.Add(time.Hour), activity.StalledSince)
}

func TestCountersThatCannotBeReadAreAnError(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.faults.Add(faultwire.Fault{Operation: "BatchGetItem", Times: 6}, faultwire.Fault{Operation: "GetItem", Times: 3})
	_, err := w.Counters(w.ctx())
	require.Error(t, err)
	require.Error(t, w.AddCounters(w.ctx(), accepted("a")))
	_, err = w.EndpointCounts(w.ctx())
	require.Error(t, err)
	require.Empty(t, w.items())
}

func (w *world) lag(d time.Duration) {
	w.t.Helper()
	require.NoError(w.t, w.AddCounters(w.ctx(), &metrics.Delta{Lag: d, LagAt: w.clock()}))
}

func TestTheRecentLagIsTheGreatestOfTheLastMinutes(t *testing.T) {
	t.Parallel()
	w := setup(t)
	about := func(want time.Duration) {
		t.Helper()
		require.InEpsilon(t, want, w.totals().RecentLag, 0.06)
	}
	require.Zero(t, w.totals().RecentLag)
	w.lag(0)
	require.Zero(t, w.totals().RecentLag)
	for range 8 { // over all shards
		w.lag(3 * time.Second)
		w.lag(20 * time.Millisecond)
	}
	about(3 * time.Second)
	w.advance(time.Minute)
	about(3 * time.Second)
	w.lag(200 * time.Millisecond)
	about(3 * time.Second)
	w.advance(time.Minute)
	about(200 * time.Millisecond)
	w.lag(14 * 24 * time.Hour)
	about(14 * 24 * time.Hour)
	w.advance(2 * time.Minute)
	require.Zero(t, w.totals().RecentLag)
}

// Whatever the rhythm of the traffic, the marks of old lags do not pile up.
func TestOldLagsDoNotPileUp(t *testing.T) {
	t.Parallel()
	for _, every := range []time.Duration{20 * time.Second, time.Minute, 2 * time.Minute, 3 * time.Minute, 4 * time.Minute, 8 * time.Minute, time.Hour, 24 * time.Hour, 7 * 24 * time.Hour} {
		t.Run(every.String(), func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			most := 0
			for i := range 400 {
				w.lag(time.Duration(i%100) * time.Second)
				w.advance(every)
			}
			for _, it := range w.withPrefix("METRICS#") {
				for _, v := range it {
					if set, ok := v.(*types.AttributeValueMemberNS); ok {
						most = max(most, len(set.Value))
					}
				}
			}
			require.LessOrEqual(t, most, 12)
		})
	}
}
