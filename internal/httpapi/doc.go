// Package httpapi serves Posthorn's HTTP API: the routes, the strict reading
// of requests, the shapes of the answers, and the one place where kinds of
// error become statuses (problem.go). What an event goes through is in package
// ingest; this package only hands it over.
//
// Rules that hold for every route: answers are JSON in snake_case with RFC 3339
// UTC times; errors are RFC 9457 problem documents, also for unknown paths and
// methods; a request that is refused has changed nothing. The route table says
// who may call what (auth.go), and that is settled before a handler runs.
package httpapi
