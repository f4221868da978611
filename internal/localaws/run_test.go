package localaws

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a Run on services in memory, with a function of the test's.
type running struct {
	t        *testing.T
	api, aws string
	reading  chan struct{} // told of requests that the services have read
	client   *http.Client
	stop     context.CancelFunc
	ended    chan error
}

// watched is a listener that tells of requests that their handlers have read.
type watched struct {
	net.Listener
	reading chan struct{}
}

func (w watched) Accept() (net.Conn, error) {
	c, err := w.Listener.Accept()
	return &watchedConn{Conn: c, reading: w.reading}, err
}

type watchedConn struct {
	net.Conn
	reading chan struct{}
	reads   atomic.Int32
}

// Read tells of the second read: a server makes it when the handler has read
// the request, to see whether the client leaves.
func (c *watchedConn) Read(b []byte) (int, error) {
	if c.reads.Add(1) == 2 {
		c.reading <- struct{}{}
	}
	return c.Conn.Read(b)
}

const queueName = "deliveries"

func run(t *testing.T, f Functions) *running {
	services, err := Open("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, services.Close()) })
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return l
	}
	reading := make(chan struct{}, 100)
	api, aws := listen(), watched{listen(), reading}
	r := &running{
		reading: reading,
		t:       t, api: "http://" + api.Addr().String(), aws: "http://" + aws.Addr().String(),
		client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, ended: make(chan error, 1),
	}
	if f.Sweep == nil {
		f.Sweep = func(context.Context) error { return nil }
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() {
		r.ended <- Run(ctx, Options{
			Services: services, Functions: f, Queue: queueName, BatchSize: 10, Workers: 4, SweepInterval: time.Hour,
			API: api, AWS: aws, Log: slog.New(slog.DiscardHandler),
		})
	}()
	t.Cleanup(r.stop)
	r.call(t.Context(), "CreateQueue", map[string]any{"QueueName": queueName})
	return r
}

// call makes a call of SQS over the wire.
func (r *running) call(ctx context.Context, operation string, in map[string]any) (int, error) {
	body, err := json.Marshal(in)
	require.NoError(r.t, err)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.aws, bytes.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("X-Amz-Target", "AmazonSQS."+operation)
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func (r *running) apiTakesConnections() bool {
	c, err := net.Dial("tcp", strings.TrimPrefix(r.api, "http://"))
	if err != nil {
		return false
	}
	return c.Close() == nil
}

func (r *running) url() string { return r.aws + "/000000000000/" + queueName }

// A delivery that is under way at the end finds the services it needs, and one
// that has just been accepted gets its answer.
func TestWhatIsUnderWayAtTheEndIsFinished(t *testing.T) {
	began, goOn := make(chan string, 2), make(chan struct{})
	var late int
	var r *running
	r = run(t, Functions{
		API: func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
			began <- "api"
			<-goOn
			return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusAccepted}, nil
		},
		Deliver: func(ctx context.Context, _ events.SQSEvent, _ func(string)) (events.SQSEventResponse, error) {
			began <- "deliver"
			<-goOn
			for r.apiTakesConnections() { // it is shut before the deliveries end
				runtime.Gosched()
			}
			var err error
			late, err = r.call(ctx, "GetQueueAttributes", map[string]any{"QueueUrl": r.url()})
			return events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}, err
		},
	})
	_, err := r.call(t.Context(), "SendMessage", map[string]any{"QueueUrl": r.url(), "MessageBody": "hello"})
	require.NoError(t, err)
	answered := make(chan int, 1)
	go func() {
		resp, err := r.client.Get(r.api + "/health")
		if err != nil {
			answered <- 0
			return
		}
		answered <- resp.StatusCode
		_ = resp.Body.Close()
	}()
	require.ElementsMatch(t, []string{"api", "deliver"}, []string{<-began, <-began})
	r.stop()
	close(goOn)
	require.NoError(t, <-r.ended)
	require.Equal(t, http.StatusAccepted, <-answered)
	require.Equal(t, http.StatusOK, late)
}

// A long poll of somebody else's, which may have 20 s to go, does not hold up
// the end.
func TestALongPollOfOthersIsCutOff(t *testing.T) {
	r := run(t, Functions{
		API: func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
			return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusOK}, nil
		},
		Deliver: func(context.Context, events.SQSEvent, func(string)) (events.SQSEventResponse, error) {
			return events.SQSEventResponse{}, nil
		},
	})
	_, err := r.call(t.Context(), "CreateQueue", map[string]any{"QueueName": "other"})
	require.NoError(t, err)
	for len(r.reading) > 0 {
		<-r.reading
	}
	polled := make(chan error, 1)
	go func() {
		_, err := r.call(context.Background(), "ReceiveMessage", map[string]any{"QueueUrl": r.aws + "/000000000000/other", "WaitTimeSeconds": 20})
		polled <- err
	}()
	<-r.reading
	r.stop()
	require.NoError(t, <-r.ended)
	require.Error(t, <-polled)
}
