package serve

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/hook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// queue is a queue of a test: what is put into arriving is received, and what
// became of it is noted.
type queue struct {
	arriving chan []hook.Received

	mu       sync.Mutex
	deleted  []string
	released []hook.Release
}

func newQueue() *queue { return &queue{arriving: make(chan []hook.Received, 1)} }

func (q *queue) Receive(ctx context.Context, _ int, wait time.Duration) ([]hook.Received, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case batch := <-q.arriving:
		return batch, nil
	case <-timer.C:
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (q *queue) Delete(_ context.Context, handles []string) []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.deleted = append(q.deleted, handles...)
	return make([]error, len(handles))
}

func (q *queue) Release(_ context.Context, rs []hook.Release) []error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.released = append(q.released, rs...)
	return make([]error, len(rs))
}

func message(id string) hook.Received {
	return hook.Received{MessageID: id, ReceiptHandle: "handle of " + id, ReceiveCount: 3, SentAt: time.UnixMilli(1700000000000).UTC(), Raw: "body of " + id}
}

// never is a lease that nobody has.
type never struct{}

func (never) TakeSweep(context.Context, string, time.Time, time.Time) (bool, error) {
	return false, nil
}
func (never) EndSweep(context.Context, string, time.Time) error { return nil }

// counts notes that they were stored once more in the end.
type counts struct{ last bool }

func (c *counts) Run(ctx context.Context, _ time.Duration) { <-ctx.Done(); c.last = true }

// silent is a listener that nobody connects to.
type silent struct{ closed chan struct{} }

func (s *silent) Accept() (net.Conn, error) { <-s.closed; return nil, net.ErrClosed }
func (s *silent) Close() error {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}
func (s *silent) Addr() net.Addr { return &net.TCPAddr{} }

// running is a Run that is under way.
type running struct {
	*queue
	counts counts
	stop   func()
	ended  chan error
}

func start(t *testing.T, deliver Deliver) *running {
	return startOn(t, &silent{closed: make(chan struct{})}, deliver)
}

func startOn(t *testing.T, l net.Listener, deliver Deliver) *running {
	r := &running{queue: newQueue(), ended: make(chan error, 1)}
	ctx, stop := context.WithCancel(t.Context())
	r.stop = stop
	go func() {
		r.ended <- Run(ctx, Options{
			API: http.NotFoundHandler(), Listen: l, Queue: r.queue, Deliver: deliver,
			Sweep: func(context.Context) error { return nil }, Leases: never{}, Counts: &r.counts, Name: "a", BatchSize: 10, Workers: 20,
			DeliverTimeout: 45 * time.Second, SweepInterval: time.Minute, Drain: 30 * time.Second, Log: slog.New(slog.DiscardHandler),
		})
	}()
	return r
}

func TestMessagesArriveAsTheyAreAndWhatFailsStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var got []hook.Received
		r := start(t, func(_ context.Context, batch []hook.Received, _ func(string)) []string {
			got = batch
			return []string{"b"}
		})
		r.arriving <- []hook.Received{message("a"), message("b")}
		time.Sleep(time.Second)
		r.stop()
		require.NoError(t, <-r.ended)
		require.Equal(t, []hook.Received{message("a"), message("b")}, got)
		require.Equal(t, []string{"handle of a"}, r.deleted)
		require.Empty(t, r.released, "its visibility is the deliverer's to set")
		require.True(t, r.counts.last)
	})
}

// A post under way has the drain's time, and its message is deleted after it.
func TestWhatIsUnderWayFinishes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(ctx context.Context, _ []hook.Received, _ func(string)) []string {
			time.Sleep(29 * time.Second)
			require.NoError(t, ctx.Err())
			return nil
		})
		r.arriving <- []hook.Received{message("a")}
		synctest.Wait()
		r.stop()
		require.NoError(t, <-r.ended)
		require.Equal(t, []string{"handle of a"}, r.deleted)
		require.Empty(t, r.released)
	})
}

func TestWhatTakesLongerIsCutOffAndReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		r := start(t, func(ctx context.Context, batch []hook.Received, _ func(string)) []string {
			<-ctx.Done()
			return []string{batch[1].MessageID} // the first was done
		})
		r.arriving <- []hook.Received{message("a"), message("b")}
		synctest.Wait()
		r.stop()
		require.NoError(t, <-r.ended)
		require.Equal(t, []string{"handle of a"}, r.deleted)
		require.Equal(t, []hook.Release{{ReceiptHandle: "handle of b"}}, r.released)
		require.Less(t, time.Since(began), 40*time.Second)
	})
}

// An invocation that runs out of its own time is none that was cut off: its
// messages wait for the visibility timeout, as in an account.
func TestAnInvocationThatRunsOutOfTimeReturnsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(ctx context.Context, batch []hook.Received, _ func(string)) []string {
			<-ctx.Done()
			return []string{batch[0].MessageID}
		})
		r.arriving <- []hook.Received{message("a")}
		time.Sleep(time.Minute)
		r.stop()
		require.NoError(t, <-r.ended)
		require.Empty(t, r.deleted)
		require.Empty(t, r.released)
	})
}

// What a receive that is under way at the stop brings is returned and not begun;
// a receive that brings nothing is not waited for.
func TestWhatComesAtTheLastMomentIsReturned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(context.Context, []hook.Received, func(string)) []string {
			t.Error("begun")
			return nil
		})
		synctest.Wait()
		began := time.Now()
		r.stop()
		synctest.Wait()
		r.arriving <- []hook.Received{message("a"), message("b")}
		require.NoError(t, <-r.ended)
		require.Empty(t, r.deleted)
		require.Equal(t, []hook.Release{{ReceiptHandle: "handle of a"}, {ReceiptHandle: "handle of b"}}, r.released)
		require.Less(t, time.Since(began), 2*time.Second)
	})
	synctest.Test(t, func(t *testing.T) {
		r := start(t, nil)
		synctest.Wait()
		began := time.Now()
		r.stop()
		require.NoError(t, <-r.ended)
		require.Equal(t, lastReceive, time.Since(began))
	})
}

func TestAReceiverForEachSixtyFourWorkers(t *testing.T) {
	t.Parallel()
	for workers, want := range map[int]int{1: 1, 64: 1, 65: 2, 128: 2, 500: 8, 10000: 8} {
		require.Equal(t, want, receivers(workers), workers)
	}
}

// broken is a listener that takes one connection's time, and then fails.
type broken struct{ *silent }

func (broken) Accept() (net.Conn, error) {
	time.Sleep(time.Second)
	return nil, errors.New("no file descriptor")
}

// What listens fails: what is under way finishes, and who runs it is told.
func TestAnErrorOfTheListenerEndsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := startOn(t, broken{&silent{closed: make(chan struct{})}}, func(context.Context, []hook.Received, func(string)) []string {
			time.Sleep(10 * time.Second)
			return nil
		})
		r.arriving <- []hook.Received{message("a")}
		require.EqualError(t, <-r.ended, "serve the API: no file descriptor")
		require.Equal(t, []string{"handle of a"}, r.deleted)
		require.True(t, r.counts.last)
	})
}

func TestWorkThatDoesNotEndIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		never := make(chan struct{})
		defer close(never)
		r := start(t, func(context.Context, []hook.Received, func(string)) []string { <-never; return nil })
		r.arriving <- []hook.Received{message("a")}
		synctest.Wait()
		r.stop()
		require.ErrorContains(t, <-r.ended, "1 messages are still in the function")
		require.True(t, r.counts.last)
	})
}

func TestARequestHasADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, ended := time.Now(), false
		within(time.Minute, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			ended = true
		})).ServeHTTP(nil, (&http.Request{}).WithContext(t.Context()))
		require.True(t, ended)
		require.Equal(t, time.Minute, time.Since(began))
	})
}

func TestAReturnThatFailsIsLogged(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancel(t.Context())
	stop()
	var log bytes.Buffer
	answer, err := function(stopped, nil, refusing{newQueue()}, slog.New(slog.NewTextHandler(&log, nil)))(t.Context(),
		events.SQSEvent{Records: []events.SQSMessage{{MessageId: "a"}}}, func(string) {})
	require.NoError(t, err)
	require.Equal(t, []events.SQSBatchItemFailure{{ItemIdentifier: "a"}}, answer.BatchItemFailures, "it is not deleted")
	require.Regexp(t, `level=WARN msg="messages not returned: .*" messages=1 error="unexpected EOF"`, log.String())
}

// refusing is a queue that takes nothing back.
type refusing struct{ *queue }

func (refusing) Release(_ context.Context, rs []hook.Release) []error {
	errs := make([]error, len(rs))
	for i := range errs {
		errs[i] = io.ErrUnexpectedEOF
	}
	return errs
}
