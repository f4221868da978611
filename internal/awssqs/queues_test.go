package awssqs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
)

func TestQueuesByNameAreLookedUpOnce(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{Queue: mainName, DeadLetterQueue: deadName})
	require.Zero(t, b.wire.Calls("GetQueueUrl"), "nothing is asked before it is needed")
	b.wire.Add(faultwire.Fault{Operation: "GetQueueUrl", Mode: faultwire.FailBefore})
	require.ErrorContains(t, b.Send(t.Context(), outgoings(1))[0].Err, `look up queue "deliveries"`)
	for range 3 {
		require.NoError(t, b.Send(t.Context(), outgoings(1))[0].Err, "a failure is not kept")
		require.NoError(t, b.SendDead(t.Context(), "x"))
	}
	require.Equal(t, 3, b.wire.Calls("GetQueueUrl"))
	require.Len(t, b.receive(t, b.url), 3)
}

func TestAQueueThatIsNotThere(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{Queue: "nowhere", DeadLetterQueue: "nowhere-dead"})
	require.ErrorContains(t, b.Send(t.Context(), outgoings(1))[0].Err, "nowhere")
	require.ErrorContains(t, b.SendDead(t.Context(), "x"), "nowhere-dead")
	require.ErrorContains(t, b.Release(t.Context(), make([]hook.Release, 1))[0], "nowhere")
	require.ErrorContains(t, b.DeleteDead(t.Context(), []string{"h"})[0], "nowhere-dead")
	_, err := b.ReceiveDead(t.Context(), 1)
	require.ErrorContains(t, err, "nowhere-dead")
	_, err = b.Depths(t.Context())
	require.ErrorContains(t, err, "nowhere")
	_, err = b.Ready(t.Context())
	require.True(t, IsNoQueue(err), err)

	b = setup(t, Options{Queue: "http://sqs.local/000000000000/nowhere"})
	_, err = b.Ready(t.Context())
	require.True(t, IsNoQueue(err), "by its URL too: %v", err)
	b.wire.Add(faultwire.Fault{Operation: "GetQueueAttributes", Mode: faultwire.FailBefore})
	_, err = b.Ready(t.Context())
	require.Error(t, err)
	require.False(t, IsNoQueue(err))
}

func TestDepths(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	b.inFlight(t, 2)
	for _, s := range b.Send(t.Context(), append(outgoings(3), hook.Outgoing{Message: message(9), Delay: time.Minute})) {
		require.NoError(t, s.Err)
	}
	require.NoError(t, b.SendDead(t.Context(), "x"))
	depths, err := b.Depths(t.Context())
	require.NoError(t, err)
	require.Equal(t, hook.QueueDepths{Ready: 3, InFlight: 2, Delayed: 1, Dead: 1}, depths)
	ready, err := b.Ready(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, ready)

	for call := range 2 {
		b.wire.Add(faultwire.Fault{Operation: "GetQueueAttributes", Call: call + 1, Mode: faultwire.FailBefore})
		_, err = b.Depths(t.Context())
		require.ErrorContains(t, err, "read queue depth")
	}
}

func TestCreateQueuesBringsThemToTheSpec(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	cfg := config(b.partly.next, 1)
	// Once more, with other values, as after an upgrade.
	url, dead, err := CreateQueues(t.Context(), cfg, Spec{Queue: mainName, DeadLetterQueue: deadName, Visibility: 6 * time.Minute, MaxReceives: 5})
	require.NoError(t, err)
	require.Equal(t, b.url, url)
	require.Equal(t, b.dead, dead)
	attributes := func(url string) map[string]string {
		out, err := b.raw.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"All"}})
		require.NoError(t, err)
		return out.Attributes
	}
	ofDead, ofMain := attributes(dead), attributes(url)
	for _, a := range []map[string]string{ofDead, ofMain} {
		require.Equal(t, "1209600", a["MessageRetentionPeriod"], "14 days")
		require.Equal(t, "360", a["VisibilityTimeout"])
	}
	require.JSONEq(t, `{"deadLetterTargetArn":"`+ofDead["QueueArn"]+`","maxReceiveCount":5}`, ofMain["RedrivePolicy"])
	require.NotContains(t, ofDead, "RedrivePolicy")
}

func TestCreateQueuesSaysWhatFailed(t *testing.T) {
	t.Parallel()
	b := setup(t, Options{})
	for operation, calls := range map[string]int{"CreateQueue": 2, "SetQueueAttributes": 2, "GetQueueAttributes": 1} {
		for call := range calls {
			b.wire.Add(faultwire.Fault{Operation: operation, Call: call + 1, Mode: faultwire.FailBefore})
			_, _, err := CreateQueues(t.Context(), config(b.wire, 1), Spec{Queue: mainName, DeadLetterQueue: deadName, Visibility: time.Minute, MaxReceives: 3})
			require.ErrorContains(t, err, "create queue", operation)
			require.Zero(t, b.wire.Pending())
			b.wire.Clear()
		}
	}
}

func TestRetriesOfABatchAreSpreadAndBounded(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for rnd, want := range map[float64][]time.Duration{
		0:   {0, 25, 75, 175},
		0.5: {0, 50, 150, 350},
		1:   {0, 75, 225, 525},
	} {
		synctest.Test(t, func(t *testing.T) {
			q := New(config(nil, 1), Options{Rand: func() float64 { return rnd }})
			start := time.Now()
			var at []time.Duration
			entries := q.perform(t.Context(), 2, func(_ context.Context, todo []int, a *answer) error {
				at = append(at, time.Since(start)/time.Millisecond)
				require.Equal(t, []int{0, 1}[:len(todo)], todo)
				a.entries[0] = entry{err: broken}
				a.entries[1] = entry{err: broken}
				return nil
			})
			require.Equal(t, want, at)
			require.ErrorIs(t, entries[0].err, broken)
			require.ErrorIs(t, entries[1].err, broken)
		})
	}
}

func TestRetriesEndWithTheContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := New(config(nil, 1), Options{})
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		entries := q.perform(ctx, 1, func(context.Context, []int, *answer) error {
			calls++
			cancel()
			return nil
		})
		require.Equal(t, 1, calls)
		require.ErrorIs(t, entries[0].err, errUnanswered)
	})
}

func TestSecondsRoundUp(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]int32{
		-time.Second: 0, 0: 0, 1: 1, time.Second: 1, time.Second + 1: 2, 43_170 * time.Second: 43_170,
	} {
		require.Equal(t, want, seconds(d), d)
	}
}
