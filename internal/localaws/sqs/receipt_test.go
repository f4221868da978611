package sqs

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzReceipt: a receipt handle that is taken is one that was given out, to the
// letter.
func FuzzReceipt(f *testing.F) {
	f.Add(receipt{queue: 1, seq: 2, epoch: 3, receive: 4}.append(nil))
	f.Add([]byte{})
	f.Add(make([]byte, handleSize))
	f.Fuzz(func(t *testing.T, handle []byte) {
		if r, ok := parseReceipt(handle); ok {
			require.Equal(t, string(handle), string(r.append(nil)))
		}
	})
}
