// Package docstest holds the documents against the code: the calls that they
// print are made, and what they name has to exist. It is tests only.
//
//	markdown_test.go       the documents: fenced blocks, code spans, tables, headings
//	curl_test.go           a printed curl call as a request
//	answers_test.go        a printed answer against a real one
//	session_test.go        the sessions of README.md and docs/api.md against a running program
//	receivers_test.go      the receivers of docs/receiving.md against a running program
//	input_test.go          large and odd input against a running program
//	names_test.go          make targets, paths, tests, links, variables
//	api_test.go            routes and who may call them, error codes, statuses, metrics
//	architecture_test.go   the states of a delivery, kinds of items, promises and their tests
//	configuration_test.go  variables, YAML keys, flags, template parameters, and their defaults
package docstest
