// Pack makes the archives of a release: the same files make the same bytes,
// wherever and whenever that is done, so that anybody can build a release again
// and compare.
package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const usage = `Usage: pack ARCHIVE NAME=FILE...
       pack sums FOLDER

Write the files into ARCHIVE, a .zip or a .tar.gz, under their names, sorted, with
one time and one of two modes; or write FOLDER/SHA256SUMS, of every file in it.
`

func main() {
	os.Exit(run(os.Args[1:], os.Stderr))
}

// run does what the command line says, and returns the exit code.
func run(args []string, errOut io.Writer) int {
	var err error
	switch {
	case len(args) == 2 && args[0] == "sums":
		err = sums(args[1])
	case len(args) >= 2:
		err = pack(args[0], args[1:])
	default:
		err = errUsage
	}
	code := 0
	switch {
	case errors.Is(err, errUsage):
		code, err = 2, fmt.Errorf("%w\n%s", err, usage)
	case err != nil:
		code = 1
	}
	if err != nil {
		if _, failed := fmt.Fprintln(errOut, "pack:", err); failed != nil {
			return code // nowhere left to say it
		}
	}
	return code
}

var errUsage = errors.New("wrong usage")

// stamp is the time of every file: the first that a zip can hold.
func stamp() time.Time { return time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC) }

// entry is one file of an archive.
type entry struct {
	name string
	mode os.FileMode // 0755 or 0644
	body []byte
}

// pack writes an archive. Nothing is left of one that failed.
func pack(archive string, pairs []string) error {
	var write func(io.Writer, []entry) error
	switch {
	case strings.HasSuffix(archive, ".zip"):
		write = writeZip
	case strings.HasSuffix(archive, ".tar.gz"):
		write = writeTar
	default:
		return fmt.Errorf("%w: %s: must end in .zip or .tar.gz", errUsage, archive)
	}
	entries, err := read(pairs)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := write(&b, entries); err != nil {
		return fmt.Errorf("pack %s: %w", archive, err)
	}
	return os.WriteFile(archive, b.Bytes(), 0o644)
}

// read reads the files, each given as NAME=FILE, and sorts them by name.
func read(pairs []string) ([]entry, error) {
	entries := make([]entry, 0, len(pairs))
	for _, pair := range pairs {
		name, file, ok := strings.Cut(pair, "=")
		if !ok || name == "" || path.IsAbs(name) || path.Clean(name) != name || strings.HasPrefix(name, "..") {
			return nil, fmt.Errorf("%w: %q: must be NAME=FILE, with a name inside the archive", errUsage, pair)
		}
		info, err := os.Stat(file)
		if err != nil {
			return nil, err
		}
		body, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		e := entry{name: name, mode: 0o644, body: body}
		if info.Mode()&0o100 != 0 {
			e.mode = 0o755
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
	for i := 1; i < len(entries); i++ {
		if entries[i].name == entries[i-1].name {
			return nil, fmt.Errorf("%w: %s is given twice", errUsage, entries[i].name)
		}
	}
	return entries, nil
}

func writeZip(w io.Writer, entries []entry) error {
	z := zip.NewWriter(w)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: stamp()}
		h.SetMode(e.mode)
		f, err := z.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := f.Write(e.body); err != nil {
			return err
		}
	}
	return z.Close()
}

func writeTar(w io.Writer, entries []entry) error {
	g, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	t := tar.NewWriter(g)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Mode: int64(e.mode), Size: int64(len(e.body)), ModTime: stamp(), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(e.body); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), g.Close())
}

// sums writes SHA256SUMS as sha256sum -c reads it.
func sums(folder string) error {
	const file = "SHA256SUMS"
	entries, err := os.ReadDir(folder) // sorted by name
	if err != nil {
		return err
	}
	var b strings.Builder
	for _, e := range entries {
		if e.Name() == file || !e.Type().IsRegular() {
			continue
		}
		body, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256(body), e.Name())
	}
	return os.WriteFile(filepath.Join(folder, file), []byte(b.String()), 0o644)
}
