package dynamo_test

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsdynamodb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/dynamo"
	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
	"posthorn/internal/id"
	"posthorn/internal/localaws/dynamodb"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/localaws/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tableName = "posthorn"
	tenant    = "acme"
	retention = 30 * 24 * time.Hour
)

// epoch is where the clocks of tests start: not long before a midnight.
var epoch = time.Date(2026, 11, 24, 22, 0, 0, 0, time.UTC)

// world is a table on a service in the same process, with faults between.
type world struct {
	*dynamo.Table
	t        *testing.T
	config   aws.Config
	straight aws.Config          // past the faults
	raw      *awsdynamodb.Client // past the faults
	faults   *faultwire.Transport
	ids      *id.Source
	now      atomic.Int64 // milliseconds
	slow     atomic.Bool  // calls take a while, of a bubble's clock

	busy        atomic.Int64 // so many writes still find another transaction under way
	unprocessed atomic.Int64 // so many batches are still left undone
}

// setup makes a world of its own for a test.
func setup(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, ids: id.NewSource()}
	w.now.Store(epoch.UnixMilli())
	db, err := store.OpenMemory()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	service, err := dynamodb.New(dynamodb.Options{Store: db, Now: w.clock})
	require.NoError(t, err)

	client := inproc.Client(service)
	var faulty *http.Client
	faulty, w.faults = faultwire.Wrap(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		if w.slow.Load() {
			time.Sleep(time.Millisecond)
		}
		if answer := w.refusal(r); answer != nil {
			return answer, nil
		}
		return client.Transport.RoundTrip(r)
	})})
	w.config = config(faulty)
	w.straight = config(client)
	w.raw = awsdynamodb.NewFromConfig(w.straight)
	require.NoError(t, dynamo.CreateTable(t.Context(), w.straight, tableName))
	w.Table = w.open()
	return w
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// refusal is an answer that the service gives only when others are at work, or
// when there is too much of it; nil: the service is to answer itself.
func (w *world) refusal(r *http.Request) *http.Response {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	take := func(left *atomic.Int64) bool {
		for n := left.Load(); n > 0; n = left.Load() {
			if left.CompareAndSwap(n, n-1) {
				return true
			}
		}
		return false
	}
	status := http.StatusBadRequest
	var body string
	switch {
	case operation == "TransactWriteItems" && take(&w.busy):
		body = `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException","Message":"cancelled","CancellationReasons":[{"Code":"TransactionConflict","Message":"conflict"},{"Code":"None"}]}`
	case operation == "PutItem" && take(&w.busy):
		body = `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionConflictException","message":"conflict"}`
	case (operation == "BatchGetItem" || operation == "BatchWriteItem") && take(&w.unprocessed):
		var in struct{ RequestItems json.RawMessage }
		err := json.NewDecoder(r.Body).Decode(&in)
		if err != nil {
			w.t.Error(err)
		}
		status = http.StatusOK
		body = `{"UnprocessedItems":` + string(in.RequestItems) + `}`
		if operation == "BatchGetItem" {
			body = `{"Responses":{},"UnprocessedKeys":` + string(in.RequestItems) + `}`
		}
	default:
		return nil
	}
	h := http.Header{}
	h.Set("X-Amz-Crc32", strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(body))), 10))
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)), Request: r}
}

// open returns another Table on the same table, as another process has it.
func (w *world) open() *dynamo.Table {
	return dynamo.New(w.config, tableName, dynamo.Options{EventRetention: retention, Now: w.clock})
}

// config has the SDK's own retries, three attempts, without their waits.
func config(client *http.Client) aws.Config {
	return aws.Config{
		Region:      "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:  client,
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		},
		BaseEndpoint: aws.String("http://dynamodb.test"),
	}
}

func (w *world) clock() time.Time { return time.UnixMilli(w.now.Load()).UTC() }

func (w *world) advance(d time.Duration) { w.now.Add(d.Milliseconds()) }

func (w *world) ctx() context.Context { return w.t.Context() }

// items reads the whole table.
func (w *world) items() []map[string]types.AttributeValue {
	w.t.Helper()
	var all []map[string]types.AttributeValue
	var after map[string]types.AttributeValue
	for {
		out, err := w.raw.Scan(w.ctx(), &awsdynamodb.ScanInput{TableName: aws.String(tableName), ExclusiveStartKey: after})
		require.NoError(w.t, err)
		all = append(all, out.Items...)
		if after = out.LastEvaluatedKey; after == nil {
			return all
		}
	}
}

// clear deletes every item.
func (w *world) clear() {
	w.t.Helper()
	for _, it := range w.items() {
		_, err := w.raw.DeleteItem(w.ctx(), &awsdynamodb.DeleteItemInput{
			TableName: aws.String(tableName), Key: map[string]types.AttributeValue{"PK": it["PK"], "SK": it["SK"]},
		})
		require.NoError(w.t, err)
	}
}

// withPrefix reads the items whose partition key starts so.
func (w *world) withPrefix(pk string) []map[string]types.AttributeValue {
	w.t.Helper()
	var found []map[string]types.AttributeValue
	for _, it := range w.items() {
		if strings.HasPrefix(text(it, "PK"), pk) {
			found = append(found, it)
		}
	}
	return found
}

func text(it map[string]types.AttributeValue, name string) string {
	switch v := it[name].(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	}
	return ""
}

func (w *world) eventID() string    { return w.ids.New(hook.EventPrefix, w.clock()) }
func (w *world) endpointID() string { return w.ids.New(hook.EndpointPrefix, w.clock()) }

func (w *world) event(eventType, data string, endpoints ...string) *hook.Event {
	eventID := w.eventID()
	at := hook.IDTime(eventID)
	return &hook.Event{
		ID: eventID, Tenant: tenant, Type: eventType, CreatedAt: at,
		Body: hook.NewBody(eventID, eventType, at, []byte(data)), EndpointIDs: endpoints, Targets: len(endpoints), ExpiresAt: at.Add(retention),
	}
}

func (w *world) endpoint() *hook.Endpoint {
	endpointID := w.endpointID()
	at := hook.IDTime(endpointID)
	return &hook.Endpoint{
		ID: endpointID, Tenant: tenant, URL: "https://example.com/hook", Filters: []string{"*"},
		Secrets: []hook.SealedSecret{{Sealed: []byte("sealed")}}, Timeout: 30 * time.Second, Status: hook.EndpointActive,
		CreatedAt: at, UpdatedAt: at,
	}
}

// delivery is the first outcome of a new event's delivery, after one attempt.
func (w *world) delivery(endpointID string, status hook.Status) hook.DeliveryWrite {
	eventID := w.eventID()
	a := hook.Attempt{
		ID: w.ids.New("", w.clock()), Number: 1, At: w.clock(), Duration: 123456 * time.Microsecond,
		Outcome: hook.OutcomeSuccess, StatusCode: 200, ResponseBody: "ok",
	}
	d := &hook.Delivery{
		Ref: hook.Ref{Tenant: tenant, EventID: eventID, EndpointID: endpointID}, EventType: "order.created", Status: status,
		MessageID: "b1946ac9-2b2a-4c2c-8d6b-1f3f6a3c9a11", Rev: 1, LastAttemptID: a.ID, Attempts: 1, GenAttempts: 1,
		CreatedAt: hook.IDTime(eventID), ExpiresAt: hook.IDTime(eventID).Add(retention),
	}
	if status != hook.Delivered {
		a.Outcome, a.StatusCode, a.Error, a.ResponseBody = hook.OutcomeHTTPError, 503, "HTTP 503: Service Unavailable", "try later"
		d.FailureReason = a.Error
	}
	if status == hook.Retrying {
		d.NextAttemptAt = w.clock().Add(time.Second)
	}
	if status.Final() {
		d.CompletedAt = w.clock().Add(123 * time.Millisecond)
	}
	d.First = a
	return hook.DeliveryWrite{Delivery: d, Attempt: &a}
}

// again is the next write of a delivery, after another failed attempt.
func again(d *hook.Delivery, status hook.Status, at time.Time) hook.DeliveryWrite {
	next := *d
	next.Rev++
	next.Attempts++
	next.GenAttempts++
	a := &hook.Attempt{
		ID: fmt.Sprintf("attempt-%d", next.Attempts), Number: next.Attempts, At: at, Duration: time.Second,
		Outcome: hook.OutcomeTimeout, Error: "timeout after 1s",
	}
	next.Attempted(a.ID)
	next.FailureReason, next.Status = a.Error, status
	next.NextAttemptAt, next.CompletedAt = time.Time{}, time.Time{}
	switch {
	case status.Final():
		next.CompletedAt = at.Add(time.Second)
	case status == hook.Retrying:
		next.NextAttemptAt = at.Add(3 * time.Second)
	}
	return hook.DeliveryWrite{Delivery: &next, Attempt: a}
}

func (w *world) save(dw hook.DeliveryWrite) {
	w.t.Helper()
	require.NoError(w.t, w.SaveDelivery(w.ctx(), dw))
}

// row reads one delivery, nil when there is none.
func (w *world) row(r hook.Ref) *hook.Delivery {
	w.t.Helper()
	rows, err := w.Deliveries(w.ctx(), []hook.Ref{r})
	require.NoError(w.t, err)
	require.Len(w.t, rows, 1)
	return rows[0]
}

// fault is one half of a pair: what happens to a write on its way, and whether
// the caller learns of it.
type fault struct {
	name  string
	mode  faultwire.Mode
	times int // 3 defeats the SDK's retries
	fails bool
}

// faultPairs are what each write has to bear: a call that fails or loses its
// answer and is tried again by the SDK, and one whose every try does.
func faultPairs() []fault {
	return []fault{
		{"fails once", faultwire.FailBefore, 1, false},
		{"is throttled once", faultwire.Throttle, 1, false},
		{"is applied, answer lost once", faultwire.LoseAnswer, 1, false},
		{"is applied, answer lost twice", faultwire.LoseAnswer, 2, false},
		{"fails for good", faultwire.FailBefore, 3, true},
		{"is applied, answer lost for good", faultwire.LoseAnswer, 3, true},
	}
}

// underFaults runs a write of an operation under each fault. write reports the
// write's error; after says what holds then: applied is false only where no
// try got through.
func underFaults(t *testing.T, operation string, test func(t *testing.T, w *world, f fault) (write func() error, after func(applied bool))) {
	t.Helper()
	for _, f := range faultPairs() {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			write, after := test(t, w, f)
			w.faults.Add(faultwire.Fault{Operation: operation, Times: f.times, Mode: f.mode})
			err := write()
			if f.fails {
				require.Error(t, err)
				require.NotErrorIs(t, err, hook.ErrConflict)
				require.NotErrorIs(t, err, hook.ErrNotFound)
			} else {
				require.NoError(t, err)
			}
			require.Zero(t, w.faults.Pending(), "the fault did not strike")
			w.faults.Clear()
			after(!f.fails || f.mode == faultwire.LoseAnswer)
			if f.fails {
				// The caller tries the same again later.
				require.NoError(t, write())
				after(true)
			}
		})
	}
}
