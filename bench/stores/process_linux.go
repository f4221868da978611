package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// usage is what this process has used of the machine so far.
type usage struct {
	cpu     time.Duration // user and system
	written int64         // bytes sent to the disk: /proc/self/io, write_bytes
}

func used() (usage, error) {
	var ru syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &ru); err != nil {
		return usage{}, fmt.Errorf("read CPU time: %w", err)
	}
	written, err := field("/proc/self/io", "write_bytes:")
	return usage{cpu: time.Duration(ru.Utime.Nano() + ru.Stime.Nano()), written: written}, err
}

// settle waits until nothing is written any more, ten seconds at most: what a
// store does later belongs to the writes that made it necessary.
func settle() error {
	const still = 500 * time.Millisecond
	last, err := used()
	for waited := time.Duration(0); err == nil && waited < 10*time.Second; waited += still {
		time.Sleep(still)
		before := last
		if last, err = used(); last.written == before.written {
			break
		}
	}
	return err
}

// resident is the memory of this process in MB, all of it and without what is
// mapped from files.
func resident() (all, anonymous float64, err error) {
	kb, err := field("/proc/self/status", "VmRSS:")
	if err != nil {
		return 0, 0, err
	}
	anon, err := field("/proc/self/status", "RssAnon:")
	return float64(kb) / 1024, float64(anon) / 1024, err
}

// field is the number after name in a file of lines like "name: number".
func field(file, name string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(name)); ok {
			return strconv.ParseInt(string(bytes.Fields(rest)[0]), 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}

// onDisk is the space in MB that the files below dir take.
func onDisk(dir string) (float64, error) {
	var blocks int64
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		blocks += st.Blocks
		return nil
	})
	return float64(blocks) * 512 / (1 << 20), err
}
