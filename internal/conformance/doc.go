// Package conformance holds what Posthorn relies on in SQS, DynamoDB and KMS,
// as checks that any endpoint can be asked: each says how a service behaves,
// and which document of AWS says so. It is tests only.
//
//	check_test.go     what a check is, and a trial of it
//	target_test.go    who can be asked: the local default, and others by flag
//	report_test.go    the table of checks and targets
//	queues_test.go    SQS: queues and their attributes
//	send_test.go      SQS: sending, batches, sizes, delays, checksums
//	receive_test.go   SQS: receiving, visibility, deleting
//	redrive_test.go   SQS: dead-letter queues
//	items_test.go     DynamoDB: tables, items, updates, what is refused
//	condition_test.go DynamoDB: every condition, both halves
//	query_test.go     DynamoDB: queries, pages, filters, the index
//	batch_test.go     DynamoDB: batches
//	transact_test.go  DynamoDB: transactions
//	capacity_test.go  DynamoDB: what a call consumes
//	expiry_test.go    DynamoDB: time to live
//	alike_test.go     DynamoDB: random calls, answered alike by all
//	kms_test.go       KMS: data keys
//
// `make test` asks the local default (internal/localaws) alone, which needs
// nothing. `make conformance` starts DynamoDB Local and LocalStack, asks them
// too, and prints the table.
//
// Where a target differs from what AWS documents, the exception stands in the
// check: what the target does instead, and where that is known from. The check
// is made all the same, and has to fail in just that way, so that no exception
// outlives its reason.
package conformance
