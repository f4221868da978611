package poller

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
)

type (
	batch  = events.SQSEvent
	answer = events.SQSEventResponse
	over   = func(messageID string)
)

func succeed(context.Context, batch, over) (answer, error) { return answer{}, nil }

func TestWhatTheReportLeavesInTheQueue(t *testing.T) {
	for name, tc := range map[string]struct {
		fn   Function
		left []string // of a, b, c
	}{
		"nothing reported": {succeed, nil},
		"an empty list": {func(context.Context, batch, over) (answer, error) {
			return answer{BatchItemFailures: []events.SQSBatchItemFailure{}}, nil
		}, nil},
		"one reported":           {func(context.Context, batch, over) (answer, error) { return reporting("b"), nil }, []string{"b"}},
		"one reported twice":     {func(context.Context, batch, over) (answer, error) { return reporting("b", "b"), nil }, []string{"b"}},
		"all reported":           {func(context.Context, batch, over) (answer, error) { return reporting("c", "b", "a"), nil }, []string{"a", "b", "c"}},
		"an empty identifier":    {func(context.Context, batch, over) (answer, error) { return reporting("b", ""), nil }, []string{"a", "b", "c"}},
		"an unknown identifier":  {func(context.Context, batch, over) (answer, error) { return reporting("b", "x"), nil }, []string{"a", "b", "c"}},
		"a receipt handle":       {func(context.Context, batch, over) (answer, error) { return reporting("r-b"), nil }, []string{"a", "b", "c"}},
		"an error":               {func(context.Context, batch, over) (answer, error) { return answer{}, errors.New("no") }, []string{"a", "b", "c"}},
		"an error with a report": {func(context.Context, batch, over) (answer, error) { return reporting("b"), errors.New("no") }, []string{"a", "b", "c"}},
		"a panic":                {func(context.Context, batch, over) (answer, error) { panic("no") }, []string{"a", "b", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newMemory("a", "b", "c")
				stop := start(Options{Queue: q, Function: tc.fn})
				time.Sleep(time.Minute)
				require.NoError(t, stop())
				var want []string
				for _, id := range []string{"a", "b", "c"} {
					if !slices.Contains(tc.left, id) {
						want = append(want, "r-"+id)
					}
				}
				require.Equal(t, want, q.gone())
			})
		})
	}
}

func TestEventCarriesTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := "v"
		q := newMemory()
		q.visible = []Message{
			{
				ID: "id", ReceiptHandle: "handle", Body: "body", MD5OfBody: "md5", MD5OfMessageAttributes: "md5a",
				Attributes: map[string]string{"ApproximateReceiveCount": "2"},
				MessageAttributes: map[string]Attribute{
					"s": {DataType: "String", StringValue: &text},
					"b": {DataType: "Binary", BinaryValue: []byte{1}},
				},
			},
			{ID: "bare", ReceiptHandle: "h2"},
		}
		var got batch
		stop := start(Options{Queue: q, ARN: "arn:aws:sqs:eu-west-1:000000000000:deliveries", Function: func(_ context.Context, b batch, _ over) (answer, error) {
			got = b
			return answer{}, nil
		}})
		synctest.Wait()
		require.NoError(t, stop())
		b, err := json.Marshal(got)
		require.NoError(t, err)
		require.JSONEq(t, `{"Records":[{
			"messageId":"id","receiptHandle":"handle","body":"body","md5OfBody":"md5","md5OfMessageAttributes":"md5a",
			"attributes":{"ApproximateReceiveCount":"2"},
			"messageAttributes":{
				"s":{"dataType":"String","stringValue":"v","stringListValues":[],"binaryListValues":[]},
				"b":{"dataType":"Binary","binaryValue":"AQ==","stringListValues":[],"binaryListValues":[]}},
			"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:000000000000:deliveries","awsRegion":"eu-west-1"
		},{
			"messageId":"bare","receiptHandle":"h2","body":"","md5OfBody":"","md5OfMessageAttributes":"","attributes":null,"messageAttributes":{},
			"eventSource":"aws:sqs","eventSourceARN":"arn:aws:sqs:eu-west-1:000000000000:deliveries","awsRegion":"eu-west-1"
		}]}`, string(b))
	})
}

func TestBatchesOfABacklogAreFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(ids(35)...)
		sizes := make(chan int, 35)
		stop := start(Options{Queue: q, Workers: 1000, Function: func(_ context.Context, b batch, _ over) (answer, error) {
			sizes <- len(b.Records)
			return answer{}, nil
		}})
		synctest.Wait()
		require.Len(t, sizes, 4)
		require.ElementsMatch(t, []int{10, 10, 10, 5}, []int{<-sizes, <-sizes, <-sizes, <-sizes})
		require.NoError(t, stop())
		require.Len(t, q.gone(), 35)
	})
}

func TestBatchSizeIsObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(ids(7)...)
		sizes := make(chan int, 7)
		stop := start(Options{Queue: q, BatchSize: 3, Function: func(_ context.Context, b batch, _ over) (answer, error) {
			sizes <- len(b.Records)
			return answer{}, nil
		}})
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.ElementsMatch(t, []int{3, 3, 1}, []int{<-sizes, <-sizes, <-sizes})
		require.Len(t, q.gone(), 7)
	})
}

func TestNoMoreMessagesInTheFunctionThanWorkers(t *testing.T) {
	for _, receivers := range []int{1, 4} {
		synctest.Test(t, func(t *testing.T) {
			q := newMemory(ids(99)...)
			var mu sync.Mutex
			var running, most int
			count := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				running += n
				most = max(most, running)
				return running
			}
			stop := start(Options{Queue: q, Workers: 25, Receivers: receivers, Function: func(_ context.Context, b batch, _ over) (answer, error) {
				count(len(b.Records))
				time.Sleep(time.Second)
				count(-len(b.Records))
				return answer{}, nil
			}})
			time.Sleep(500 * time.Millisecond)
			require.Equal(t, 25, count(0), "the last batch takes what is free")
			time.Sleep(time.Minute)
			require.NoError(t, stop())
			require.Equal(t, 25, most)
			require.Len(t, q.gone(), 99)
		})
	}
}

// A message that hangs holds its own place, and not those of what came with it.
func TestAMessageThatIsOverGivesItsPlaceBackBeforeItsBatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(ids(40)...)
		hang := make(chan struct{})
		var mu sync.Mutex
		seen := 0
		stop := start(Options{Queue: q, Workers: 10, Function: func(_ context.Context, b batch, over over) (answer, error) {
			for i := range b.Records {
				mu.Lock()
				seen++
				mu.Unlock()
				if i > 0 {
					over(b.Records[i].MessageId)
					over(b.Records[i].MessageId) // a place is given back once
					over("another's")
				}
			}
			<-hang
			return answer{}, nil
		}})
		time.Sleep(time.Second)
		mu.Lock()
		require.GreaterOrEqual(t, seen, 37, "each batch holds one place")
		require.Less(t, seen, 41)
		mu.Unlock()
		require.Empty(t, q.gone(), "what is done with is deleted at the end of its batch")
		go func() {
			time.Sleep(time.Second)
			close(hang)
		}()
		require.NoError(t, stop(), "it waits for what holds no place too")
		require.NotEmpty(t, q.gone())
		require.Len(t, q.gone(), seen)
	})
}

func TestAMessageOfAnIdlePollerIsHandedOnAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory()
		at := make(chan time.Time, 1)
		stop := start(Options{Queue: q, Function: func(context.Context, batch, over) (answer, error) {
			at <- time.Now()
			return answer{}, nil
		}})
		time.Sleep(90 * time.Second) // several long polls
		for _, id := range ids(3) {
			sent := time.Now()
			q.send(id)
			require.Equal(t, sent, <-at)
		}
		require.NoError(t, stop())
	})
}

func TestWhatArrivesInTheWindowTravelsAsOneBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory()
		type handed struct {
			messages int
			at       time.Duration
		}
		got := make(chan handed, 10)
		begin := time.Now()
		stop := start(Options{Queue: q, Window: 2 * time.Millisecond, Function: func(_ context.Context, b batch, _ over) (answer, error) {
			got <- handed{len(b.Records), time.Since(begin)}
			time.Sleep(time.Second)
			return answer{}, nil
		}})
		synctest.Wait()
		all := ids(busy + 3)
		for _, id := range all[:busy] {
			q.send(id)
			synctest.Wait()
			require.Equal(t, handed{1, 0}, <-got)
		}
		q.send(all[busy])
		time.Sleep(time.Millisecond)
		q.send(all[busy+1:]...)
		synctest.Wait()
		require.Empty(t, got, "within the window nothing is received")
		require.Equal(t, handed{3, 2 * time.Millisecond}, <-got)
		require.NoError(t, stop())
	})
}

func TestReceiveErrorsBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory("a")
		begin := time.Now()
		var at []time.Duration
		q.failReceive = func(call int) error {
			at = append(at, time.Since(begin))
			if call <= 10 || call == 12 {
				return errAway
			}
			return nil
		}
		stop := start(Options{Queue: q, Function: succeed})
		time.Sleep(10 * time.Minute)
		require.NoError(t, stop())
		var gaps []time.Duration
		for i := range 12 {
			gaps = append(gaps, at[i+1]-at[i])
		}
		ms := time.Millisecond
		require.Equal(t, []time.Duration{
			100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 10000 * ms, 10000 * ms, 10000 * ms,
			0,        // the message is there at once
			100 * ms, // and after a success the backoff begins anew
		}, gaps)
		require.Equal(t, receipts("a"), q.gone())
	})
}

// early answers every long poll at once with nothing.
type early struct{ receives atomic.Int64 }

func (e *early) Receive(context.Context, int, time.Duration) ([]Message, error) {
	e.receives.Add(1)
	return nil, nil
}
func (*early) Delete(context.Context, []string) error { return nil }

func TestAQueueThatDoesNotWaitIsNotPolledInATightLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &early{}
		stop := start(Options{Queue: q, Function: succeed})
		time.Sleep(time.Second)
		require.NoError(t, stop())
		require.InDelta(t, int64(time.Second/idlePause), q.receives.Load(), 1)
	})
}

func TestInvocationHasTheFunctionsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory("a", "b")
		stop := start(Options{Queue: q, Timeout: 30 * time.Second, Function: func(ctx context.Context, _ batch, _ over) (answer, error) {
			<-ctx.Done()
			return answer{}, ctx.Err()
		}})
		time.Sleep(29 * time.Second)
		require.Empty(t, q.gone())
		q.send("c")
		time.Sleep(2 * time.Second)
		require.NoError(t, stop())
		require.Empty(t, q.gone())
	})
}

func TestDrainLetsRunningInvocationsFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory("a", "b")
		stop := start(Options{Queue: q, BatchSize: 1, Drain: 10 * time.Second, Function: func(ctx context.Context, b batch, _ over) (answer, error) {
			time.Sleep(5 * time.Second)
			return answer{}, ctx.Err()
		}})
		synctest.Wait()
		before, _ := q.calls()
		begin := time.Now()
		require.NoError(t, stop())
		require.Equal(t, 5*time.Second, time.Since(begin))
		after, _ := q.calls()
		require.Equal(t, before, after, "no receive after the end")
		require.Equal(t, receipts("a", "b"), q.gone())
	})
}

func TestDrainCancelsWhatRunsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory("a")
		stop := start(Options{Queue: q, Drain: 10 * time.Second, Function: func(ctx context.Context, _ batch, _ over) (answer, error) {
			<-ctx.Done()
			return answer{}, ctx.Err()
		}})
		synctest.Wait()
		begin := time.Now()
		require.NoError(t, stop())
		require.Equal(t, 10*time.Second, time.Since(begin))
		require.Empty(t, q.gone())
	})
}

func TestDrainGivesUpOnAFunctionThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory("a", "b")
		release := make(chan struct{})
		stop := start(Options{Queue: q, Drain: 10 * time.Second, Function: func(context.Context, batch, over) (answer, error) {
			<-release
			return answer{}, nil
		}})
		synctest.Wait()
		begin := time.Now()
		require.EqualError(t, stop(), "poller: 2 messages are still in the function")
		require.Equal(t, 10*time.Second+cancelGrace, time.Since(begin))
		close(release)
		synctest.Wait()
		require.Empty(t, q.gone())
	})
}

// late has its message ready just as the receive is cancelled.
type late struct{ memory }

func (l *late) Receive(ctx context.Context, max int, wait time.Duration) ([]Message, error) {
	<-ctx.Done()
	return []Message{{ID: "a", ReceiptHandle: "r-a"}}, ctx.Err()
}

func TestWhatAnEndingReceiveBringsIsHandedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := &late{}
		handed := 0
		stop := start(Options{Queue: q, Function: func(_ context.Context, b batch, _ over) (answer, error) {
			handed += len(b.Records)
			return answer{}, nil
		}})
		synctest.Wait()
		require.NoError(t, stop())
		require.Equal(t, 1, handed)
		require.Equal(t, receipts("a"), q.gone())
	})
}

func TestDeletesOfConcurrentInvocationsTravelTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory(ids(25)...)
		stop := start(Options{Queue: q, BatchSize: 1, Window: -1, Function: succeed})
		time.Sleep(time.Second)
		_, deletes := q.calls()
		sizes := []int{}
		for _, d := range deletes {
			sizes = append(sizes, len(d))
		}
		require.ElementsMatch(t, []int{10, 10, 5}, sizes)
		require.Equal(t, receipts(ids(25)...), q.gone())
		require.NoError(t, stop())
	})
}

func TestALoneDeleteWaitsOnlyAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory("a")
		stop := start(Options{Queue: q, Function: succeed})
		time.Sleep(linger - time.Nanosecond)
		synctest.Wait()
		require.Empty(t, q.gone())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		require.Equal(t, receipts("a"), q.gone())
		require.NoError(t, stop())
	})
}

func TestAFailingDeleteIsTriedAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		failures int
		lost     bool // the delete took effect, its answer was lost
		tries    int
		gone     []string
	}{
		"fails once":                    {1, false, 2, receipts("a")},
		"fails but was applied":         {1, true, 2, receipts("a")},
		"fails until the last attempt":  {deleteAttempts - 1, false, deleteAttempts, receipts("a")},
		"fails for ever":                {1000, false, deleteAttempts, nil},
		"fails for ever yet is applied": {1000, true, deleteAttempts, receipts("a")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newMemory("a")
				q.lostAnswer = tc.lost
				q.failDelete = func(call int) error {
					if call <= tc.failures {
						return errAway
					}
					return nil
				}
				stop := start(Options{Queue: q, Function: succeed})
				time.Sleep(time.Minute)
				require.NoError(t, stop())
				_, deletes := q.calls()
				require.Len(t, deletes, tc.tries)
				require.Equal(t, tc.gone, q.gone())
			})
		})
	}
}

func TestDrainTriesFailingDeletesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newMemory("a")
		q.failDelete = func(call int) error {
			if call == 1 {
				return errAway
			}
			return nil
		}
		stop := start(Options{Queue: q, Function: succeed})
		synctest.Wait()
		require.Empty(t, q.gone())
		require.NoError(t, stop())
		require.Equal(t, receipts("a"), q.gone())
	})
}

func TestAPollerThatCannotDeleteStopsReceiving(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const sent = 2000
		q := newMemory(make([]string, sent)...)
		blocked := make(chan struct{})
		q.failDelete = func(int) error { return errAway }
		bq := &blocking{memory: q, until: blocked}
		stop := start(Options{Queue: bq, BatchSize: 1, Workers: 10, Window: -1, Function: succeed})
		time.Sleep(time.Hour)
		q.mu.Lock()
		left := len(q.visible)
		q.mu.Unlock()
		require.Greater(t, left, sent-deleteBacklog-concurrentDeletes*maxBatch-3*maxBatch)
		close(blocked)
		require.NoError(t, stop())
	})
}

// blocking lets no delete end before until is closed.
type blocking struct {
	*memory
	until chan struct{}
}

func (b *blocking) Delete(ctx context.Context, receipts []string) error {
	<-b.until
	return b.memory.Delete(ctx, receipts)
}
