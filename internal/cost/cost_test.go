package cost

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const root = "../.."

func prices(t *testing.T) *Prices {
	t.Helper()
	p, err := Load()
	require.NoError(t, err)
	return p
}

// The whole way once, with real processes: the counts are exact, the times are
// those of the machine.
func TestAWorkloadIsCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, Build(t.Context(), dir))
	template, err := ReadTemplate(root + "/template.yaml")
	require.NoError(t, err)
	memory, err := template.Memory()
	require.NoError(t, err)
	o := Options{Prices: prices(t), Memory: memory, Functions: dir}
	m, err := Measure(t.Context(), o, Workload{Events: 10, FanOut: 1, Posts: 3})
	require.NoError(t, err)
	u := m.Usage
	require.Equal(t, 30, m.Deliveries)
	require.Equal(t, 30, m.Attempts)
	require.Equal(t, 3, u.Gateway)
	require.Equal(t, 3, u.Function[nameAPI].Count)
	require.InDelta(t, 3, u.SQS["SendMessageBatch"], 0)
	require.InDelta(t, float64(u.Function[nameDeliver].Count), u.SQS["ReceiveMessage, by the mapping"], 0)
	require.InDelta(t, 30, u.Writes["deliveries"], 0, "a clean success is one write unit")
	require.Positive(t, u.Writes["events"])
	require.LessOrEqual(t, u.Writes["events"], 30.0)
	require.Zero(t, u.Writes["others"])
	require.Positive(t, u.Reads)
	require.Positive(t, u.LogBytes[nameDeliver])
	require.EqualValues(t, 30, u.Egress.Requests)
	require.Greater(t, u.Egress.Bytes, int64(30*1000))
	require.Greater(t, u.Storage.Bytes, 30*300.0)

	idle, err := MeasureIdle(t.Context(), o, 3)
	require.NoError(t, err)
	require.Equal(t, 3, idle.Function[nameSweeper].Count)
	require.Empty(t, idle.EMF, "a metric that gets values in an idle hour is billed for the whole month")
	budgets, err := LoadBudgets()
	require.NoError(t, err)
	r := &Report{}
	for _, b := range budgets.Idle {
		set, err := template.With(b.Parameters)
		require.NoError(t, err)
		bill, err := set.Idle(o.Prices, idle)
		require.NoError(t, err)
		for i, l := range bill {
			if l.Name == "Sweeper: Lambda" { // how long it takes is the machine's, and may be anything under the tests
				bill[i].Dollars = 0
			}
		}
		r.Idle = append(r.Idle, IdleRow{b.Name, bill})
	}
	require.NoError(t, r.Verdict(budgets))
}

func TestTheDocumentIsWhatTheProgramWrote(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("measured.json")
	require.NoError(t, err)
	var r Report
	require.NoError(t, json.Unmarshal(raw, &r))
	text, err := os.ReadFile(root + "/docs/cost.md")
	require.NoError(t, err)
	_, part, _, err := documentPart(string(text))
	require.NoError(t, err)
	require.Equal(t, r.Markdown(), part, "run make cost")

	p := prices(t)
	require.Equal(t, p.Date, r.Prices, "prices have changed: run make cost")
	var names, want []string
	for _, row := range r.Workloads {
		names = append(names, row.Name)
	}
	for _, w := range Workloads() {
		want = append(want, w.Name())
	}
	require.Equal(t, want, names)
	budgets, err := LoadBudgets()
	require.NoError(t, err)
	require.NoError(t, r.Verdict(budgets))
	for i, b := range budgets.Workloads {
		require.Equal(t, want[i], b.Name)
	}
}

func TestABillIsWhatAnyoneCouldAddUp(t *testing.T) {
	t.Parallel()
	p := prices(t)
	u := newUsage()
	u.Gateway = 1
	u.Function[nameDeliver] = Calls{Count: 2, Wall: []time.Duration{100 * time.Millisecond, 100 * time.Millisecond}, CPU: 20 * time.Millisecond}
	u.Writes["deliveries"], u.Reads, u.SQS["SendMessageBatch"] = 10, 4, 3
	u.LogBytes[nameDeliver] = 1000
	u.Egress = Egress{Bytes: 14480, Requests: 10, Connections: 1}
	u.Storage = Storage{Items: 10, Bytes: 9000}
	memory := map[string]int{nameAPI: 512, nameDeliver: 512, nameSweeper: 256}
	b := (&Measured{Deliveries: 10, Usage: u}).Bill(p, memory, Logging{Platform: true, Access: true})

	require.InDelta(t, 0.1, b.Of(Requests, "API Gateway"), 1e-9)
	// 100 ms, and the 10 ms of a processor stretched to the share that 512 of 1,769 MB buy: 124.55, so 125.
	require.InDelta(t, 2*(0.20/1e6+0.125*0.5*0.0000133334)*1e5, b.Of(Requests, "Lambda: deliver"), 1e-9)
	require.InDelta(t, 0.625, b.Of(Requests, "DynamoDB: deliveries"), 1e-9)
	require.InDelta(t, 0.4*0.125, b.Of(Requests, "DynamoDB: reads"), 1e-9)
	require.InDelta(t, 0.3*0.5, b.Of(Requests, "SQS"), 1e-9)
	// 14,480 bytes, 220 of TLS records, 700 of the handshake: 11 packets, and 20 that acknowledge answers.
	require.InDelta(t, float64(14480+220+700+31*52)/1e9*0.09*1e5, b.Of(Requests, "Egress to endpoints"), 1e-9)
	logged := 1000 + 2*(270+3*26) + 330 + 26
	require.InDelta(t, float64(logged)/1e9*(0.5+0.15*0.03)*1e5, b.Of(Later, "Logs"), 1e-9)
	require.InDelta(t, 10000/1e9*0.25*1e5, b.Of(Later, "DynamoDB"), 1e-9)
	require.InDelta(t, 10000/1e9*0.20*1e5, b.Sum(Choice), 1e-9)
	require.InDelta(t, b.Sum(Requests)+b.Sum(Later), b.All(), 1e-9)
}

func TestWhatARequestIsBilledAs(t *testing.T) {
	t.Parallel()
	message := func(n int) string { return `{"Entries":[{"MessageBody":"` + strings.Repeat("x", n) + `"}]}` }
	for name, c := range map[string]struct {
		got, want float64
	}{
		"a small message":                     {sqsRequests([]byte(message(1)), nil), 1},
		"exactly 64 KB":                       {sqsRequests([]byte(message(64<<10)), nil), 1},
		"a byte more":                         {sqsRequests([]byte(message(64<<10+1)), nil), 2},
		"what is received":                    {sqsRequests(nil, []byte(`{"Messages":[{"Body":"`+strings.Repeat("x", 130<<10)+`"}]}`)), 3},
		"nothing in it":                       {sqsRequests([]byte(`{}`), []byte(`{}`)), 1},
		"a write":                             {capacity("PutItem", nil, http.StatusOK, []byte(`{"ConsumedCapacity":{"TableName":"t","CapacityUnits":3}}`)), 3},
		"a transaction on two tables":         {capacity("TransactWriteItems", nil, http.StatusOK, []byte(`{"ConsumedCapacity":[{"CapacityUnits":2},{"CapacityUnits":4.5}]}`)), 6.5},
		"a write that its condition refused":  {capacity("PutItem", make([]byte, 1025), http.StatusBadRequest, []byte(`{"__type":"x#ConditionalCheckFailedException"}`)), 2},
		"a transaction that was refused":      {capacity("TransactWriteItems", make([]byte, 1025), http.StatusBadRequest, []byte(`{"__type":"x#TransactionCanceledException","r":"ConditionalCheckFailed"}`)), 4},
		"a write that was throttled":          {capacity("PutItem", make([]byte, 1025), http.StatusBadRequest, []byte(`{"__type":"x#ThrottlingException"}`)), 0},
		"one that the service does not count": {capacity("DescribeTable", nil, http.StatusOK, []byte(`{}`)), 0},
	} {
		require.InDelta(t, c.want, c.got, 0, name)
	}
}

func TestWritesAreToldApartByTheirKeys(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"Item":{"PK":{"S":"T#default#EV#20261101#0"}}}`:                     "events",
		`{"Item":{"PK":{"S":"T#default#EP#01#0"},"SK":{"S":"DLV#01"}}}`:       "deliveries",
		`{"Key":{"PK":{"S":"METRICS#1"},"SK":{"S":"COUNTERS"}}}`:              "counters",
		`{"Item":{"PK":{"S":"T#default#DLQ#0"}}}`:                             "dead letters",
		`{"Key":{"PK":{"S":"T#default#EP#01"},"SK":{"S":"STATE"}}}`:           "endpoint states",
		`{"Item":{"PK":{"S":"T#default#JOB"},"note":{"S":"what is no key"}}}`: "others",
	} {
		require.Equal(t, want, kind([]byte(body)), body)
	}
}

func TestMetricsInALogAreFound(t *testing.T) {
	t.Parallel()
	line := `{"_aws":{"CloudWatchMetrics":[{"Namespace":"Posthorn","Dimensions":[["service"],["service","outcome"]],"Metrics":[{"Name":"attempts"},{"Name":"absent"}]}]},"service":"a","outcome":"x","attempts":1}`
	require.Equal(t, []string{"Posthorn,service=a attempts", "Posthorn,service=a,outcome=x attempts"}, emf([]byte(line)))
	require.Empty(t, emf([]byte(`{"msg":"attempt"}`)))
}

func TestConditionsOfATemplate(t *testing.T) {
	t.Parallel()
	const text = `
Parameters:
  Key: { Default: "" }
  On: { Default: "true" }
Conditions:
  Makes: !Equals [!Ref Key, ""]
  Not: !Not [!Condition Makes]
  Both: !And [!Condition Makes, !Equals [!Ref On, "true"]]
  Either: !Or [!Condition Not, !Equals [!Ref On, "false"]]
Resources:
  A: { Type: X, Condition: Makes }
  B: { Type: X, Condition: Not }
  C: { Type: X, Condition: Both }
  D: { Type: X, Condition: Either }
  E: { Type: X }
  F: { Type: Y }
`
	template, err := parseTemplate([]byte(text))
	require.NoError(t, err)
	for want, parameters := range map[string]map[string]string{
		"A C E": nil,
		"B D E": {"Key": "arn"},
		"A D E": {"On": "false"},
	} {
		set, err := template.With(parameters)
		require.NoError(t, err)
		var made []string
		require.NoError(t, set.resources("X", func(name string, _ *node) { made = append(made, name) }))
		require.Equal(t, want, strings.Join(made, " "))
	}
	_, err = template.With(map[string]string{"Other": "1"})
	require.EqualError(t, err, "the template has no parameter Other")
}

func TestAPriceListIsReadStrictly(t *testing.T) {
	t.Parallel()
	good := string(pricesFile)
	for name, c := range map[string]struct{ old, new, wrong string }{
		"a name that is not known": {"sqs_million", "sqs_billion", "sqs_billion"},
		"no date":                  {"date: ", "date: about ", "date"},
		"a price of nothing":       {"egress_gb: 0.09", "egress_gb: 0", "egress_gb: must be above 0"},
	} {
		_, err := parsePrices([]byte(strings.Replace(good, c.old, c.new, 1)))
		require.ErrorContains(t, err, c.wrong, name)
	}
}

func TestWhatIsOverItsBudgetIsNamed(t *testing.T) {
	t.Parallel()
	budgets, err := LoadBudgets()
	require.NoError(t, err)
	w := budgets.Workloads[0]
	at := func(requests, later float64) *Report {
		return &Report{Workloads: []Row{{Name: w.Name, Bill: Bill{{"SQS", requests, Requests}, {"Logs", later, Later}, {"beside", 1000, Choice}}}}}
	}
	require.NoError(t, at(w.Requests, w.All-w.Requests).Verdict(budgets))
	require.EqualError(t, at(w.Requests+0.01, 0).Verdict(budgets),
		fmt.Sprintf("%s: requests and compute cost $%.2f, the budget is $%.2f", w.Name, w.Requests+0.01, w.Requests))
	require.ErrorContains(t, at(w.Requests, w.All-w.Requests+0.01).Verdict(budgets), "everything costs")
	require.EqualError(t, (&Report{Workloads: []Row{{Name: "new"}}}).Verdict(budgets), "new: it has no budget")
	i := budgets.Idle[0]
	require.ErrorContains(t, (&Report{Idle: []IdleRow{{i.Name, Bill{{"KMS key", i.Month + 0.01, Requests}}}}}).Verdict(budgets), "an idle month, "+i.Name)
}

// What goes wrong with several servers of a stack is all told.
func TestEveryErrorOfAServerIsTold(t *testing.T) {
	t.Parallel()
	s := &stack{}
	aws, local := errors.New("the services"), errors.New("the program")
	s.run(func() error { return aws })
	s.run(func() error { return local })
	s.run(func() error { return nil })
	err := s.close()
	require.ErrorIs(t, err, aws)
	require.ErrorIs(t, err, local)
}
