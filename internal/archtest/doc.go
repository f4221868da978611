// Package archtest holds the rules of who may import whom, and a few of style
// that no linter knows. It is tests only.
//
// Domain packages know the domain and the standard library. Whatever comes from
// outside (an AWS SDK, Lambda's types, a YAML library) is known to the one
// package that owns it, so that it can be replaced there, and so that a reader
// of a stage needs to know nothing else.
package archtest
