package templatetest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/metrics"
)

// ofAWS are the metrics of AWS's own that are used, as the services document
// them, with the dimension that picks one of ours.
var ofAWS = map[string]struct {
	dimension string
	names     []string
}{
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
	"AWS/SQS": {"QueueName", []string{
		"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesVisible",
	}},
	// https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
	"AWS/Lambda": {"FunctionName", []string{"ConcurrentExecutions", "Duration", "Errors", "Throttles"}},
	// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
	"AWS/ApiGateway": {"ApiId", []string{"4xx", "5xx", "Count"}},
}

// requireMetric checks that a metric is one that somebody writes, and that the
// dimension is the one that it has.
func requireMetric(t *testing.T, namespace, name, dimension string) {
	t.Helper()
	if namespace == metrics.Namespace {
		require.True(t, slices.ContainsFunc(metrics.Metrics(), func(m metrics.Metric) bool { return m.Name == name }), "no function writes %s", name)
		require.Equal(t, metrics.Dimension, dimension, name)
		return
	}
	known, ok := ofAWS[namespace]
	require.True(t, ok, namespace)
	require.Contains(t, known.names, name, namespace)
	require.Equal(t, known.dimension, dimension, name)
}

func TestEveryAlarmIsOfAMetricThatIsWritten(t *testing.T) {
	t.Parallel()
	ofLogs := set{}
	for _, f := range resources(t, "AWS::Logs::MetricFilter") {
		for _, m := range f.at("Properties", "MetricTransformations").items() {
			ofLogs.add(m.at("MetricNamespace").text() + " " + m.at("MetricName").text())
		}
	}
	for id, a := range resources(t, "AWS::CloudWatch::Alarm") {
		p := a.at("Properties")
		namespace, name := p.at("Namespace").text(), p.at("MetricName").text()
		if ofLogs[namespace+" "+name] {
			continue
		}
		dimensions := p.at("Dimensions").items()
		requireMetric(t, namespace, name, dimensions[0].at("Name").text())
		require.NotEmpty(t, p.at("AlarmDescription").text(), id)
	}
}

func TestEveryMetricOfTheDashboardIsWritten(t *testing.T) {
	t.Parallel()
	text, _ := template(t).at("Resources", "Dashboard", "Properties", "DashboardBody").substituted()
	var body struct {
		Widgets []struct {
			Properties struct {
				Title, Region, Stat string
				Metrics             [][]any
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(text), &body))
	shown, titles := set{}, set{}
	for _, w := range body.Widgets {
		require.Equal(t, "${AWS::Region}", w.Properties.Region)
		require.False(t, titles[w.Properties.Title], w.Properties.Title)
		titles.add(w.Properties.Title)
		for _, m := range w.Properties.Metrics {
			require.GreaterOrEqual(t, len(m), 4)
			namespace, name := m[0].(string), m[1].(string)
			requireMetric(t, namespace, name, m[2].(string))
			require.True(t, strings.HasPrefix(m[3].(string), "${"), "%s of what the stack has", name)
			if namespace == metrics.Namespace {
				shown.add(name)
			}
		}
	}
	for _, m := range metrics.Metrics() {
		require.True(t, shown[m.Name], "the dashboard shows %s", m.Name)
	}
}

// What costs while nothing is sent can be turned off.
func TestAlarmsAndDashboardAndTracesAreSwitchedByParameters(t *testing.T) {
	t.Parallel()
	parameters, conditions := template(t).at("Parameters"), template(t).at("Conditions")
	for name, condition := range map[string][2]string{
		"Alarms": {"HasAlarms", "true"}, "CreateDashboard": {"HasDashboard", "true"}, "Tracing": {"Traces", "true"},
	} {
		require.Contains(t, parameters.at(name, "AllowedValues").texts(), condition[1], name)
		require.Equal(t, "!Equals [!Ref "+name+" "+condition[1]+"]", conditions.at(condition[0]).written())
	}
	require.Equal(t, "false", parameters.at("Tracing", "Default").text())
	require.Equal(t, "HasDashboard", template(t).at("Resources", "Dashboard", "Condition").text())
	require.Equal(t, "HasDashboard", template(t).at("Outputs", "DashboardUrl", "Condition").text())
	for id, f := range resources(t, "AWS::Logs::MetricFilter") {
		require.Equal(t, "HasAlarms", f.at("Condition").text(), id)
	}
}

func TestFunctionsThatTraceMay(t *testing.T) {
	t.Parallel()
	require.Equal(t, "!If [Traces Active PassThrough]", template(t).at("Globals", "Function", "Tracing").written())
	policy := template(t).at("Resources", "TracingPolicy")
	require.Equal(t, "Traces", policy.at("Condition").text())
	require.ElementsMatch(t, []string{"!Ref ApiRole", "!Ref DeliverRole", "!Ref DlqSweeperRole"}, policy.at("Properties", "Roles").texts())
	statements := policy.at("Properties", "PolicyDocument", "Statement").items()
	require.Len(t, statements, 1)
	require.Equal(t, []string{"xray:PutTraceSegments", "xray:PutTelemetryRecords"}, statements[0].at("Action").texts())
}
