// Package ingest takes an event from a producer to the queue: it validates and
// compacts the payload, deduplicates by the producer's own id, matches the
// tenant's endpoints, stores the event and sends one message for each delivery.
//
// What Accept promises: when it returns without an error the event is stored
// and every one of its deliveries is in the queue. When it returns an error,
// nothing was acknowledged: the event may be stored and some of its messages
// sent, and the producer tries again. With an idempotency key the second try
// finds the first one's event and sends all its messages again, which is
// harmless, since messages of one delivery recognise each other.
//
//	ingest.go    one event, or a batch of them
//	own.go       Posthorn's own events
//	validate.go  what a producer may hand in
//	match.go     which endpoints an event goes to
//	backlog.go   how much waits in the queue
//	recovered.go  a panic in a goroutine
package ingest
