package awssqs

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

func TestMessagesArriveWithTheirIDsAndGroups(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 9, 10, 11, 25, 40} {
		b := setup(t, Options{})
		sent := b.Send(t.Context(), outgoings(n))
		require.Len(t, sent, n)
		received := b.receive(t, b.url)
		require.Len(t, received, n)
		byID := make(map[string]string, n)
		for _, r := range received {
			byID[*r.MessageId] = *r.Body
			m, err := hook.DecodeMessage([]byte(*r.Body))
			require.NoError(t, err)
			require.Equal(t, m.EndpointID, r.Attributes["MessageGroupId"])
		}
		for i, s := range sent {
			require.NoError(t, s.Err)
			want, err := hook.EncodeMessage(message(i))
			require.NoError(t, err)
			require.Equal(t, string(want), byID[s.MessageID], "message %d", i)
		}
		if n >= maxEntries {
			require.Contains(t, b.partly.sizes, maxEntries)
		}
	}
}

func TestDelayedMessagesWait(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	sent := b.Send(t.Context(), []hook.Outgoing{{Message: message(1), Delay: 900 * time.Second}, {Message: message(2)}})
	require.NoError(t, sent[0].Err)
	require.NoError(t, sent[1].Err)
	depths, err := b.Depths(t.Context())
	require.NoError(t, err)
	require.Equal(t, hook.QueueDepths{Ready: 1, Delayed: 1}, depths)
}

func TestBatchesKeepBelowOneMebibyte(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	out := outgoings(10)
	for i := range out {
		out[i].Message.Body = fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`, i, strings.Repeat("x", 300<<10))
	}
	for _, s := range b.Send(t.Context(), out) {
		require.NoError(t, s.Err)
	}
	require.Equal(t, []int{3, 3, 3, 1}, b.partly.sizes)
	require.Len(t, numbers(t, b.receive(t, b.url)), 10)
}

func TestFitting(t *testing.T) {
	t.Parallel()
	sized := func(sizes ...int) (batch []outgoing) {
		for _, n := range sizes {
			batch = append(batch, outgoing{body: strings.Repeat("x", n)})
		}
		return batch
	}
	for want, batch := range map[int][]outgoing{
		1: sized(2<<20, 1),
		2: sized(1<<19, 1<<19, 1),
		3: sized(1, 1, 1),
	} {
		require.Equal(t, want, fitting(batch))
	}
}

func TestFailedEntriesAreSentAgain(t *testing.T) {
	t.Parallel()
	for name, silent := range map[string]bool{"listed as failed": false, "not mentioned": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{})
			b.partly.add(
				failing{entry: `{\"n\":1}`, times: 1, code: "InternalError", silent: silent},
				failing{entry: `{\"n\":4}`, times: 3, code: "InternalError", silent: silent},
			)
			sent := b.Send(t.Context(), outgoings(10))
			times := numbers(t, b.receive(t, b.url))
			for i, s := range sent {
				require.NoError(t, s.Err)
				require.NotEmpty(t, s.MessageID)
				require.Equal(t, 1, times[i], "message %d", i)
			}
			require.Equal(t, []int{10, 2, 1, 1}, b.partly.sizes)
		})
	}
}

func TestAnEntryThatFailsForGoodIsAnErrorOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		sender bool
		sizes  []int
	}{
		"by the service": {false, []int{10, 1, 1, 1}},
		"by the sender":  {true, []int{10}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{})
			b.partly.add(failing{entry: `{\"n\":7}`, times: 100, code: "SomeCode", sender: tc.sender})
			sent := b.Send(t.Context(), outgoings(10))
			for i, s := range sent {
				if i == 7 {
					require.ErrorContains(t, s.Err, "send message: SomeCode: made to fail")
					require.Empty(t, s.MessageID)
					continue
				}
				require.NoError(t, s.Err)
			}
			require.Equal(t, tc.sizes, b.partly.sizes)
			require.Len(t, b.receive(t, b.url), 9)
		})
	}
}

func TestASendThatFailed(t *testing.T) {
	t.Parallel()
	for _, mode := range []faultwire.Mode{faultwire.FailBefore, faultwire.Throttle} {
		b := setup(t, Options{})
		b.wire.Add(faultwire.Fault{Operation: "SendMessageBatch", Mode: mode})
		for _, s := range b.Send(t.Context(), outgoings(10)) {
			require.Error(t, s.Err, mode)
		}
		require.Empty(t, b.receive(t, b.url))
		for _, s := range b.Send(t.Context(), outgoings(10)) {
			require.NoError(t, s.Err)
		}
		require.Zero(t, b.wire.Pending())
		require.Len(t, b.receive(t, b.url), 10)
	}
}

func TestASendWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.wire.Add(faultwire.Fault{Operation: "SendMessageBatch", Mode: faultwire.LoseAnswer})
	for _, s := range b.Send(t.Context(), outgoings(10)) {
		require.ErrorIs(t, s.Err, faultwire.ErrLost)
		require.Empty(t, s.MessageID)
	}
	require.Len(t, b.receive(t, b.url), 10, "they are there all the same")
}

// With the SDK's own retries on, as everywhere but in these tests.
func TestTheSDKRepeatsASendWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.wire.Add(faultwire.Fault{Operation: "SendMessageBatch", Mode: faultwire.LoseAnswer})
	q := New(config(b.wire, 3), Options{Queue: b.url, DeadLetterQueue: b.dead})
	for _, s := range q.Send(t.Context(), outgoings(10)) {
		require.NoError(t, s.Err)
	}
	for n, times := range numbers(t, b.receive(t, b.url)) {
		require.Equal(t, 2, times, "message %d: the rules of delivery make a repeat harmless", n)
	}
}

func TestSendDead(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	require.NoError(t, b.SendDead(t.Context(), "not even JSON"))
	b.wire.Add(faultwire.Fault{Operation: "SendMessage", Mode: faultwire.FailBefore}, faultwire.Fault{Operation: "SendMessage", Call: 2, Mode: faultwire.LoseAnswer})
	require.ErrorContains(t, b.SendDead(t.Context(), "failed"), "send to the dead-letter queue")
	require.ErrorIs(t, b.SendDead(t.Context(), "lost"), faultwire.ErrLost)
	var bodies []string
	for _, r := range b.receive(t, b.dead) {
		bodies = append(bodies, *r.Body)
	}
	require.ElementsMatch(t, []string{"not even JSON", "lost"}, bodies)
}

func TestASendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, s := range b.Send(ctx, outgoings(13)) {
		require.ErrorIs(t, s.Err, context.Canceled)
	}
}

// gate is a service whose answers wait until it is opened.
type gate struct {
	open chan struct{}

	mu    sync.Mutex
	sizes []int
}

func (g *gate) RoundTrip(r *http.Request) (*http.Response, error) {
	var in struct {
		Entries []struct{ Id, MessageBody string }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		return nil, err
	}
	g.mu.Lock()
	g.sizes = append(g.sizes, len(in.Entries))
	g.mu.Unlock()
	<-g.open
	var answer bytes.Buffer
	answer.WriteString(`{"Successful":[`)
	for i, e := range in.Entries {
		if i > 0 {
			answer.WriteByte(',')
		}
		fmt.Fprintf(&answer, `{"Id":%q,"MessageId":"m","MD5OfMessageBody":"%x"}`, e.Id, md5.Sum([]byte(e.MessageBody)))
	}
	answer.WriteString(`]}`)
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(&answer), Request: r}, nil
}

func TestConcurrentSendsTravelTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: make(chan struct{})}
		q := New(config(g, 1), Options{Queue: "https://sqs.test/1/q", DeadLetterQueue: "https://sqs.test/1/d", Parallel: 2})
		var wg sync.WaitGroup
		sent := make([]hook.Sent, 32)
		for i := range sent {
			wg.Go(func() { sent[i] = q.Send(t.Context(), []hook.Outgoing{{Message: message(i)}})[0] })
		}
		synctest.Wait() // two have gone, thirty wait
		require.Equal(t, []int{1, 1}, g.sizes)
		close(g.open)
		wg.Wait()
		require.Equal(t, []int{1, 1, 10, 10, 10}, g.sizes)
		for _, s := range sent {
			require.Equal(t, hook.Sent{MessageID: "m"}, s)
		}
	})
}

// BenchmarkSend sends one message at a time from 64 goroutines to the local
// stand-in, and says how many messages a call carried.
func BenchmarkSend(b *testing.B) {
	for _, parallel := range []int{1, 2, 4, 16} {
		b.Run(fmt.Sprintf("parallel=%d", parallel), func(b *testing.B) {
			q := setup(b, Options{Parallel: parallel})
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := q.Send(b.Context(), outgoings(1))[0].Err; err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(float64(b.N)/float64(max(q.wire.Calls("SendMessageBatch"), 1)), "messages/call")
		})
	}
}

// An answer that is missing is not a message that was sent.
func TestABatchThatAnswersForTooFewIsAnErrorOfTheRest(t *testing.T) {
	t.Parallel()
	items := make([]int, 2*maxEntries)
	for i := range items {
		items[i] = i
	}
	rs := inBatches(t.Context(), items, nil, func(_ context.Context, batch []int) []result {
		if batch[0] == 0 {
			return make([]result, 7)
		}
		return make([]result, maxEntries+1) // one too many is nobody's
	})
	require.Len(t, rs, len(items))
	for i, r := range rs {
		if i >= 7 && i < maxEntries {
			require.ErrorIs(t, r.Err, errUnanswered, i)
		} else {
			require.NoError(t, r.Err, i)
		}
	}
}
