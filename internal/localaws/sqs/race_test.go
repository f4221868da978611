package sqs_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

func TestManySendersAndReceiversLoseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	const senders, batches, receivers = 8, 25, 8
	var (
		mu   sync.Mutex
		seen = map[string]int{}
		wg   sync.WaitGroup
	)
	all := make(chan struct{})
	count := func(body string) {
		mu.Lock()
		defer mu.Unlock()
		if seen[body]++; len(seen) == senders*batches*10 {
			close(all)
		}
	}
	for r := range receivers {
		wg.Go(func() {
			for {
				select {
				case <-all:
					return
				default:
				}
				got, err := b.server.Receive(t.Context(), "q", 1+r, time.Second)
				if err != nil {
					t.Error(err)
					return
				}
				var handles []string
				for _, m := range got {
					count(m.Body)
					handles = append(handles, m.ReceiptHandle)
				}
				if err := b.server.DeleteBatch(t.Context(), "q", handles); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for s := range senders {
		wg.Go(func() {
			for i := range batches {
				var bodies []string
				for j := range 10 {
					bodies = append(bodies, fmt.Sprint(s, i, j))
				}
				entries := sends(bodies...)
				for k := range entries {
					entries[k].MessageGroupId = aws.String(fmt.Sprint("group-", s))
				}
				if _, err := b.SendMessageBatch(t.Context(), &awssqs.SendMessageBatchInput{QueueUrl: &url, Entries: entries}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for body, n := range seen {
		require.Equal(t, 1, n, body) // no visibility timeout ends: the clock stands still
	}
	require.Len(t, seen, senders*batches*10)
	ready, inFlight, delayed, err := b.server.Depth("q")
	require.NoError(t, err)
	require.Equal(t, []int{0, 0, 0}, []int{ready, inFlight, delayed})
}
