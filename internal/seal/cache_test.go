package seal_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/seal"
)

// outcome is what became of a use of a Sealer.
type outcome struct {
	value []byte
	err   error
	after time.Duration
}

// together makes uses at the same time, of a bubble's clock.
func together(n int, use func(i int) ([]byte, error)) []outcome {
	all := make([]outcome, n)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			value, err := use(i)
			all[i] = outcome{value, err, time.Since(began)}
		})
	}
	wg.Wait()
	return all
}

func TestConcurrentFirstUsesUnwrapOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := &memory{}
		w := &counted{Wrapper: master(t, 1), takes: time.Second}
		first, second := seal.New(seal.Options{Keys: keys, Wrapper: w}), seal.New(seal.Options{Keys: keys, Wrapper: w})
		made := together(50, func(int) ([]byte, error) { return first.Seal(t.Context(), tenant, endpoint, []byte(secret)) })
		require.EqualValues(t, 1, w.made.Load())
		require.Zero(t, w.unwrapped.Load(), "it knows what it made")

		for i, o := range together(50, func(i int) ([]byte, error) {
			if i%2 == 0 {
				return second.Seal(t.Context(), tenant, endpoint, []byte(secret))
			}
			return second.Open(t.Context(), tenant, endpoint, made[i].value)
		}) {
			require.NoError(t, made[i].err)
			require.NoError(t, o.err)
			if i%2 == 1 {
				require.Equal(t, secret, string(o.value))
			}
		}
		require.EqualValues(t, 1, w.made.Load())
		require.EqualValues(t, 1, w.unwrapped.Load())
	})
}

// Of a tenant without a data key, those who seal get one, whoever else is
// opening something meanwhile.
func TestSealingIsNotRefusedForAnOpening(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := seal.New(seal.Options{Keys: &slowKeys{takes: time.Second}, Wrapper: master(t, 1)})
		stray := sealed(t, seal.New(seal.Options{Keys: &memory{}, Wrapper: master(t, 1)}), tenant, endpoint)
		for i, o := range together(11, func(i int) ([]byte, error) {
			time.Sleep(time.Duration(i) * time.Millisecond) // the first one opens
			if i%3 < 2 {                                    // one of them is the first that waits, too
				return s.Open(t.Context(), tenant, endpoint, stray)
			}
			return s.Seal(t.Context(), tenant, endpoint, []byte(secret))
		}) {
			if i%3 < 2 {
				require.ErrorIs(t, o.err, seal.ErrDamaged)
			} else {
				require.NoError(t, o.err)
				requireOpens(t, s, tenant, endpoint, o.value)
			}
		}
	})
}

// slowKeys is a Keys whose reads take a while of the bubble's clock.
type slowKeys struct {
	memory
	takes time.Duration
}

func (k *slowKeys) DataKey(ctx context.Context, tenant string) ([]byte, error) {
	time.Sleep(k.takes)
	return k.memory.DataKey(ctx, tenant)
}

// clock is a clock that stands still until it is moved.
type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(1_800_000_000, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// Whoever may not use the wrapping key any more opens nothing five minutes
// later.
func TestADataKeyIsKeptForFiveMinutes(t *testing.T) {
	t.Parallel()
	c, w := &clock{}, &counted{Wrapper: master(t, 1)}
	s := seal.New(seal.Options{Keys: &memory{}, Wrapper: w, Now: c.now})
	b := sealed(t, s, tenant, endpoint)
	c.advance(5*time.Minute - 1)
	w.down.Store(true)
	requireOpens(t, s, tenant, endpoint, b)
	require.Zero(t, w.unwrapped.Load())

	c.advance(1)
	_, err := s.Open(t.Context(), tenant, endpoint, b)
	require.ErrorIs(t, err, errDown)
	_, err = s.Seal(t.Context(), tenant, endpoint, []byte(secret))
	require.ErrorIs(t, err, errDown)
	require.EqualValues(t, 2, w.unwrapped.Load())

	w.down.Store(false)
	requireOpens(t, s, tenant, endpoint, b)
	c.advance(5*time.Minute - 1)
	requireOpens(t, s, tenant, endpoint, b)
	require.EqualValues(t, 3, w.unwrapped.Load())
	c.advance(1)
	requireOpens(t, s, tenant, endpoint, b)
	require.EqualValues(t, 4, w.unwrapped.Load())
}

// The time counts from before the key was asked for: it may have been revoked
// while the answer was on its way.
func TestTheTimeOfADataKeyStartsBeforeItIsUnwrapped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &counted{Wrapper: master(t, 1), takes: 2 * time.Second}
		s := seal.New(seal.Options{Keys: &memory{}, Wrapper: w, KeepFor: 10 * time.Second})
		b := sealed(t, s, tenant, endpoint)
		time.Sleep(8*time.Second - time.Millisecond)
		requireOpens(t, s, tenant, endpoint, b)
		require.Zero(t, w.unwrapped.Load())
		time.Sleep(time.Millisecond)
		requireOpens(t, s, tenant, endpoint, b)
		require.EqualValues(t, 1, w.unwrapped.Load())
	})
}

func TestDataKeysInMemoryAreBoundedInNumber(t *testing.T) {
	t.Parallel()
	w := &counted{Wrapper: master(t, 1)}
	s := seal.New(seal.Options{Keys: &memory{}, Wrapper: w})
	all := map[string][]byte{}
	for i := range 1100 {
		who := fmt.Sprintf("tenant-%d", i)
		all[who] = sealed(t, s, who, endpoint)
		require.Equal(t, min(i+1, 1000), s.Known())
	}
	require.Zero(t, w.unwrapped.Load())
	for who, b := range all {
		requireOpens(t, s, who, endpoint, b)
	}
	require.Equal(t, 1000, s.Known())
	require.GreaterOrEqual(t, w.unwrapped.Load(), int64(100))

	one := seal.New(seal.Options{Keys: &memory{}, Wrapper: w, Tenants: 1})
	a, b := sealed(t, one, "a", endpoint), sealed(t, one, "b", endpoint)
	requireOpens(t, one, "a", endpoint, a)
	requireOpens(t, one, "b", endpoint, b)
	require.Equal(t, 1, one.Known())
}

// A caller that leaves takes nothing from the others.
func TestACallerThatLeavesIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := &memory{}
		w := &counted{Wrapper: master(t, 1), takes: 2 * time.Second}
		b := sealed(t, seal.New(seal.Options{Keys: keys, Wrapper: w}), tenant, endpoint)
		s := seal.New(seal.Options{Keys: keys, Wrapper: w})
		all := together(2, func(i int) ([]byte, error) {
			if i == 1 {
				time.Sleep(time.Millisecond)
				return s.Open(t.Context(), tenant, endpoint, b)
			}
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			return s.Open(ctx, tenant, endpoint, b)
		})
		require.ErrorIs(t, all[0].err, context.Canceled)
		require.NotErrorIs(t, all[0].err, seal.ErrDamaged)
		require.Equal(t, time.Second, all[0].after)
		require.NoError(t, all[1].err)
		require.Equal(t, 2*time.Second, all[1].after)
		require.EqualValues(t, 1, w.unwrapped.Load())
	})
}

// A service that hangs is given up for all who wait together.
func TestAServiceThatHangsHoldsNobodyForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		keys := &memory{}
		w := &counted{Wrapper: master(t, 1)}
		b := sealed(t, seal.New(seal.Options{Keys: keys, Wrapper: w}), tenant, endpoint)
		w.takes = time.Hour
		s := seal.New(seal.Options{Keys: keys, Wrapper: w})
		for _, o := range together(20, func(int) ([]byte, error) { return s.Open(t.Context(), tenant, endpoint, b) }) {
			require.ErrorIs(t, o.err, context.DeadlineExceeded)
			require.NotErrorIs(t, o.err, seal.ErrDamaged)
			require.LessOrEqual(t, o.after, 10*time.Second, "the first one's try, and one for all the others")
		}
	})
}
