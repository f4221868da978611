// Package contract holds what the API is asked and answers against its OpenAPI
// document. It is for tests: nothing that is deployed imports it.
//
// The document is written as YAML and served as JSON. That is made once, by the
// program in generate, and a test holds the two against each other.
package contract
