// Package id makes the prefixed ULIDs that name things: endpoints, events, dead
// letters. A ULID (https://github.com/ulid/spec) sorts by the moment it was made.
package id

import (
	"crypto/rand"
	"io"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// entropyLen is how many bytes of a ULID follow its time.
const entropyLen = 10

// Source makes ids that nobody can guess. It is safe for concurrent use.
type Source struct {
	mu        sync.Mutex
	entropy   io.Reader
	monotonic *ulid.MonotonicEntropy
}

// NewSource returns a Source that draws from crypto/rand.
func NewSource() *Source { return newSource(rand.Reader) }

func newSource(entropy io.Reader) *Source {
	// Monotonic buffers: it reads some hundred ids' worth at a time.
	return &Source{entropy: entropy, monotonic: ulid.Monotonic(entropy, 0)}
}

// New returns prefix and a ULID of the moment at, in whole milliseconds. Ids
// made one after the other for the same millisecond sort in that order.
// Moments outside a ULID's range (1970 to the year 10889) count as its ends.
func (s *Source) New(prefix string, at time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := withTime(at)
	if s.monotonic.MonotonicRead(u.Time(), u[6:]) != nil {
		// The millisecond's numbers ran out (crypto/rand itself does not fail):
		// begin again at another random one.
		s.monotonic = ulid.Monotonic(s.entropy, 0)
		if err := s.monotonic.MonotonicRead(u.Time(), u[6:]); err != nil {
			panic("id: no entropy: " + err.Error())
		}
	}
	return encode(prefix, u)
}

// FromParts returns the id that follows from its parts alone: prefix, the
// moment at in whole milliseconds, and the first ten bytes of hash. The same
// parts make the same id, whoever makes it.
func FromParts(prefix string, at time.Time, hash []byte) string {
	u := withTime(at)
	copy(u[6:], hash[:min(len(hash), entropyLen)])
	return encode(prefix, u)
}

func withTime(at time.Time) ulid.ULID {
	ms := min(uint64(max(at.UnixMilli(), 0)), ulid.MaxTime())
	var u ulid.ULID
	u[0], u[1], u[2] = byte(ms>>40), byte(ms>>32), byte(ms>>24)
	u[3], u[4], u[5] = byte(ms>>16), byte(ms>>8), byte(ms)
	return u
}

func encode(prefix string, u ulid.ULID) string {
	b := make([]byte, len(prefix)+ulid.EncodedSize)
	copy(b, prefix)
	// The destination has the right size, which is all that can be wrong.
	if err := u.MarshalTextTo(b[len(prefix):]); err != nil {
		panic("id: " + err.Error())
	}
	return string(b)
}
