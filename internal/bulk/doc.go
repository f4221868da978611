// Package bulk does long work in steps: a wide fan-out, the release of what was
// held, the cancelling of it, a recovery, a replay of many dead letters.
//
// A job is an item of the store and a control message in the queue. Each step
// takes what the cursor names, saves how far it came, and sends the message for
// the next. A step that dies anywhere is done again by the same message, which
// the queue delivers once more; so everything in a step may happen twice, and
// none of it does harm twice.
//
// As with deliveries, a job's messages tell each other apart: the job names the
// hop and the id of the message that made its last step, and a message of a
// lower hop, or of the same hop and another id, is dropped. A step is saved
// before the next message is sent, on the revision it was computed from, so
// that of two messages of one hop only the first goes on.
//
//	start.go   a new job, a nudge for one that stands still, and its end before it is done
//	step.go    one message: which job, whether it counts, and on to the next
//	work.go    what a step of each kind of job does
package bulk
