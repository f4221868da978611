// Package post sends one signed request to an endpoint and says what came of
// it. Endpoints are strangers' addresses, so it dials nothing but what Rules
// allow, follows no redirect, uses no proxy, and reads no more of an answer
// than it needs.
//
//	url.go      what may be registered
//	address.go  what may be dialled
//	client.go   the request and its time limits
//	reason.go   what went wrong, in stable words
package post
