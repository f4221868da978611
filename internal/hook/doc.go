// Package hook holds the words that every other package speaks: Endpoint,
// Event, Delivery, Attempt, DeadLetter, the Message that carries a delivery
// through the queue, their states, and the kinds of error that callers can
// tell apart. It imports the standard library only and does no I/O.
//
// An Event is accepted once and fixed. Each Endpoint that matches it makes one
// Delivery. A delivery is carried by queue messages, tried in Attempts, and
// ends as delivered, dead or cancelled. A dead delivery leaves a DeadLetter,
// from which it can be replayed.
package hook
