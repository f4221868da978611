package deliver_test

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/deliver"
	"posthorn/internal/deliver/post"
	"posthorn/internal/hook"
)

// Whatever panics, it is one more trouble of our own: the others of the batch
// go on, nothing is lost, no attempt is used up, and no place stays taken.
func TestAPanicIsATroubleOfOurOwn(t *testing.T) {
	for op, c := range map[string]struct {
		posted int  // of the three in the batch
		copied int  // by deferral
		stays  bool // the one that panicked comes back by itself
	}{
		"read":       {posted: 0, copied: 3},
		"endpoints":  {posted: 0, copied: 3},
		"reserve":    {posted: 0, copied: 3},
		"event":      {posted: 2, stays: true},
		"open":       {posted: 2, stays: true},
		"sign":       {posted: 2, stays: true},
		"post":       {posted: 2, stays: true},
		"save":       {posted: 3, stays: true},
		"save state": {posted: 3},
		"step":       {posted: 3},
	} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer := ok200
				if op == "save state" {
					answer = fails503
				}
				w := newWorld(t, answer)
				w.d.Shares = deliver.NewShares(3, time.Now)
				w.endpoint.RateLimit = 100
				var log bytes.Buffer
				w.d.Log = slog.New(slog.NewTextHandler(&log, nil))
				w.fault(op, 0, panics)
				batch := w.many(3, func(_ int, m *hook.Message) {
					if op == "event" {
						m.Body = nil
					}
				})
				raw, err := hook.EncodeControl(&hook.Control{Tenant: "acme", JobID: "job_01JCXZ5T5V8Q0R9A1B2C3D4E5H", SentAt: time.Now()})
				require.NoError(t, err)
				batch = append(batch, hook.Received{MessageID: "c", ReceiveCount: 1, Raw: string(raw)})

				failed := w.d.Deliver(t.Context(), batch)
				require.Len(t, w.posts, c.posted)
				require.Len(t, w.copies, c.copied)
				switch {
				case op == "step":
					require.Equal(t, []string{"c"}, failed)
				case op == "save state":
					require.Len(t, failed, 3, "they come back for their next attempts")
				case c.stays:
					require.Len(t, failed, 1)
					require.Len(t, w.rows, 2)
				default:
					require.Empty(t, failed)
				}
				require.Contains(t, log.String(), "panicked")
				require.Contains(t, log.String(), "stack=")
				for range 3 {
					_, _, ok := w.d.Shares.Take(t.Context(), endpointID)
					require.True(t, ok, "a place stays taken")
				}
			})
		})
	}
}

// What makes a panic of the second message of a delivery, and of the copy that
// would put one off.
func TestAPanicInTheMidstOfABatchLosesNoMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.fault("read", 1, panics)
		require.Empty(t, w.d.Deliver(t.Context(), []hook.Received{w.receive(w.message(), "a", 1), w.receive(w.message(), "b", 1)}))
		require.Len(t, w.copies, 1, "the second is put off")

		w = newWorld(t, ok200)
		w.fault("read", 0, fails)
		w.fault("send", 0, panics)
		require.True(t, w.deliver(w.message(), "m", 1), "it stays")

		w = newWorld(t, ok200)
		w.fault("dead", 0, panics)
		require.Equal(t, []string{"bad"}, w.d.Deliver(t.Context(), []hook.Received{{MessageID: "bad", Raw: "hello"}}))
	})
}

// A wait grows with the troubles in a row, and not with the hops that a limit or
// an open breaker have made.
func TestADeferralGrowsWithTroublesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		m := w.message()
		m.Hop = 40
		w.fault("read", 0, fails)
		require.False(t, w.deliver(m, "a", 1))
		require.Equal(t, 10*time.Second, w.copies[0].Delay)
		require.Equal(t, 1, w.copies[0].Message.Deferrals)

		time.Sleep(10 * time.Second)
		w.state = open(20 * time.Second)
		require.False(t, w.deliver(w.copies[0].Message, "b", 1))
		require.Zero(t, w.copies[1].Message.Deferrals, "it was ours no more")
	})
}

// Time passes between the decision and what is done: the message is not decided
// again, past the breaker and the limits.
func TestAMessageIsDecidedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.state = open(time.Hour)
		m := w.message()
		m.NotBefore = time.Now().Add(2 * time.Second)
		reads := 0
		now := time.Now()
		w.d.Now = func() time.Time {
			reads++
			return now.Add(time.Duration(reads-1) * 1500 * time.Millisecond)
		}
		require.False(t, w.deliver(m, "m", 1))
		require.Empty(t, w.posts)
		require.Len(t, w.copies, 1)
	})
}

// hangingPoster hangs for one type of event.
type hangingPoster struct {
	*world
	hang chan struct{}
}

func (p hangingPoster) Post(ctx context.Context, r post.Request) post.Result {
	if r.Header["X-Webhook-Event"][0] == "hangs" {
		<-p.hang
	}
	return p.world.Post(ctx, r)
}

func TestEachMessageIsOverAsSoonAsItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		hang := make(chan struct{})
		w.d.Poster = hangingPoster{w, hang}
		batch := w.many(3, func(i int, m *hook.Message) {
			if i == 0 {
				m.EventType = "hangs"
			}
		})
		batch = append(batch, hook.Received{MessageID: "bad", Raw: "hello"})
		over := make(chan string, len(batch))
		ended := make(chan []string)
		go func() { ended <- w.d.DeliverEach(t.Context(), batch, func(id string) { over <- id }) }()
		synctest.Wait()
		require.Len(t, over, 3, "all but the one that hangs")
		close(hang)
		require.Empty(t, <-ended)
		require.Len(t, over, 4)
	})
}
