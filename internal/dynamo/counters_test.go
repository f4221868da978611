package dynamo_test

import (
	"fmt"
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
	require.Equal(t, &metrics.Totals{Events: map[string]int64{}, Deliveries: map[hook.Status]int64{}, Attempts: map[hook.Outcome]int64{}}, w.totals())
	want := metrics.Totals{Events: map[string]int64{}, Deliveries: map[hook.Status]int64{}, Attempts: map[hook.Outcome]int64{}}
	processes := []*dynamo.Table{w.Table, w.open(), w.open()}
	rapid.Check(t, func(rt *rapid.T) {
		d := &metrics.Delta{
			Events:     rapid.MapOfN(rapid.SampledFrom([]string{"order.created", "user.created", "a-b_c.D", "select"}), rapid.Int64Range(1, 1000), 0, 3).Draw(rt, "events"),
			Deliveries: rapid.MapOf(rapid.SampledFrom([]hook.Status{hook.Delivered, hook.Dead, hook.Held, hook.Cancelled}), rapid.Int64Range(1, 1000)).Draw(rt, "deliveries"),
			Attempts:   rapid.MapOf(rapid.SampledFrom(hook.Outcomes()), rapid.Int64Range(1, 1000)).Draw(rt, "attempts"),
		}
		for range rapid.IntRange(0, 5).Draw(rt, "observed") {
			d.Durations.Observe(time.Duration(rapid.Int64Range(0, 40_000_000).Draw(rt, "µs")) * time.Microsecond)
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
		want.Durations.Add(&d.Durations)
		got, err := w.Counters(w.ctx())
		require.NoError(rt, err)
		require.Equal(rt, &want, got)
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
