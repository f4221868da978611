package doctor

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/awssqs"
	"posthorn/internal/dynamo"
	"posthorn/internal/seal"
)

func goodTable() *dynamo.Description {
	keys, index := dynamo.WantedKeys()
	return &dynamo.Description{
		Status: "ACTIVE", Keys: keys, TTL: dynamo.TTL, Recovery: true,
		Index: &dynamo.IndexDescription{Status: "ACTIVE", Keys: index, Projection: "KEYS_ONLY"},
	}
}

const (
	queueARN = "arn:aws:sqs:eu-central-1:123456789012:deliveries"
	deadARN  = "arn:aws:sqs:eu-central-1:123456789012:dead"
)

func goodQueues() (queue, dead *awssqs.Description) {
	dead = &awssqs.Description{ARN: deadARN, Visibility: 270 * time.Second, Retention: longestRetention, SSE: true}
	queue = &awssqs.Description{
		ARN: queueARN, Visibility: 270 * time.Second, Retention: longestRetention, SSE: true,
		Redrive: &awssqs.Redrive{DeadLetterARN: deadARN, MaxReceives: 5},
	}
	return queue, dead
}

func needs() Needs { return Needs{MaxReceives: 5, MaxAttempts: 5, DeliverTimeout: 45 * time.Second} }

// worse are the findings that are not fine, as "level says", each with what to do.
func worse(t *testing.T, findings []Finding) string {
	t.Helper()
	var b strings.Builder
	for _, f := range findings {
		if f.Level == Fine {
			require.Empty(t, f.Do)
			continue
		}
		require.NotEmpty(t, f.Do, f.Says)
		b.WriteString(string(f.Level) + " " + f.About + " " + f.Says + "\n")
	}
	return b.String()
}

func TestWhatIsAsItHasToBeIsFine(t *testing.T) {
	t.Parallel()
	queue, dead := goodQueues()
	require.Empty(t, worse(t, Table("hooks", goodTable())))
	require.Empty(t, worse(t, Queues("q", queue, "d", dead, needs())))
	require.Empty(t, worse(t, Key("k", &seal.KeyDescription{State: "Enabled", Symmetric: true})))
	dead.RedriveFrom = []string{queueARN}
	require.Empty(t, worse(t, Queues("q", queue, "d", dead, needs())))
	queue.SSE, queue.KMSKey = false, "alias/a"
	require.Empty(t, worse(t, Queues("q", queue, "d", dead, needs())))
}

func TestEachFaultOfATableIsFound(t *testing.T) {
	t.Parallel()
	for says, break1 := range map[string]func(d *dynamo.Description){
		"wrong table hooks is UPDATING":                                                        func(d *dynamo.Description) { d.Status = "UPDATING" },
		"wrong table hooks has the keys id:S alone, not PK:S and SK:S":                         func(d *dynamo.Description) { d.Keys = dynamo.Keys{Partition: "id:S"} },
		"wrong table hooks has the keys PK:S and SK:N, not PK:S and SK:S":                      func(d *dynamo.Description) { d.Keys.Sort = "SK:N" },
		"wrong table hooks has no index GSI1":                                                  func(d *dynamo.Description) { d.Index = nil },
		"wrong table hooks has the index GSI1 with the keys a:S alone, not GSI1PK:S and GSI1S": func(d *dynamo.Description) { d.Index.Keys = dynamo.Keys{Partition: "a:S"} },
		"wrong table hooks has the index GSI1 that is CREATING":                                func(d *dynamo.Description) { d.Index.Status = "CREATING" },
		"warning table hooks has the index GSI1 with the projection ALL":                       func(d *dynamo.Description) { d.Index.Projection = "ALL" },
		"wrong table hooks has no time to live":                                                func(d *dynamo.Description) { d.TTL = "" },
		"wrong table hooks has its time to live in ttl, not expires_at":                        func(d *dynamo.Description) { d.TTL = "ttl" },
		"warning table hooks has no point-in-time recovery":                                    func(d *dynamo.Description) { d.Recovery = false },
	} {
		d := goodTable()
		break1(d)
		found := worse(t, Table("hooks", d))
		require.Contains(t, found, says)
		require.Equal(t, 1, strings.Count(found, "\n"), found)
	}
}

func TestEachFaultOfTheQueuesIsFound(t *testing.T) {
	t.Parallel()
	for says, break1 := range map[string]func(queue, dead *awssqs.Description){
		"wrong queue q has no redrive policy":                                                 func(q, _ *awssqs.Description) { q.Redrive = nil },
		"wrong queue q moves its dead letters to " + queueARN + ", not to " + deadARN:         func(q, _ *awssqs.Description) { q.Redrive.DeadLetterARN = queueARN },
		"wrong queue q moves a message after 3 receives, and max_receive_count says 5":        func(q, _ *awssqs.Description) { q.Redrive.MaxReceives = 3 },
		"wrong queue q hides a received message for 4m29s, shorter than 4m30s":                func(q, _ *awssqs.Description) { q.Visibility = 269 * time.Second },
		"warning queue q delays every message by 5s":                                          func(q, _ *awssqs.Description) { q.Delay = 5 * time.Second },
		"wrong queue q keeps messages for 96h0m0s":                                            func(q, _ *awssqs.Description) { q.Retention = 96 * time.Hour },
		"wrong queue q is a FIFO queue":                                                       func(q, _ *awssqs.Description) { q.FIFO = true },
		"warning queue q is not encrypted at rest":                                            func(q, _ *awssqs.Description) { q.SSE = false },
		"wrong dead-letter queue d keeps messages for 96h0m0s":                                func(_, d *awssqs.Description) { d.Retention = 96 * time.Hour },
		"wrong dead-letter queue d has a redrive policy of its own":                           func(_, d *awssqs.Description) { d.Redrive = &awssqs.Redrive{} },
		"wrong dead-letter queue d has a redrive allow policy that does not name the queue q": func(_, d *awssqs.Description) { d.RedriveFrom = []string{} },
	} {
		queue, dead := goodQueues()
		break1(queue, dead)
		found := worse(t, Queues("q", queue, "d", dead, needs()))
		require.Contains(t, found, says)
		require.Equal(t, 1, strings.Count(found, "\n"), found)
	}
	queue, dead := goodQueues()
	n := needs()
	n.MaxAttempts = 6
	require.Contains(t, worse(t, Queues("q", queue, "d", dead, n)), "warning queue q moves a message after 5 receives, and the default retry policy makes 6 attempts")
	require.Empty(t, worse(t, Queues("q", queue, "d", nil, needs())), "one that could not be read is told of elsewhere")
	queue.Redrive = nil
	require.Contains(t, Queues("q", queue, "d", dead, needs())[2].Do, deadARN)
}

func TestEachFaultOfTheKeyIsFound(t *testing.T) {
	t.Parallel()
	for state, do := range map[string]string{"Disabled": "enable-key", "PendingDeletion": "cancel-key-deletion"} {
		f := Key("k", &seal.KeyDescription{State: state, Symmetric: true})
		require.Contains(t, worse(t, f), "wrong KMS key k is "+state)
		require.Contains(t, f[0].Do, do)
	}
	require.Contains(t, worse(t, Key("k", &seal.KeyDescription{State: "Enabled"})), "is no symmetric key")
}
