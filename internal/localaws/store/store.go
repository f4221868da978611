// Package store keeps the local default's data on disk: one ordered key-value
// space, shared by the stand-ins for AWS services, in a pebble database.
//
// A write is visible to every reader when Apply returns and on disk when the
// Commit that Apply returned has been waited for. Writes reach the log in the
// order in which they were applied, so what a later durable write depends on
// is durable too. Waits of concurrent writers are served by one fsync.
package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrLocked is returned by Open when another process has the same data open.
var ErrLocked = errors.New("the data folder is in use by another process")

// DB is an open store. It is safe for concurrent use.
type DB struct {
	p    *pebble.DB
	lock io.Closer
}

// Open opens the store in dir, making the folder if there is none. It returns
// ErrLocked, wrapped, when another process holds it.
func Open(dir string) (*DB, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create data folder: %w", err)
	}
	// pebble takes a lock of its own, but names neither the reason nor a
	// sentinel; taking ours first makes the refusal certain and clear.
	lock, err := vfs.Default.Lock(filepath.Join(dir, "POSTHORN.lock"))
	if err != nil {
		if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) { // no file to lock
			return nil, fmt.Errorf("lock data folder %s: %w", dir, err)
		}
		return nil, fmt.Errorf("lock data folder %s: %w (%w)", dir, ErrLocked, err)
	}
	db, err := OpenFS(vfs.Default, filepath.Join(dir, "db"))
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	db.lock = lock
	return db, nil
}

// OpenMemory opens an empty store that lives in memory, for tests.
func OpenMemory() (*DB, error) { return OpenFS(vfs.NewMem(), "db") }

// OpenFS opens the store in dir of disk. Tests pass a vfs.NewCrashableMem to see
// what is left after a loss of power.
func OpenFS(disk vfs.FS, dir string) (*DB, error) {
	p, err := pebble.Open(dir, options(disk))
	if err != nil {
		return nil, fmt.Errorf("open store in %s: %w", dir, err)
	}
	return &DB{p: p}, nil
}

// options are for a process that stays below 100 MB and shares two cores with
// those who call it.
func options(disk vfs.FS) *pebble.Options {
	o := &pebble.Options{
		FS:                 disk,
		FormatMajorVersion: pebble.FormatNewest,
		Logger:             quiet{},
		// A read of damaged data returns an error; pebble's own listener ends the process.
		EventListener: &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}},
		// Without cgo memtables and cached blocks are part of Go's heap, which
		// grows to a multiple of them before it is collected. Smaller ones are
		// written out, and merged, more often. The cache has to hold the indexes and
		// filters of what is read: a smaller one reads them again for each row.
		MemTableSize:                6 << 20,
		MemTableStopWritesThreshold: 4,
		CacheSize:                   32 << 20,
		// More small tables may wait at the top, to be merged together later:
		// filters keep reads from looking into each of them.
		L0CompactionThreshold: 8,
		L0StopWritesThreshold: 24,
		MaxOpenFiles:          256,
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	return o
}

// Close waits for background work and closes the store. Everything applied
// before is on disk afterwards.
func (db *DB) Close() error {
	err := errors.Join(db.Sync(), db.p.Close())
	if db.lock != nil {
		err = errors.Join(err, db.lock.Close())
	}
	return err
}

// Get returns a copy of the value of key; ok is false when there is none.
func (db *DB) Get(key []byte) (value []byte, ok bool, err error) {
	v, closer, err := db.p.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read store: %w", err)
	}
	value = append([]byte(nil), v...)
	return value, true, closer.Close()
}

// View calls read with the value of key, or not at all when there is none. The
// slice is valid during the call only.
func (db *DB) View(key []byte, read func(value []byte) error) error {
	v, closer, err := db.p.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read store: %w", err)
	}
	return errors.Join(read(v), closer.Close())
}

// Sync returns when everything applied before is on disk.
func (db *DB) Sync() error {
	// pebble's own LogData ends the process when the disk fails. A batch that
	// holds an empty note goes through the same log and reports the failure.
	b := db.NewBatch()
	if err := b.b.LogData(nil, nil); err != nil {
		return errors.Join(fmt.Errorf("sync store: %w", err), b.Close())
	}
	c, err := db.Apply(b)
	if err != nil {
		return err
	}
	return c.Wait()
}

// Range calls visit with each key in [lo, hi), ascending, or descending when
// reverse is set, until visit returns false. The slices are valid during the
// call only.
func (db *DB) Range(lo, hi []byte, reverse bool, visit func(key, value []byte) (bool, error)) (err error) {
	it, err := db.p.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	if err != nil {
		return fmt.Errorf("iterate store: %w", err)
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	first, next := it.First, it.Next
	if reverse {
		first, next = it.Last, it.Prev
	}
	for ok := first(); ok; ok = next() {
		v, err := it.ValueAndErr()
		if err != nil {
			return fmt.Errorf("iterate store: %w", err)
		}
		more, err := visit(it.Key(), v)
		if err != nil || !more {
			return err
		}
	}
	return it.Error()
}

// Batch is a set of changes that Apply makes at once or not at all. It is not
// safe for concurrent use.
type Batch struct{ b *pebble.Batch }

// NewBatch returns an empty batch.
func (db *DB) NewBatch() *Batch { return &Batch{b: db.p.NewBatch()} }

// Set gives key a value; both are copied.
func (b *Batch) Set(key, value []byte) error { return b.b.Set(key, value, nil) }

// Delete removes key, if it is there.
func (b *Batch) Delete(key []byte) error { return b.b.Delete(key, nil) }

// DeleteRange removes the keys in [lo, hi).
func (b *Batch) DeleteRange(lo, hi []byte) error { return b.b.DeleteRange(lo, hi, nil) }

// Close gives up a batch that is not applied.
func (b *Batch) Close() error { return b.b.Close() }

// Empty says that the batch holds no change.
func (b *Batch) Empty() bool { return b.b.Empty() }

// Commit is a write that is visible but may not be on disk yet.
type Commit struct{ b *pebble.Batch }

// Apply makes the changes visible to readers and returns without waiting for
// the disk. The batch must not be used again; the returned Commit must be
// waited for exactly once.
func (db *DB) Apply(b *Batch) (Commit, error) {
	if err := db.p.ApplyNoSyncWait(b.b, pebble.Sync); err != nil {
		return Commit{}, fmt.Errorf("write store: %w", err)
	}
	return Commit{b: b.b}, nil
}

// Wait returns when the write is on disk. The zero Commit is on disk already.
func (c Commit) Wait() error {
	if c.b == nil {
		return nil
	}
	if err := c.b.SyncWait(); err != nil {
		return fmt.Errorf("sync store: %w", err)
	}
	return c.b.Close()
}

// ApplyLazily makes the changes visible and leaves them to the next sync: for
// what costs no promise when a loss of power undoes it.
func (db *DB) ApplyLazily(b *Batch) error {
	if err := db.p.Apply(b.b, pebble.NoSync); err != nil {
		return fmt.Errorf("write store: %w", err)
	}
	return b.b.Close()
}

// quiet drops pebble's progress messages; its errors come back from calls. What
// it calls fatal, a list of its files that cannot be written, ends the process:
// the next start finds what was waited for.
type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf("store: "+format, args...))
}
