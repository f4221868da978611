package deliver_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/deliver"
)

func TestOneEndpointHasItsShareOfThePlacesAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := deliver.NewShares(2, time.Now)
		start := time.Now()
		var ends []func()
		for range 2 {
			end, _, ok := s.Take(t.Context(), "ep_hangs")
			require.True(t, ok)
			ends = append(ends, end)
		}
		require.Equal(t, start, time.Now(), "a free place is had at once")

		_, _, ok := s.Take(t.Context(), "ep_hangs")
		require.False(t, ok, "the third is put off")
		require.Equal(t, 250*time.Millisecond, time.Since(start), "after a moment")
		_, _, ok = s.Take(t.Context(), "ep_quick")
		require.True(t, ok, "another endpoint's has a place")

		for _, end := range ends {
			end()
		}
		_, _, ok = s.Take(t.Context(), "ep_hangs")
		require.True(t, ok)
	})
}

func TestAPlaceGoesToWhoWaitsLongest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := deliver.NewShares(2, time.Now)
		var ends []func()
		for range 2 {
			end, _, ok := s.Take(t.Context(), "ep")
			require.True(t, ok)
			ends = append(ends, end)
		}
		const line = 10 // as long as it may be to an endpoint that has been quick so far
		got, putOff := make(chan int, line), make(chan int, line)
		for i := range line {
			go func() {
				if _, _, ok := s.Take(t.Context(), "ep"); ok {
					got <- i
				} else {
					putOff <- i
				}
			}()
			synctest.Wait()
		}
		ends[0]()
		require.Equal(t, 0, <-got)
		ends[1]()
		require.Equal(t, 1, <-got)
		time.Sleep(251 * time.Millisecond)
		synctest.Wait()
		require.Len(t, putOff, line-2, "the places went to those who waited longest")
		require.Empty(t, got)
	})
}

func TestTheLineToASlowEndpointIsShort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := deliver.NewShares(2, time.Now)
		for range 2 {
			_, _, ok := s.Take(t.Context(), "ep")
			require.True(t, ok)
		}
		time.Sleep(251 * time.Millisecond)
		for range 2 {
			go s.Take(t.Context(), "ep")
			synctest.Wait()
		}
		before := time.Now()
		_, _, ok := s.Take(t.Context(), "ep")
		require.False(t, ok)
		require.Equal(t, before, time.Now(), "it does not even wait")
	})
}

// What is put off comes back at the rate at which the endpoint takes posts.
func TestWhatIsPutOffComesBackInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := deliver.NewShares(2, time.Now)
		first, _, _ := s.Take(t.Context(), "ep")
		second, _, _ := s.Take(t.Context(), "ep")
		time.Sleep(4 * time.Second) // what a post takes
		for _, end := range []func(){first, second} {
			end()
			_, _, ok := s.Take(t.Context(), "ep")
			require.True(t, ok)
		}
		now := time.Now()
		gone, cancel := context.WithCancel(t.Context())
		cancel() // it need not wait to be put off
		for n := range 5 {
			_, until, ok := s.Take(gone, "ep")
			require.False(t, ok)
			require.Equal(t, now.Add(time.Duration(n+1)*2*time.Second), until, "two at once, four seconds each: one every two seconds")
		}
	})
}

func TestAPostThatHangsIsTakenForItsAge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := deliver.NewShares(1, time.Now)
		_, _, ok := s.Take(t.Context(), "ep")
		require.True(t, ok)
		time.Sleep(20 * time.Second)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		_, until, ok := s.Take(gone, "ep")
		require.False(t, ok)
		require.Equal(t, 20*time.Second, time.Until(until))
	})
}

// However much there is for an endpoint that hangs, what is put off looks again
// within five minutes, and not all of it at the same moment.
func TestNothingIsPutOffForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := deliver.NewShares(1, time.Now)
		_, _, ok := s.Take(t.Context(), "ep")
		require.True(t, ok)
		time.Sleep(30 * time.Second)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		at := map[time.Time]int{}
		for range 1000 {
			_, until, ok := s.Take(gone, "ep")
			require.False(t, ok)
			require.LessOrEqual(t, time.Until(until), 5*time.Minute)
			require.Positive(t, time.Until(until))
			at[until]++
		}
		require.Len(t, at, 10, "one every thirty seconds, over and over")
	})
}

func TestAWaitForAPlaceEndsWithTheInvocation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := deliver.NewShares(1, time.Now)
		_, _, ok := s.Take(t.Context(), "ep")
		require.True(t, ok)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, _, ok = s.Take(ctx, "ep")
		require.False(t, ok)
		require.Equal(t, 100*time.Millisecond, time.Since(start))
	})
}

func TestPostsToOneEndpointAreBoundedAndWhatIsOverGoesOnWithoutAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, ok200)
		w.d.Shares = deliver.NewShares(1, time.Now)
		end, _, taken := w.d.Shares.Take(t.Context(), endpointID) // another batch's post hangs
		require.True(t, taken)
		time.Sleep(10 * time.Second)

		require.False(t, w.deliver(w.message(), "m1", 1), "the original is done with")
		require.Empty(t, w.posts)
		require.Nil(t, w.row(), "no attempt is used up")
		require.Len(t, w.copies, 1)
		copied := w.copies[0]
		require.Equal(t, 1, copied.Message.Hop)
		require.InDelta(t, 10, time.Until(copied.Message.NotBefore).Seconds(), 1)
		require.InDelta(t, 10, copied.Delay.Seconds(), 1)

		end()
		time.Sleep(copied.Delay)
		require.False(t, w.deliver(copied.Message, "m2", 1))
		require.Len(t, w.posts, 1)
		require.Equal(t, 1, w.row().Attempts)
	})
}
