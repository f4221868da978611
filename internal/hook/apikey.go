package hook

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Role says what the holder of an API key may do.
type Role string

// The roles.
const (
	RoleAdmin    Role = "admin"    // everything of its tenant
	RoleProducer Role = "producer" // post events, and read them by id
	RoleViewer   Role = "viewer"   // read everything of its tenant
	RoleMetrics  Role = "metrics"  // read the figures that count all tenants
)

// Roles lists every role, in the order in which they are shown.
func Roles() []Role { return []Role{RoleAdmin, RoleProducer, RoleViewer, RoleMetrics} }

// Valid says whether r is one of the roles.
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// APIKey is what is kept of an API key: everything but its secret. What its
// holder has is a text, ph_<id>_<secret>.
type APIKey struct {
	ID          string // a ULID without a prefix
	Tenant      string
	Role        Role
	Description string // the caller's own
	// Hash is the SHA-256 of the secret. A slow hash would protect what people
	// choose; of 32 random bytes there are too many to try, however quick the
	// hash.
	Hash      [sha256.Size]byte
	CreatedAt time.Time
}

// MaxDescription is how many characters the description of a key, or of an
// endpoint, may have.
const MaxDescription = 1000

const (
	keyPrefix   = "ph_"
	secretBytes = 32
)

// NewSecret gives the key a secret of 32 bytes from rand and returns the text
// that its holder gets. The text is not kept anywhere.
func (k *APIKey) NewSecret(rand io.Reader) (text string, err error) {
	var b [secretBytes]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", fmt.Errorf("make a key's secret: %w", err)
	}
	secret := hex.EncodeToString(b[:]) // without "_", which ends the id
	k.Hash = sha256.Sum256([]byte(secret))
	return keyPrefix + k.ID + "_" + secret, nil
}

// ParseAPIKey takes the text of a key apart: its id, and the SHA-256 of its
// secret, which APIKey keeps. ok is false for a text that can be no key's.
func ParseAPIKey(text string) (id string, hash [sha256.Size]byte, ok bool) {
	rest, isKey := strings.CutPrefix(text, keyPrefix)
	id, secret, two := strings.Cut(rest, "_")
	if !isKey || !two || !ValidKeyID(id) || !validSecret(secret) {
		return "", hash, false
	}
	return id, sha256.Sum256([]byte(secret)), true
}

// ValidKeyID says whether id can be a key's.
func ValidKeyID(id string) bool { return validULID(id) }

func validSecret(s string) bool {
	if len(s) != hex.EncodedLen(secretBytes) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
