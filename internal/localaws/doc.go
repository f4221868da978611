// Package localaws is the local default: what an AWS account does around
// Posthorn's functions, in one process and on one folder of data.
//
//	store       the data folder: an embedded key-value store
//	sqs         SQS over its wire protocol
//	dynamodb    DynamoDB over its wire protocol
//	kms         KMS over its wire protocol
//	gateway     an API Gateway HTTP API in front of a function
//	poller      an event source mapping from a queue to a function
//	schedule    an EventBridge schedule
//	runtimeapi  the Lambda Runtime API, for functions that are real processes
//	inproc      an HTTP client whose requests stay in the process
//
// It is a development stand-in: it has what Posthorn uses, with AWS's
// semantics and error texts, and refuses the rest.
package localaws
