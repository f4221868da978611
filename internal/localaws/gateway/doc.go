// Package gateway stands in for an Amazon API Gateway HTTP API with one Lambda
// proxy integration on the $default route: an [http.Handler] that turns each
// request into an event of payload format 2.0, calls the [Function] with it,
// and writes what the function answers.
//
// It follows "Create AWS Lambda proxy integrations for HTTP APIs in API
// Gateway" of the API Gateway developer guide and "Quotas for configuring and
// running an HTTP API": the body limit of 10 MB, the integration timeout of
// 30 seconds, and the service's own answers
//
//	413 {"message":"Request Entity Too Large"}   the body is over the limit
//	429 {"message":"Too Many Requests"}          over the rate, where there is one
//	500 {"message":"Internal Server Error"}      the function failed, or its answer is malformed
//	503 {"message":"Service Unavailable"}        the function is throttled, or the integration timed out
//
// Unlike the service's, the 429 says in Retry-After when to come again.
//
// As in the service, a client that goes away does not stop the function.
//
// [HostGuard] is not part of API Gateway: it keeps web pages away from a local
// API that asks for no credentials.
package gateway
