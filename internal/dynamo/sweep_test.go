package dynamo_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
)

func TestOneOfAllHasTheSweep(t *testing.T) {
	t.Parallel()
	w := setup(t)
	now := w.clock()
	var taken atomic.Int32
	var wg sync.WaitGroup
	for n := range 20 {
		wg.Go(func() {
			mine, err := w.TakeSweep(t.Context(), fmt.Sprint(n), now, now.Add(time.Minute))
			if err != nil {
				t.Error(err)
			}
			if mine {
				taken.Add(1)
			}
		})
	}
	wg.Wait()
	require.EqualValues(t, 1, taken.Load())
}

func TestASweepIsTakenAgainOnceItsTimeHasCome(t *testing.T) {
	t.Parallel()
	w := setup(t)
	now := w.clock()
	take := func(holder string, at time.Time) bool {
		mine, err := w.TakeSweep(t.Context(), holder, at, at.Add(time.Minute))
		require.NoError(t, err)
		return mine
	}
	require.True(t, take("a", now))
	require.False(t, take("b", now.Add(59*time.Second)))
	require.False(t, take("a", now.Add(59*time.Second)), "not even by who has it")
	require.NoError(t, w.EndSweep(t.Context(), "b", now), "who does not have it ends nothing")
	require.False(t, take("b", now.Add(59*time.Second)))
	require.NoError(t, w.EndSweep(t.Context(), "a", now.Add(30*time.Second)))
	require.False(t, take("b", now.Add(29*time.Second)))
	require.True(t, take("b", now.Add(30*time.Second)))
	require.True(t, take("a", now.Add(90*time.Second)), "its holder has died")
}

// An answer that is lost is asked for again by the SDK; the sweep stays whose it
// is.
func TestASweepWhoseAnswerWasLostIsTaken(t *testing.T) {
	t.Parallel()
	w := setup(t)
	now := w.clock()
	w.faults.Add(faultwire.Fault{Operation: "UpdateItem", Mode: faultwire.LoseAnswer})
	mine, err := w.TakeSweep(t.Context(), "a", now, now.Add(time.Minute))
	if err != nil { // without the SDK's retries
		mine, err = w.TakeSweep(t.Context(), "a", now, now.Add(time.Minute))
	}
	require.NoError(t, err)
	require.True(t, mine)
}
