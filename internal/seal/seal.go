// Package seal keeps secrets at rest. What it seals can be opened for the same
// tenant and endpoint alone, by who may use the key that wraps the tenant's
// data key.
//
//	seal.go     Sealer: AES-256-GCM under one data key a tenant
//	cache.go    data keys that were unwrapped of late
//	kms.go      data keys wrapped by AWS KMS
//	master.go   data keys wrapped by a key of the operator's own
//	keyfile.go  that key as text, and in the file that local makes
//
// A sealed value is a version byte, a random nonce of 96 bits, the ciphertext
// and a tag of 128 bits. Its additional data are the version byte and the
// endpoint's id, so that a value which is moved to another endpoint does not
// open. Random nonces are safe for 2^32 values under one key (NIST SP 800-38D,
// section 8.3); a tenant has a few for each change of an endpoint.
//
// No error of this package holds a secret or a key.
package seal

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"time"

	"posthorn/internal/hook"
)

// KeySize is the length of every key here, in bytes: AES-256.
const KeySize = 32

// ErrDamaged: what was to be opened was changed, or belongs to another endpoint
// or tenant, or its data key did. Trying again does not help. Every other error
// is one of a service or of a setting, and may pass.
var ErrDamaged = fmt.Errorf("sealed data is damaged or belongs to another: %w", hook.ErrSealed)

// Keys stores the wrapped data keys.
type Keys interface {
	// DataKey returns the tenant's wrapped data key as of the call, or
	// hook.ErrNotFound.
	DataKey(ctx context.Context, tenant string) ([]byte, error)
	// AddDataKey stores the tenant's wrapped data key, unless it has one. kept
	// is the one that is stored afterwards: the first one stays for good.
	AddDataKey(ctx context.Context, tenant string, wrapped []byte) (kept []byte, err error)
}

// Wrapper makes data keys, and encrypts them such that they can be stored.
type Wrapper interface {
	// NewKey returns a new data key of KeySize random bytes, and what Unwrap
	// takes for it.
	NewKey(ctx context.Context, tenant string) (plain, wrapped []byte, err error)
	// Unwrap returns the data key that NewKey made for the same tenant.
	// ErrDamaged when wrapped is not that, or was made for another tenant.
	Unwrap(ctx context.Context, tenant string, wrapped []byte) (plain []byte, err error)
}

// Options of a Sealer. Keys and Wrapper are required; other zero fields take
// the defaults named.
type Options struct {
	Keys    Keys
	Wrapper Wrapper
	Tenants int              // data keys that are kept in memory at most; 1,000
	KeepFor time.Duration    // how long one is used before it is unwrapped again; 5 min
	Now     func() time.Time // time.Now
}

// Sealer seals and opens secrets. It is safe for concurrent use.
type Sealer struct {
	stored  Keys
	wrapper Wrapper
	known   *cache
}

// New returns a Sealer. It calls nothing.
func New(o Options) *Sealer {
	if o.Tenants <= 0 {
		o.Tenants = 1000
	}
	if o.KeepFor <= 0 {
		o.KeepFor = 5 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Sealer{stored: o.Keys, wrapper: o.Wrapper}
	s.known = &cache{load: s.load, now: o.Now, size: o.Tenants, keepFor: o.KeepFor}
	return s
}

// version begins every sealed value.
const version = 1

// Seal encrypts a secret of an endpoint. A tenant's first one makes its data
// key.
func (s *Sealer) Seal(ctx context.Context, tenant, endpointID string, plain []byte) ([]byte, error) {
	key, err := s.known.get(ctx, tenant, true)
	if err != nil {
		return nil, fmt.Errorf("seal a secret of %s: %w", endpointID, err)
	}
	sealed := make([]byte, 1, 1+len(plain)+key.Overhead())
	sealed[0] = version
	return key.Seal(sealed, nil, plain, additional(sealed, endpointID)), nil
}

// Open decrypts what Seal returned for the same tenant and endpoint. ErrDamaged
// when it is anything else.
func (s *Sealer) Open(ctx context.Context, tenant, endpointID string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 || sealed[0] != version {
		return nil, fmt.Errorf("open a secret of %s: %w", endpointID, ErrDamaged)
	}
	key, err := s.known.get(ctx, tenant, false)
	if errors.Is(err, hook.ErrNotFound) {
		// A caller must not take this for an endpoint that is not there.
		return nil, fmt.Errorf("open a secret of %s: %w: the tenant has no data key", endpointID, ErrDamaged)
	}
	if err != nil {
		return nil, fmt.Errorf("open a secret of %s: %w", endpointID, err)
	}
	plain, err := key.Open(nil, nil, sealed[1:], additional(sealed[:1], endpointID))
	if err != nil {
		return nil, fmt.Errorf("open a secret of %s: %w", endpointID, ErrDamaged)
	}
	return plain, nil
}

// load reads and unwraps the tenant's data key. Where there is none it is made,
// or the error is hook.ErrNotFound.
func (s *Sealer) load(ctx context.Context, tenant string, makes bool) (cipher.AEAD, error) {
	wrapped, err := s.stored.DataKey(ctx, tenant)
	if makes && errors.Is(err, hook.ErrNotFound) {
		return s.makeKey(ctx, tenant)
	}
	if err != nil {
		return nil, err
	}
	return s.unwrap(ctx, tenant, wrapped)
}

// makeKey makes the tenant's data key, unless another process was faster: then
// it is that one's. A key of a call that failed is stored or not; it is used by
// nobody before it is read from there.
func (s *Sealer) makeKey(ctx context.Context, tenant string) (cipher.AEAD, error) {
	plain, wrapped, err := s.wrapper.NewKey(ctx, tenant)
	if err != nil {
		return nil, fmt.Errorf("make data key of tenant %s: %w", tenant, err)
	}
	kept, err := s.stored.AddDataKey(ctx, tenant, wrapped)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(kept, wrapped) {
		return s.unwrap(ctx, tenant, kept)
	}
	return s.sealing(tenant, plain)
}

func (s *Sealer) unwrap(ctx context.Context, tenant string, wrapped []byte) (cipher.AEAD, error) {
	plain, err := s.wrapper.Unwrap(ctx, tenant, wrapped)
	if err != nil {
		return nil, fmt.Errorf("unwrap data key of tenant %s: %w", tenant, err)
	}
	return s.sealing(tenant, plain)
}

// sealing returns the cipher of a tenant's data key, and wipes the key.
func (s *Sealer) sealing(tenant string, plain []byte) (cipher.AEAD, error) {
	defer clear(plain)
	key, err := newCipher(plain)
	if err != nil {
		return nil, fmt.Errorf("data key of tenant %s: %w", tenant, err)
	}
	return key, nil
}

// newCipher returns AES-256-GCM under a key, which puts a random nonce before
// what it seals.
func newCipher(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("the key has %d bytes and not %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// additional is the additional data of what begins with head and belongs to
// whom name names.
func additional(head []byte, name string) []byte {
	return append(bytes.Clone(head), name...)
}
