package metrics_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
	"posthorn/internal/metrics"
)

// line is a line of EMF, as its specification has it.
type line struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
	members map[string]any
}

// emitted is what a Delta comes to.
func emitted(t *testing.T, d *metrics.Delta) *line {
	t.Helper()
	var b bytes.Buffer
	(&metrics.EMF{Out: &b, Function: "posthorn-DeliverFunction-1", Now: func() time.Time { return noon }}).Write(d)
	if b.Len() == 0 {
		return nil
	}
	require.Equal(t, 1, strings.Count(b.String(), "\n"), "one line")
	require.True(t, strings.HasSuffix(b.String(), "\n"))
	var l line
	require.NoError(t, json.Unmarshal(b.Bytes(), &l))
	require.NoError(t, json.Unmarshal(b.Bytes(), &l.members))
	require.Equal(t, noon.UnixMilli(), l.AWS.Timestamp)
	require.Len(t, l.AWS.CloudWatchMetrics, 1)
	require.Equal(t, "Posthorn", l.AWS.CloudWatchMetrics[0].Namespace)
	require.Equal(t, [][]string{{"FunctionName"}}, l.AWS.CloudWatchMetrics[0].Dimensions)
	require.Equal(t, "posthorn-DeliverFunction-1", l.members["FunctionName"])
	declared := []string{"_aws", "FunctionName"}
	for _, m := range l.AWS.CloudWatchMetrics[0].Metrics {
		declared = append(declared, m.Name)
		require.Contains(t, l.members, m.Name)
	}
	require.Len(t, l.members, len(declared), "nothing but what is declared")
	return &l
}

func TestALineOfEMFHoldsWhatAnInvocationCounted(t *testing.T) {
	t.Parallel()
	require.Nil(t, emitted(t, &metrics.Delta{}), "nothing was counted")
	require.Nil(t, emitted(t, &metrics.Delta{TakenAt: noon}))

	api := emitted(t, &metrics.Delta{Events: map[string]int64{"a": 2, "b": 5}, AcceptErrors: 1, AcceptTimes: []time.Duration{12345678}})
	delete(api.members, "_aws")
	require.Equal(t, map[string]any{"FunctionName": "posthorn-DeliverFunction-1", "EventsAccepted": 7.0, "AcceptErrors": 1.0, "AcceptLatency": 12.345}, api.members)

	deliver := emitted(t, &metrics.Delta{
		Attempts:      map[hook.Outcome]int64{hook.OutcomeSuccess: 2, hook.OutcomeTimeout: 1},
		Deliveries:    map[hook.Status]int64{hook.Delivered: 2, hook.Dead: 1},
		Throttled:     map[hook.Throttle]int64{hook.ThrottleBreaker: 3, hook.ThrottleRateLimit: 1},
		AttemptTimes:  []time.Duration{time.Millisecond, 2 * time.Millisecond, time.Second},
		EndToEndTimes: []time.Duration{3 * time.Millisecond, 4 * time.Millisecond},
		Lag:           1500 * time.Millisecond, LagAt: noon,
	})
	delete(deliver.members, "_aws")
	values := deliver.members["AttemptSuccess"].([]any)
	slices.SortFunc(values, func(a, b any) int { return int(a.(float64) - b.(float64)) })
	require.Equal(t, map[string]any{
		"FunctionName": "posthorn-DeliverFunction-1", "AttemptSuccess": []any{0.0, 1.0, 1.0}, "AttemptsFailedTimeout": 1.0,
		"AttemptLatency": []any{1.0, 2.0, 1000.0}, "EndToEndLatency": []any{3.0, 4.0},
		"DeliveriesDelivered": 2.0, "DeliveriesDead": 1.0, "Throttled": 4.0, "OldestAge": 1.5,
	}, deliver.members)
}

// The share of the attempts that succeeded is right however many there were.
func TestTheShareOfSuccessesOfManyAttempts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		good, bad int64
		ones, of  int
	}{
		{90, 90, 50, 100},
		{30, 60, 30, 90},
		{100, 0, 100, 100},
		{300, 0, 100, 100},
		{0, 300, 0, 100},
		{1, 999, 1, 100},
		{999, 1, 99, 100},
		{200, 100, 67, 100},
	} {
		l := emitted(t, &metrics.Delta{Attempts: map[hook.Outcome]int64{hook.OutcomeSuccess: c.good, hook.OutcomeHTTPError: c.bad / 2, hook.OutcomeTLS: c.bad - c.bad/2}})
		ones := 0
		for _, v := range l.members["AttemptSuccess"].([]any) {
			ones += int(v.(float64))
		}
		require.Equal(t, []int{c.ones, c.of}, []int{ones, len(l.members["AttemptSuccess"].([]any))}, "%d and %d", c.good, c.bad)
	}
}

func TestATimeThatRunsBackwardsIsNone(t *testing.T) {
	t.Parallel()
	r := metrics.NewRecorder(&store{})
	var d *metrics.Delta
	r.Emit = func(counted *metrics.Delta) { d = counted }
	r.Attempt(hook.OutcomeSuccess, -time.Second)
	r.EndToEnd(-time.Second)
	r.Accept(-time.Second, 0)
	require.NoError(t, r.Flush(t.Context()))
	for _, name := range []string{"AttemptLatency", "EndToEndLatency", "AcceptLatency"} {
		require.Equal(t, 0.0, emitted(t, d).members[name], name)
	}
}

// CloudWatch takes no line with more values of a metric, or a larger one.
func TestALineOfEMFStaysWithinItsLimits(t *testing.T) {
	t.Parallel()
	r := metrics.NewRecorder(&store{})
	var d *metrics.Delta
	r.Emit = func(counted *metrics.Delta) { d = counted }
	for i := range 500 {
		for _, o := range hook.Outcomes() {
			r.Attempt(o, time.Duration(i)*time.Second)
		}
		r.EndToEnd(time.Duration(i) * time.Second)
		r.Accept(time.Duration(i)*time.Second, 1)
	}
	require.NoError(t, r.Flush(t.Context()))
	l := emitted(t, d)
	for _, name := range []string{"AttemptSuccess", "AttemptLatency", "EndToEndLatency", "AcceptLatency"} {
		require.Len(t, l.members[name], 100, name)
	}
	require.Equal(t, 500.0, l.members["AttemptsFailedTLS"])
	require.Equal(t, 500.0, l.members["AcceptErrors"])
	require.LessOrEqual(t, len(metrics.Metrics()), 100, "of metrics in a line")
}

func TestEveryMetricOfEMFHasAUnitOfCloudWatch(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, m := range metrics.Metrics() {
		require.Contains(t, []string{"Count", "Milliseconds", "Seconds", "None"}, m.Unit, m.Name)
		require.False(t, seen[m.Name], m.Name)
		seen[m.Name] = true
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestALineThatCannotBeWrittenIsToldOf(t *testing.T) {
	t.Parallel()
	var told error
	(&metrics.EMF{Out: brokenPipe{}, Now: time.Now, Failed: func(err error) { told = err }}).Write(&metrics.Delta{AcceptErrors: 1})
	require.ErrorContains(t, told, "broken pipe")
}
