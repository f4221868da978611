package awssqs

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

// inFlight sends n messages, receives them, and returns their handles.
func (b *bundle) inFlight(t *testing.T, n int) []hook.Release {
	t.Helper()
	for _, s := range b.Send(t.Context(), outgoings(n)) {
		require.NoError(t, s.Err)
	}
	received := b.receive(t, b.url)
	require.Len(t, received, n)
	rs := make([]hook.Release, n)
	for i, r := range received {
		rs[i].ReceiptHandle = *r.ReceiptHandle
	}
	return rs
}

func TestReleaseSetsTheVisibility(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	rs := b.inFlight(t, 12)
	for i := range rs[:5] {
		rs[i].After = time.Hour
	}
	for _, err := range b.Release(t.Context(), rs) {
		require.NoError(t, err)
	}
	require.Len(t, b.receive(t, b.url), 7)
}

func TestReleaseTellsWhichMessageItCouldNotRelease(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	rs := b.inFlight(t, 3)
	rs[1].ReceiptHandle = "nonsense"
	errs := b.Release(t.Context(), rs)
	require.NoError(t, errs[0])
	require.ErrorContains(t, errs[1], "change visibility: ReceiptHandleIsInvalid")
	require.NoError(t, errs[2])
	require.Len(t, b.receive(t, b.url), 2)
}

func TestFailedReleasesAreTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	rs := b.inFlight(t, 10)
	b.partly.sizes = nil
	b.partly.add(failing{entry: rs[3].ReceiptHandle, times: 2, code: "InternalError"})
	for _, err := range b.Release(t.Context(), rs) {
		require.NoError(t, err)
	}
	require.Equal(t, []int{10, 1, 1}, b.partly.sizes)
	require.Len(t, b.receive(t, b.url), 10)
}

func TestAReleaseThatFailedAndOneWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	for mode, visible := range map[faultwire.Mode]int{faultwire.FailBefore: 0, faultwire.LoseAnswer: 10} {
		b := setup(t, Options{})
		rs := b.inFlight(t, 10)
		b.wire.Add(faultwire.Fault{Operation: "ChangeMessageVisibilityBatch", Mode: mode})
		for _, err := range b.Release(t.Context(), rs) {
			require.ErrorContains(t, err, "change visibility", mode)
		}
		require.Zero(t, b.wire.Pending())
		require.Len(t, b.receive(t, b.url), visible, mode)
	}
}

func TestAMessageReceivedTooOftenShowsInTheDeadLetterQueue(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	sent := b.Send(t.Context(), outgoings(1))
	for range 3 {
		received := b.receive(t, b.url)
		require.Len(t, received, 1)
		require.NoError(t, b.Release(t.Context(), []hook.Release{{ReceiptHandle: *received[0].ReceiptHandle}})[0])
	}
	require.Empty(t, b.receive(t, b.url), "it moves on its next receive")

	dead, err := b.ReceiveDead(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, dead, 1)
	require.Equal(t, sent[0].MessageID, dead[0].MessageID)
	require.Equal(t, 4, dead[0].ReceiveCount)
	require.WithinDuration(t, time.Now(), dead[0].SentAt, time.Minute)
	require.NotEmpty(t, dead[0].ReceiptHandle)
	want, err := hook.EncodeMessage(message(0))
	require.NoError(t, err)
	require.Equal(t, string(want), dead[0].Raw)

	depths, err := b.Depths(t.Context())
	require.NoError(t, err)
	require.Equal(t, hook.QueueDepths{Dead: 1}, depths, "it waits, though it is in flight")
}

func TestReceiveDead(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	none, err := b.ReceiveDead(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, none)
	for range 12 {
		require.NoError(t, b.SendDead(t.Context(), "x"))
	}
	for _, want := range []int{3, 9} {
		got, err := b.ReceiveDead(t.Context(), want+want/9) // 10 at most, whatever is asked for
		require.NoError(t, err)
		require.Len(t, got, want)
	}
	b.wire.Add(faultwire.Fault{Operation: "ReceiveMessage", Mode: faultwire.FailBefore})
	_, err = b.ReceiveDead(t.Context(), 1)
	require.ErrorContains(t, err, "receive from the dead-letter queue")
}

func TestReceiveDeadWaitsForAFirstMessage(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{DeadWait: time.Second})
	start := time.Now()
	none, err := b.ReceiveDead(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, none)
	require.GreaterOrEqual(t, time.Since(start), 900*time.Millisecond)
}

func TestDeleteDead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		fault  *faultwire.Fault
		failed int // of 12
		left   int
	}{
		"as it should be":     {nil, 0, 0},
		"it failed":           {&faultwire.Fault{Mode: faultwire.FailBefore}, 10, 10},
		"the answer was lost": {&faultwire.Fault{Mode: faultwire.LoseAnswer}, 10, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Options{})
			for range 12 {
				require.NoError(t, b.SendDead(t.Context(), "x"))
			}
			var handles []string
			for _, r := range b.receive(t, b.dead) {
				handles = append(handles, *r.ReceiptHandle)
			}
			require.Len(t, handles, 12)
			if tc.fault != nil {
				tc.fault.Operation = "DeleteMessageBatch"
				b.wire.Add(*tc.fault)
			}
			errs := b.DeleteDead(t.Context(), handles)
			require.Len(t, errs, 12)
			failed := 0
			for i, err := range errs {
				if err != nil {
					require.ErrorContains(t, err, "delete from the dead-letter queue")
					require.Less(t, i, maxEntries, "the second batch went through")
					failed++
				}
			}
			require.Equal(t, tc.failed, failed)
			require.Zero(t, b.wire.Pending())
			depths, err := b.Depths(t.Context())
			require.NoError(t, err)
			require.Equal(t, tc.left, depths.Dead)
		})
	}
}

func TestReceiveTakesWhatIsThereAndDeleteEndsIt(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	for _, s := range b.Send(t.Context(), outgoings(12)) {
		require.NoError(t, s.Err)
	}
	ids := map[string]bool{}
	var handles []string
	for len(handles) < 12 {
		received, err := b.Receive(t.Context(), 10, time.Second)
		require.NoError(t, err)
		require.NotEmpty(t, received)
		for _, r := range received {
			require.Equal(t, 1, r.ReceiveCount)
			require.NotZero(t, r.SentAt)
			require.NotEmpty(t, r.Raw)
			ids[r.MessageID] = true
			handles = append(handles, r.ReceiptHandle)
		}
	}
	require.Len(t, ids, 12)
	errs := b.Delete(t.Context(), handles)
	require.Len(t, errs, 12)
	for _, err := range errs {
		require.NoError(t, err)
	}
	depths, err := b.Depths(t.Context())
	require.NoError(t, err)
	require.Zero(t, depths)
	none, err := b.Receive(t.Context(), 10, 0)
	require.NoError(t, err)
	require.Empty(t, none)
	errs = b.Delete(t.Context(), []string{"nonsense"})
	require.ErrorContains(t, errs[0], "delete from the queue: ReceiptHandleIsInvalid")
}

func TestAQueueIsDescribedAsItIs(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	d, err := Describe(t.Context(), config(b.partly, 1), mainName)
	require.NoError(t, err)
	dead, err := Describe(t.Context(), config(b.partly, 1), b.dead)
	require.NoError(t, err)
	require.Equal(t, &Redrive{DeadLetterARN: dead.ARN, MaxReceives: 3}, d.Redrive)
	require.Equal(t, time.Minute, d.Visibility)
	require.Positive(t, d.Retention)
	require.False(t, d.FIFO)
	require.True(t, d.SSE)
	require.Nil(t, dead.Redrive)
	_, err = Describe(t.Context(), config(b.partly, 1), "nothing")
	require.True(t, IsNoQueue(err), err)
}

func TestAttributesAreReadInEachForm(t *testing.T) {
	t.Parallel()
	attributes := func(more ...string) map[string]string {
		m := map[string]string{"QueueArn": "a", "VisibilityTimeout": "1", "MessageRetentionPeriod": "2", "DelaySeconds": "3"}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	d, err := described(attributes("RedrivePolicy", `{"deadLetterTargetArn":"d","maxReceiveCount":"5"}`, "FifoQueue", "true", "KmsMasterKeyId", "alias/a"))
	require.NoError(t, err)
	require.Equal(t, &Description{
		ARN: "a", FIFO: true, Visibility: time.Second, Retention: 2 * time.Second, Delay: 3 * time.Second, KMSKey: "alias/a",
		Redrive: &Redrive{DeadLetterARN: "d", MaxReceives: 5},
	}, d)
	for policy, from := range map[string][]string{
		`{"redrivePermission":"allowAll"}`: nil, `{"redrivePermission":"denyAll"}`: {},
		`{"redrivePermission":"byQueue","sourceQueueArns":["q"]}`: {"q"},
	} {
		d, err := described(attributes("RedriveAllowPolicy", policy))
		require.NoError(t, err)
		require.Equal(t, from, d.RedriveFrom)
	}
	for _, bad := range [][]string{{"RedrivePolicy", "{"}, {"RedrivePolicy", `{"maxReceiveCount":1.5}`}, {"RedriveAllowPolicy", "["}, {"DelaySeconds", "soon"}} {
		_, err := described(attributes(bad...))
		require.Error(t, err, bad)
	}
}
