// Package e2e holds the tests of the whole: a producer's request in, a signed
// post at a receiver out, and everything between as it runs for people. The
// same stories are told of two systems:
//
//   - in process, as `posthorn local` runs
//   - three built bootstrap binaries behind the Lambda Runtime API, driven by
//     real API Gateway v2 and SQS events
//
// With -localstack, they are told of the bootstraps on LocalStack instead, on
// what its CloudFormation has made of template.yaml, and with -dynamodb-local on
// DynamoDB Local behind DynamoDB once more: `make oracle-e2e`.
//
// And of a real `posthorn local` that is killed again and again, and of several
// `posthorn serve` that share one account: with -slow, for a minute (`make slow`).
package e2e
