package cost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"posthorn/internal/localaws/inproc"
)

// Usage is what was used of what AWS bills.
type Usage struct {
	Gateway  int              // requests of the HTTP API
	Function map[string]Calls // by function
	Writes   map[string]float64
	Reads    float64
	SQS      map[string]float64 // requests, by operation, in chunks of 64 KB
	KMS      int
	LogBytes map[string]int64 // by function, with what a line costs beside its text
	LogLines map[string]int
	EMF      map[string]bool // metrics that log lines make
	Egress   Egress          // to endpoints
	Answers  Egress          // to producers
	Requests map[string]int  // of AWS, by operation, to look at
	Storage  Storage
}

// Calls are the invocations of a function.
type Calls struct {
	Count int
	Wall  []time.Duration // of each
	CPU   time.Duration   // of all
}

// Egress is what was sent out.
type Egress struct {
	Bytes       int64 // HTTP, without TLS and TCP
	Requests    int64
	Connections int64
}

// Storage is what lies in the table.
type Storage struct{ Items, Bytes float64 }

func newUsage() *Usage {
	return &Usage{
		Function: map[string]Calls{}, Writes: map[string]float64{}, SQS: map[string]float64{}, LogBytes: map[string]int64{}, LogLines: map[string]int{},
		EMF: map[string]bool{}, Requests: map[string]int{},
	}
}

// meter counts.
type meter struct {
	prices *Prices
	mu     sync.Mutex
	usage  *Usage
}

func newMeter(p *Prices) *meter { return &meter{prices: p, usage: newUsage()} }

// take returns what was counted since the last time.
func (m *meter) take() *Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.usage
	m.usage = newUsage()
	return u
}

func (m *meter) count(f func(*Usage)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m.usage)
}

// services are the services with every request counted. Their answers take as
// long as they are assumed to take.
func (m *meter) services(next http.Handler) http.Handler {
	client := inproc.Transport{Handler: next}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		service, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		sent, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		var wait int
		switch {
		case service == "AmazonSQS":
			wait = m.prices.Assumed.SQSMillis
		case service == "TrentService":
			wait = m.prices.Assumed.KMSMillis
		default:
			wait = m.prices.Assumed.DynamoDBMillis
			sent = askCapacity(sent)
		}
		timer := time.NewTimer(time.Duration(wait) * time.Millisecond)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return
		}
		in := r.Clone(r.Context())
		in.Body, in.ContentLength = io.NopCloser(bytes.NewReader(sent)), int64(len(sent))
		in.Header.Set("Content-Length", strconv.Itoa(len(sent)))
		answer, err := client.RoundTrip(in)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		text, err := io.ReadAll(answer.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		m.request(service, operation, sent, answer.StatusCode, text)
		maps.Copy(w.Header(), answer.Header)
		w.WriteHeader(answer.StatusCode)
		if _, err := w.Write(text); err != nil {
			return // its caller is gone
		}
	})
}

// askCapacity has DynamoDB say what a request consumes.
func askCapacity(body []byte) []byte {
	return append([]byte(`{"ReturnConsumedCapacity":"INDEXES",`), bytes.TrimSpace(body)[1:]...)
}

func (m *meter) request(service, operation string, sent []byte, status int, answer []byte) {
	m.count(func(u *Usage) {
		u.Requests[operation]++
		switch service {
		case "AmazonSQS":
			u.SQS[operation] += sqsRequests(sent, answer)
		case "TrentService":
			u.KMS++
		default:
			units := capacity(operation, sent, status, answer)
			if isRead(operation) {
				u.Reads += units
				return
			}
			u.Writes[kind(sent)] += units
		}
	})
}

// sqsRequests is what a request is billed as: one for each 64 KB begun of what
// is sent, or received.
func sqsRequests(sent, answer []byte) float64 {
	const chunk = 64 << 10
	return float64(max(1, (max(messageBytes(sent), messageBytes(answer))+chunk-1)/chunk))
}

// messageBytes is the size of the messages' bodies in a request or an answer.
func messageBytes(text []byte) int {
	var m struct {
		MessageBody string
		Entries     []struct{ MessageBody string }
		Messages    []struct{ Body string }
	}
	if json.Unmarshal(text, &m) != nil {
		return 0
	}
	n := len(m.MessageBody)
	for _, e := range m.Entries {
		n += len(e.MessageBody)
	}
	for _, e := range m.Messages {
		n += len(e.Body)
	}
	return n
}

func isRead(operation string) bool {
	switch operation {
	case "GetItem", "BatchGetItem", "Query", "Scan", "TransactGetItems":
		return true
	default:
		return false
	}
}

// capacity is what a request consumed, of the table and its index. Of one that
// a condition refused, the service says nothing and bills the write all the
// same: a unit for each KB that was sent, twice that in a transaction.
func capacity(operation string, sent []byte, status int, answer []byte) float64 {
	const unit = 1024
	if status != http.StatusOK {
		switch {
		case bytes.Contains(answer, []byte("ConditionalCheckFailed")) && operation != "TransactWriteItems":
			return float64((len(sent) + unit - 1) / unit)
		case bytes.Contains(answer, []byte("TransactionCanceled")):
			return 2 * float64((len(sent)+unit-1)/unit)
		default:
			return 0
		}
	}
	var one struct{ ConsumedCapacity json.RawMessage }
	if json.Unmarshal(answer, &one) != nil || len(one.ConsumedCapacity) == 0 {
		return 0
	}
	type consumed struct{ CapacityUnits float64 }
	var all []consumed
	if one.ConsumedCapacity[0] == '{' {
		all = make([]consumed, 1)
		if json.Unmarshal(one.ConsumedCapacity, &all[0]) != nil {
			return 0
		}
	} else if json.Unmarshal(one.ConsumedCapacity, &all) != nil {
		return 0
	}
	sum := 0.0
	for _, c := range all {
		sum += c.CapacityUnits
	}
	return sum
}

// kinds are the items that are written, by what is in their keys; the first one
// that is found counts.
var kinds = []struct {
	name string
	key  *regexp.Regexp
}{
	{"deliveries", regexp.MustCompile(`"DLV#`)},
	{"events", regexp.MustCompile(`"T#[^"#]*#(EV|TO)#`)},
	{"counters", regexp.MustCompile(`"METRICS#`)},
	{"dead letters", regexp.MustCompile(`"T#[^"#]*#DLQ#`)},
	{"idempotency keys", regexp.MustCompile(`"T#[^"#]*#IK#`)},
	{"endpoint states", regexp.MustCompile(`"STATE"`)},
}

func kind(body []byte) string {
	for _, k := range kinds {
		if k.key.Match(body) {
			return k.name
		}
	}
	return "others"
}

// batch counts what the event source mapping does for a batch: it receives it,
// and deletes what is done.
func (m *meter) batch(payload, answer []byte) {
	var batch struct{ Records []struct{ Body string } }
	var report struct{ BatchItemFailures []json.RawMessage }
	if json.Unmarshal(payload, &batch) != nil || json.Unmarshal(answer, &report) != nil {
		return
	}
	size := 0
	for _, r := range batch.Records {
		size += len(r.Body)
	}
	m.count(func(u *Usage) {
		u.SQS["ReceiveMessage, by the mapping"] += float64(max(1, (size+64<<10-1)/(64<<10)))
		if len(report.BatchItemFailures) < len(batch.Records) {
			u.SQS["DeleteMessageBatch, by the mapping"]++
		}
	})
}

// invoked counts an invocation.
func (m *meter) invoked(function string, took time.Duration) {
	m.count(func(u *Usage) {
		c := u.Function[function]
		c.Count++
		c.Wall = append(c.Wall, took)
		u.Function[function] = c
	})
}

// log returns what counts a function's log.
func (m *meter) log(function string) io.Writer {
	return lines(func(line []byte) {
		metrics := emf(line)
		m.count(func(u *Usage) {
			u.LogLines[function]++
			u.LogBytes[function] += int64(len(bytes.TrimRight(line, "\n")) + m.prices.Assumed.LogOverhead)
			for _, name := range metrics {
				u.EMF[name] = true
			}
		})
	})
}

// emf names the metrics that a line of the embedded metric format makes: one
// for each of its names and sets of dimensions' values.
func emf(line []byte) []string {
	if !bytes.Contains(line, []byte(`"_aws"`)) {
		return nil
	}
	var fields map[string]any
	var head struct {
		AWS struct {
			CloudWatchMetrics []struct {
				Namespace  string
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	if json.Unmarshal(line, &fields) != nil || json.Unmarshal(line, &head) != nil {
		return nil
	}
	var names []string
	for _, d := range head.AWS.CloudWatchMetrics {
		for _, set := range d.Dimensions {
			at := d.Namespace
			for _, dimension := range set {
				at += fmt.Sprintf(",%s=%v", dimension, fields[dimension])
			}
			for _, metric := range d.Metrics {
				if _, there := fields[metric.Name]; there {
					names = append(names, at+" "+metric.Name)
				}
			}
		}
	}
	return names
}

// lines hands what is written on line by line; a line is written whole.
type lines func(line []byte)

// Write implements io.Writer.
func (l lines) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		l(line)
	}
	return len(b), nil
}
