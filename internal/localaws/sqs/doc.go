// Package sqs is a development stand-in for the standard queues of Amazon SQS:
// an [http.Handler] that speaks the service's AWS JSON 1.0 protocol, so that
// the AWS SDKs and the AWS CLI talk to it as they talk to the service, and
// keeps its queues in a [store.DB].
//
// It follows the service's documented semantics, limits, error codes and error
// texts. What it does not implement (FIFO queues, policies, KMS keys,
// permissions) is refused with an error that says so; nothing is accepted and
// ignored, except SqsManagedSseEnabled, which no client can observe.
//
// # What survives what
//
// A send is answered when the message is on disk. Deletes, receive counts and
// moves to a dead-letter queue reach the disk with the next send or on Close:
// a loss of power may bring back a deleted message or forget a receive, which
// at-least-once delivery allows, and never loses a message, since a move is one
// atomic batch. Visibility timeouts are not stored: what a dead process had in
// flight is visible again when the next one starts, while delays remain.
//
// # How it stays fast
//
// Each message is a record of about a hundred bytes in memory; its body and
// attributes stay in the store and are read when it is received. Every record
// is in the timer heap of its queue, keyed by what happens to it next (it
// becomes visible, or its retention ends), and, while visible, in the list of
// its message group. All operations on a message are O(log n).
//
// # Keys in the store
//
//	sqs/epoch                      how many times the store was opened, uint64
//	sqs/q/<name>                   the queue's settings, JSON
//	sqs/m/<queue uid><sequence>    the message as sent; see stored
//	sqs/r/<queue uid><sequence>    its receive count and time of first receive
//
// Uids and sequence numbers are big-endian uint64 that are never used again.
package sqs
