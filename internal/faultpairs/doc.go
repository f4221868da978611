// Package faultpairs holds a test: every AWS call that the functions make, on
// every path through them, is made to fail in every way that counts, and
// afterwards all has to be well.
//
// A path is walked once without a fault, and the calls of each function are
// counted. Then it is walked again for each of those calls and each way to
// fail. So a call that is new is covered as soon as a path makes it, and every
// call in the adapters' source has to be on a path. With the race detector each
// call fails in one way, and its neighbour in the next: all are walked without.
//
//	faultpairs_test.go  the walks
//	paths_test.go       the paths
//	sites_test.go       that no call of the source is on none of them
//	account_test.go     the three functions and what an account does around them
//	client_test.go      who calls the API, and what they do when it fails
//	receiver_test.go    where deliveries arrive
//	ledger_test.go      what has to be true in the end
//
// The functions are what internal/wire makes of them, the services those of
// internal/localaws over their own protocols, and the clock is synctest's.
package faultpairs
