// Package deadletter drains the dead-letter queue into entries that can be
// looked at and replayed.
//
//	judge.go    pure: what a message in the dead-letter queue means
//	sweep.go    drain the queue: bury, send back, or drop
//	replay.go   send one entry's delivery again, with a fresh budget
//
// An entry's id follows from the delivery, its generation and its time of
// death, and its row is marked in the same transaction, so that sweeping twice
// makes one entry.
package deadletter
