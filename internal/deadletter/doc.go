// Package deadletter drains the dead-letter queue into entries that can be
// looked at, and replayed (package redrive).
//
//	judge.go    pure: what a message in the dead-letter queue means
//	sweep.go    drain the queue: bury, send back, or drop
//	notice.go   tell those who want to know
//
// An entry's id follows from the delivery, its generation and its time of
// death, and its row is marked in the same transaction, so that sweeping twice
// makes one entry.
package deadletter
