package conformance

import (
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"posthorn/internal/dynamo"
)

// takeOwnTable gives the trial a table of its own: what one leaves behind may
// keep a target from sweeping for the others.
func (t *trial) takeOwnTable() {
	t.table = t.name()
	t.makeTable(t.table)
}

// makeTable makes a table as Posthorn does, and deletes it when the trial is
// over. A sweep must not find a table that goes.
func (t *trial) makeTable(name string) {
	t.target.sweeping.Lock()
	defer t.target.sweeping.Unlock()
	require.NoError(t, dynamo.CreateTable(t.ctx, t.target.config, name))
	t.cleanup(func() {
		t.target.sweeping.Lock()
		defer t.target.sweeping.Unlock()
		_, err := t.db.DeleteTable(t.ctx, &dynamodb.DeleteTableInput{TableName: &name})
		require.NoError(t, err)
	})
}

// A target takes so long to remove what has expired: DynamoDB Local looks every
// ten seconds. AWS takes days.
const (
	firstSweep = 30 * time.Second
	nextSweep  = 12 * time.Second
)

// untilSwept has the target remove what has expired, and waits for an item to
// go.
func (t *trial) untilSwept(it item, within time.Duration) {
	t.within(within, "an item that goes", func() bool {
		if t.target.sweep != nil {
			require.NoError(t, t.sweep())
		}
		return t.get(it) == nil
	})
}

func (t *trial) sweep() error {
	t.target.sweeping.Lock()
	defer t.target.sweeping.Unlock()
	return t.target.sweep(t.ctx)
}

// expiring are the attributes of a row that is in the index, with its expiry.
func (t *trial) expiring(at types.AttributeValue) item {
	it := t.in("#EXPIRING", "1")
	it["expires_at"] = at
	return it
}

func expiryChecks() []check {
	hours := func(n int) types.AttributeValue {
		return num(int(time.Now().Add(time.Duration(n) * time.Hour).Unix()))
	}
	return []check{
		{
			on: onDynamoDB, name: "an item that is past its time to live is removed, from the index too; what is not, or has none, stays", source: dynamodbGuide + "howitworks-ttl.html",
			run: func(t *trial) {
				t.takeOwnTable()
				stays := []item{
					t.put(t.with("later", t.expiring(hours(1)))),
					t.put(t.with("text", t.expiring(str("1")))),
					t.put(t.with("never", t.in("#EXPIRING", "1"))),
				}
				t.untilSwept(t.put(t.with("over", t.expiring(hours(-1)))), firstSweep)
				for _, it := range stays {
					require.Equal(t, it, t.get(it))
				}
				t.untilIndexed("#EXPIRING", "1", "1", "1")
			},
		},
		{
			on: onDynamoDB, name: "an item that is past its time to live is removed though it is in no index", source: dynamodbGuide + "howitworks-ttl.html",
			run: func(t *trial) {
				t.takeOwnTable()
				control := t.put(t.with("in the index", t.expiring(hours(-1))))
				it := t.put(t.with("over", item{"expires_at": hours(-1)}))
				t.untilSwept(control, firstSweep)
				t.untilSwept(it, nextSweep)
			},
			exceptions: []exception{{
				target: dynamodbLocal, instead: "it leaves what is in no index of the table", source: dynamodbLocalSeen, shows: "an item that goes",
			}},
		},
		{
			on: onDynamoDB, name: "an item whose time to live is more than five years past stays", source: dynamodbGuide + "time-to-live-ttl-before-you-start.html",
			run: func(t *trial) {
				t.takeOwnTable()
				old := t.put(t.with("old", t.expiring(hours(-6*365*24))))
				t.untilSwept(t.put(t.with("over", t.expiring(hours(-1)))), firstSweep)
				require.NotEmpty(t, t.get(old))
			},
			exceptions: []exception{{
				target: localStack, instead: "it removes whatever is past, however long", source: localStackDynamoDB + "provider.py#L440", shows: "Should NOT be empty",
			}},
		},
		{
			on: onDynamoDB, name: "an item that has expired shows until it is removed, and may be written anew", source: dynamodbGuide + "howitworks-ttl.html",
			run: func(t *trial) {
				t.takeOwnTable()
				t.target.sweeping.RLock() // for no other trial
				defer t.target.sweeping.RUnlock()
				t.put(t.with("over", item{"expires_at": hours(-6 * 365 * 24)}))
				require.NotNil(t, t.get(t.key("over")))
				require.Equal(t, [][]string{{"over"}}, t.pages(t.between("0", "~")))
				c := &condition{expression: "attribute_not_exists(PK) OR expires_at <= :now", values: item{":now": hours(0)}}
				require.False(t, t.refused(guardedWrites[0].write(t, t.key("over"), c)))
			},
		},
	}
}
