package sqs_test

import (
	"context"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/localaws/sqs"
	"posthorn/internal/localaws/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock is a clock that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(1_800_000_000_000)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// bundle is a server with an SDK client that speaks to it over HTTP.
type bundle struct {
	*awssqs.Client
	server *sqs.Server
	clock  *clock
	http   *httptest.Server
}

func setup(t *testing.T, edit ...func(*sqs.Options)) *bundle {
	t.Helper()
	db, err := store.OpenMemory()
	require.NoError(t, err)
	c := newClock()
	o := sqs.Options{Store: db, Now: c.Now}
	for _, e := range edit {
		e(&o)
	}
	s, err := sqs.New(o)
	require.NoError(t, err)
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		require.NoError(t, s.Close())
		h.Close()
		require.NoError(t, db.Close())
	})
	return &bundle{Client: client(h), server: s, clock: c, http: h}
}

func client(h *httptest.Server) *awssqs.Client {
	return awssqs.New(awssqs.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(h.URL),
		HTTPClient:   h.Client(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
		RetryMaxAttempts: 1,
	})
}

// queue creates a queue and returns its URL.
func (b *bundle) queue(t *testing.T, name string, attributes map[string]string) string {
	t.Helper()
	out, err := b.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	require.NoError(t, err)
	return *out.QueueUrl
}

func (b *bundle) send(t *testing.T, url, body string) *awssqs.SendMessageOutput {
	t.Helper()
	out, err := b.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: &body})
	require.NoError(t, err)
	return out
}

// receive takes up to ten messages without waiting.
func (b *bundle) receive(t *testing.T, url string) []types.Message {
	t.Helper()
	out, err := b.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{
		QueueUrl: &url, MaxNumberOfMessages: 10,
		MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		MessageAttributeNames:       []string{"All"},
	})
	require.NoError(t, err)
	return out.Messages
}

// one receives exactly one message.
func (b *bundle) one(t *testing.T, url string) types.Message {
	t.Helper()
	got := b.receive(t, url)
	require.Len(t, got, 1)
	return got[0]
}

func requireCode(t *testing.T, err error, code string) string {
	t.Helper()
	var e smithy.APIError
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.ErrorCode(), e.ErrorMessage())
	return e.ErrorMessage()
}

func TestAMessageIsSentReceivedAndDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "deliveries", nil)
	require.Equal(t, b.http.URL+"/000000000000/deliveries", url)
	sent := b.send(t, url, "hello \"wörld\" \U0001F4EF\n")
	m := b.one(t, url)
	require.Equal(t, "hello \"wörld\" \U0001F4EF\n", *m.Body)
	require.Equal(t, *sent.MessageId, *m.MessageId)
	require.Equal(t, map[string]string{
		"SenderId": "000000000000", "SentTimestamp": "1800000000000",
		"ApproximateReceiveCount": "1", "ApproximateFirstReceiveTimestamp": "1800000000000",
	}, m.Attributes)
	require.Empty(t, b.receive(t, url))
	_, err := b.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: m.ReceiptHandle})
	require.NoError(t, err)
	b.clock.Advance(time.Hour)
	require.Empty(t, b.receive(t, url))
}

func limitInFlight(n int) func(*sqs.Options) { return func(o *sqs.Options) { o.InFlightLimit = n } }
