package sqs

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/localaws/store"
)

// A poll that was woken for a message and given up in the same moment takes
// the message or wakes the next poll: it never leaves one to wait beside it.
func TestAPollWokenAndGivenUpAtOnceStrandsNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := store.OpenMemory()
		require.NoError(t, err)
		s, err := New(Options{Store: db})
		require.NoError(t, err)
		newCaller(s).call(t, "CreateQueue", []byte(`{"QueueName":"bench"}`))
		start := time.Now()
		for range 3 {
			ctx, cancel := context.WithCancel(t.Context())
			results := make(chan int, 2)
			poll := func(ctx context.Context) {
				// An error is the first poll's, given up: it received nothing.
				got, err := s.Receive(ctx, "bench", 1, 20*time.Second)
				if err == nil {
					results <- len(got)
				}
			}
			go poll(ctx)
			synctest.Wait()
			rest, stop := context.WithCancel(t.Context())
			go poll(rest)
			synctest.Wait()
			s.mu.Lock()
			cancel() // it has seen this, and waits for the lock
			fill(t, s, 1)
			s.queues["bench"].wake()
			s.mu.Unlock()
			require.Equal(t, 1, <-results)
			stop()
			synctest.Wait()
		}
		require.Zero(t, time.Since(start))
		require.NoError(t, s.Close())
		require.NoError(t, db.Close())
	})
}
