// Package runtimeapi runs a Lambda function from its deployment artefact: it
// starts real bootstrap processes, serves each the Lambda Runtime API, and
// hands it one invocation at a time.
//
// It follows "Using the Lambda runtime API for custom runtimes" and
// "Understanding the Lambda execution environment lifecycle" of the Lambda
// developer guide: an initialisation of at most 10 seconds, a process that
// outlives its invocations, a kill at the function's timeout, 6 MB of request
// and of answer, throttling at the concurrency limit. The Extensions API and
// response streaming are not served.
//
// # Environments
//
// Each process has a listener of its own, and so an environment of its own: it
// is always known which process an invocation is with, and a process that dies
// loses that invocation and no other. An environment is free again when its
// runtime asks for the next invocation, not when it answered the last: a Go
// handler that panics posts its error first and exits afterwards.
package runtimeapi
