package dynamo

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"posthorn/internal/hook"
)

// Names of the key attributes, and of the attribute that TTL looks at.
const (
	attrPK      = "PK"
	attrSK      = "SK"
	attrIndexPK = "GSI1PK"
	attrIndexSK = "GSI1SK"
	attrExpires = "expires_at"

	indexName = "GSI1"
)

const (
	shards  = 4 // of events, deliveries, dead letters, counters
	stripes = 8 // copies of an endpoint set's version
)

// key is the primary key of an item.
type key struct{ pk, sk string }

// attributes returns the key as an item of nothing else.
func (k key) attributes() item {
	return item{attrPK: text(k.pk), attrSK: text(k.sk)}
}

// item returns an empty item at the key, with room for n more attributes.
func (k key) item(n int) item {
	it := make(item, n+2)
	it[attrPK], it[attrSK] = text(k.pk), text(k.sk)
	return it
}

func keyOf(it item) key {
	var k key
	if v, ok := it[attrPK].(*types.AttributeValueMemberS); ok {
		k.pk = v.Value
	}
	if v, ok := it[attrSK].(*types.AttributeValueMemberS); ok {
		k.sk = v.Value
	}
	return k
}

const (
	endpointPrefix = "EP#"
	deliveryPrefix = "DLV#"
	countersSK     = "COUNTERS"
)

func tenantPK(tenant string) string { return "T#" + tenant }

func endpointKey(tenant, id string) key {
	return key{tenantPK(tenant), endpointPrefix + id}
}

func versionKey(tenant string, stripe int) key {
	return key{tenantPK(tenant) + "#VERSION", strconv.Itoa(stripe)}
}

// eventKey is where an event with a valid id is.
func eventKey(tenant, id string) key {
	return key{eventPK(tenant, dayOf(hook.IDTime(id)), shardOf(id)), id}
}

func eventPK(tenant, day string, shard int) string {
	return tenantPK(tenant) + "#EV#" + day + "#" + strconv.Itoa(shard)
}

// dayOf names the day of t in UTC.
func dayOf(t time.Time) string { return t.UTC().Format("20060102") }

func idempotencyKey(tenant, producerKey string) key {
	sum := sha256.Sum256([]byte(producerKey))
	return key{tenantPK(tenant) + "#IK#" + base64.RawURLEncoding.EncodeToString(sum[:]), "KEY"}
}

func deliveryKey(r hook.Ref) key {
	return key{deliveryPK(r.Tenant, r.EndpointID, shardOf(r.EventID)), deliveryPrefix + r.EventID}
}

func deliveryPK(tenant, endpoint string, shard int) string {
	return tenantPK(tenant) + "#EP#" + endpoint + "#" + strconv.Itoa(shard)
}

// indexKey is where the index holds a delivery; ok is false where it does not.
func indexKey(d *hook.Delivery) (k key, ok bool) {
	switch d.Status {
	case hook.Retrying, hook.Held:
		k.sk = d.EventID
	case hook.Dead:
		k.sk = deadSK(d.CompletedAt, d.EventID)
	default:
		return key{}, false
	}
	k.pk = indexPK(d.Tenant, d.EndpointID, d.Status, shardOf(d.EventID))
	return k, true
}

func indexPK(tenant, endpoint string, status hook.Status, shard int) string {
	return tenantPK(tenant) + "#EP#" + endpoint + "#" + strings.ToUpper(string(status)) + "#" + strconv.Itoa(shard)
}

func deadSK(at time.Time, eventID string) string {
	return fmt.Sprintf("%013d#%s", at.UnixMilli(), eventID)
}

func attemptKey(r hook.Ref, number int) key {
	return key{attemptPK(r), fmt.Sprintf("%06d", number)}
}

func attemptPK(r hook.Ref) string {
	return tenantPK(r.Tenant) + "#AT#" + r.EventID + "#" + r.EndpointID
}

func deadLetterKey(tenant, id string) key {
	return key{deadLetterPK(tenant, shardOf(id)), id}
}

func deadLetterPK(tenant string, shard int) string {
	return tenantPK(tenant) + "#DLQ#" + strconv.Itoa(shard)
}

func countersKey(shard int) key {
	return key{"METRICS#" + strconv.Itoa(shard), countersSK}
}

func endpointCountsKey() key { return key{"METRICS#ENDPOINTS", countersSK} }

// shardOf returns the shard of a valid id. It comes from the third character
// from the end, so that ids that differ in their lowest bits alone, which are
// those of one request, share a shard.
func shardOf(id string) int {
	if len(id) < 3 {
		return 0
	}
	return strings.IndexByte(crockford, id[len(id)-3]) & (shards - 1)
}

// crockford is the alphabet of a ULID (https://github.com/ulid/spec).
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// maxULIDTime is the last millisecond that a ULID counts.
const maxULIDTime = 1<<48 - 1

// firstID returns the lowest id with that prefix of the moment at, rounded up
// to whole milliseconds. Moments outside a ULID's range count as its ends.
func firstID(prefix string, at time.Time) string {
	ms := at.UnixMilli()
	if at.After(time.UnixMilli(ms)) {
		ms++
	}
	ms = min(max(ms, 0), maxULIDTime)
	b := []byte(prefix + "00000000000000000000000000")
	for i := len(prefix) + 9; i >= len(prefix); i-- {
		b[i] = crockford[ms&31]
		ms >>= 5
	}
	return string(b)
}

// lastID returns the highest id there is with that prefix.
func lastID(prefix string) string { return prefix + "7ZZZZZZZZZZZZZZZZZZZZZZZZZ" }

// before returns an upper bound, inclusive, for what sorts before s, among
// strings of the same length as s.
func before(s string) string { return s[:len(s)-1] + string(s[len(s)-1]-1) }

// span returns the lowest and the highest id with that prefix from since
// (inclusive) to until (exclusive), both of which may be zero, and below
// after, which may be empty.
func span(prefix string, since, until time.Time, after string) (lo, hi string) {
	lo, hi = prefix, lastID(prefix)
	if !since.IsZero() {
		lo = firstID(prefix, since)
	}
	if !until.IsZero() {
		hi = before(firstID(prefix, until))
	}
	if after != "" {
		hi = min(hi, before(after))
	}
	return lo, hi
}
