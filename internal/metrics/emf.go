package metrics

import (
	"io"
	"strconv"
	"time"

	"posthorn/internal/hook"
)

// EMF writes what an invocation counted as one line of a function's log, from
// which CloudWatch takes it as metrics ("Specification: embedded metric format",
// Amazon CloudWatch User Guide). Their only dimension is the function's name. What
// was not counted is not written, so that nothing is paid for while nothing
// happens.
type EMF struct {
	Out      io.Writer
	Function string // the dimension FunctionName
	Now      func() time.Time
	Failed   func(error) // is told when a line cannot be written
}

// Namespace is where CloudWatch keeps the metrics.
const Namespace = "Posthorn"

// Dimension is the name of their only dimension.
const Dimension = "FunctionName"

// Metric is one that a line of EMF may hold.
type Metric struct {
	Name string
	Unit string // one of CloudWatch's ("MetricDatum", Amazon CloudWatch API Reference)

	values func(d *Delta) []float64 // none: it is not in the line
}

const (
	unitCount  = "Count"
	unitMillis = "Milliseconds"
	unitSecond = "Seconds"
	unitNone   = "None"
)

// Metrics lists every metric that EMF writes, in the order of a line.
func Metrics() []Metric {
	all := []Metric{
		{"EventsAccepted", unitCount, func(d *Delta) []float64 { return total(d.Events) }},
		{"AcceptErrors", unitCount, func(d *Delta) []float64 { return some(d.AcceptErrors) }},
		{"AcceptLatency", unitMillis, func(d *Delta) []float64 { return millis(d.AcceptTimes) }},
		{"AttemptSuccess", unitNone, successes},
		{"AttemptLatency", unitMillis, func(d *Delta) []float64 { return millis(d.AttemptTimes) }},
		{"EndToEndLatency", unitMillis, func(d *Delta) []float64 { return millis(d.EndToEndTimes) }},
		{"DeliveriesDelivered", unitCount, ended(hook.Delivered)},
		{"DeliveriesDead", unitCount, ended(hook.Dead)},
		{"DeliveriesHeld", unitCount, ended(hook.Held)},
		{"DeliveriesCancelled", unitCount, ended(hook.Cancelled)},
		{"Throttled", unitCount, func(d *Delta) []float64 { return total(d.Throttled) }},
		{"OldestAge", unitSecond, oldest},
	}
	for _, o := range hook.Outcomes() {
		if name := failedName(o); name != "" {
			all = append(all, Metric{name, unitCount, func(d *Delta) []float64 { return some(d.Attempts[o]) }})
		}
	}
	return all
}

// failedName names the metric of failed attempts with that outcome; none: those
// that succeeded are the sum of AttemptSuccess.
func failedName(o hook.Outcome) string {
	switch o {
	case hook.OutcomeSuccess:
		return ""
	case hook.OutcomeHTTPError:
		return "AttemptsFailedHTTP"
	case hook.OutcomeTimeout:
		return "AttemptsFailedTimeout"
	case hook.OutcomeConnection:
		return "AttemptsFailedConnection"
	case hook.OutcomeDNS:
		return "AttemptsFailedDNS"
	case hook.OutcomeTLS:
		return "AttemptsFailedTLS"
	case hook.OutcomeBlocked:
		return "AttemptsFailedBlocked"
	case hook.OutcomeOther:
	}
	return "AttemptsFailedOther"
}

// Write writes the line of d, if anything was counted.
func (e *EMF) Write(d *Delta) {
	type counted struct {
		Metric
		v []float64
	}
	var line []counted
	for _, m := range Metrics() {
		if v := m.values(d); len(v) > 0 {
			line = append(line, counted{m, v})
		}
	}
	if len(line) == 0 {
		return
	}
	b := append(make([]byte, 0, 1024), `{"_aws":{"Timestamp":`...)
	b = strconv.AppendInt(b, e.Now().UnixMilli(), 10)
	b = append(b, `,"CloudWatchMetrics":[{"Namespace":"`+Namespace+`","Dimensions":[["`+Dimension+`"]],"Metrics":[`...)
	for i, m := range line {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"Name":"`+m.Name+`","Unit":"`+m.Unit+`"}`...)
	}
	// A function's name holds letters, digits, - and _ alone.
	b = append(b, `]}]},"`+Dimension+`":"`+e.Function+`"`...)
	for _, m := range line {
		b = append(b, `,"`+m.Name+`":`...)
		b = appendValues(b, m.v)
	}
	b = append(b, "}\n"...)
	if _, err := e.Out.Write(b); err != nil && e.Failed != nil {
		e.Failed(err)
	}
}

// appendValues writes one value as a number, and several as an array.
func appendValues(b []byte, v []float64) []byte {
	if len(v) == 1 {
		return strconv.AppendFloat(b, v[0], 'f', -1, 64)
	}
	for i, f := range v {
		b = append(b, "[,"[min(i, 1)])
		b = strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	return append(b, ']')
}

func some(n int64) []float64 {
	if n == 0 {
		return nil
	}
	return []float64{float64(n)}
}

func total[K comparable](counts map[K]int64) []float64 {
	var sum int64
	for _, n := range counts {
		sum += n
	}
	return some(sum)
}

func ended(s hook.Status) func(d *Delta) []float64 {
	return func(d *Delta) []float64 { return some(d.Deliveries[s]) }
}

// successes are a 1 for each attempt that succeeded and a 0 for each that did
// not: their average is the share that did, their sum how many. Of more attempts
// than a line takes values, which a batch of messages never has, it is the share
// that stays, to a hundredth, and never that of all or of none where it is neither.
func successes(d *Delta) []float64 {
	var all int64
	for _, n := range d.Attempts {
		all += n
	}
	good := d.Attempts[hook.OutcomeSuccess]
	if all > MaxSamples {
		share := (good*MaxSamples + all/2) / all
		if 0 < good && good < all {
			share = min(max(share, 1), MaxSamples-1)
		}
		all, good = MaxSamples, share
	}
	v := make([]float64, all)
	for i := range good {
		v[i] = 1
	}
	return v
}

// millis are durations in milliseconds, to a microsecond.
func millis(times []time.Duration) []float64 {
	v := make([]float64, len(times))
	for i, d := range times {
		v[i] = float64(d.Microseconds()) / 1000
	}
	return v
}

// oldest is the age of the oldest delivery that was taken up, or waits.
func oldest(d *Delta) []float64 {
	if d.LagAt.IsZero() && d.Waiting == 0 {
		return nil
	}
	return []float64{float64(max(d.Lag, d.Waiting, 0).Milliseconds()) / 1000}
}
