package sqs

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
)

// state is where a message is between its send and its end.
type state uint8

const (
	delayed  state = iota // sent, and not yet to be received
	ready                 // visible
	inFlight              // received, and hidden until its visibility timeout ends
)

// message is what is kept in memory of a stored message. Times are Unix
// milliseconds.
type message struct {
	seq        uint64 // names the message in the store, with its queue's uid
	sent       int64  // first send; a move to a dead-letter queue keeps it
	first      int64  // first receive, 0 before
	taken      int64  // latest receive
	due        int64  // end of the delay or of the visibility timeout
	order      uint64 // place among the visible messages of the queue
	group      *group
	next, prev *message // neighbours in the group's visible messages
	receives   uint32   // in all queues it was in
	base       uint32   // receives when it arrived in this queue
	index      int32    // place in the queue's heap
	state      state
}

// receipt is what a receipt handle says: which receive of which message. A
// handle may delete its message at any later time, and change its visibility
// while its receive is the latest.
type receipt struct {
	queue, seq uint64
	epoch      uint32 // of the process that received: counts may repeat after a crash
	receive    uint32
}

const (
	receiptSize = 8 + 8 + 4 + 4 + 4
	// handleSize is the length of every receipt handle in characters.
	handleSize = (receiptSize*8 + 5) / 6
)

// append appends the handle of r to b.
func (r receipt) append(b []byte) []byte {
	var raw [receiptSize]byte
	binary.BigEndian.PutUint64(raw[0:], r.queue)
	binary.BigEndian.PutUint64(raw[8:], r.seq)
	binary.BigEndian.PutUint32(raw[16:], r.epoch)
	binary.BigEndian.PutUint32(raw[20:], r.receive)
	binary.BigEndian.PutUint32(raw[24:], crc32.ChecksumIEEE(raw[:24]))
	return base64.RawURLEncoding.AppendEncode(b, raw[:])
}

// parseReceipt reads a handle; ok is false when it is none of ours.
func parseReceipt(handle []byte) (r receipt, ok bool) {
	var raw [receiptSize]byte
	if len(handle) != handleSize {
		return receipt{}, false
	}
	if n, err := base64.RawURLEncoding.Strict().Decode(raw[:], handle); err != nil || n != receiptSize {
		return receipt{}, false
	}
	if crc32.ChecksumIEEE(raw[:24]) != binary.BigEndian.Uint32(raw[24:]) {
		return receipt{}, false
	}
	return receipt{
		queue:   binary.BigEndian.Uint64(raw[0:]),
		seq:     binary.BigEndian.Uint64(raw[8:]),
		epoch:   binary.BigEndian.Uint32(raw[16:]),
		receive: binary.BigEndian.Uint32(raw[20:]),
	}, true
}
