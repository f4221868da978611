package cost

import (
	"strings"
)

// hoursPerMonth is AWS's month.
const hoursPerMonth = 730

// Idle is what a stack costs in a month in which nothing happens. measured is
// what MeasureIdle has measured.
func (t *Template) Idle(p *Prices, measured *Usage) (Bill, error) {
	var b Bill
	add := func(name string, dollars float64) { b = append(b, Line{name, dollars, Requests}) }

	keys := 0
	if err := t.resources("AWS::KMS::Key", func(string, *node) { keys++ }); err != nil {
		return nil, err
	}
	add("KMS key", float64(keys)*p.Prices.KMSKey)

	alarms := 0
	err := t.resources("AWS::CloudWatch::Alarm", func(_ string, properties *node) {
		looks := 0
		if metrics := child(properties, "Metrics"); metrics != nil {
			for _, m := range metrics.Content {
				if child(m, "MetricStat") != nil {
					looks++
				}
			}
		}
		alarms += max(looks, 1)
	})
	if err != nil {
		return nil, err
	}
	add("Alarms", float64(alarms)*p.Prices.Alarm)

	dashboards := 0
	if err := t.resources("AWS::CloudWatch::Dashboard", func(string, *node) { dashboards++ }); err != nil {
		return nil, err
	}
	add("Dashboard, beside three others", float64(max(0, dashboards-p.Assumed.FreeDashboards))*p.Prices.Dashboard)

	add("Empty receives of the event source mapping", p.Assumed.EmptyReceives/1e6*p.Prices.SQS)

	memory, err := t.Memory()
	if err != nil {
		return nil, err
	}
	logging, err := t.Logging()
	if err != nil {
		return nil, err
	}
	sweeps := measured.Function[nameSweeper]
	times := hoursPerMonth * HourOfSweeps / float64(sweeps.Count) // of what was measured
	add("Sweeper: Lambda", times*(float64(sweeps.Count)*p.Prices.Lambda/1e6+p.gigabyteSeconds(sweeps, memory[nameSweeper])*p.Prices.LambdaGBSecond))
	sqs, writes := 0.0, 0.0
	for name, n := range measured.SQS {
		if !strings.HasSuffix(name, "by the mapping") { // counted above
			sqs += n
		}
	}
	for _, n := range measured.Writes {
		writes += n
	}
	add("Sweeper: SQS", times*sqs/1e6*p.Prices.SQS)
	add("Sweeper: DynamoDB", times*(measured.Reads*p.Prices.DynamoDBRead+writes*p.Prices.DynamoDBWrite)/1e6)
	bytes := 0.0
	for _, n := range measured.LogBytes {
		bytes += float64(n)
	}
	if logging.Platform {
		bytes += float64(sweeps.Count * (p.Assumed.PlatformBytes + p.Assumed.PlatformLines*p.Assumed.LogOverhead))
	}
	add("Sweeper: logs", times*bytes/1e9*p.Prices.LogsGB)
	add("Metrics that get values all the time", float64(len(measured.EMF))*p.Prices.Metric)
	return b, nil
}
