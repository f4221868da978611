package dynamo

import (
	"crypto/sha256"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"posthorn/internal/hook"
	"posthorn/internal/id"
)

const (
	goldenEvent    = "evt_01JCXZ5T5V8Q0R9A1B2C3D4E5F" // 2024-11-17T21:29:46.427Z
	goldenEndpoint = "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G"
)

func TestKeysAreTheGoldenOnes(t *testing.T) {
	t.Parallel()
	ref := hook.Ref{Tenant: "acme", EventID: goldenEvent, EndpointID: goldenEndpoint}
	for _, c := range []struct {
		name   string
		got    item
		pk, sk string
	}{
		{"endpoint", endpointKey("acme", goldenEndpoint), "T#acme", "EP#01JCXZ5T5V8Q0R9A1B2C3D4E5G"},
		{"endpoint-set version", versionKey("acme", 7), "T#acme#VERSION", "7"},
		{"endpoint state", stateKey("acme", goldenEndpoint), "T#acme#EP#01JCXZ5T5V8Q0R9A1B2C3D4E5G", "STATE"},
		{"data key", dataKeyKey("acme"), "T#acme#SEAL", "KEY"},
		{"event", eventKey("acme", goldenEvent), "T#acme#EV#20241117#2", "01JCXZ5T5V8Q0R9A1B2C3D4E40"},
		{"further targets", targetsKey("acme", goldenEvent, 3), "T#acme#TO#01JCXZ5T5V8Q0R9A1B2C3D4E5F", "0003"},
		{"resent to", recipientsKey("acme", goldenEvent, "2"), "T#acme#TO#01JCXZ5T5V8Q0R9A1B2C3D4E5F", "R2"},
		{"idempotency key", idempotencyKey("acme", "order-1"), "T#acme#IK#0bafe22156d2698c143b86040446d366ead863ba600d5c924f3d15c786ef4057", "KEY"},
		{"delivery", deliveryKey(ref), "T#acme#EP#01JCXZ5T5V8Q0R9A1B2C3D4E5G#2", "DLV#01JCXZ5T5V8Q0R9A1B2C3D4E5F"},
		{"attempt", key(attemptsPK(ref), attemptSK(12)), "T#acme#AT#01JCXZ5T5V8Q0R9A1B2C3D4E5F#01JCXZ5T5V8Q0R9A1B2C3D4E5G", "000012"},
		{"dead letter", deadLetterKey("acme", "dlq_01JCXZ5T5V8Q0R9A1B2C3D4H5H"), "T#acme#DLQ#1", "01JCXZ5T5V8Q0R9A1B2C3D4H5H"},
		{"new dead letters", deadLetterGrowthKey("acme", time.Date(2026, 11, 24, 13, 59, 0, 0, time.UTC)), "T#acme#GROWTH", "2026112413"},
		{"job", jobKey("acme", "job_01JCXZ5T5V8Q0R9A1B2C3D4E5J"), "T#acme#JOB", "01JCXZ5T5V8Q0R9A1B2C3D4E5J"},
		{"counters", countersKey(3), "METRICS#3", "COUNTERS"},
		{"counts of events", eventCountsKey(3), "METRICS#3", "EVENTS"},
		{"endpoint counts", endpointCountsKey(), "METRICS#ENDPOINTS", "COUNTERS"},
		{"everybody's slots", egressKey(), "LIMITS", "EGRESS"},
		{"lease of the sweep", sweepKey(), "SWEEP", "LEASE"},
		{"API key", apiKeyKey("01JCXZ5T5V8Q0R9A1B2C3D4E5H"), "KEYS", "01JCXZ5T5V8Q0R9A1B2C3D4E5H"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.pk, getStr(c.got, PartitionKey))
			require.Equal(t, c.sk, getStr(c.got, SortKey))
			require.Len(t, c.got, 2)
		})
	}
}

func TestTheIndexHoldsWhatIsQueuedAgainRetryingHeldOrDead(t *testing.T) {
	t.Parallel()
	died := time.Date(2026, 11, 24, 1, 2, 3, 4_000_000, time.UTC)
	for status, want := range map[hook.Status][2]string{
		hook.Retrying:  {"T#acme#EP#01JCXZ5T5V8Q0R9A1B2C3D4E5G#RETRYING#2", "01JCXZ5T5V8Q0R9A1B2C3D4E5F"},
		hook.Held:      {"T#acme#EP#01JCXZ5T5V8Q0R9A1B2C3D4E5G#HELD#2", "01JCXZ5T5V8Q0R9A1B2C3D4E5F"},
		hook.Dead:      {"T#acme#EP#01JCXZ5T5V8Q0R9A1B2C3D4E5G#DEAD#2", "2026-11-24T01:02:03.004Z#01JCXZ5T5V8Q0R9A1B2C3D4E5F"},
		hook.Queued:    {"T#acme#EP#01JCXZ5T5V8Q0R9A1B2C3D4E5G#QUEUED#2", "01JCXZ5T5V8Q0R9A1B2C3D4E5F"},
		hook.Delivered: {},
		hook.Cancelled: {},
	} {
		pk, sk, ok := indexKeys(&hook.Delivery{
			Ref: hook.Ref{Tenant: "acme", EventID: goldenEvent, EndpointID: goldenEndpoint}, Status: status, CompletedAt: died,
		})
		require.Equal(t, want, [2]string{pk, sk}, status)
		require.Equal(t, want[0] != "", ok, status)
	}
}

// ids draws prefixed ULIDs of any moment a ULID can have until the year 2500.
func ids(prefix string) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		ms := rapid.Int64Range(0, time.Date(2500, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()).Draw(t, "ms")
		return id.FromParts(prefix, time.UnixMilli(ms), rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(t, "entropy"))
	})
}

func tenants() *rapid.Generator[string] { return rapid.StringMatching(`[a-z0-9_-]{1,64}`) }

// thing is what a key is made of, whatever kind of key.
type thing struct {
	tenant, event, endpoint, dead, job, apiKey, producer string
	number                                               int // at least 2
	hour                                                 time.Time
}

func things(name string) *rapid.Generator[thing] {
	return rapid.Custom(func(t *rapid.T) thing {
		return thing{
			tenant: tenants().Draw(t, "tenant"+name), event: ids(hook.EventPrefix).Draw(t, "event"+name), endpoint: ids(hook.EndpointPrefix).Draw(t, "endpoint"+name),
			dead: ids(hook.DeadLetterPrefix).Draw(t, "dead letter"+name), job: ids(hook.JobPrefix).Draw(t, "job"+name), apiKey: ids("").Draw(t, "API key"+name),
			producer: rapid.StringN(1, 255, 255).Draw(t, "producer's key"+name), number: rapid.IntRange(2, 9_999).Draw(t, "number"+name),
			hour: time.Unix(rapid.Int64Range(0, 9_000_000).Draw(t, "half hour"+name)*1800, 0).UTC(),
		}
	})
}

// kind is a kind of key: how it is made of a thing, and what of the thing it
// has to tell.
type kind struct {
	make  func(thing) item
	tells func(thing) []string
}

// kinds are all of them, by the function that makes them.
func kinds() map[string]kind {
	ref := func(x thing) hook.Ref { return hook.Ref{Tenant: x.tenant, EventID: x.event, EndpointID: x.endpoint} }
	stripe := func(x thing) string { return strconv.Itoa(x.number % versionStripes) }
	counterShard := func(x thing) string { return strconv.Itoa(x.number % shards) }
	return map[string]kind{
		"endpointKey":   {func(x thing) item { return endpointKey(x.tenant, x.endpoint) }, func(x thing) []string { return []string{x.tenant, x.endpoint} }},
		"versionKey":    {func(x thing) item { return versionKey(x.tenant, x.number%versionStripes) }, func(x thing) []string { return []string{x.tenant, stripe(x)} }},
		"stateKey":      {func(x thing) item { return stateKey(x.tenant, x.endpoint) }, func(x thing) []string { return []string{x.tenant, x.endpoint} }},
		"egressKey":     {func(thing) item { return egressKey() }, func(thing) []string { return nil }},
		"sweepKey":      {func(thing) item { return sweepKey() }, func(thing) []string { return nil }},
		"jobKey":        {func(x thing) item { return jobKey(x.tenant, x.job) }, func(x thing) []string { return []string{x.tenant, x.job} }},
		"dataKeyKey":    {func(x thing) item { return dataKeyKey(x.tenant) }, func(x thing) []string { return []string{x.tenant} }},
		"eventKey":      {func(x thing) item { return eventKey(x.tenant, x.event) }, func(x thing) []string { // of its block
			block, _ := blockOf(ulid(x.event))
			return []string{x.tenant, hook.EventPrefix + block}
		}},
		"targetsKey":    {func(x thing) item { return targetsKey(x.tenant, x.event, x.number) }, func(x thing) []string { return []string{x.tenant, x.event, strconv.Itoa(x.number)} }},
		"recipientsKey": {func(x thing) item { return recipientsKey(x.tenant, x.event, counterShard(x)) }, func(x thing) []string { return []string{x.tenant, x.event, counterShard(x)} }},
		"idempotencyKey": {func(x thing) item { return idempotencyKey(x.tenant, x.producer) }, func(x thing) []string {
			return []string{x.tenant, fmt.Sprintf("%x", sha256.Sum256([]byte(x.producer)))}
		}},
		"deliveryKey": {func(x thing) item { return deliveryKey(ref(x)) }, func(x thing) []string { return []string{x.tenant, x.endpoint, x.event} }},
		"attemptSK": {
			func(x thing) item { return key(attemptsPK(ref(x)), attemptSK(x.number)) },
			func(x thing) []string { return []string{x.tenant, x.event, x.endpoint, strconv.Itoa(x.number)} },
		},
		"deadLetterKey":       {func(x thing) item { return deadLetterKey(x.tenant, x.dead) }, func(x thing) []string { return []string{x.tenant, x.dead} }},
		"deadLetterGrowthKey": {func(x thing) item { return deadLetterGrowthKey(x.tenant, x.hour) }, func(x thing) []string { return []string{x.tenant, x.hour.Truncate(time.Hour).Format(time.DateTime)} }},
		"countersKey":         {func(x thing) item { return countersKey(x.number % shards) }, func(x thing) []string { return []string{counterShard(x)} }},
		"eventCountsKey":      {func(x thing) item { return eventCountsKey(x.number % shards) }, func(x thing) []string { return []string{counterShard(x)} }},
		"endpointCountsKey":   {func(thing) item { return endpointCountsKey() }, func(thing) []string { return nil }},
		"apiKeyKey":           {func(x thing) item { return apiKeyKey(x.apiKey) }, func(x thing) []string { return []string{x.apiKey} }},
	}
}

// takenApart reads from a key which kind it is and what it was made of.
func takenApart(t require.TestingT, k item) (kind string, parts []string) {
	pk, sk := strings.Split(getStr(k, PartitionKey), "#"), getStr(k, SortKey)
	plain := func(text string) string { // a number without its zeros
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		return strconv.Itoa(n)
	}
	if pk[0] != "T" {
		switch strings.Join(pk, "#") + " " + sk {
		case "KEYS " + sk:
			return "apiKeyKey", []string{sk}
		case "LIMITS EGRESS":
			return "egressKey", nil
		case "SWEEP LEASE":
			return "sweepKey", nil
		case "METRICS#ENDPOINTS COUNTERS":
			return "endpointCountsKey", nil
		}
		require.Equal(t, []string{"METRICS", pk[1]}, pk)
		return map[string]string{"COUNTERS": "countersKey", "EVENTS": "eventCountsKey"}[sk], pk[1:]
	}
	tenant, event := pk[1], func(i int) string { return hook.EventPrefix + pk[i] }
	switch what := strings.Join(pk[2:min(3, len(pk))], "") + " " + strconv.Itoa(len(pk)); what {
	case " 2":
		return "endpointKey", []string{tenant, hook.EndpointPrefix + strings.TrimPrefix(sk, "EP#")}
	case "VERSION 3":
		return "versionKey", []string{tenant, sk}
	case "SEAL 3":
		return "dataKeyKey", []string{tenant}
	case "JOB 3":
		return "jobKey", []string{tenant, hook.JobPrefix + sk}
	case "GROWTH 3":
		hour, err := time.Parse("2006010215", sk)
		require.NoError(t, err)
		return "deadLetterGrowthKey", []string{tenant, hour.Format(time.DateTime)}
	case "EP 4":
		return "stateKey", []string{tenant, hook.EndpointPrefix + pk[3]}
	case "EP 5":
		return "deliveryKey", []string{tenant, hook.EndpointPrefix + pk[3], hook.EventPrefix + strings.TrimPrefix(sk, "DLV#")}
	case "EV 5":
		require.Equal(t, hook.IDTime(hook.EventPrefix+sk).Format("20060102"), pk[3], "its day")
		return "eventKey", []string{tenant, hook.EventPrefix + sk}
	case "TO 4":
		if shard, ok := strings.CutPrefix(sk, "R"); ok {
			return "recipientsKey", []string{tenant, event(3), shard}
		}
		return "targetsKey", []string{tenant, event(3), plain(sk)}
	case "IK 4":
		return "idempotencyKey", []string{tenant, pk[3]}
	case "AT 5":
		return "attemptSK", []string{tenant, event(3), hook.EndpointPrefix + pk[4], plain(sk)}
	case "DLQ 4":
		return "deadLetterKey", []string{tenant, hook.DeadLetterPrefix + sk}
	default:
		require.Fail(t, "no kind of key", "%s: %v %s", what, pk, sk)
		return "", nil
	}
}

// A key names one thing of one kind: both can be read from it. So no two things
// have one key.
func TestKeysCanBeTakenApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := things("").Draw(t, "thing")
		for name, k := range kinds() {
			got, parts := takenApart(t, k.make(x))
			require.Equal(t, name, got)
			require.Equal(t, k.tells(x), parts, name)
		}
		ref := hook.Ref{Tenant: x.tenant, EventID: x.event, EndpointID: x.endpoint}
		require.Equal(t, ref, refOf(ref.Tenant, ref.EndpointID, deliveryKey(ref)))
	})
}

// Two things that have all but one part in common have the same keys where that
// part is not told, and other keys where it is.
func TestDifferentThingsHaveDifferentKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x, other := things("").Draw(t, "thing"), things(" of the other").Draw(t, "other")
		y := x
		switch rapid.IntRange(0, 8).Draw(t, "what differs") {
		case 0:
			y.tenant = other.tenant
		case 1:
			y.event = other.event
		case 2:
			y.endpoint = other.endpoint
		case 3:
			y.dead = other.dead
		case 4:
			y.job = other.job
		case 5:
			y.apiKey = other.apiKey
		case 6:
			y.producer = other.producer
		case 7:
			y.number = other.number
		case 8:
			y.hour = other.hour
		}
		names := map[string]string{}
		for name, k := range kinds() {
			a, b := keyName(k.make(x)), keyName(k.make(y))
			require.Equal(t, slices.Equal(k.tells(x), k.tells(y)), a == b, "%s: %s and %s", name, a, b)
			for _, n := range slices.Compact([]string{a, b}) {
				require.Empty(t, names[n], "%s and %s have one key", names[n], name)
				names[n] = name
			}
		}
	})
}

// What makes a key in keys.go is among the kinds.
func TestEveryKindOfKeyIsHeld(t *testing.T) {
	t.Parallel()
	file, err := parser.ParseFile(token.NewFileSet(), "keys.go", nil, 0)
	require.NoError(t, err)
	found := []string{"attemptSK"} // whose partition is that of all attempts
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Name.Name == "key" || f.Type.Results == nil {
			continue
		}
		if result, ok := f.Type.Results.List[0].Type.(*ast.Ident); ok && result.Name == "item" {
			found = append(found, f.Name.Name)
		}
	}
	require.ElementsMatch(t, found, slices.Collect(maps.Keys(kinds())))
}

// The ids of one request's events differ in their lowest seven bits alone.
func TestIDsThatDifferInTheirLowestBitsShareAShard(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		entropy := rapid.SliceOfN(rapid.Byte(), 10, 10).Draw(t, "entropy")
		other := slices.Clone(entropy)
		other[9] ^= rapid.ByteRange(0, 127).Draw(t, "low bits")
		at := time.UnixMilli(rapid.Int64Range(0, 1<<41).Draw(t, "ms"))
		require.Equal(t, shard(ulid(id.FromParts("evt_", at, entropy))), shard(ulid(id.FromParts("evt_", at, other))))
	})
}

func TestShardsAreUsedEvenly(t *testing.T) {
	t.Parallel()
	source, used := id.NewSource(), map[string]int{}
	for range 4000 {
		used[shard(ulid(source.New("evt_", time.UnixMilli(1_700_000_000_000))))]++
	}
	require.Len(t, used, shards)
	for s, n := range used {
		require.InDelta(t, 1000, n, 200, "shard %s", s)
	}
}

func TestLowestParts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		eventID := ids(hook.EventPrefix).Draw(t, "id")
		made := hook.IDTime(eventID)
		at := made.Add(time.Duration(rapid.Int64Range(-3_000_000, 3_000_000).Draw(t, "nanoseconds")))
		// An id is at or above the bound exactly when its moment is not before.
		require.Equal(t, !made.Before(at), ulid(eventID) >= lowest(at), "%s and %s", made, at)
	})
	require.Equal(t, "00000000000000000000000000", lowest(time.Time{}))
}

func TestDeadDeliveriesSortByTheirDeath(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(n string) (time.Time, string) {
			d := &hook.Delivery{
				Ref: hook.Ref{Tenant: "acme", EventID: ids(hook.EventPrefix).Draw(t, "event"+n), EndpointID: goldenEndpoint}, Status: hook.Dead,
				CompletedAt: time.UnixMilli(rapid.Int64Range(0, 1<<43).Draw(t, "died"+n)).UTC(),
			}
			_, sk, ok := indexKeys(d)
			require.True(t, ok)
			return d.CompletedAt, sk
		}
		at, a := draw("1")
		bt, b := draw("2")
		if !at.Equal(bt) {
			require.Equal(t, at.Before(bt), a < b)
		}
	})
}

// The numbers of a block are those that id.Source.NewBatch gives.
func TestABlockIsAllThatDiffersInTheLowestSevenBits(t *testing.T) {
	t.Parallel()
	source := id.NewSource()
	for range 100 {
		ids := source.NewBatch("", time.UnixMilli(1_700_000_000_000), id.MaxBatch)
		for i, one := range ids {
			block, number := blockOf(one)
			require.Equal(t, ids[0], block)
			require.Equal(t, i, number)
			require.Equal(t, one, inBlock(block, number))
		}
	}
}
