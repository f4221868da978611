package seal_test

import (
	"encoding/base64"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/seal"
)

func TestAKeyFileIsMadeOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, err := seal.KeyFile(dir)
	require.NoError(t, err)
	require.Len(t, key, seal.KeySize)
	path := filepath.Join(dir, "seal.key")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o600), info.Mode(), "a file of its owner's")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, base64.StdEncoding.EncodeToString(key)+"\n", string(text))

	again, err := seal.KeyFile(dir)
	require.NoError(t, err)
	require.Equal(t, key, again)
	parsed, err := seal.ParseKey(string(text))
	require.NoError(t, err)
	require.Equal(t, key, parsed, "POSTHORN_SEAL_KEY takes what the file holds")
	requireOnlyTheKey(t, dir)

	other, err := seal.KeyFile(t.TempDir())
	require.NoError(t, err)
	require.NotEqual(t, key, other)
}

func requireOnlyTheKey(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, seal.KeyFileName, entries[0].Name())
}

func TestStartsAtOnceGetTheSameKey(t *testing.T) {
	t.Parallel()
	for range 20 {
		dir := t.TempDir()
		keys := make([][]byte, 8)
		begin := make(chan struct{})
		var wg sync.WaitGroup
		for i := range keys {
			wg.Go(func() {
				<-begin
				var err error
				if keys[i], err = seal.KeyFile(dir); err != nil {
					t.Error(err)
				}
			})
		}
		close(begin)
		wg.Wait()
		for _, k := range keys {
			require.Len(t, k, seal.KeySize)
			require.Equal(t, keys[0], k)
		}
		requireOnlyTheKey(t, dir)
	}
}

// A start that was killed before its key got its name leaves nothing that
// counts.
func TestAHalfMadeKeyFileIsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "seal.key.123"), []byte("AAAA"), 0o600))
	key, err := seal.KeyFile(dir)
	require.NoError(t, err)
	again, err := seal.KeyFile(dir)
	require.NoError(t, err)
	require.Equal(t, key, again)
}

func TestAKeyFileForOthersEyesIsRefused(t *testing.T) {
	t.Parallel()
	for mode, refused := range map[fs.FileMode]bool{0o600: false, 0o400: false, 0o640: true, 0o604: true, 0o620: true, 0o601: true, 0o777: true} {
		dir := t.TempDir()
		key, err := seal.KeyFile(dir)
		require.NoError(t, err)
		path := filepath.Join(dir, seal.KeyFileName)
		require.NoError(t, os.Chmod(path, mode))
		again, err := seal.KeyFile(dir)
		if !refused {
			require.NoError(t, err)
			require.Equal(t, key, again)
			continue
		}
		require.Nil(t, again)
		requireSilent(t, err, key)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "run chmod 600 "+path)
	}
}

func TestAKeyFileWithOtherContentIsRefusedAndStays(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("QUJD", 1000)
	for _, content := range []string{"", "\n", "hello", "QUJDREVG", long, strings.Repeat("A", 43) + "=" + strings.Repeat("A", 44)} {
		dir := t.TempDir()
		path := filepath.Join(dir, seal.KeyFileName)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := seal.KeyFile(dir)
		require.ErrorContains(t, err, "the key file "+path+" has to be 32 random bytes in base64")
		require.ErrorContains(t, err, "put back what it held, or remove it")
		if len(content) > 4 {
			require.NotContains(t, err.Error(), content)
		}
		kept, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, content, string(kept))
	}
}

func TestAKeyFileThatCannotBeMadeIsNamed(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "missing")
	_, err := seal.KeyFile(dir)
	require.ErrorContains(t, err, "make key file "+filepath.Join(dir, "seal.key"))
	require.ErrorIs(t, err, fs.ErrNotExist)

	dir = t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "seal.key"), 0o700))
	_, err = seal.KeyFile(dir)
	require.ErrorContains(t, err, "read key file")
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	key := []byte("thirty-two bytes of a master key")
	text := base64.StdEncoding.EncodeToString(key)
	for _, form := range []string{text, text + "\n", " " + text + "\r\n"} {
		got, err := seal.ParseKey(form)
		require.NoError(t, err)
		require.Equal(t, key, got)
	}
	for _, form := range []string{
		"", text[:43], text + "=", text[1:], string(key), base64.StdEncoding.EncodeToString(key[:31]), base64.StdEncoding.EncodeToString(append([]byte{1}, key...)),
		text[:42] + "7=", base64.RawStdEncoding.EncodeToString(key), text + text, text[:20] + "*" + text[21:],
	} {
		got, err := seal.ParseKey(form)
		require.EqualError(t, err, "has to be 32 random bytes in base64, as `openssl rand -base64 32` prints them", form)
		require.Nil(t, got)
	}
}
