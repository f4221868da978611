// Package dynamo is the only package that speaks to DynamoDB. One table holds
// everything; keys.go builds every key:
//
//	item                  PK                           SK
//	endpoint              T#<tenant>                   EP#<ep>
//	endpoint-set version  T#<tenant>#VERSION           <stripe 0-7>
//	endpoint state        T#<tenant>#EP#<ep>           STATE
//	data key              T#<tenant>#SEAL              KEY
//	events of a POST      T#<tenant>#EV#<day>#<shard>  <block>
//	further targets       T#<tenant>#TO#<event>        <part>
//	resent to             T#<tenant>#TO#<event>        R<shard>
//	idempotency key       T#<tenant>#IK#<sha256>       KEY
//	delivery              T#<tenant>#EP#<ep>#<shard>   DLV#<event>
//	later attempt         T#<tenant>#AT#<event>#<ep>   <number>
//	dead letter           T#<tenant>#DLQ#<shard>       <dead letter>
//	new dead letters      T#<tenant>#GROWTH            <hour>
//	job                   T#<tenant>#JOB               <job>
//	counters              METRICS#<shard>              COUNTERS
//	counts of events      METRICS#<shard>              EVENTS
//	endpoint counts       METRICS#ENDPOINTS            COUNTERS
//	everybody's slots     LIMITS                       EGRESS
//	lease of the sweep    SWEEP                        LEASE
//	API key               KEYS                         <key>
//
// <ep>, <event>, <dead letter>, <job> and <key> are the ULIDs of the ids,
// without prefix; <block> is an event's with its lowest seven bits at zero: the
// events of one POST, whose ids differ in those alone, are one item, with their
// bodies deflated together. What is done to one of them for its expiry is done
// to all, and pays for all. The day and shard of an event, and the shard of a delivery
// and a dead letter, follow from those, so each has one place that its id
// names.
//
// The index GSI1 (keys only) holds deliveries that have a row while they are
// queued (again), retrying, held or dead:
//
//	GSI1PK  T#<tenant>#EP#<ep>#<STATUS>#<shard>
//	GSI1SK  <event>, or for the dead <time of death>#<event>
//
// The attribute expires_at (Unix seconds) is the table's time to live.
// DynamoDB deletes what has expired within days, so every read here hides it
// at once. Attribute names are short: an item is billed by its size, names
// included.
package dynamo
