// Package wire joins the stages with the adapters: what each Lambda function
// and each mode of the program is made of. The same App serves as three
// functions in an account and as one process on a laptop.
//
//	aws.go        the SDK's configuration: an account's, or the local stand-in's
//	app.go        the parts: API handler, deliverer, sweeper, redriver, reconciler
//	function.go   the parts as Lambda functions, which flush their counts before they answer
//	metrics.go    stored counters, queue depths and endpoint counts as /metrics and /stats show them
package wire
