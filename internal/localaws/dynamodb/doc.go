// Package dynamodb is a development stand-in for Amazon DynamoDB: an
// [http.Handler] that speaks the service's JSON protocol (AWS JSON 1.0, target
// DynamoDB_20120810) and keeps its items in the local default's store.
//
// It has the operations and parameters Posthorn uses, with the service's
// semantics, limits and error texts, and refuses everything else with an error
// that says so. Legacy parameters (Expected, KeyConditions and the like),
// local secondary indexes, streams, backups and PartiQL are not there.
//
// # Promises
//
//   - A write is on disk before it is answered, and a single item that is read
//     is on disk before it is shown: a loss of power undoes nothing that a
//     caller was told. (Entries of a global secondary index are eventually
//     consistent, as in the service: they may be shown a moment early.)
//   - Operations on one item happen one after another; a transaction happens
//     at once or not at all. So does a BatchWriteItem, which is more than the
//     service promises.
//   - Nothing of the data is kept in memory beyond the store's block cache.
//
// # Keys in the store
//
// Everything lives below the byte 'd'; a second byte says what it is:
//
//	d t <table name>                                 table definition, JSON
//	d n                                              last table number given out
//	d i <table> <bucket> <hash key> <sort key>       item
//	d x <table> <index> <bucket> <index hash key> <index sort key> <item key>   projected item
//	d e <table> <expiry> <item key>                  item that expires
//	d k <token>                                      idempotency token: digest, expiry
//	d o <expiry> <token>                             idempotency tokens by expiry
//
// where <table> is a number of four bytes, <bucket> two bytes of the hash key's
// hash (scan segments are ranges of it), <item key> what follows the table
// number in the item's own key, and key values are encoded so that byte order
// is the service's order (see keys.go).
package dynamodb
