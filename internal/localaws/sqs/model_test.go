package sqs

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// modelMessage is a message as the plain model sees it.
type modelMessage struct {
	body     string
	sent     int64
	due      int64 // until when it is not visible
	taken    int64
	flying   bool // hidden by a receive, not by its delay
	dead     bool // in the dead-letter queue
	receives int
	base     int // receives before it came into the dead-letter queue
	latest   string
}

// modelHandle is a receipt handle that was given out.
type modelHandle struct {
	handle, queue string
	m             *modelMessage
}

// model is a machine of random operations on a server and on the model, which
// must agree after each.
type model struct {
	fs       vfs.FS
	clock    *testClock
	p        *process
	messages []*modelMessage
	handles  []modelHandle
	sent     int
}

const (
	modelVisibility = 30
	modelReceives   = 2
	modelRetention  = 120
)

func (m *model) now() int64 { return m.clock.Now().UnixMilli() }

func (m *model) queueOf(msg *modelMessage) string {
	if msg.dead {
		return "dlq"
	}
	return "q"
}

// settle applies what time does.
func (m *model) settle() {
	m.messages = slices.DeleteFunc(m.messages, func(msg *modelMessage) bool { return msg.sent+modelRetention*1000 <= m.now() })
	for _, msg := range m.messages {
		if msg.due <= m.now() {
			msg.flying = false
		}
	}
}

func (m *model) send(t *rapid.T) {
	if len(m.messages) >= 9 { // so that a receive of ten sees all there is
		t.Skip("full")
	}
	delay := rapid.IntRange(0, 20).Draw(t, "delay")
	m.sent++
	msg := &modelMessage{body: fmt.Sprint("message ", m.sent), sent: m.now(), due: m.now() + int64(delay)*1000}
	m.p.send(t, "q", msg.body, delay)
	m.messages = append(m.messages, msg)
}

func (m *model) receive(t *rapid.T) {
	queue := rapid.SampledFrom([]string{"q", "q", "dlq"}).Draw(t, "queue")
	visibility, in := modelVisibility, map[string]any{}
	if rapid.Bool().Draw(t, "own visibility") {
		visibility = rapid.IntRange(0, 40).Draw(t, "visibility")
		in["VisibilityTimeout"] = visibility
	}
	want := map[string]*modelMessage{}
	for _, msg := range m.messages {
		if m.queueOf(msg) != queue || msg.due > m.now() {
			continue
		}
		if queue == "q" && msg.receives >= modelReceives {
			msg.dead, msg.base = true, msg.receives
			continue
		}
		want[msg.body] = msg
	}
	got := m.p.receive(t, queue, in)
	require.Len(t, got, len(want))
	for _, g := range got {
		msg := want[g.Body]
		require.NotNil(t, msg, "%s was received twice or was not visible", g.Body)
		delete(want, g.Body)
		msg.receives++
		msg.taken, msg.due, msg.latest = m.now(), m.now()+int64(visibility)*1000, g.ReceiptHandle
		msg.flying = visibility > 0
		require.Equal(t, fmt.Sprint(msg.receives), g.Attributes["ApproximateReceiveCount"])
		require.Equal(t, fmt.Sprint(msg.sent), g.Attributes["SentTimestamp"])
		m.handles = append(m.handles, modelHandle{g.ReceiptHandle, queue, msg})
	}
}

func (m *model) drawHandle(t *rapid.T) modelHandle {
	if len(m.handles) == 0 {
		t.Skip("no handle yet")
	}
	return rapid.SampledFrom(m.handles).Draw(t, "handle")
}

// holds says whether a handle's message is where the handle is from.
func (m *model) holds(h modelHandle) bool {
	return slices.Contains(m.messages, h.m) && m.queueOf(h.m) == h.queue
}

func (m *model) delete(t *rapid.T) {
	h := m.drawHandle(t)
	m.p.do(t, "DeleteMessage", map[string]any{"QueueUrl": queueURL(h.queue), "ReceiptHandle": h.handle})
	if m.holds(h) {
		m.messages = slices.DeleteFunc(m.messages, func(msg *modelMessage) bool { return msg == h.m })
	}
}

func (m *model) change(t *rapid.T) {
	h := m.drawHandle(t)
	seconds := rapid.SampledFrom([]int{0, 1, 15, 60, 43_199, 43_200}).Draw(t, "seconds")
	out := m.p.do(t, "ChangeMessageVisibilityBatch", map[string]any{"QueueUrl": queueURL(h.queue), "Entries": []map[string]any{
		{"Id": "a", "ReceiptHandle": h.handle, "VisibilityTimeout": seconds},
	}})
	code := ""
	if failed, ok := out["Failed"].([]any); ok {
		code = failed[0].(map[string]any)["Code"].(string)
	}
	due := m.now() + int64(seconds)*1000
	switch {
	case !m.holds(h):
		require.Equal(t, "InvalidParameterValue", code)
	case !h.m.flying:
		require.Equal(t, "AWS.SimpleQueueService.MessageNotInflight", code)
	case h.m.latest != h.handle, due > h.m.taken+43_200_000:
		require.Equal(t, "InvalidParameterValue", code)
	default:
		require.Empty(t, code)
		h.m.due, h.m.flying = due, seconds > 0
	}
}

func (m *model) wait(t *rapid.T) {
	m.clock.Advance(time.Duration(rapid.IntRange(1, 40_000).Draw(t, "milliseconds")) * time.Millisecond)
	m.settle()
}

func (m *model) restart(t *rapid.T) {
	m.p.stop(t)
	m.p = start(t, m.fs, m.clock)
	for _, msg := range m.messages {
		if msg.flying {
			msg.flying, msg.due = false, m.now()
		}
	}
}

// check compares the counts.
func (m *model) check(t *rapid.T) {
	want := map[string]counts{"q": {}, "dlq": {}}
	for _, msg := range m.messages {
		c := want[m.queueOf(msg)]
		switch {
		case msg.due <= m.now():
			c.ready++
		case msg.flying:
			c.inFlight++
		default:
			c.delayed++
		}
		want[m.queueOf(msg)] = c
	}
	require.Equal(t, want["q"], m.p.depth(t, "q"))
	require.Equal(t, want["dlq"], m.p.depth(t, "dlq"))
}

func TestTheServerBehavesAsAPlainModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{fs: vfs.NewMem(), clock: newTestClock()}
		m.p = start(t, m.fs, m.clock)
		defer func() { m.p.stop(t) }()
		retention := map[string]string{"MessageRetentionPeriod": fmt.Sprint(modelRetention)}
		m.p.create(t, "dlq", retention)
		retention["RedrivePolicy"] = redriveToDLQ
		m.p.create(t, "q", retention)
		t.Repeat(map[string]func(*rapid.T){
			"": m.check, "send": m.send, "receive": m.receive, "receive again": m.receive,
			"delete": m.delete, "change": m.change, "wait": m.wait, "restart": m.restart,
		})
	})
}

// TestTimersComeInOrder checks the heap against sorting.
func TestTimersComeInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var h timers
		at := map[*message]int64{}
		var all []*message
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				m := &message{}
				at[m] = rapid.Int64Range(0, 50).Draw(t, "at")
				all = append(all, m)
				h.push(m, at[m])
			},
			"set": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip("empty")
				}
				m := rapid.SampledFrom(all).Draw(t, "message")
				at[m] = rapid.Int64Range(0, 50).Draw(t, "at")
				h.set(m, at[m])
			},
			"remove": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip("empty")
				}
				i := rapid.IntRange(0, len(all)-1).Draw(t, "place")
				h.remove(all[i])
				delete(at, all[i])
				all = slices.Delete(all, i, i+1)
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(all), h.len())
				_, first, ok := h.first()
				require.Equal(t, len(all) > 0, ok)
				for i, e := range h.s {
					require.EqualValues(t, i, e.m.index)
					require.Equal(t, at[e.m], e.at)
					require.LessOrEqual(t, first, e.at)
				}
			},
		})
	})
}
