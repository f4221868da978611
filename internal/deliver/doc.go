// Package deliver takes one batch of queue messages through: read the rows and
// the endpoints, decide, sign, post, record, and settle each message.
//
//	decide.go   pure: what to do with a message, from its row and its endpoint
//	apply.go    pure: the row after an attempt, or while it is held
//	deliver.go  the batch: decode, and one goroutine a delivery; a message, step by step
//	needs.go    what all this needs of others
//	prepare.go  read rows and endpoints, decide, admit
//	admit.go    the breaker and the rate limits: now, or when
//	share.go    how many posts one endpoint may have under way
//	material.go what is posted: the body, and what is sealed of the endpoint
//	attempt.go  sign, post, record
//	settle.go   acknowledge, wait, copy, hold, or bury
//	learn.go    what the batch has shown of its endpoints
//	guard.go    what panics is a trouble of our own
//
// Several messages of one delivery may be in the queue: a repeat, a copy whose
// original was not deleted, a return by the sweeper. Decide and Apply hold the
// rules that make them harmless; see docs/architecture.md.
package deliver
