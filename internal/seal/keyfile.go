package seal

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// KeyFileName is the key file's name in its folder.
const KeyFileName = "seal.key"

var errNoKey = errors.New("has to be 32 random bytes in base64, as `openssl rand -base64 32` prints them")

// ParseKey reads a key from its text, as POSTHORN_SEAL_KEY and a key file hold
// it: base64 of KeySize bytes. White space around it is left out. The error
// does not show the text.
func ParseKey(text string) ([]byte, error) {
	key, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(text))
	if err != nil || len(key) != KeySize {
		return nil, errNoKey
	}
	return key, nil
}

// KeyFile returns the key that is kept in the folder dir. Where there is none
// it is made, for its owner's eyes only; of several processes that do so at
// once all get the same. A file that others may read, or that holds something
// else, is an error: a new key would open nothing of what the old one sealed.
func KeyFile(dir string) ([]byte, error) {
	path := filepath.Join(dir, KeyFileName)
	key, err := readKeyFile(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	if err := makeKeyFile(dir, path); err != nil {
		return nil, fmt.Errorf("make key file %s: %w", path, err)
	}
	return readKeyFile(path)
}

// longestKeyFile is more than any key file has, in bytes.
const longestKeyFile = 1 << 10

func readKeyFile(path string) (key []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("others may use the key file %s (its mode is %04o): run chmod 600 %[1]s", path, mode)
	}
	text, err := io.ReadAll(io.LimitReader(file, longestKeyFile))
	if err != nil {
		return nil, fmt.Errorf("read key file: %w", err)
	}
	key, err = ParseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("the key file %s %w: put back what it held, or remove it with all that was sealed by it", path, err)
	}
	return key, nil
}

// makeKeyFile makes the file unless it is there. It is never seen half-written,
// and never written over.
func makeKeyFile(dir, path string) (err error) {
	temp, err := os.CreateTemp(dir, KeyFileName+".*") // of mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	if err := writeKey(temp); err != nil {
		return err
	}
	// A link, unlike a rename, fails when another process has been faster.
	if err := os.Link(temp.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(dir)
}

// writeKey brings a new key to disk.
func writeKey(file *os.File) error {
	key := make([]byte, KeySize)
	_, err := rand.Read(key)
	if err == nil {
		_, err = file.WriteString(base64.StdEncoding.EncodeToString(key) + "\n")
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// syncFolder brings the names of a folder's files to disk: a key that a loss of
// power undid would leave what it sealed behind.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
