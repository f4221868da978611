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
	last      ulid.ULID // the highest one of its millisecond, when it was made
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
	return encode(prefix, s.next(at))
}

// next returns the next ULID of a moment. The lock is held.
func (s *Source) next(at time.Time) ulid.ULID {
	for {
		if u := s.draw(at); s.above(u) {
			s.last = u
			return u
		}
	}
}

// above says whether a ULID is above the last one, if that is of the same
// millisecond. The lock is held.
func (s *Source) above(u ulid.ULID) bool {
	return u.Time() != s.last.Time() || u.Compare(s.last) > 0
}

// draw returns a ULID above the one drawn before, if that was of the same
// millisecond. The lock is held.
func (s *Source) draw(at time.Time) ulid.ULID {
	u := withTime(at)
	if s.monotonic.MonotonicRead(u.Time(), u[6:]) != nil {
		// The millisecond's numbers ran out (crypto/rand itself does not fail):
		// begin again at another random one.
		s.monotonic, s.last = ulid.Monotonic(s.entropy, 0), ulid.ULID{}
		if err := s.monotonic.MonotonicRead(u.Time(), u[6:]); err != nil {
			panic("id: no entropy: " + err.Error())
		}
	}
	return u
}

// MaxBatch is how many ids NewBatch makes at most: what seven bits count.
const MaxBatch = 1 << 7

// NewBatch returns n ids, 1 to MaxBatch, of the moment at, in ascending order:
// they are the same but for their lowest seven bits, which count from 0. No
// other id has those bits in common with them, whichever call returns it.
func (s *Source) NewBatch(prefix string, at time.Time, n int) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	const low = len(ulid.ULID{}) - 1
	var u ulid.ULID
	for {
		u = s.draw(at)
		if u[low] &^= MaxBatch - 1; s.above(u) {
			break
		}
	}
	ids := make([]string, n)
	base := u[low]
	for i := range ids {
		u[low] = base | byte(i)
		ids[i] = encode(prefix, u)
	}
	u[low] = base | (MaxBatch - 1) // the rest of the block is nobody's
	s.last = u
	return ids
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
