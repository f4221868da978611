package store

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

func openFS(t *testing.T, disk vfs.FS) *DB {
	t.Helper()
	db, err := OpenFS(disk, "db")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func openMemory(t *testing.T) *DB {
	t.Helper()
	db, err := OpenMemory()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func requireKey(t *testing.T, db *DB, key string, want bool) {
	t.Helper()
	_, ok, err := db.Get([]byte(key))
	require.NoError(t, err)
	require.Equal(t, want, ok, key)
}

func everything(_, _ []byte) (bool, error) { return true, nil }

// TestALossOfPowerLeavesAPrefix has many writers number their batches in the
// order in which they apply them. At random moments the disk is copied as a
// loss of power would leave it. A copy has to hold the batches up to some
// number, each of them whole, and none after it; and what had been waited for
// when the copy was taken has to be among them.
func TestALossOfPowerLeavesAPrefix(t *testing.T) {
	t.Parallel()
	const writers, crashes = 8, 20
	disk := vfs.NewCrashableMem()
	db := openFS(t, disk)

	var order, told sync.Mutex
	applied, durable := 0, 0
	tell := func(n int) {
		told.Lock()
		durable = max(durable, n)
		told.Unlock()
	}
	write := func(r *rand.Rand) error {
		b := db.NewBatch()
		keys := 1 + r.IntN(25)
		pad := make([]byte, r.IntN(1200)) // enough for logs and tables to be changed on the way
		order.Lock()
		n := applied + 1
		// The list of all numbers, and a mark that the next batch removes.
		err := errors.Join(
			b.Set(fmt.Appendf(nil, "log/%08d", n), fmt.Append(nil, keys)),
			b.DeleteRange([]byte("mark/"), []byte("mark0")),
			b.Set(fmt.Appendf(nil, "mark/%08d", n), nil),
		)
		for i := range keys {
			err = errors.Join(err, b.Set(fmt.Appendf(nil, "part/%08d/%02d", n, i), pad))
		}
		if n > 1 {
			err = errors.Join(err, b.Delete(fmt.Appendf(nil, "last/%08d", n-1)))
		}
		err = errors.Join(err, b.Set(fmt.Appendf(nil, "last/%08d", n), nil))
		lazy := r.IntN(4) == 0
		var c Commit
		if lazy {
			err = errors.Join(err, db.ApplyLazily(b))
		} else {
			var e error
			c, e = db.Apply(b)
			err = errors.Join(err, e)
		}
		applied = n
		order.Unlock()
		switch {
		case err != nil:
			return err
		case !lazy:
			err = c.Wait()
		case r.IntN(4) == 0:
			err = db.Sync()
		default:
			return nil
		}
		if err == nil {
			tell(n)
		}
		return err
	}

	quota := make(chan struct{}, 64) // so many batches until the next crash
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 7))
			for range quota {
				errs[w] = errors.Join(errs[w], write(r))
			}
		})
	}
	r := rand.New(rand.NewPCG(99, 7))
	surviving := 0
	for range crashes {
		for range r.IntN(2 * cap(quota)) { // the last of them are under way when the crash comes
			quota <- struct{}{}
		}
		told.Lock()
		promised := durable
		told.Unlock()
		left := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: r.IntN(101), RNG: r})
		found := prefixOf(t, left)
		require.GreaterOrEqual(t, found, promised, "what was waited for is there")
		surviving = found
	}
	close(quota)
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	require.Positive(t, surviving)
	require.NoError(t, db.Sync())
	require.Equal(t, applied, prefixOf(t, disk.CrashClone(vfs.CrashCloneCfg{})))
}

// prefixOf opens what a crash left and returns the number of the last batch,
// having seen that all before it are there, whole.
func prefixOf(t *testing.T, disk vfs.FS) int {
	t.Helper()
	db, err := OpenFS(disk, "db")
	require.NoError(t, err)
	last := 0
	parts := map[int]int{}
	require.NoError(t, db.Range([]byte("log/"), []byte("log0"), false, func(k, v []byte) (bool, error) {
		last++
		if want := fmt.Sprintf("log/%08d", last); string(k) != want {
			return false, fmt.Errorf("found %s where %s was due", k, want)
		}
		var keys int
		_, err := fmt.Sscan(string(v), &keys)
		parts[last] = keys
		return true, err
	}))
	require.NoError(t, db.Range([]byte("part/"), []byte("part0"), false, func(k, _ []byte) (bool, error) {
		var n, i int
		_, err := fmt.Sscanf(string(k), "part/%08d/%02d", &n, &i)
		parts[n]--
		return true, err
	}))
	for n, missing := range parts {
		require.Zero(t, missing, "keys that are missing of batch %d", n)
	}
	for _, prefix := range []string{"mark", "last"} {
		require.Equal(t, ofLast(prefix, last), keysOf(t, db, prefix+"/", prefix+"0", false))
	}
	require.NoError(t, db.Close())
	return last
}

func ofLast(prefix string, last int) []string {
	if last == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s/%08d", prefix, last)}
}

func keysOf(t *testing.T, db *DB, lo, hi string, reverse bool) (keys []string) {
	t.Helper()
	require.NoError(t, db.Range([]byte(lo), []byte(hi), reverse, func(k, _ []byte) (bool, error) {
		keys = append(keys, string(k))
		return true, nil
	}))
	return keys
}

func TestWhatIsWaitedForSurvivesAClose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := Open(dir)
	require.NoError(t, err)
	require.NoError(t, put(db, "waited", "1"))
	b := db.NewBatch()
	require.NoError(t, b.Set([]byte("lazy"), []byte("2")))
	require.NoError(t, db.ApplyLazily(b))
	require.NoError(t, db.Close())

	db, err = Open(dir)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	requireKey(t, db, "waited", true)
	requireKey(t, db, "lazy", true)
}

func TestASecondOpenIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db, err := Open(dir)
	require.NoError(t, err)
	_, err = Open(dir)
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, dir)
	require.NoError(t, put(db, "key", "the first is not disturbed"))
	require.NoError(t, db.Close())

	db, err = Open(dir)
	require.NoError(t, err)
	require.NoError(t, db.Close())
}

// TestAnotherProcessIsRefused has two processes want one folder, and kills the
// one that has it.
func TestAnotherProcessIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first, said := startHolder(t, dir)
	require.Equal(t, "holding", said)

	_, err := Open(dir)
	require.ErrorIs(t, err, ErrLocked)
	second, said := startHolder(t, dir)
	require.Equal(t, "locked", said)
	require.NoError(t, second.Wait())

	require.NoError(t, first.Process.Kill())
	require.Error(t, first.Wait())
	db, err := Open(dir)
	require.NoError(t, err)
	requireKey(t, db, "held", true)
	require.NoError(t, db.Close())
}

// startHolder starts a process that wants the folder and returns what it said.
func startHolder(t *testing.T, dir string) (*exec.Cmd, string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), holdVariable+"="+dir)
	_, err := cmd.StdinPipe() // it ends when we do
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return cmd, line[:len(line)-1]
}

func TestReadsSeeWhatWasApplied(t *testing.T) {
	t.Parallel()
	db := openMemory(t)
	requireKey(t, db, "key", false)
	require.NoError(t, db.View([]byte("key"), func([]byte) error { return errors.New("called without a value") }))

	b := db.NewBatch()
	require.True(t, b.Empty())
	require.NoError(t, b.Set([]byte("key"), []byte("value")))
	require.False(t, b.Empty())
	requireKey(t, db, "key", false)
	c, err := db.Apply(b)
	require.NoError(t, err)
	v, ok, err := db.Get([]byte("key"))
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "value", string(v))
	require.NoError(t, c.Wait())

	refused := errors.New("refused")
	require.ErrorIs(t, db.View([]byte("key"), func(v []byte) error {
		require.Equal(t, "value", string(v))
		return refused
	}), refused)

	given := db.NewBatch()
	require.NoError(t, given.Delete([]byte("key")))
	require.NoError(t, given.Close())
	requireKey(t, db, "key", true)
}

func TestAnEmptyValueIsNotAMissingKey(t *testing.T) {
	t.Parallel()
	db := openMemory(t)
	require.NoError(t, put(db, "key", ""))
	v, ok, err := db.Get([]byte("key"))
	require.NoError(t, err)
	require.True(t, ok)
	require.Empty(t, v)
}

func TestTheZeroCommitIsOnDisk(t *testing.T) {
	t.Parallel()
	require.NoError(t, Commit{}.Wait())
}

func TestAnEmptyBatchCanBeApplied(t *testing.T) {
	t.Parallel()
	db := openMemory(t)
	require.NoError(t, db.ApplyLazily(db.NewBatch()))
	c, err := db.Apply(db.NewBatch())
	require.NoError(t, err)
	require.NoError(t, c.Wait())
}

func TestRangeVisitsWhatIsBetweenItsBounds(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lo, hi  string
		reverse bool
		want    []string
	}{
		"the lower bound belongs to it":     {"b", "z", false, []string{"b", "c", "d"}},
		"the upper bound does not":          {"a", "c", false, []string{"a", "b"}},
		"bounds need not be keys":           {"aa", "cc", false, []string{"b", "c"}},
		"no upper bound":                    {"c", "", false, []string{"c", "d"}},
		"no lower bound":                    {"", "b", false, []string{"a"}},
		"no bounds":                         {"", "", false, []string{"a", "b", "c", "d"}},
		"nothing between":                   {"bb", "c", false, nil},
		"nothing below the first":           {"", "a", false, nil},
		"nothing above the last":            {"dd", "", false, nil},
		"empty":                             {"b", "b", false, nil},
		"the other way round":               {"d", "a", false, nil},
		"reverse":                           {"b", "d", true, []string{"c", "b"}},
		"reverse, the upper bound excluded": {"a", "b", true, []string{"a"}},
		"reverse, no upper bound":           {"c", "", true, []string{"d", "c"}},
		"reverse, no lower bound":           {"", "c", true, []string{"b", "a"}},
		"reverse, nothing between":          {"bb", "c", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openMemory(t)
			for _, k := range []string{"c", "a", "d", "b"} {
				require.NoError(t, put(db, k, "value of "+k))
			}
			var got []string
			require.NoError(t, db.Range(bound(tt.lo), bound(tt.hi), tt.reverse, func(k, v []byte) (bool, error) {
				require.Equal(t, "value of "+string(k), string(v))
				got = append(got, string(k))
				return true, nil
			}))
			require.Equal(t, tt.want, got)
		})
	}
}

func bound(key string) []byte {
	if key == "" {
		return nil
	}
	return []byte(key)
}

func TestRangeEndsWhenToldTo(t *testing.T) {
	t.Parallel()
	db := openMemory(t)
	for _, k := range []string{"a", "b", "c"} {
		require.NoError(t, put(db, k, ""))
	}
	enough := errors.New("enough")
	for _, reverse := range []bool{false, true} {
		visited := 0
		require.NoError(t, db.Range(nil, nil, reverse, func(_, _ []byte) (bool, error) {
			visited++
			return visited < 2, nil
		}))
		require.Equal(t, 2, visited)
		require.ErrorIs(t, db.Range(nil, nil, reverse, func(_, _ []byte) (bool, error) {
			visited++
			return true, enough
		}), enough)
		require.Equal(t, 3, visited)
	}
}

func TestDeleteRangeRemovesWhatIsBetweenItsBounds(t *testing.T) {
	t.Parallel()
	db := openMemory(t)
	b := db.NewBatch()
	for _, k := range []string{"a", "b", "c", "d"} {
		require.NoError(t, b.Set([]byte(k), nil))
	}
	require.NoError(t, b.DeleteRange([]byte("b"), []byte("d")))
	require.NoError(t, b.Set([]byte("c"), nil)) // later in the batch: stays
	require.NoError(t, db.ApplyLazily(b))
	require.Equal(t, []string{"a", "c", "d"}, keysOf(t, db, "a", "z", false))
}

// TestARangeIsOneMoment has a writer move a token from key to key, and readers
// that never see two of it, or none.
func TestARangeIsOneMoment(t *testing.T) {
	t.Parallel()
	db := openMemory(t)
	const moves, places = 2000, 16
	place := func(i int) []byte { return fmt.Appendf(nil, "place/%02d", i%places) }
	require.NoError(t, put(db, string(place(0)), "token"))
	done := make(chan struct{})
	var moved error
	var wg sync.WaitGroup
	wg.Go(func() {
		defer close(done)
		for i := range moves {
			b := db.NewBatch()
			c, err := Commit{}, errors.Join(b.Delete(place(i)), b.Set(place(i+1), []byte("token")))
			if err == nil {
				c, err = db.Apply(b)
			}
			if moved = errors.Join(err, c.Wait()); moved != nil {
				return
			}
		}
	})
	seen := make([]error, 4)
	for r := range seen {
		wg.Go(func() {
			for seen[r] == nil {
				tokens := 0
				err := db.Range([]byte("place/"), []byte("place0"), r%2 == 1, func(_, v []byte) (bool, error) {
					tokens++
					if !bytes.Equal(v, []byte("token")) {
						return false, fmt.Errorf("value %q", v)
					}
					return true, nil
				})
				if err == nil && tokens != 1 {
					err = fmt.Errorf("%d tokens", tokens)
				}
				seen[r] = err
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(append(seen, moved)...))
}

// TestConcurrentWritersKeepTheirOwnKeys has writers add to counters of their
// own, reading what they last wrote, while others read.
func TestConcurrentWritersKeepTheirOwnKeys(t *testing.T) {
	t.Parallel()
	db := openMemory(t)
	const writers, steps = 16, 100
	errs := make([]error, writers)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			own, next := fmt.Appendf(nil, "counter/%02d", w), fmt.Appendf(nil, "counter/%02d", (w+1)%writers)
			for i := range steps {
				v, _, err := db.Get(own)
				if err == nil && i > 0 && string(v) != fmt.Sprint(i-1) {
					err = fmt.Errorf("writer %d found %q after %d", w, v, i-1)
				}
				_, _, e := db.Get(next)
				err = errors.Join(err, e, put(db, string(own), fmt.Sprint(i)))
				if errs[w] = err; err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	for w := range writers {
		v, _, err := db.Get(fmt.Appendf(nil, "counter/%02d", w))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(steps-1), string(v))
	}
}
