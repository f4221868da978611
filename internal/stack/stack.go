// Package stack makes room on goroutines' stacks, once, for calls that go deep.
//
// A goroutine begins with a small stack. Each time that one is full, it is moved
// to another of twice the size, and every frame on it is looked at. A call of the
// AWS SDK goes through some sixty functions, so a goroutine that is made for one
// delivery, and ends with it, is moved four times: a tenth of the processor's time
// of a delivery (make bench-compare, BenchmarkDeliverBatchOfTen).
package stack

// room is what a call of the SDK takes, with a service in the same process behind
// it, in bytes.
const room = 40 << 10

// Grow makes room for a call of the AWS SDK: one move, while there is little to be
// moved. Where there is room already it does next to nothing.
//
//go:noinline
func Grow() {
	var frame [room]byte
	touch(&frame)
}

//go:noinline
func touch(frame *[room]byte) { frame[0] = 1 }
