package sqs_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/localaws/sqs"
	"posthorn/internal/localaws/store"
)

// bubble runs test in a synctest bubble with a server whose clock is the
// bubble's.
func bubble(t *testing.T, test func(t *testing.T, s *sqs.Server)) {
	synctest.Test(t, func(t *testing.T) {
		db, err := store.OpenMemory()
		require.NoError(t, err)
		s, err := sqs.New(sqs.Options{Store: db})
		require.NoError(t, err)
		test(t, s)
		require.NoError(t, s.Close())
		require.NoError(t, db.Close())
	})
}

// post calls an operation without a network.
func post(t *testing.T, s *sqs.Server, op, body string) string {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/", bytes.NewReader([]byte(body)))
	r.Header.Set("X-Amz-Target", "AmazonSQS."+op)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, "%s", w.Body)
	return w.Body.String()
}

const (
	createQ = `{"QueueName":"q"}`
	sendQ   = `{"QueueUrl":"http://localhost/000000000000/q","MessageBody":"x"}`
)

func TestALongPollEndsWhenAMessageComes(t *testing.T) {
	bubble(t, func(t *testing.T, s *sqs.Server) {
		post(t, s, "CreateQueue", createQ)
		time.AfterFunc(7*time.Second, func() { post(t, s, "SendMessage", sendQ) })
		start := time.Now()
		got, err := s.Receive(t.Context(), "q", 10, 20*time.Second)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, 7*time.Second, time.Since(start))
		require.Equal(t, "1", got[0].Attributes["ApproximateReceiveCount"])
	})
}

func TestALongPollWithoutMessagesEndsEmptyAfterItsTime(t *testing.T) {
	bubble(t, func(t *testing.T, s *sqs.Server) {
		post(t, s, "CreateQueue", createQ)
		start := time.Now()
		got, err := s.Receive(t.Context(), "q", 10, 3*time.Second)
		require.NoError(t, err)
		require.Empty(t, got)
		require.Equal(t, 3*time.Second, time.Since(start))
		require.Equal(t, `{}`, post(t, s, "ReceiveMessage", `{"QueueUrl":"http://localhost/000000000000/q","WaitTimeSeconds":20}`))
		require.Equal(t, 23*time.Second, time.Since(start))
	})
}

func TestALongPollSeesWhatBecomesVisibleMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T, s *sqs.Server) {
		post(t, s, "CreateQueue", createQ)
		post(t, s, "SendMessage", `{"QueueUrl":"http://localhost/000000000000/q","MessageBody":"delayed","DelaySeconds":4}`)
		start := time.Now()
		got, err := s.Receive(t.Context(), "q", 10, 20*time.Second)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.InDelta(t, 4, time.Since(start).Seconds(), 0.002)
		// Its visibility is shortened while another poll waits for it.
		time.AfterFunc(time.Second, func() {
			post(t, s, "ChangeMessageVisibility", `{"QueueUrl":"http://localhost/000000000000/q","VisibilityTimeout":2,"ReceiptHandle":"`+got[0].ReceiptHandle+`"}`)
		})
		start = time.Now()
		got, err = s.Receive(t.Context(), "q", 10, 20*time.Second)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.InDelta(t, 3, time.Since(start).Seconds(), 0.002)
	})
}

func TestEachMessageWakesOnePoll(t *testing.T) {
	bubble(t, func(t *testing.T, s *sqs.Server) {
		post(t, s, "CreateQueue", createQ)
		var received, done atomic.Int32
		for range 50 {
			go func() {
				got, err := s.Receive(t.Context(), "q", 1, 20*time.Second)
				if err == nil {
					received.Add(int32(len(got)))
				}
				done.Add(1)
			}()
		}
		synctest.Wait()
		post(t, s, "SendMessageBatch", `{"QueueUrl":"http://localhost/000000000000/q","Entries":[{"Id":"a","MessageBody":"x"},{"Id":"b","MessageBody":"x"},{"Id":"c","MessageBody":"x"}]}`)
		synctest.Wait()
		require.EqualValues(t, 3, done.Load(), "three polls have ended, the others wait on")
		require.EqualValues(t, 3, received.Load())
		time.Sleep(20 * time.Second)
		synctest.Wait()
		require.EqualValues(t, 50, done.Load())
		require.EqualValues(t, 3, received.Load())
	})
}

func TestAPollThatIsGivenUpLeavesItsMessageToAnother(t *testing.T) {
	bubble(t, func(t *testing.T, s *sqs.Server) {
		post(t, s, "CreateQueue", createQ)
		ctx, cancel := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			_, err := s.Receive(ctx, "q", 1, 20*time.Second)
			first <- err
		}()
		synctest.Wait()
		second := make(chan int, 1)
		go func() {
			got, err := s.Receive(t.Context(), "q", 1, 20*time.Second)
			if err == nil {
				second <- len(got)
			}
		}()
		synctest.Wait()
		cancel()
		require.ErrorIs(t, <-first, context.Canceled)
		post(t, s, "SendMessage", sendQ)
		require.Equal(t, 1, <-second)
	})
}

func TestClosingTheServerAndDeletingTheQueueEndLongPolls(t *testing.T) {
	bubble(t, func(t *testing.T, s *sqs.Server) {
		post(t, s, "CreateQueue", createQ)
		post(t, s, "CreateQueue", `{"QueueName":"other"}`)
		deleted, closed := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := s.Receive(t.Context(), "q", 1, 20*time.Second)
			deleted <- err
		}()
		go func() {
			_, err := s.Receive(t.Context(), "other", 1, 20*time.Second)
			closed <- err
		}()
		synctest.Wait()
		start := time.Now()
		post(t, s, "DeleteQueue", `{"QueueUrl":"http://localhost/000000000000/q"}`)
		require.ErrorContains(t, <-deleted, "NonExistentQueue")
		require.NoError(t, s.Close())
		require.NoError(t, <-closed)
		require.Zero(t, time.Since(start))
	})
}
