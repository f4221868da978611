// Package serve runs Posthorn as a long-running process on the SQS and
// DynamoDB of an account or an emulator: the same API, deliverer and sweeper as
// the three functions, on their own HTTP server, poller and timer. Any number of
// such processes share the services.
//
//	serve.go   the whole: start, stop, drain
//	queue.go   the queue as the poller takes it, and what goes back to it at the end
//	sweep.go   which of the processes sweeps
package serve
