package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/stretchr/testify/require"
)

var errDisk = errors.New("input/output error")

// faultyFS makes the syncs of files fail, from when break is called: before
// they are done, or after.
type faultyFS struct {
	vfs.FS
	mode *atomic.Int32
}

const (
	healthy int32 = iota
	notSynced
	syncedButFailed
)

type faultyFile struct {
	vfs.File
	mode *atomic.Int32
}

func (f faultyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return faultyFile{file, f.mode}, nil
}

func (f faultyFS) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(from, to, c)
	if err != nil {
		return nil, err
	}
	return faultyFile{file, f.mode}, nil
}

func (f faultyFile) Sync() error     { return f.fail(f.File.Sync) }
func (f faultyFile) SyncData() error { return f.fail(f.File.SyncData) }

func (f faultyFile) fail(sync func() error) error {
	switch f.mode.Load() {
	case notSynced:
		return errDisk
	case syncedButFailed:
		return errors.Join(errDisk, sync())
	}
	return sync()
}

// TestADiskThatFailsIsReported breaks the disk once. What was waited for before
// stays, no later write claims to be on disk, and nothing later overtakes what
// may be lost.
func TestADiskThatFailsIsReported(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		mode     int32
		survives bool
	}{
		"the sync failed":                          {mode: notSynced, survives: false},
		"the sync was done but its answer was bad": {mode: syncedButFailed, survives: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewCrashableMem()
			faulty := faultyFS{disk, new(atomic.Int32)}
			db, err := OpenFS(faulty, "db")
			require.NoError(t, err)
			require.NoError(t, put(db, "before", "1"))

			faulty.mode.Store(tt.mode)
			require.ErrorIs(t, put(db, "during", "1"), errDisk)
			faulty.mode.Store(healthy)
			require.ErrorIs(t, put(db, "after", "1"), errDisk)
			require.ErrorIs(t, db.Sync(), errDisk)
			require.ErrorIs(t, db.Close(), errDisk)

			left := openFS(t, disk.CrashClone(vfs.CrashCloneCfg{}))
			requireKey(t, left, "before", true)
			requireKey(t, left, "during", tt.survives)
			requireKey(t, left, "after", false)
			require.NoError(t, put(left, "again", "1"))
		})
	}
}

// TestAReadThatFailsIsReported opens a store whose tables cannot be read.
func TestAReadThatFailsIsReported(t *testing.T) {
	t.Parallel()
	disk := vfs.NewCrashableMem()
	fillTables(t, disk)
	broken := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt && strings.HasSuffix(op.Path, ".sst") {
			return errDisk
		}
		return nil
	}))
	db := openFS(t, broken)

	_, _, err := db.Get(tableKey(0))
	require.ErrorIs(t, err, errDisk)
	require.ErrorIs(t, db.View(tableKey(0), func([]byte) error { return nil }), errDisk)
	require.ErrorIs(t, db.Range(nil, nil, false, everything), errDisk)
	require.ErrorIs(t, db.Range(nil, nil, true, everything), errDisk)
}

func TestAFolderThatCannotBeUsedIsNamed(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(t *testing.T, dir string) (opened string){
		"it is a file": func(t *testing.T, dir string) string {
			file := filepath.Join(dir, "data")
			require.NoError(t, os.WriteFile(file, []byte("x"), 0o600))
			return file
		},
		"it is below a file": func(t *testing.T, dir string) string {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "data"), []byte("x"), 0o600))
			return filepath.Join(dir, "data", "posthorn")
		},
		"the lock cannot be made": func(t *testing.T, dir string) string {
			require.NoError(t, os.Mkdir(filepath.Join(dir, "POSTHORN.lock"), 0o700))
			return dir
		},
		"the store's own folder is a file": func(t *testing.T, dir string) string {
			require.NoError(t, os.WriteFile(filepath.Join(dir, "db"), []byte("x"), 0o600))
			return dir
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where := t.TempDir()
			dir := spoil(t, where)
			for range 2 { // a refusal leaves no lock behind
				db, err := Open(dir)
				require.Error(t, err)
				require.Nil(t, db)
				require.NotErrorIs(t, err, ErrLocked)
				require.ErrorContains(t, err, where)
			}
		})
	}
}

func TestAFolderThatMayNotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	disk := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		return &fs.PathError{Op: "open", Path: op.Path, Err: fs.ErrPermission}
	}))
	_, err := OpenFS(disk, "db")
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "open store in db")
}

// TestDamagedFilesNeverBecomeWrongValues damages each file of a store in
// several ways. The store refuses to open, or a read fails, or each value that
// is found is one that was written; it never panics. Damage to a table is always
// noticed. Damage at the end of a log, or of the list of tables, looks like what
// a loss of power leaves: the log ends there.
func TestDamagedFilesNeverBecomeWrongValues(t *testing.T) {
	t.Parallel()
	noticed := map[string][]string{
		"sst":      {"emptied", "cut", "one bit", "zeros inside", "zeros at the end", "noise"},
		"MANIFEST": {"emptied", "one bit", "zeros inside", "noise"},
		"log":      {"one bit", "zeros inside"},
		"OPTIONS":  {"noise"}, // the rest is as tolerant as its parser
	}
	intact := vfs.NewCrashableMem()
	fillTables(t, intact)
	kinds := filesByKind(t, intact)
	for kind := range noticed {
		require.Contains(t, kinds, kind)
	}
	for kind, name := range kinds {
		for way, damage := range map[string]func(b []byte) []byte{
			"emptied":          func([]byte) []byte { return nil },
			"cut":              func(b []byte) []byte { return b[:len(b)/2] },
			"one bit":          func(b []byte) []byte { b[len(b)/3] ^= 4; return b },
			"zeros inside":     func(b []byte) []byte { clear(b[len(b)/4 : len(b)/2]); return b },
			"zeros at the end": func(b []byte) []byte { clear(b[len(b)/2:]); return b },
			"noise":            func(b []byte) []byte { rand.NewChaCha8([32]byte{}).Read(b); return b },
		} {
			t.Run(kind+"/"+way, func(t *testing.T) {
				t.Parallel()
				disk := intact.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
				rewrite(t, disk, "db/"+name, damage)
				err := readTables(disk)
				require.NotErrorIs(t, err, errWrongValue)
				if slices.Contains(noticed[kind], way) {
					require.Error(t, err)
				}
			})
		}
	}
}

// filesByKind is the newest file of each kind that has content.
func filesByKind(t *testing.T, disk vfs.FS) map[string]string {
	t.Helper()
	names, err := disk.List("db")
	require.NoError(t, err)
	slices.Sort(names)
	kinds := map[string]string{}
	for _, name := range names {
		st, err := disk.Stat("db/" + name)
		require.NoError(t, err)
		if st.Size() == 0 {
			continue
		}
		kind := strings.TrimPrefix(filepath.Ext(name), ".")
		if kind == "" {
			kind, _, _ = strings.Cut(name, "-")
		}
		kinds[kind] = name
	}
	return kinds
}

const tableEntries = 400

var errWrongValue = errors.New("a value that was never written")

func tableKey(i int) []byte { return fmt.Appendf(nil, "key/%06d", i) }

// tableValue follows from the key and cannot be compressed away.
func tableValue(key []byte) []byte {
	sum := sha256.Sum256(key)
	v := make([]byte, 2000)
	rand.NewChaCha8(sum).Read(v)
	return v
}

// fillTables leaves a store in folder "db" of disk, part of it in tables and
// part in the log.
func fillTables(t *testing.T, disk vfs.FS) {
	t.Helper()
	const half = tableEntries / 2
	for _, from := range []int{0, half} { // an open makes a table of what the log holds
		db, err := OpenFS(disk, "db")
		require.NoError(t, err)
		for i := range half {
			require.NoError(t, put(db, string(tableKey(from+i)), string(tableValue(tableKey(from+i)))))
		}
		require.NoError(t, db.Close())
	}
}

// readTables reads all there is, both ways, and complains of a wrong value.
func readTables(disk vfs.FS) (err error) {
	db, err := OpenFS(disk, "db")
	if err != nil {
		return err
	}
	check := func(k, v []byte) (bool, error) {
		if !bytes.Equal(v, tableValue(k)) {
			return false, errWrongValue
		}
		return true, nil
	}
	err = errors.Join(db.Range(nil, nil, false, check), db.Range(nil, nil, true, check))
	for i := range tableEntries {
		v, ok, e := db.Get(tableKey(i))
		if ok && !bytes.Equal(v, tableValue(tableKey(i))) {
			e = errWrongValue
		}
		err = errors.Join(err, e)
	}
	return errors.Join(err, db.Close())
}

func rewrite(t *testing.T, disk vfs.FS, name string, change func([]byte) []byte) {
	t.Helper()
	f, err := disk.Open(name)
	require.NoError(t, err)
	b, err := io.ReadAll(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	g, err := disk.Create(name, vfs.WriteCategoryUnspecified)
	require.NoError(t, err)
	if b = change(b); len(b) > 0 {
		_, err = g.Write(b)
		require.NoError(t, err)
	}
	require.NoError(t, g.Sync())
	require.NoError(t, g.Close())
}
