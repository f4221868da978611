package dynamo

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// Names of the table's key attributes, its index, and its time to live.
const (
	PartitionKey      = "PK"
	SortKey           = "SK"
	Index             = "GSI1"
	IndexPartitionKey = "GSI1PK"
	IndexSortKey      = "GSI1SK"
	TTL               = "expires_at"
)

const (
	shards         = 4 // of a tenant's events of a day, an endpoint's deliveries, dead letters, counters
	versionStripes = 8 // copies of an endpoint-set version: one item serves 3,000 strongly consistent reads a second
	ulidLen        = 26
)

// item is an item, or a key, as the SDK takes it.
type item = map[string]types.AttributeValue

func key(pk, sk string) item {
	return item{PartitionKey: str(pk), SortKey: str(sk)}
}

// ulid is the id without its prefix.
func ulid(id string) string { return id[strings.IndexByte(id, '_')+1:] }

// shard spreads ULIDs. It looks at a character above the lowest ten bits, so
// that ids which differ in their lowest bits only stay together.
func shard(ulid string) string {
	return strconv.Itoa(strings.IndexByte(alphabet, ulid[ulidLen-3]) % shards)
}

func endpointsPK(tenant string) string { return "T#" + tenant }

const endpointSKPrefix = "EP#"

func endpointSK(id string) string { return endpointSKPrefix + ulid(id) }

func endpointKey(tenant, id string) item { return key(endpointsPK(tenant), endpointSK(id)) }

func versionKey(tenant string, stripe int) item {
	return key("T#"+tenant+"#VERSION", strconv.Itoa(stripe))
}

func stateKey(tenant, id string) item {
	return key("T#"+tenant+"#EP#"+ulid(id), "STATE")
}

// egressKey is where the slots of everybody's posts together are taken.
func egressKey() item { return key("LIMITS", "EGRESS") }

// sweepKey is where long-running processes agree on who of them sweeps.
func sweepKey() item { return key("SWEEP", "LEASE") }

func jobsPK(tenant string) string { return "T#" + tenant + "#JOB" }

func jobKey(tenant, id string) item { return key(jobsPK(tenant), ulid(id)) }

func dataKeyKey(tenant string) item { return key("T#"+tenant+"#SEAL", "KEY") }

const dayLayout = "20060102"

func eventsPK(tenant, day, shard string) string {
	return "T#" + tenant + "#EV#" + day + "#" + shard
}

// eventKey is where an event is kept, together with those whose ids differ from
// its own in the lowest seven bits alone: the events of one POST.
func eventKey(tenant, id string) item {
	block, _ := blockOf(ulid(id))
	return key(eventsPK(tenant, hook.IDTime(id).Format(dayLayout), shard(block)), block)
}

// blockOf takes a ULID apart into the one of its block, which is the lowest of
// it, and its number in there, 0 to 127: the lowest seven bits are the last
// character and two bits of the one before.
func blockOf(ulid string) (block string, number int) {
	high := strings.IndexByte(alphabet, ulid[ulidLen-2])
	low := strings.IndexByte(alphabet, ulid[ulidLen-1])
	return ulid[:ulidLen-2] + string([]byte{alphabet[high&^3], alphabet[0]}), high&3<<5 | low
}

// inBlock is the ULID with a number in a block.
func inBlock(block string, number int) string {
	high := strings.IndexByte(alphabet, block[ulidLen-2])
	return block[:ulidLen-2] + string([]byte{alphabet[high|number>>5&3], alphabet[number&31]})
}

// targetsKey is where the n-th part of the endpoints is kept that an event
// matched beyond the first ones.
func targetsKey(tenant, id string, n int) item {
	return key(targetsPK(tenant, id), fmt.Sprintf("%04d", n))
}

func targetsPK(tenant, id string) string { return "T#" + tenant + "#TO#" + ulid(id) }

const recipientsSKPrefix = "R"

// recipientsKey is where those endpoints are kept that an event did not match
// and was resent to.
func recipientsKey(tenant, id, shard string) item {
	return key(targetsPK(tenant, id), recipientsSKPrefix+shard)
}

func idempotencyKey(tenant, producerKey string) item {
	sum := sha256.Sum256([]byte(producerKey))
	return key("T#"+tenant+"#IK#"+hex.EncodeToString(sum[:]), "KEY")
}

func deliveriesPK(tenant, endpointID, shard string) string {
	return "T#" + tenant + "#EP#" + ulid(endpointID) + "#" + shard
}

const deliverySKPrefix = "DLV#"

func deliverySK(eventID string) string { return deliverySKPrefix + ulid(eventID) }

func deliveryKey(r hook.Ref) item {
	return key(deliveriesPK(r.Tenant, r.EndpointID, shard(ulid(r.EventID))), deliverySK(r.EventID))
}

func indexPK(tenant, endpointID string, status hook.Status, shard string) string {
	return "T#" + tenant + "#EP#" + ulid(endpointID) + "#" + strings.ToUpper(string(status)) + "#" + shard
}

// indexKeys returns the delivery's place in the index; ok is false when it has
// none.
func indexKeys(d *hook.Delivery) (pk, sk string, ok bool) {
	switch d.Status {
	case hook.Queued, hook.Retrying, hook.Held:
		sk = ulid(d.EventID)
	case hook.Dead:
		sk = hook.FormatTime(d.CompletedAt) + "#" + ulid(d.EventID)
	default:
		return "", "", false
	}
	return indexPK(d.Tenant, d.EndpointID, d.Status, shard(ulid(d.EventID))), sk, true
}

func attemptsPK(r hook.Ref) string {
	return "T#" + r.Tenant + "#AT#" + ulid(r.EventID) + "#" + ulid(r.EndpointID)
}

func attemptSK(number int) string { return fmt.Sprintf("%06d", number) }

func deadLettersPK(tenant, shard string) string { return "T#" + tenant + "#DLQ#" + shard }

func deadLetterKey(tenant, id string) item {
	return key(deadLettersPK(tenant, shard(ulid(id))), ulid(id))
}

// deadLetterGrowthKey is where the new dead letters of an hour are counted.
func deadLetterGrowthKey(tenant string, hour time.Time) item {
	return key("T#"+tenant+"#GROWTH", hour.UTC().Format("2006010215"))
}

// Sort keys of counters. Those by event type, of which there may be many with
// long names, have an item of their own: a write is billed by the size of the
// item, and most invocations count no events.
const (
	countersSK    = "COUNTERS"
	eventCountsSK = "EVENTS"
)

func countersPK(shard int) string { return "METRICS#" + strconv.Itoa(shard) }

func countersKey(shard int) item { return key(countersPK(shard), countersSK) }

func eventCountsKey(shard int) item { return key(countersPK(shard), eventCountsSK) }

// apiKeysPK is the partition of the keys of all tenants: a key is looked up by
// its id before anybody knows whose it is.
const apiKeysPK = "KEYS"

func apiKeyKey(id string) item { return key(apiKeysPK, id) }

func endpointCountsKey() item { return key("METRICS#ENDPOINTS", countersSK) }

// aboveAll is above every ULID.
const aboveAll = "~"

// ulidSpan returns the bounds of the ULIDs from since, inclusive, to until,
// exclusive, both of which may be zero, and below the ULID after, which may be
// empty.
func ulidSpan(since, until time.Time, after string) (from, below string) {
	from, below = "0", aboveAll
	if !since.IsZero() {
		from = lowest(since)
	}
	if !until.IsZero() {
		below = lowest(until)
	}
	if after != "" {
		below = min(below, after)
	}
	return from, below
}

// alphabet is that of a ULID's characters (https://github.com/ulid/spec).
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// lowest returns the smallest ULID of the moment t, or of the first whole
// millisecond after it: ULIDs count those alone. All ULIDs of moments before t
// are below it, all others are not.
func lowest(t time.Time) string {
	ms := max(t.UnixMilli(), 0)
	if t.After(time.UnixMilli(ms)) {
		ms++
	}
	b := []byte(strings.Repeat("0", ulidLen))
	for i := 9; i >= 0; i-- {
		b[i] = alphabet[ms&31]
		ms >>= 5
	}
	return string(b)
}
