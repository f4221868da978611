package cost

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Line is a part of a bill.
type Line struct {
	Name    string  `json:"name"`
	Dollars float64 `json:"dollars"`
	Part    Part    `json:"part"`
}

// Part says which of the sums a line belongs to.
type Part int

// The parts.
const (
	Requests Part = iota // and compute
	Later                // logs and a month's storage
	Choice               // what a parameter of the template turns off
)

// Bill is what a million deliveries cost, line by line.
type Bill []Line

// Sum adds up a part.
func (b Bill) Sum(p Part) float64 {
	sum := 0.0
	for _, l := range b {
		if l.Part == p {
			sum += l.Dollars
		}
	}
	return sum
}

// All is what budgets are about: requests, compute, logs and storage.
func (b Bill) All() float64 { return b.Sum(Requests) + b.Sum(Later) }

// Of adds up the lines whose names begin so, of a part.
func (b Bill) Of(p Part, begin string) float64 {
	sum := 0.0
	for _, l := range b {
		if l.Part == p && strings.HasPrefix(l.Name, begin) {
			sum += l.Dollars
		}
	}
	return sum
}

// Logging says what AWS itself logs, as the template has it.
type Logging struct {
	Platform bool // Lambda writes the start, end and report of each invocation
	Access   bool // API Gateway writes each request
}

// Bill is what a million deliveries like those measured cost.
func (m *Measured) Bill(p *Prices, memory map[string]int, logging Logging) Bill {
	u := m.Usage
	perMillion := 1e6 / float64(m.Deliveries)
	var b Bill
	add := func(part Part, name string, dollars float64) { b = append(b, Line{name, dollars * perMillion, part}) }
	add(Requests, "API Gateway", float64(u.Gateway)*p.Prices.APIGateway/1e6)
	for _, name := range functionNames() {
		c := u.Function[name]
		add(Requests, "Lambda: "+name, float64(c.Count)*p.Prices.Lambda/1e6+p.gigabyteSeconds(c, memory[name])*p.Prices.LambdaGBSecond)
	}
	for _, k := range kinds {
		if u.Writes[k.name] > 0 || k.name == "events" || k.name == "deliveries" || k.name == "counters" {
			add(Requests, "DynamoDB: "+k.name, u.Writes[k.name]*p.Prices.DynamoDBWrite/1e6)
		}
	}
	if u.Writes["others"] > 0 {
		add(Requests, "DynamoDB: others", u.Writes["others"]*p.Prices.DynamoDBWrite/1e6)
	}
	add(Requests, "DynamoDB: reads", u.Reads*p.Prices.DynamoDBRead/1e6)
	sqs := 0.0
	for _, n := range u.SQS {
		sqs += n
	}
	add(Requests, "SQS", sqs*(p.Prices.SQS+p.Prices.SQSFair)/1e6)
	add(Requests, "KMS", float64(u.KMS)*p.Prices.KMS/1e6)
	add(Requests, "Egress to endpoints", p.sent(u.Egress)/1e9*p.Prices.EgressGB)
	add(Requests, "Egress to producers", p.sent(u.Answers)/1e9*p.Prices.EgressGB)
	logged := 0.0
	for _, name := range functionNames() {
		logged += float64(u.LogBytes[name])
		if logging.Platform {
			logged += float64(u.Function[name].Count * (p.Assumed.PlatformBytes + p.Assumed.PlatformLines*p.Assumed.LogOverhead))
		}
	}
	if logging.Access {
		logged += float64(u.Gateway * (p.Assumed.AccessLogBytes + p.Assumed.LogOverhead))
	}
	add(Later, "Logs", logged/1e9*(p.Prices.LogsGB+p.Assumed.LogCompression*p.Prices.LogsGBMonth))
	bytes := u.Storage.Bytes + u.Storage.Items*float64(p.Assumed.ItemOverhead)
	add(Later, "DynamoDB: a month's storage", bytes/1e9*p.Prices.DynamoDBGBMonth)
	add(Choice, "DynamoDB: point-in-time recovery", bytes/1e9*p.Prices.DynamoDBRecovery)
	return b
}

// gigabyteSeconds is what invocations are billed: their time in whole
// milliseconds, by the memory.
func (p *Prices) gigabyteSeconds(c Calls, memoryMB int) float64 {
	millis := math.Ceil(float64(p.Typical(c, memoryMB)) / float64(time.Millisecond))
	return millis / 1000 * float64(c.Count) * float64(memoryMB) / 1024
}

// Typical is how long an invocation takes: the median, which a machine that is
// busy with other things moves less than the mean. The processor's share grows
// with the memory, so what took it here so long takes as much longer there.
func (p *Prices) Typical(c Calls, memoryMB int) time.Duration {
	if c.Count == 0 {
		return 0
	}
	walls := slices.Clone(c.Wall)
	slices.Sort(walls)
	share := min(float64(memoryMB)/p.Assumed.ProcessorMB, 1)
	return walls[len(walls)/2] + time.Duration(float64(c.CPU)/float64(c.Count)*(1/share-1))
}

// sent is what goes over the network: with TLS, and the heads of packets.
func (p *Prices) sent(e Egress) float64 {
	a := p.Assumed
	bytes := e.Bytes + e.Requests*a.TLSRecord + e.Connections*a.TLSHandshake
	packets := (bytes+a.PacketBytes-1)/a.PacketBytes + 2*e.Requests // and acknowledgements of what is answered
	return float64(bytes + packets*a.PacketOverhead)
}
