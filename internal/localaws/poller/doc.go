// Package poller stands in for a Lambda event source mapping of an SQS queue:
// it receives messages, hands them to the [Function] in batches, and deletes
// what the function did not report as failed.
//
// # What happens to a message
//
// It follows "Using Lambda with Amazon SQS" and "Handling errors for an SQS
// event source in Lambda" of the Lambda developer guide, with
// ReportBatchItemFailures turned on:
//
//   - No failure reported: all messages of the batch are deleted.
//   - Some reported: the others are deleted. The reported ones are left alone,
//     so that a visibility timeout which the function set stays.
//   - The function failed, or its report is malformed (an empty identifier, one
//     of no message in the batch): nothing is deleted, and the batch is visible
//     again when the queue's visibility timeout ends.
//
// A message may be handed on more than once: a delete can be lost, and SQS
// itself delivers at least once.
//
// # Places
//
// So many messages may be in the function at once. One that is over gives its
// place back at once where the function says so: what else travelled in its batch
// may take its time. Its delete waits for the end of the batch, as the report
// does.
//
// # Batches and latency
//
// A message that arrives at a poller with little to do is handed on at once,
// alone. While messages are in work, receives are spaced by a short window, so
// that what arrives meanwhile travels as one batch; see [Options]. A queue with
// a backlog fills every batch without waiting.
package poller
