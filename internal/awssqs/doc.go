// Package awssqs is the only one that speaks to SQS: the queue of deliveries
// and its dead-letter queue. Nothing of the SDK shows outside.
//
//	queues.go   which queues, and how full they are
//	batch.go    batches of ten, partial failures, travelling together
//	send.go     into the queues
//	receive.go  visibility, and draining the dead-letter queue
//	create.go   making the queues, where no template does
package awssqs
