package id

import (
	"bytes"
	"crypto/sha256"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

var at = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)

func TestNewMakesAValidIDOfItsMillisecond(t *testing.T) {
	t.Parallel()
	for _, when := range []time.Time{at, time.Unix(0, 0), time.UnixMilli(1<<48 - 1)} {
		got := NewSource().New(hook.EventPrefix, when)
		require.True(t, hook.ValidID(hook.EventPrefix, got), got)
		require.Equal(t, when.UTC().Truncate(time.Millisecond), hook.IDTime(got))
	}
}

func TestMomentsOutsideTheRangeCountAsItsEnds(t *testing.T) {
	t.Parallel()
	s := NewSource()
	require.Equal(t, time.UnixMilli(0).UTC(), hook.IDTime(s.New("x_", time.UnixMilli(-5))))
	require.Equal(t, time.UnixMilli(1<<48-1).UTC(), hook.IDTime(s.New("x_", time.UnixMilli(1<<48))))
}

func TestIDsOfOneMillisecondSortInTheOrderOfTheirMaking(t *testing.T) {
	t.Parallel()
	s := NewSource()
	ids := make([]string, 10_000)
	for i := range ids {
		ids[i] = s.New("evt_", at)
	}
	require.True(t, slices.IsSorted(ids))
	require.Len(t, slices.Compact(ids), len(ids))
}

func TestConcurrentIDsAreUnique(t *testing.T) {
	t.Parallel()
	s := NewSource()
	var wg sync.WaitGroup
	made := make([][]string, 8)
	for i := range made {
		wg.Go(func() {
			for n := range 2000 {
				made[i] = append(made[i], s.New("evt_", at.Add(time.Duration(n%3)*time.Millisecond)))
			}
		})
	}
	wg.Wait()
	all := slices.Concat(made...)
	slices.Sort(all)
	require.Len(t, slices.Compact(all), 8*2000)
}

func TestIDsOfABatchShareAllButTheirLowestSevenBits(t *testing.T) {
	t.Parallel()
	s := NewSource()
	var all []string
	for range 500 {
		all = append(all, s.New("evt_", at))
		batch := s.NewBatch("evt_", at, MaxBatch)
		require.Len(t, batch, MaxBatch)
		first, err := ulid.ParseStrict(strings.TrimPrefix(batch[0], "evt_"))
		require.NoError(t, err)
		require.Zero(t, first[15]&0x7f)
		for i, id := range batch {
			u, err := ulid.ParseStrict(strings.TrimPrefix(id, "evt_"))
			require.NoError(t, err)
			require.Equal(t, first[:15], u[:15])
			require.Equal(t, first[15]|byte(i), u[15])
		}
		all = append(all, batch...)
		all = append(all, s.NewBatch("evt_", at, 3)...)
	}
	require.True(t, slices.IsSorted(all), "ids of one millisecond sort in the order of their making")
	require.Len(t, slices.Compact(slices.Clone(all)), len(all))
	require.Len(t, s.NewBatch("evt_", at, 1), 1)
}

// What follows a batch closely is above all of it, also where it was drawn from
// the batch's own block.
func TestWhatFollowsABatchIsNotInIt(t *testing.T) {
	t.Parallel()
	s := newSource(ones{}) // each number is a little above the one before
	batch := s.NewBatch("", at, 100)
	next := s.New("", at)
	require.Greater(t, next, batch[99])
	u, err := ulid.ParseStrict(batch[0])
	require.NoError(t, err)
	v, err := ulid.ParseStrict(next)
	require.NoError(t, err)
	u[15] |= 0x7f
	require.Positive(t, v.Compare(u))
}

func TestNewGoesOnWhenAMillisecondRunsOut(t *testing.T) {
	t.Parallel()
	// The first id takes the largest number there is.
	s := newSource(io.MultiReader(bytes.NewReader(bytes.Repeat([]byte{0xff}, 10)), ones{}))
	first, second := s.New("", at), s.New("", at)
	require.True(t, strings.HasSuffix(first, "ZZZZZZZZZZZZZZZZ"), first)
	require.True(t, hook.ValidID("", second), second)
	require.NotEqual(t, first, second)
}

func TestFromPartsFollowsFromItsParts(t *testing.T) {
	t.Parallel()
	a, b := sha256.Sum256([]byte("a")), sha256.Sum256([]byte("b"))
	got := FromParts(hook.DeadLetterPrefix, at, a[:])
	require.True(t, hook.ValidID(hook.DeadLetterPrefix, got), got)
	require.Equal(t, at.Truncate(time.Millisecond), hook.IDTime(got))
	require.Equal(t, got, FromParts(hook.DeadLetterPrefix, at.Add(time.Microsecond), a[:]))
	require.NotEqual(t, got, FromParts(hook.DeadLetterPrefix, at, b[:]))
	require.NotEqual(t, got, FromParts(hook.DeadLetterPrefix, at.Add(time.Millisecond), a[:]))
	// The form is fixed for good: entries are recognised by it.
	require.Equal(t, "dlq_01KJMMA2KVSABR24PA3EYWNYP2", FromParts(hook.DeadLetterPrefix, at, a[:]))
}

// ones is an endless stream of ones.
type ones struct{}

func (ones) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}

func BenchmarkNew(b *testing.B) {
	s := NewSource()
	b.ReportAllocs()
	for b.Loop() {
		s.New("evt_", at)
	}
}
