// Package deliver takes one batch of queue messages through: read the rows and
// the endpoints, decide, sign, post, record, and settle each message.
//
//	decide.go   pure: what to do with a message, from its row and its endpoint
//	apply.go    pure: the row after an attempt, or while it is held
//	deliver.go  the batch: decode, read, unseal, and one goroutine a message
//	admit.go    the breaker and the rate limits: now, or when
//	share.go    how many posts one endpoint may have under way
//	attempt.go  sign, post, record
//	settle.go   acknowledge, wait, copy, hold, or bury
//	learn.go    what the batch has shown of its endpoints
//
// Several messages of one delivery may be in the queue: a repeat, a copy whose
// original was not deleted, a return by the sweeper. Decide and Apply hold the
// rules that make them harmless; see docs/architecture.md.
package deliver
