package gather_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/gather"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service doubles numbers, each batch taking a second, and keeps the batches.
type service struct {
	mu      sync.Mutex
	batches [][]int
	now     int
	most    int
}

func (s *service) do(_ context.Context, ins []int) []gather.Result[int] {
	s.mu.Lock()
	s.batches = append(s.batches, append([]int(nil), ins...))
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	time.Sleep(time.Second) // of a bubble's clock
	s.mu.Lock()
	s.now--
	s.mu.Unlock()
	out := make([]gather.Result[int], len(ins))
	for i, n := range ins {
		out[i].Value = 2 * n
		if n < 0 {
			out[i].Err = errors.New("negative")
		}
	}
	return out
}

// calls makes calls for 0 to n-1, in that order, and waits for them.
func calls(t *testing.T, g *gather.Group[int, int], n int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			got, err := g.Do(t.Context(), i)
			if err != nil || got != 2*i {
				t.Errorf("Do(%d) = %d, %v", i, got, err)
			}
		})
		synctest.Wait()
	}
	wg.Wait()
}

func TestACallThatFindsNothingUnderWayGoesAtOnceAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		g := gather.New(gather.Options{Size: 10}, s.do)
		start := time.Now()
		calls(t, g, 1)
		calls(t, g, 1)
		require.Equal(t, 2*time.Second, time.Since(start))
		require.Equal(t, [][]int{{0}, {0}}, s.batches)
	})
}

func TestCallsThatWaitTravelTogetherInOrder(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		options gather.Options
		want    [][]int
	}{
		{"one under way", gather.Options{Size: 10, Parallel: 1}, [][]int{{0}, {1, 2, 3, 4, 5}}},
		{"no more than fit", gather.Options{Size: 2, Parallel: 1}, [][]int{{0}, {1, 2}, {3, 4}, {5}}},
		{"several under way", gather.Options{Size: 3, Parallel: 2}, [][]int{{0}, {1}, {2, 3, 4}, {5}}},
		{"no options", gather.Options{}, [][]int{{0}, {1}, {2}, {3}, {4}, {5}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &service{}
				calls(t, gather.New(c.options, s.do), 6)
				if c.options.Parallel > 1 { // they start in any order
					slices.SortFunc(s.batches, func(a, b []int) int { return a[0] - b[0] })
				}
				require.Equal(t, c.want, s.batches)
				require.LessOrEqual(t, s.most, max(c.options.Parallel, 1))
			})
		})
	}
}

func TestEachCallGetsItsOwnResult(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gather.New(gather.Options{Size: 10}, (&service{}).do)
		var wg sync.WaitGroup
		for _, n := range []int{1, -1, 2, -2} {
			wg.Go(func() {
				got, err := g.Do(t.Context(), n)
				if got != 2*n || (err != nil) != (n < 0) {
					t.Errorf("Do(%d) = %d, %v", n, got, err)
				}
			})
		}
		wg.Wait()
	})
}

func TestACallerThatGivesUpReturnsAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		g := gather.New(gather.Options{Size: 10}, s.do)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		start := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := g.Do(ctx, 1)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 300*time.Millisecond {
				t.Errorf("under way: %v after %v", err, time.Since(start))
			}
		})
		synctest.Wait()
		wg.Go(func() {
			_, err := g.Do(ctx, 2)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 300*time.Millisecond {
				t.Errorf("waiting: %v after %v", err, time.Since(start))
			}
		})
		synctest.Wait()
		got, err := g.Do(t.Context(), 3)
		require.NoError(t, err)
		require.Equal(t, 6, got)
		wg.Wait()
		// The one under way was not disturbed; the one that waited never left.
		require.Equal(t, [][]int{{1}, {3}}, s.batches)
	})
}

func TestWhenAllThatWaitGiveUpTheNextCallGoesAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		g := gather.New(gather.Options{Size: 10}, s.do)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		for i := range 3 {
			wg.Go(func() {
				if _, err := g.Do(ctx, i); err == nil {
					t.Error("no error")
				}
			})
			synctest.Wait()
		}
		wg.Wait()
		time.Sleep(2 * time.Second)
		calls(t, g, 1)
		require.Equal(t, [][]int{{0}, {0}}, s.batches)
	})
}

type tag struct{}

// A caller that goes early takes nothing from the others, and a batch is over
// when all its callers are: what a frozen environment would leave under way, the
// next invocation would wait for.
func TestABatchEndsAtTheLatestDeadlineOfItsCallers(t *testing.T) {
	t.Parallel()
	const none = 0
	for _, c := range []struct {
		name      string
		timeout   time.Duration
		deadlines []time.Duration // of the callers, from the start of the batch
		want      time.Duration
	}{
		{"one caller", time.Minute, []time.Duration{time.Second}, time.Second},
		{"several", time.Minute, []time.Duration{time.Second, 3 * time.Second, 2 * time.Second}, 3 * time.Second},
		{"one has no deadline", time.Minute, []time.Duration{time.Second, none}, time.Minute},
		{"one has more time than a batch", time.Minute, []time.Duration{time.Second, time.Hour}, time.Minute},
		{"no timeout given", 0, []time.Duration{none}, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				blocked := make(chan struct{})
				ended := make(chan time.Duration, 1)
				g := gather.New(gather.Options{Size: 10, Timeout: c.timeout}, func(ctx context.Context, ins []int) []gather.Result[int] {
					if ins[0] < 0 {
						<-blocked
						return make([]gather.Result[int], 1)
					}
					if ctx.Value(tag{}) != "caller" {
						t.Error("the values of the first caller's context are gone")
					}
					start := time.Now()
					<-ctx.Done()
					ended <- time.Since(start)
					return make([]gather.Result[int], len(ins))
				})
				var wg sync.WaitGroup
				wg.Go(func() {
					if _, err := g.Do(t.Context(), -1); err != nil {
						t.Error(err)
					}
				})
				synctest.Wait()
				for _, d := range c.deadlines {
					ctx := context.WithValue(t.Context(), tag{}, "caller")
					if d != none {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, d)
						defer cancel()
					}
					wg.Go(func() {
						if _, err := g.Do(ctx, 1); err != nil && !errors.Is(err, context.DeadlineExceeded) {
							t.Error(err)
						}
					})
				}
				synctest.Wait()
				close(blocked)
				require.Equal(t, c.want, <-ended)
				wg.Wait()
			})
		})
	}
}

func TestACancelledCallerDoesNotEndTheBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		ended := make(chan error, 1)
		g := gather.New(gather.Options{}, func(ctx context.Context, ins []int) []gather.Result[int] {
			results := s.do(ctx, ins)
			ended <- ctx.Err()
			return results
		})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(300*time.Millisecond, cancel)
		_, err := g.Do(ctx, 1)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, <-ended)
	})
}

func TestACallThatHangsHoldsUpTheNextOnlyUntilItsCallerIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := gather.New(gather.Options{}, func(ctx context.Context, ins []int) []gather.Result[int] {
			results := make([]gather.Result[int], len(ins))
			if ins[0] == 1 {
				<-ctx.Done()
				results[0].Err = ctx.Err()
			}
			return results
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := g.Do(ctx, 1) // an invocation with a second left
		require.ErrorIs(t, err, context.DeadlineExceeded)
		start := time.Now()
		_, err = g.Do(t.Context(), 2)
		require.NoError(t, err)
		require.Zero(t, time.Since(start))
	})
}

func TestNothingIsDoneForACallerThatIsGoneAlready(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		g := gather.New(gather.Options{}, s.do)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := g.Do(ctx, 1)
		require.ErrorIs(t, err, context.Canceled)
		synctest.Wait()
		time.Sleep(time.Minute)
		require.Empty(t, s.batches)
	})
}

func TestABatchThatGoesWrongHangsNobody(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func([]int) []gather.Result[int]
		want string
	}{
		{"it panics", func([]int) []gather.Result[int] { panic("boom") }, "batch panicked: boom"},
		{"it answers too little", func(ins []int) []gather.Result[int] { return make([]gather.Result[int], len(ins)-1) }, "fewer results"},
		{"it answers nothing", func([]int) []gather.Result[int] { return nil }, "fewer results"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := gather.New(gather.Options{Size: 10}, func(_ context.Context, ins []int) []gather.Result[int] {
					time.Sleep(time.Second)
					return c.do(ins)
				})
				var wg sync.WaitGroup
				var mu sync.Mutex
				var errs []error
				for i := range 5 {
					wg.Go(func() {
						_, err := g.Do(t.Context(), i)
						mu.Lock()
						defer mu.Unlock()
						if err != nil {
							errs = append(errs, err)
						}
					})
					synctest.Wait()
				}
				wg.Wait()
				require.NotEmpty(t, errs)
				for _, err := range errs {
					require.ErrorContains(t, err, c.want)
				}
			})
		})
	}
}

// Many callers at once, for the race detector: every call is answered with its
// own result, and no batch is too large.
func TestManyCallersAtOnce(t *testing.T) {
	t.Parallel()
	g := gather.New(gather.Options{Size: 7, Parallel: 3}, func(_ context.Context, ins []int) []gather.Result[int] {
		if len(ins) > 7 {
			panic("too many")
		}
		out := make([]gather.Result[int], len(ins))
		for i, n := range ins {
			out[i].Value = n + 1
		}
		return out
	})
	var wg sync.WaitGroup
	for caller := range 20 {
		wg.Go(func() {
			for i := range 200 {
				n := caller*1000 + i
				if got, err := g.Do(t.Context(), n); err != nil || got != n+1 {
					t.Errorf("Do(%d) = %d, %v", n, got, err)
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkGroupAlone(b *testing.B) {
	g := gather.New(gather.Options{Size: 10}, func(_ context.Context, ins []int) []gather.Result[int] { return make([]gather.Result[int], len(ins)) })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Do(b.Context(), 1); err != nil {
			b.Fatal(err)
		}
	}
}
