package chaos

import (
	"hash/fnv"
	"time"
)

// dice makes choices. A choice follows from the seed, from what it is about,
// and from numbers that tell it from others.
type dice uint64

// roll returns a number from 0 to 1, below 1.
func (d dice) roll(about string, numbers ...int) float64 {
	h := fnv.New64a()
	word := func(n uint64) {
		for range 8 {
			if _, err := h.Write([]byte{byte(n)}); err != nil {
				return // a hash takes everything
			}
			n >>= 8
		}
	}
	word(uint64(d))
	if _, err := h.Write([]byte(about)); err != nil {
		return 0
	}
	for _, n := range numbers {
		word(uint64(n))
	}
	// FNV leaves its high bits nearly alone for the last bytes: mix them
	// (splitmix64, https://prng.di.unimi.it/splitmix64.c).
	x := h.Sum64()
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	x ^= x >> 31
	return float64(x>>11) / (1 << 53)
}

// pick returns a number from 0 to n, below n.
func (d dice) pick(n int, about string, numbers ...int) int {
	return int(d.roll(about, numbers...) * float64(n))
}

// around returns a time from half of mean to one and a half.
func (d dice) around(mean time.Duration, about string, numbers ...int) time.Duration {
	return mean/2 + time.Duration(d.roll(about, numbers...)*float64(mean))
}
