// Package chaos breaks everything around Posthorn's functions while they work,
// and then does the books: what was acknowledged against what arrived.
//
// The three functions are the real binaries behind the Lambda Runtime API, and
// SQS, DynamoDB, KMS, API Gateway, the event source mapping and the schedule
// are those of internal/localaws. Between them stands what breaks:
//
//	wire.go       AWS calls that are throttled, fail, hang, or lose their answers, and outages
//	functions.go  environments that are killed or freeze, batches that come twice or whose result is not heard
//	skew.go       clocks of environments that disagree
//	receiver.go   endpoints that fail, hang, reset connections, answer late, ask for patience, or are gone
//	operator.go   endpoints that are paused and resumed, secrets that are rotated, dead letters that are replayed
//
// secrecy.go reads every line that is logged meanwhile, at debug level, for the
// secrets, keys, queries and payloads that no log may show.
//
// producer.go posts events as producers do, again and again until they are
// accepted. ledger.go notes what they were told and what arrived; books.go
// compares the two, in the end, with what the API says. run.go is the order of
// it all, result.go what is printed.
//
// Every choice follows from the seed and from what it is about, such as the
// number of a call, and not from when it is made: the same seed makes the same
// choices, though what is under way at that moment may differ.
package chaos
