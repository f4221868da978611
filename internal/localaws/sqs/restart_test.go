package sqs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"

	"posthorn/internal/localaws/store"
)

// process is a server over a store in a file system that outlives it.
type process struct {
	*caller
	db *store.DB
}

func start(tb tester, fs vfs.FS, clock *testClock) *process {
	tb.Helper()
	db, err := store.OpenFS(fs, "db")
	require.NoError(tb, err)
	s, err := New(Options{Store: db, Now: clock.Now})
	require.NoError(tb, err)
	return &process{newCaller(s), db}
}

func (p *process) stop(tb tester) {
	tb.Helper()
	require.NoError(tb, p.s.Close())
	require.NoError(tb, p.db.Close())
}

func queueURL(queue string) string { return "http://localhost:4566/000000000000/" + queue }

// json calls an operation and reads its answer into out.
func (p *process) json(tb tester, op, out any, in map[string]any) {
	tb.Helper()
	body, err := json.Marshal(in)
	require.NoError(tb, err)
	require.NoError(tb, json.Unmarshal(p.call(tb, op.(string), body), out))
}

type received struct {
	MessageId, ReceiptHandle, Body string
	Attributes                     map[string]string
}

func (p *process) receive(tb tester, queue string, in map[string]any) []received {
	tb.Helper()
	if in == nil {
		in = map[string]any{}
	}
	in["QueueUrl"], in["MaxNumberOfMessages"], in["AttributeNames"] = queueURL(queue), 10, []string{"All"}
	var out struct{ Messages []received }
	p.json(tb, "ReceiveMessage", &out, in)
	return out.Messages
}

func (p *process) do(tb tester, op string, in map[string]any) map[string]any {
	tb.Helper()
	var out map[string]any
	p.json(tb, op, &out, in)
	return out
}

func (p *process) create(tb tester, queue string, attributes map[string]string) {
	tb.Helper()
	p.do(tb, "CreateQueue", map[string]any{"QueueName": queue, "Attributes": attributes})
}

func (p *process) send(tb tester, queue, body string, delay int) {
	tb.Helper()
	p.do(tb, "SendMessage", map[string]any{"QueueUrl": queueURL(queue), "MessageBody": body, "DelaySeconds": delay})
}

func (p *process) depth(tb tester, queue string) counts {
	tb.Helper()
	r, f, d, err := p.s.Depth(queue)
	require.NoError(tb, err)
	return counts{r, f, d}
}

const redriveToDLQ = `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dlq","maxReceiveCount":2}`

func TestARestartKeepsQueuesMessagesDelaysAndReceiveCounts(t *testing.T) {
	t.Parallel()
	fs, clock := vfs.NewMem(), newTestClock()
	p := start(t, fs, clock)
	p.create(t, "dlq", nil)
	p.create(t, "q", map[string]string{"RedrivePolicy": redriveToDLQ, "VisibilityTimeout": "77"})
	p.do(t, "TagQueue", map[string]any{"QueueUrl": queueURL("q"), "Tags": map[string]string{"a": "b"}})
	p.send(t, "q", "in flight", 0)
	old := p.receive(t, "q", nil)
	require.Len(t, old, 1)
	p.send(t, "q", "waiting", 0)
	p.send(t, "q", "delayed", 60)
	p.stop(t)

	p = start(t, fs, clock)
	require.Equal(t, counts{ready: 2, delayed: 1}, p.depth(t, "q"))
	attributes := p.do(t, "GetQueueAttributes", map[string]any{"QueueUrl": queueURL("q"), "AttributeNames": []string{"VisibilityTimeout", "RedrivePolicy"}})
	require.Equal(t, map[string]any{"VisibilityTimeout": "77", "RedrivePolicy": redriveToDLQ}, attributes["Attributes"])
	require.Equal(t, map[string]any{"a": "b"}, p.do(t, "ListQueueTags", map[string]any{"QueueUrl": queueURL("q")})["Tags"])
	got := p.receive(t, "q", nil)
	require.Len(t, got, 2)
	require.Equal(t, "in flight", got[0].Body)
	require.Equal(t, "2", got[0].Attributes["ApproximateReceiveCount"])
	require.Equal(t, old[0].Attributes["ApproximateFirstReceiveTimestamp"], got[0].Attributes["ApproximateFirstReceiveTimestamp"])
	require.NotEqual(t, old[0].ReceiptHandle, got[0].ReceiptHandle)
	// A handle of the process before still deletes.
	p.do(t, "DeleteMessage", map[string]any{"QueueUrl": queueURL("q"), "ReceiptHandle": old[0].ReceiptHandle})
	require.Equal(t, counts{inFlight: 1, delayed: 1}, p.depth(t, "q"))
	clock.Advance(60 * time.Second)
	require.Equal(t, counts{ready: 1, inFlight: 1}, p.depth(t, "q"))
	p.stop(t)

	p = start(t, fs, clock)
	require.Equal(t, counts{ready: 2}, p.depth(t, "q"), "what was deleted stays deleted")
	p.stop(t)
}

func TestAHandleNeverNamesANewerMessage(t *testing.T) {
	t.Parallel()
	fs, clock := vfs.NewMem(), newTestClock()
	var handles []string
	for range 3 {
		p := start(t, fs, clock)
		p.create(t, "q", nil)
		p.send(t, "q", "x", 0)
		for _, h := range handles {
			p.do(t, "DeleteMessage", map[string]any{"QueueUrl": queueURL("q"), "ReceiptHandle": h})
		}
		require.Equal(t, counts{ready: 1}, p.depth(t, "q"))
		got := p.receive(t, "q", nil)
		require.Len(t, got, 1)
		handles = append(handles, got[0].ReceiptHandle)
		p.do(t, "DeleteMessage", map[string]any{"QueueUrl": queueURL("q"), "ReceiptHandle": got[0].ReceiptHandle})
		p.stop(t)
	}
}

func TestADeletedQueueLeavesNothingInTheStore(t *testing.T) {
	t.Parallel()
	fs, clock := vfs.NewMem(), newTestClock()
	p := start(t, fs, clock)
	p.create(t, "q", map[string]string{"MessageRetentionPeriod": "60"})
	p.create(t, "other", map[string]string{"MessageRetentionPeriod": "60"})
	for i := range 20 {
		p.send(t, "q", fmt.Sprint(i), 0)
	}
	p.receive(t, "q", nil)
	p.send(t, "other", "expires while the process is down", 0)
	p.receive(t, "other", nil)
	p.do(t, "DeleteQueue", map[string]any{"QueueUrl": queueURL("q")})
	require.Len(t, p.keys(t), 4, "the epoch, and the other queue with a message and its receives")
	p.stop(t)
	clock.Advance(time.Minute)
	p = start(t, fs, clock)
	require.Equal(t, []string{"sqs/epoch", "sqs/q/other"}, p.keys(t))
	p.stop(t)
}

// keys are all keys of queues in the store.
func (p *process) keys(tb tester) (keys []string) {
	tb.Helper()
	require.NoError(tb, p.db.Range([]byte("sqs/"), after("sqs/"), false, func(key, _ []byte) (bool, error) {
		keys = append(keys, string(key))
		return true, nil
	}))
	return keys
}

func TestAHandleOfAForgottenReceiveDoesNotChangeVisibility(t *testing.T) {
	t.Parallel()
	fs, clock := vfs.NewCrashableMem(), newTestClock()
	p := start(t, fs, clock)
	p.create(t, "q", nil)
	p.send(t, "q", "x", 0)
	forgotten := p.receive(t, "q", nil)
	require.Len(t, forgotten, 1)
	survives := fs.CrashClone(vfs.CrashCloneCfg{})
	p.stop(t)
	p = start(t, survives, clock)
	got := p.receive(t, "q", nil)
	require.Len(t, got, 1)
	require.Equal(t, "1", got[0].Attributes["ApproximateReceiveCount"], "the first receive did not reach the disk")
	out := p.do(t, "ChangeMessageVisibilityBatch", map[string]any{"QueueUrl": queueURL("q"), "Entries": []map[string]any{
		{"Id": "a", "ReceiptHandle": forgotten[0].ReceiptHandle, "VisibilityTimeout": 0},
	}})
	require.NotContains(t, out, "Successful")
	require.Equal(t, counts{inFlight: 1}, p.depth(t, "q"))
	p.stop(t)
}

// TestALossOfPowerLosesNoAcknowledgedSend cuts the power at random moments of
// a load of sends, receives, deletes and moves to a dead-letter queue. What
// was acknowledged and never deleted is there afterwards, once, in one queue
// or the other; what was deleted may come back, which a consumer has to bear.
func TestALossOfPowerLosesNoAcknowledgedSend(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(seed, 1))
			fs, clock := vfs.NewCrashableMem(), newTestClock()
			acknowledged, deleted := map[string]bool{}, map[string]bool{}
			for life := range 4 {
				p := start(t, fs, clock)
				p.create(t, "dlq", nil)
				p.create(t, "q", map[string]string{"RedrivePolicy": redriveToDLQ})
				for i := range r.IntN(120) {
					switch r.IntN(4) {
					case 0, 1:
						body := fmt.Sprint("life ", life, " message ", i)
						p.send(t, "q", body, 0)
						acknowledged[body] = true
					case 2:
						for _, m := range p.receive(t, "q", map[string]any{"VisibilityTimeout": r.IntN(2)}) {
							if r.IntN(3) == 0 {
								p.do(t, "DeleteMessage", map[string]any{"QueueUrl": queueURL("q"), "ReceiptHandle": m.ReceiptHandle})
								deleted[m.Body] = true
							}
						}
					case 3:
						clock.Advance(time.Second)
					}
				}
				survives := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(seed%3) * 50, RNG: rand.New(rand.NewPCG(seed, 2))})
				p.stop(t) // of the lost timeline: only closes files
				fs = survives
			}
			p := start(t, fs, clock)
			found := map[string]int{}
			require.NoError(t, p.db.Range([]byte(messagePrefix), after(messagePrefix), false, func(_, value []byte) (bool, error) {
				var m stored
				err := m.read(value)
				found[string(m.body)]++
				return true, err
			}))
			for body := range acknowledged {
				if !deleted[body] {
					require.Equal(t, 1, found[body], body)
				}
			}
			q, dlq := p.depth(t, "q"), p.depth(t, "dlq")
			require.Equal(t, len(found), q.ready+dlq.ready)
			p.stop(t)
		})
	}
}

// TestASendIsAnsweredWhenItIsOnDisk covers both halves of a fault in between:
// the write never reached the disk, and the sender was not answered; the write
// was made but the answer was lost, and the sender's repeat is a second message.
func TestASendIsAnsweredWhenItIsOnDisk(t *testing.T) {
	t.Parallel()
	mem, clock := vfs.NewCrashableMem(), newTestClock()
	gate := &gatedFS{FS: mem}
	p := start(t, gate, clock)
	p.create(t, "q", nil)
	gate.mu.Lock()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		p.send(t, "q", "x", 0)
	}()
	// It can be received before it is on disk.
	sees := newCaller(p.s)
	require.Eventually(t, func() bool {
		return bytes.Contains(sees.call(t, "ReceiveMessage", []byte(`{"QueueUrl":"`+queueURL("q")+`","VisibilityTimeout":0}`)), []byte(`"Body":"x"`))
	}, 10*time.Second, time.Millisecond)
	lost := mem.CrashClone(vfs.CrashCloneCfg{})
	select {
	case <-answered:
		require.Fail(t, "a send was answered that is not on disk")
	default:
	}
	gate.mu.Unlock()
	<-answered
	kept := mem.CrashClone(vfs.CrashCloneCfg{})
	p.stop(t)
	p = start(t, lost, clock)
	require.Equal(t, counts{}, p.depth(t, "q"))
	p.stop(t)
	p = start(t, kept, clock)
	require.Equal(t, counts{ready: 1}, p.depth(t, "q"))
	p.send(t, "q", "x", 0) // as a sender does that got no answer
	require.Equal(t, counts{ready: 2}, p.depth(t, "q"))
	p.stop(t)
}

// gatedFS is a file system whose syncs wait while mu is locked.
type gatedFS struct {
	vfs.FS
	mu sync.Mutex
}

func (g *gatedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := g.FS.Create(name, category)
	return &gatedFile{f, g}, err
}

type gatedFile struct {
	vfs.File
	gate *gatedFS
}

func (f *gatedFile) Sync() error {
	f.gate.mu.Lock()
	defer f.gate.mu.Unlock()
	return f.File.Sync()
}

func (f *gatedFile) SyncData() error {
	f.gate.mu.Lock()
	defer f.gate.mu.Unlock()
	return f.File.SyncData()
}

func (f *gatedFile) SyncTo(length int64) (bool, error) {
	f.gate.mu.Lock()
	defer f.gate.mu.Unlock()
	return f.File.SyncTo(length)
}
