package load

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDeliveriesThatWaitAreMadeBetweenTwoEqualRuns(t *testing.T) {
	t.Parallel()
	f := &fakePosthorn{}
	o := runOptions(f.start(t), 50)
	w, err := RunWaiting(t.Context(), o, 250)
	require.NoError(t, err)
	require.Equal(t, 250, f.held)
	require.Equal(t, 350, f.events)
	require.Equal(t, 50, w.Without.Delivered)
	require.Equal(t, 50, w.With.Delivered)
	require.InDelta(t, w.With.DeliveredPerSecond/w.Without.DeliveredPerSecond, w.Ratio, 1e-9)
	require.Equal(t, 3, f.deleted, "those of both runs, and the one that was paused")
	var text bytes.Buffer
	require.NoError(t, w.WriteText(&text))
	require.Contains(t, text.String(), "250 deliveries waiting")
}

// As many as a server takes at once are posted, and held, before the next.
func TestDeliveriesThatWaitAreMadeInParts(t *testing.T) {
	t.Parallel()
	f := &fakePosthorn{}
	fill, err := newFill(runOptions(f.start(t), 50))
	require.NoError(t, err)
	require.NoError(t, fill.fill(t.Context(), 2*fillPart+100, nil))
	require.Empty(t, fill.close(t.Context()))
	require.Equal(t, []int{0, fillPart, 2 * fillPart, 2*fillPart + 100}, f.asked)
}

func TestDeliveriesThatAreNotAcceptedDoNotWait(t *testing.T) {
	t.Parallel()
	f := &fakePosthorn{refuse: func(n int) bool { return n > 100 }}
	_, err := RunWaiting(t.Context(), runOptions(f.start(t), 50), 200)
	require.ErrorContains(t, err, "50 of 200 events were accepted")
	_, err = RunWaiting(t.Context(), runOptions(f.server.URL, 50), 0)
	require.ErrorContains(t, err, "deliveries:")
}

func TestASlowEndpointIsHeldAgainstAPromptOneInTurns(t *testing.T) {
	t.Parallel()
	f := &fakePosthorn{} // answers when all have: the slow one shows in its answers
	o := runOptions(f.start(t), 16)
	o.Drain, o.Endpoints, o.Misbehaving, o.Behaviour.Slow = time.Minute, 2, 1, 500*time.Millisecond
	s, err := RunSlow(t.Context(), o, 2)
	require.NoError(t, err)
	require.Len(t, s.Without, 2)
	require.Len(t, s.With, 2)
	for i := range s.With {
		require.Equal(t, 32, s.Without[i].Delivered)
		require.Equal(t, 32, s.With[i].Delivered)
		require.GreaterOrEqual(t, s.With[i].Accept.P50, 500.0, "one of them is slow")
		require.Less(t, s.Without[i].Accept.P50, 500.0)
		require.NotNil(t, s.Without[i].EndToEndHealthy)
		require.NotNil(t, s.With[i].EndToEndHealthy)
	}
	require.Positive(t, s.Ratio)
	var text bytes.Buffer
	require.NoError(t, s.WriteText(&text))
	require.Contains(t, text.String(), "median of p95")

	for says, change := range map[string]func(*Options, *int){
		"rounds":      func(_ *Options, n *int) { *n = 0 },
		"slow":        func(o *Options, _ *int) { o.Behaviour.Slow = 0 },
		"misbehaving": func(o *Options, _ *int) { o.Misbehaving = 2 },
	} {
		wrong, rounds := o, 1
		change(&wrong, &rounds)
		_, err := RunSlow(t.Context(), wrong, rounds)
		require.ErrorContains(t, err, says)
	}
}

func TestMemoryIsTakenByTenthsOfARun(t *testing.T) {
	t.Parallel()
	began := time.Now()
	m := &meter{began: began}
	for i := range 200 { // ten seconds, twenty looks each
		m.seen = append(m.seen, look{began.Add(time.Duration(i) * 50 * time.Millisecond), int64(100 + i/20)})
	}
	m.seen = append(m.seen, look{began.Add(11 * time.Second), 1}) // the wait for deliveries
	p := &Process{RSSTenths: m.tenths(began.Add(10 * time.Second))}
	require.Equal(t, []int64{100, 101, 102, 103, 104, 105, 106, 107, 108, 109}, p.RSSTenths)
	require.InDelta(t, 109.0/101-1, p.grown(), 1e-9)
	require.Nil(t, m.tenths(began.Add(time.Second)), "too short")
}
