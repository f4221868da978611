package dynamodb

import (
	"encoding/binary"
	"strings"
)

// Areas of the store: the first two bytes of every key of this package.
const (
	root         = 'd'
	areaTable    = 't'
	areaLastID   = 'n'
	areaItem     = 'i'
	areaIndex    = 'x'
	areaExpiry   = 'e'
	areaToken    = 'k'
	areaTokenOld = 'o'
)

// itemPrefixLen is the length of what stands before an item key's bucket.
const itemPrefixLen = 2 + 4

// buckets is how many slices the hash keys of a table are spread over.
const buckets = 1 << 16

func tableArea(area byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{root, area}, id)
}

// appendHashKey appends bucket and value of a hash key.
func appendHashKey(dst []byte, v *value) []byte {
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	if v.kind == kindN {
		dst = appendNumberKey(dst, v.text)
	} else {
		dst = append(dst, v.text...)
	}
	text := dst[at+4:]
	binary.BigEndian.PutUint16(dst[at:], uint16(fnv32(text)>>16))
	binary.BigEndian.PutUint16(dst[at+2:], uint16(len(text)))
	return dst
}

// Sort keys are written so that none begins another: a zero byte becomes
// 0x00 0xff, and 0x00 0x01 ends the value. Their order stays.
const (
	zeroEscape = "\x00\xff"
	terminator = "\x00\x01"
)

// appendSortKey appends the value of a sort key.
func appendSortKey(dst []byte, v *value) []byte {
	if v.kind == kindN {
		return appendNumberKey(dst, v.text)
	}
	return append(appendEscaped(dst, v.text), terminator...)
}

// appendEscaped appends what a sort key begins with whose value begins with s.
func appendEscaped(dst []byte, s string) []byte {
	for {
		i := strings.IndexByte(s, 0)
		if i < 0 {
			return append(dst, s...)
		}
		dst = append(append(dst, s[:i]...), zeroEscape...)
		s = s[i+1:]
	}
}

// after is the first key that does not begin with prefix and sorts behind it.
// It changes prefix, and returns nil when there is no such key.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			prefix[i]++
			return prefix[:i+1]
		}
	}
	return nil
}

// fnv32 is the FNV-1a hash, with a last mix that spreads it over the high bits.
func fnv32[T string | []byte](b T) uint32 {
	h := uint32(2166136261)
	for i := range len(b) {
		h = (h ^ uint32(b[i])) * 16777619
	}
	h ^= h >> 15
	h *= 0x2c1b3c6d
	return h ^ h>>12
}
