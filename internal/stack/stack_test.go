package stack

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// where is the address of a place on the stack, which another has once it was
// moved.
func where(place *byte) uintptr { return uintptr(unsafe.Pointer(place)) }

// deep calls itself until about n bytes of stack are taken.
//
//go:noinline
func deep(n int) byte {
	var frame [512]byte
	frame[n%len(frame)] = 1
	if n <= 0 {
		return frame[0]
	}
	return deep(n-len(frame)) + frame[1]
}

// moved says whether a new goroutine's stack is moved by a deep call.
func moved(before func()) bool {
	answer := make(chan bool)
	go func() {
		var place byte
		before()
		from := where(&place)
		deep(room * 3 / 4)
		answer <- where(&place) != from
	}()
	return <-answer
}

func TestADeepCallMovesTheStackNoMore(t *testing.T) {
	t.Parallel()
	require.True(t, moved(func() {}), "there is nothing to be gained")
	require.False(t, moved(Grow))
}
