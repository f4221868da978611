// Package dynamo is the only one that speaks to DynamoDB: one table, with the
// keys PK and SK, the TTL attribute expires_at (Unix seconds) and one sparse
// index, GSI1, of keys only. Nothing of the SDK shows outside.
//
//	keys.go         every key, built in one place
//	item.go         attribute values to and from Go values
//	table.go        the table, and making it where no template does
//	call.go         calls, conflicts, retries
//	endpoint.go     endpoints, and how many there are
//	endpointset.go  all endpoints of a tenant, cached by version
//	event.go        events, written once
//	idempotency.go  idempotency keys
//	delivery.go     deliveries' rows and what is written with them
//	attempt.go      attempts
//	deadletter.go   dead letters
//	counters.go     what is counted, summed over all processes
//	list.go         lists: shards merged, newest first
//
// # Keys
//
//	item           PK                             SK
//	endpoint       T#<tenant>                     EP#<endpoint id>
//	set version    T#<tenant>#VERSION             <stripe>                  0 to 7
//	event          T#<tenant>#EV#<day>#<shard>    <event id>                day: YYYYMMDD, UTC
//	idempotency    T#<tenant>#IK#<hash>           KEY                       hash: SHA-256 of the key, base64url
//	delivery       T#<tenant>#EP#<ep>#<shard>     DLV#<event id>
//	attempt        T#<tenant>#AT#<event>#<ep>     <number>                  six digits, from 2 on
//	dead letter    T#<tenant>#DLQ#<shard>         <dead letter id>
//	counters       METRICS#<shard>                COUNTERS
//	endpoint count METRICS#ENDPOINTS              COUNTERS
//
//	GSI1           GSI1PK                               GSI1SK
//	delivery       T#<tenant>#EP#<ep>#RETRYING#<shard>  <event id>
//	               T#<tenant>#EP#<ep>#HELD#<shard>      <event id>
//	               T#<tenant>#EP#<ep>#DEAD#<shard>      <time of death>#<event id>   milliseconds since 1970, 13 digits
//
// Shards are 0 to 3. That of an event, a delivery or a dead letter follows from
// the ULID that it is sorted by, and leaves out that ULID's lowest bits; the
// counters' is drawn at random. Tenants hold no '#', so no two keys are alike.
//
// # Promises
//
// What has expired is not there for any read, whether or not DynamoDB has
// deleted it yet; it can be written anew. Reads are strongly consistent but for
// lists of retrying, held and dead deliveries, which go through the index.
//
// Attribute names are short, because they are billed with every item. An item
// is billed by the KB, so a long text is deflated where that saves a whole KB:
// it is then a binary attribute instead of a string.
package dynamo
