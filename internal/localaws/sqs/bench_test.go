package sqs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/localaws/store"
)

// recorder is a ResponseWriter that is used again.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) WriteHeader(status int)      { r.status = status }
func (r *recorder) Write(b []byte) (int, error) { return r.body.Write(b) }

// caller calls the handler without a network in between.
type caller struct {
	s   *Server
	w   recorder
	in  bytes.Reader
	req http.Request
}

func newCaller(s *Server) *caller {
	return &caller{s: s, w: recorder{header: http.Header{}}, req: http.Request{
		Method: http.MethodPost, Host: "localhost:4566", URL: &url.URL{Path: "/"},
	}}
}

func (c *caller) call(tb tester, op string, body []byte) []byte {
	c.w.body.Reset()
	c.in.Reset(body)
	c.req.Header = http.Header{"X-Amz-Target": {"AmazonSQS." + op}}
	c.req.Body, c.req.ContentLength = io.NopCloser(&c.in), int64(len(body))
	c.s.ServeHTTP(&c.w, &c.req)
	if c.w.status != http.StatusOK {
		tb.Errorf("%s: %d %s", op, c.w.status, c.w.body.Bytes())
	}
	return c.w.body.Bytes()
}

const benchURL = "http://localhost:4566/000000000000/bench"

// benchServer is a server over a store on disk, and a queue with that many
// messages waiting in a hundred groups.
func benchServer(b *testing.B, waiting int) *Server {
	b.Helper()
	db, err := store.Open(b.TempDir())
	require.NoError(b, err)
	s, err := New(Options{Store: db, InFlightLimit: 1 << 30})
	require.NoError(b, err)
	b.Cleanup(func() {
		require.NoError(b, s.Close())
		require.NoError(b, db.Close())
	})
	newCaller(s).call(b, "CreateQueue", []byte(`{"QueueName":"bench"}`))
	fill(b, s, waiting)
	return s
}

// fill enqueues messages of 1 KB as send does, but without waiting for each.
func fill(b tester, s *Server, n int) {
	b.Helper()
	q := s.queues["bench"]
	body := []byte(strings.Repeat("x", 1024))
	now := s.millis()
	for n > 0 {
		part := min(n, 1000)
		n -= part
		batch := s.store.NewBatch()
		for i := range part {
			s.seq++
			e := entry{body: body, group: strconv.AppendInt([]byte("group-"), int64(i%100), 10)}
			var m stored
			m.fill(&e, now, 0)
			require.NoError(b, batch.Set(appendKey(nil, messagePrefix, q.uid, s.seq), m.append(nil)))
			q.add(&message{seq: s.seq, sent: now}, e.group, now)
		}
		require.NoError(b, s.store.ApplyLazily(batch))
	}
}

// sendBody is a batch of ten messages of 1 KB of JSON, as a fan-out sends it.
func sendBody(tb tester) []byte {
	type entry struct{ Id, MessageBody, MessageGroupId string }
	data := `{"gen":0,"hop":0,"event":"evt_01ARZ3NDEKTSV4RRFFQ69G5FAV","data":"`
	data += strings.Repeat("0123456789abcdef", (1024-len(data)-2)/16) + `"}`
	var entries []entry
	for i := range 10 {
		entries = append(entries, entry{fmt.Sprint(i), data, fmt.Sprintf("ep_%d", i)})
	}
	b, err := json.Marshal(map[string]any{"QueueUrl": benchURL, "Entries": entries})
	require.NoError(tb, err)
	return b
}

var waitings = []int{0, 1_000_000}

func BenchmarkSendMessageBatch(b *testing.B) {
	body := sendBody(b)
	for _, waiting := range waitings {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			s := benchServer(b, waiting)
			b.ReportAllocs()
			b.SetParallelism(16) // concurrent senders share an fsync
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				c := newCaller(s)
				for pb.Next() {
					c.call(b, "SendMessageBatch", body)
				}
			})
			b.ReportMetric(float64(b.N*10)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

func BenchmarkReceiveAndDeleteBatch(b *testing.B) {
	for _, waiting := range waitings {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			s := benchServer(b, waiting)
			c := newCaller(s)
			receive := []byte(`{"QueueUrl":"` + benchURL + `","MaxNumberOfMessages":10,"AttributeNames":["All"]}`)
			var request []byte
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				fill(b, s, 10)
				b.StartTimer()
				answer := c.call(b, "ReceiveMessage", receive)
				request = deleteBody(request[:0], answer)
				c.call(b, "DeleteMessageBatch", request)
			}
			b.ReportMetric(float64(b.N*10)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// deleteBody makes the request that deletes what was received.
func deleteBody(b, answer []byte) []byte {
	b = append(b, `{"QueueUrl":"`+benchURL+`","Entries":[`...)
	marker := []byte(`"ReceiptHandle":"`)
	for i := 0; ; i++ {
		at := bytes.Index(answer, marker)
		if at < 0 {
			return append(b, "]}"...)
		}
		answer = answer[at+len(marker):]
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(b, `{"Id":"`...), int64(i), 10)
		b = append(append(b, `","ReceiptHandle":"`...), answer[:handleSize]...)
		b = append(b, `"}`...)
	}
}

// BenchmarkMemory prints what a waiting message takes in memory.
func BenchmarkMemory(b *testing.B) {
	const n = 1_000_000
	for b.Loop() {
		q := (&Server{now: newTestClock().Now}).newQueue("bench", 1)
		q.retention = defaultRetention
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			q.add(&message{seq: uint64(i), sent: int64(i)}, []byte("group"), int64(i))
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/n, "B/waiting-message")
		runtime.KeepAlive(q)
	}
}
