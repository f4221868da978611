// Package load drives a Posthorn from the outside and measures it.
//
// A run starts a receiver of its own, registers endpoints at it whose filter
// is an event type no other run uses, posts events, waits until everything
// that was accepted has arrived (or a bounded time), deletes the endpoints and
// returns a Result.
//
// Events are posted in one of two ways. A closed loop keeps a number of
// connections busy, each posting as soon as its last answer is in: it finds
// the highest throughput. An open loop posts at a fixed rate whether or not
// earlier answers are in, and counts every latency from the moment an event was
// planned to be sent, so that a server that stalls is charged for the events
// that had to wait behind the stall (no coordinated omission).
//
// The parts, each in its file: options, api (the endpoints of the run, and one
// event's POST), generate (the loops), receiver, ledger (what was posted,
// accepted and received, by sequence number), samples (percentiles), process
// (memory and CPU time from /proc), result, and stub (the cheapest server that
// behaves like a Posthorn, to find out what generator and receiver reach by
// themselves).
package load
