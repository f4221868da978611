// Package reconcile finds what stands still because the queue has lost its
// message, and sends it again: it holds the stored events, deliveries and jobs
// against what would be recorded of them by now if a message carried them.
//
//	reconcile.go  a run, tenant by tenant, and what it counts
//	lost.go       pure: what proves that a message is lost, and what may be waiting
//	jobs.go       jobs whose next step nobody makes
//	recorded.go   deliveries of which something is recorded, through the index
//	events.go     deliveries of which nothing is recorded, through the events
//
// Nothing proves for certain that no message of a delivery is in the queue. So
// nothing is cut off that may be there: what is sent here is one message more,
// and the rules of one delivery, or of one job, drop what is too many; see
// docs/architecture.md. What is sent is noted in the row, so that the next run
// leaves it alone until as much time has passed again. A run that ends anywhere
// is made good by the next.
package reconcile
