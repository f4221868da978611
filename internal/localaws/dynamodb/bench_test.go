package dynamodb

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/localaws/store"
)

// discard is a ResponseWriter that keeps the status alone.
type discard struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return d.body.Write(p) }

// caller calls a handler with as little around it as can be.
type caller struct {
	server *Server
	out    discard
}

func (c *caller) call(b tester, operation, body string) string {
	b.Helper()
	r := &http.Request{
		Method: http.MethodPost,
		Header: http.Header{"X-Amz-Target": {targetPrefix + operation}},
		Body:   io.NopCloser(strings.NewReader(body)),
	}
	c.out.header = make(http.Header, 4)
	c.out.body.Reset()
	c.server.ServeHTTP(&c.out, r)
	if c.out.status != http.StatusOK {
		require.Fail(b, operation+" is refused", c.out.body.String())
	}
	return c.out.body.String()
}

const benchTable = `{"TableName":"bench","BillingMode":"PAY_PER_REQUEST",
"AttributeDefinitions":[{"AttributeName":"PK","AttributeType":"S"},{"AttributeName":"SK","AttributeType":"S"},{"AttributeName":"GSI1PK","AttributeType":"S"},{"AttributeName":"GSI1SK","AttributeType":"S"}],
"KeySchema":[{"AttributeName":"PK","KeyType":"HASH"},{"AttributeName":"SK","KeyType":"RANGE"}],
"GlobalSecondaryIndexes":[{"IndexName":"GSI1","KeySchema":[{"AttributeName":"GSI1PK","KeyType":"HASH"},{"AttributeName":"GSI1SK","KeyType":"RANGE"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]}`

// benchItem is an item of about 500 bytes with an expiry, as events and
// deliveries are.
func benchItem(n int) string {
	return fmt.Sprintf(`{"PK":{"S":"T#default#EV#20300101#%02d"},"SK":{"S":"evt_%026d"},"type":{"S":"order.created"},"created_at":{"S":"2030-01-01T00:00:00.000Z"},`+
		`"expires_at":{"N":"1900000000"},"attempts":{"N":"1"},"endpoints":{"L":[{"S":"ep_01J00000000000000000000000"},{"S":"ep_01J00000000000000000000001"}]},"body":{"B":"%s"}}`,
		n%16, n, strings.Repeat("QUJD", 60))
}

// onStores runs a benchmark on a store in memory and on one on disk, with one
// caller a core and with 32.
func onStores(b *testing.B, run func(b *testing.B, c *caller, n int)) {
	stores := []struct {
		name string
		open func(dir string) (*store.DB, error)
	}{
		{"memory", func(string) (*store.DB, error) { return store.OpenMemory() }},
		{"disk", store.Open},
	}
	for _, st := range stores {
		for _, callers := range []int{1, 32} {
			b.Run(fmt.Sprintf("%s/callers=%d", st.name, callers), func(b *testing.B) {
				db, err := st.open(b.TempDir())
				require.NoError(b, err)
				defer func() { require.NoError(b, db.Close()) }()
				s, err := New(Options{Store: db})
				require.NoError(b, err)
				c := &caller{server: s}
				c.call(b, "CreateTable", benchTable)
				c.call(b, "UpdateTimeToLive", `{"TableName":"bench","TimeToLiveSpecification":{"AttributeName":"expires_at","Enabled":true}}`)
				for i := range 100 {
					c.call(b, "PutItem", `{"TableName":"bench","Item":`+benchItem(i)+`}`)
				}
				var next atomic.Int64
				next.Store(1000)
				b.ReportAllocs()
				b.ResetTimer()
				if callers == 1 {
					for range b.N {
						run(b, c, int(next.Add(1)))
					}
					return
				}
				b.SetParallelism(callers / 2)
				b.RunParallel(func(pb *testing.PB) {
					c := &caller{server: s}
					for pb.Next() {
						run(b, c, int(next.Add(1)))
					}
				})
			})
		}
	}
}

func BenchmarkPutItem(b *testing.B) {
	onStores(b, func(b *testing.B, c *caller, n int) {
		c.call(b, "PutItem", `{"TableName":"bench","Item":`+benchItem(n)+`}`)
	})
}

func BenchmarkGetItem(b *testing.B) {
	onStores(b, func(b *testing.B, c *caller, n int) {
		c.call(b, "GetItem", `{"TableName":"bench","ConsistentRead":true,"Key":`+benchKey(n%100)+`}`)
	})
}

func benchKey(n int) string {
	return fmt.Sprintf(`{"PK":{"S":"T#default#EV#20300101#%02d"},"SK":{"S":"evt_%026d"}}`, n%16, n)
}

func BenchmarkBatchGetItem10(b *testing.B) {
	onStores(b, func(b *testing.B, c *caller, n int) {
		keys := make([]string, 10)
		for i := range keys {
			keys[i] = benchKey((n + i) % 100)
		}
		c.call(b, "BatchGetItem", `{"RequestItems":{"bench":{"Keys":[`+strings.Join(keys, ",")+`]}}}`)
	})
}

func BenchmarkBatchWriteItem10(b *testing.B) {
	onStores(b, func(b *testing.B, c *caller, n int) {
		puts := make([]string, 10)
		for i := range puts {
			puts[i] = `{"PutRequest":{"Item":` + benchItem(10*n+i) + `}}`
		}
		c.call(b, "BatchWriteItem", `{"RequestItems":{"bench":[`+strings.Join(puts, ",")+`]}}`)
	})
}

func BenchmarkUpdateItemAdd(b *testing.B) {
	onStores(b, func(b *testing.B, c *caller, n int) {
		c.call(b, "UpdateItem", fmt.Sprintf(`{"TableName":"bench","Key":{"PK":{"S":"METRICS#%d"},"SK":{"S":"COUNTERS"}},`+
			`"UpdateExpression":"ADD #a :one, #b :many","ExpressionAttributeNames":{"#a":"events","#b":"deliveries"},"ExpressionAttributeValues":{":one":{"N":"1"},":many":{"N":"17"}}}`, n%16))
	})
}
