// Package redrive sends deliveries again, whatever has become of them.
//
//	again.go    one delivery, with a fresh budget of attempts
//	replay.go   one dead letter's delivery
//	resend.go   an event, to one endpoint or to all that match now
//	release.go  a held delivery, within its budget
//	lost.go     a delivery that the queue has lost, within its budget
//
// The message is in the queue before anything else changes: should the rest
// fail, the delivery goes its way all the same. The messages of a delivery tell
// each other apart by their generation and hop, so that doing it twice does no
// harm; see docs/architecture.md.
package redrive
