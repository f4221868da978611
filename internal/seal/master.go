package seal

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

// idSize is the length of what a wrapped key says of the key that wrapped it.
const idSize = 8

// Master wraps data keys with a key of the operator's own, by AES-256-GCM with
// the tenant as additional data. It asks nobody.
type Master struct {
	head []byte // of all that it wraps: byMaster and the key's id
	key  cipher.AEAD
}

// NewMaster returns the Wrapper for a key of KeySize bytes.
func NewMaster(key []byte) (*Master, error) {
	c, err := newCipher(key)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	// The beginning of a hash says nothing of a random key, and tells a wrong
	// key from a damaged value.
	sum := sha256.Sum256(append([]byte("posthorn master key id\x00"), key...))
	return &Master{head: append([]byte{byMaster}, sum[:idSize]...), key: c}, nil
}

// NewKey implements Wrapper.
func (m *Master) NewKey(_ context.Context, tenant string) (plain, wrapped []byte, err error) {
	plain = make([]byte, KeySize)
	if _, err := rand.Read(plain); err != nil {
		return nil, nil, fmt.Errorf("make random bytes: %w", err)
	}
	return plain, m.key.Seal(bytes.Clone(m.head), nil, plain, additional(m.head, tenant)), nil
}

// Unwrap implements Wrapper.
func (m *Master) Unwrap(_ context.Context, tenant string, wrapped []byte) ([]byte, error) {
	switch {
	case len(wrapped) > 0 && wrapped[0] == byKMS:
		return nil, errors.New("it was wrapped by a KMS key, and POSTHORN_SEAL_KEY or a key file is set")
	case len(wrapped) < len(m.head) || wrapped[0] != byMaster:
		return nil, ErrDamaged
	case !bytes.HasPrefix(wrapped, m.head):
		return nil, errors.New("it was wrapped by another key than the one in POSTHORN_SEAL_KEY or the key file")
	}
	plain, err := m.key.Open(nil, nil, wrapped[len(m.head):], additional(m.head, tenant))
	if err != nil {
		return nil, ErrDamaged
	}
	return plain, nil
}
