package dynamo

import (
	"slices"
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
		{"event", eventKey("acme", goldenEvent), "T#acme#EV#20241117#2", "01JCXZ5T5V8Q0R9A1B2C3D4E5F"},
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

// Whatever is given, no two things have one key: the key can be taken apart.
func TestDifferentThingsHaveDifferentKeys(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := func(n string) (string, []item) {
			tenant := tenants().Draw(t, "tenant"+n)
			event, endpoint, dead := ids(hook.EventPrefix).Draw(t, "event"+n), ids(hook.EndpointPrefix).Draw(t, "endpoint"+n), ids(hook.DeadLetterPrefix).Draw(t, "dead"+n)
			number := rapid.IntRange(2, 999_999).Draw(t, "number"+n)
			producer := rapid.StringN(1, 255, 255).Draw(t, "key"+n)
			ref := hook.Ref{Tenant: tenant, EventID: event, EndpointID: endpoint}
			name := strings.Join([]string{tenant, event, endpoint, dead, producer, attemptSK(number)}, "\n")
			return name, []item{
				endpointKey(tenant, endpoint), versionKey(tenant, number%versionStripes), dataKeyKey(tenant), eventKey(tenant, event), idempotencyKey(tenant, producer),
				deliveryKey(ref), key(attemptsPK(ref), attemptSK(number)), deadLetterKey(tenant, dead), countersKey(number % shards), eventCountsKey(number % shards), endpointCountsKey(), apiKeyKey(ulid(event)),
			}
		}
		_, some := all("")
		names := make([]string, len(some))
		for i, it := range some {
			names[i] = keyName(it)
		}
		slices.Sort(names)
		require.Len(t, slices.Compact(names), len(some), "things of one kind and another")
	})
}

// A key names one thing alone: what it was made of can be read from it.
func TestKeysCanBeTakenApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ref := hook.Ref{Tenant: tenants().Draw(t, "tenant"), EventID: ids(hook.EventPrefix).Draw(t, "event"), EndpointID: ids(hook.EndpointPrefix).Draw(t, "endpoint")}
		pk := strings.Split(getStr(deliveryKey(ref), PartitionKey), "#")
		require.Equal(t, []string{"T", ref.Tenant, "EP", ulid(ref.EndpointID), pk[4]}, pk)
		require.Equal(t, ref, refOf(ref.Tenant, ref.EndpointID, deliveryKey(ref)))

		pk = strings.Split(getStr(eventKey(ref.Tenant, ref.EventID), PartitionKey), "#")
		require.Equal(t, []string{"T", ref.Tenant, "EV", hook.IDTime(ref.EventID).Format("20060102"), pk[4]}, pk)
		require.Contains(t, []string{"0", "1", "2", "3"}, pk[4])

		require.Equal(t, []string{"T", ref.Tenant, "AT", ulid(ref.EventID), ulid(ref.EndpointID)}, strings.Split(attemptsPK(ref), "#"))
	})
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
