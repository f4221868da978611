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
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// files makes a folder with a program and a text, written at a time.
func files(t *testing.T, at time.Time) string {
	t.Helper()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"program": 0o700, "text": 0o600} {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte("this is "+name), mode))
		require.NoError(t, os.Chtimes(file, at, at))
	}
	return dir
}

func TestTheSameFilesMakeTheSameArchive(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"a.zip", "a.tar.gz"} {
		var archives [][]byte
		for i, at := range []time.Time{time.Unix(1e9, 0), time.Now()} {
			dir := files(t, at)
			pairs := []string{"config/text=" + dir + "/text", "bootstrap=" + dir + "/program"}
			if i > 0 {
				pairs[0], pairs[1] = pairs[1], pairs[0]
			}
			archive := filepath.Join(dir, kind)
			require.Zero(t, run(append([]string{archive}, pairs...), io.Discard))
			raw, err := os.ReadFile(archive)
			require.NoError(t, err)
			archives = append(archives, raw)
		}
		require.Equal(t, archives[0], archives[1], "%s: neither the order nor the time counts", kind)
		require.Equal(t, map[string]string{"bootstrap": "-rwxr-xr-x this is program", "config/text": "-rw-r--r-- this is text"}, contents(t, kind, archives[0]))
	}
}

// contents are an archive's files, with their modes.
func contents(t *testing.T, kind string, raw []byte) map[string]string {
	t.Helper()
	all := map[string]string{}
	if kind == "a.zip" {
		z, err := zip.NewReader(bytes.NewReader(raw), int64(len(raw)))
		require.NoError(t, err)
		for _, f := range z.File {
			r, err := f.Open()
			require.NoError(t, err)
			body, err := io.ReadAll(r)
			require.NoError(t, err)
			all[f.Name] = f.Mode().String() + " " + string(body)
		}
		return all
	}
	g, err := gzip.NewReader(bytes.NewReader(raw))
	require.NoError(t, err)
	for r := tar.NewReader(g); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		body, err := io.ReadAll(r)
		require.NoError(t, err)
		all[h.Name] = h.FileInfo().Mode().String() + " " + string(body)
	}
}

func TestSumsAreOfEveryFileButTheirOwn(t *testing.T) {
	t.Parallel()
	dir := files(t, time.Now())
	for range 2 {
		require.Zero(t, run([]string{"sums", dir}, io.Discard))
		got, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("%x  program\n%x  text\n", sha256.Sum256([]byte("this is program")), sha256.Sum256([]byte("this is text"))), string(got))
	}
}

func TestWhatCannotBePackedIsRefused(t *testing.T) {
	t.Parallel()
	dir := files(t, time.Now())
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"nothing":               {nil, 2, "Usage"},
		"another kind":          {[]string{dir + "/a.rar", "a=" + dir + "/text"}, 2, "must end in .zip or .tar.gz"},
		"no name":               {[]string{dir + "/a.zip", dir + "/text"}, 2, "must be NAME=FILE"},
		"a name outside":        {[]string{dir + "/a.zip", "../a=" + dir + "/text"}, 2, "must be NAME=FILE"},
		"a name twice":          {[]string{dir + "/a.zip", "a=" + dir + "/text", "a=" + dir + "/program"}, 2, "a is given twice"},
		"a file that is not":    {[]string{dir + "/a.zip", "a=" + dir + "/none"}, 1, "no such file"},
		"sums of what is not":   {[]string{"sums", dir + "/none"}, 1, "no such file"},
		"an archive in nowhere": {[]string{dir + "/none/a.zip", "a=" + dir + "/text"}, 1, "no such file"},
	} {
		var said bytes.Buffer
		require.Equal(t, c.code, run(c.args, &said), name)
		require.Contains(t, said.String(), c.says, name)
		require.NoFileExists(t, dir+"/a.zip")
	}
}
