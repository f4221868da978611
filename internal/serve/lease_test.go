package serve

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
	"posthorn/internal/faultwire"
	"posthorn/internal/localaws/dynamodb"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/localaws/store"
)

// The lease is two calls of the table, by which a sweep begins and ends. Each of
// them fails in every way that a call may. Whatever happens, no two processes
// sweep at once, and one of them sweeps a minute later at most.
func TestWhateverBecomesOfTheLeasesCallsOneSweepsAMinuteLaterAtMost(t *testing.T) {
	t.Parallel()
	const take, end = 1, 2
	const interval, again = 30 * time.Second, 27 * time.Second // nine tenths of it
	for _, tc := range []struct {
		name  string
		call  int
		mode  faultwire.Mode
		whole bool // with all the SDK's retries of it

		sweeps bool          // whether the process with the fault does
		fails  bool          // whether it says so
		next   time.Duration // when another may sweep, from the start of the first
	}{
		{"taking fails once", take, faultwire.FailBefore, false, true, false, again},
		{"taking fails", take, faultwire.FailBefore, true, false, true, 0},
		{"taking is throttled once", take, faultwire.Throttle, false, true, false, again},
		{"taking is throttled", take, faultwire.Throttle, true, false, true, 0},
		{"the answer to taking is lost once", take, faultwire.LoseAnswer, false, true, false, again},
		{"the answer to taking is lost", take, faultwire.LoseAnswer, true, false, true, sweepTime},
		{"taking hangs", take, faultwire.AnswerLate, true, false, true, 0},
		{"ending fails once", end, faultwire.FailBefore, false, true, false, again},
		{"ending fails", end, faultwire.FailBefore, true, true, true, sweepTime},
		{"ending is throttled once", end, faultwire.Throttle, false, true, false, again},
		{"ending is throttled", end, faultwire.Throttle, true, true, true, sweepTime},
		{"the answer to ending is lost once", end, faultwire.LoseAnswer, false, true, false, again},
		{"the answer to ending is lost", end, faultwire.LoseAnswer, true, true, true, again},
		{"ending hangs", end, faultwire.AnswerLate, true, true, true, again},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				straight, faulty, faults := tables(t)
				faults.Add(faultwire.Fault{Operation: "UpdateItem", Call: tc.call, Mode: tc.mode, Whole: tc.whole})
				began := time.Now()
				var sweeping atomic.Bool
				var sweeps atomic.Int32
				sweep := func(context.Context) error {
					require.True(t, sweeping.CompareAndSwap(false, true), "two sweep at once")
					time.Sleep(5 * time.Second)
					sweeping.Store(false)
					sweeps.Add(1)
					return nil
				}
				first := &sweeper{sweep: sweep, leases: faulty, name: "a", interval: interval, now: time.Now}
				other := &sweeper{sweep: sweep, leases: straight, name: "b", interval: interval, now: time.Now}
				failed := make(chan error, 1)
				go func() { failed <- first.run(t.Context()) }()
				synctest.Wait()

				var next time.Duration
				for ; ; time.Sleep(time.Second) {
					next = time.Since(began)
					require.LessOrEqual(t, next, sweepTime+time.Second, "nobody sweeps any more")
					before := sweeps.Load()
					if sweeping.Load() {
						mine, err := straight.TakeSweep(t.Context(), "c", time.Now(), time.Now())
						require.NoError(t, err)
						require.False(t, mine, "taken while another sweeps")
						continue
					}
					require.NoError(t, other.run(t.Context()))
					if sweeps.Load() > before {
						break
					}
				}
				err := <-failed
				require.Equal(t, tc.fails, err != nil, "%v", err)
				require.Equal(t, tc.sweeps, sweeps.Load() == 2, "%d sweeps", sweeps.Load())
				require.InDelta(t, tc.next.Seconds(), next.Seconds(), 1)
			})
		})
	}
}

// tables are a table, and the same one behind faults.
func tables(t *testing.T) (straight, faulty *dynamo.Table, faults *faultwire.Transport) {
	t.Helper()
	db, err := store.OpenMemory()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	service, err := dynamodb.New(dynamodb.Options{Store: db, Now: time.Now})
	require.NoError(t, err)
	cfg := aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient: inproc.Client(service), BaseEndpoint: aws.String("http://dynamodb.test"),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		},
	}
	require.NoError(t, dynamo.CreateTable(t.Context(), cfg, "posthorn"))
	straight = dynamo.New(cfg, "posthorn", dynamo.Options{})
	cfg.HTTPClient, faults = faultwire.Wrap(inproc.Client(service))
	return straight, dynamo.New(cfg, "posthorn", dynamo.Options{}), faults
}
