package awssqs

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
	"posthorn/internal/localaws/inproc"
	localsqs "posthorn/internal/localaws/sqs"
	"posthorn/internal/localaws/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	mainName = "deliveries"
	deadName = "dead-letters"
)

// bundle is Queues over the local stand-in, with faults in between.
type bundle struct {
	*Queues
	wire   *faultwire.Transport
	partly *partly
	raw    *sqs.Client // past the faults
	url    string
	dead   string
}

// setup makes both queues, whose messages stay invisible for a minute and move
// after three receives. The SDK makes each call once.
func setup(t testing.TB, o Options) *bundle {
	t.Helper()
	db, err := store.OpenMemory()
	require.NoError(t, err)
	server, err := localsqs.New(localsqs.Options{Store: db})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.NoError(t, db.Close())
	})
	b := &bundle{partly: &partly{next: inproc.Transport{Handler: server}}}
	b.wire = faultwire.New(b.partly)
	direct := config(inproc.Transport{Handler: server}, 1)
	b.raw = sqs.NewFromConfig(direct)
	b.url, b.dead, err = CreateQueues(t.Context(), direct, Spec{Queue: mainName, DeadLetterQueue: deadName, Visibility: time.Minute, MaxReceives: 3})
	require.NoError(t, err)
	if o.Queue == "" {
		o.Queue, o.DeadLetterQueue = b.url, b.dead
	}
	o.Rand = func() float64 { return 0 }
	b.Queues = New(config(b.wire, 1), o)
	return b
}

func config(transport http.RoundTripper, attempts int) aws.Config {
	return aws.Config{
		Region:       "us-east-1",
		Credentials:  credentials.NewStaticCredentialsProvider("local", "local", ""),
		HTTPClient:   &http.Client{Transport: transport},
		BaseEndpoint: aws.String("http://localhost:4566"),
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.MaxAttempts, o.MaxBackoff = attempts, time.Millisecond
			})
		},
	}
}

// message is the n-th message, for one of three endpoints.
func message(n int) *hook.Message {
	return &hook.Message{
		Ref:       hook.Ref{Tenant: "default", EventID: ulid("evt_", n), EndpointID: ulid("ep_", n%3)},
		EventType: "user.created", CreatedAt: time.UnixMilli(1_800_000_000_000).UTC(), Body: []byte(`{"n":` + strconv.Itoa(n) + `}`),
	}
}

func ulid(prefix string, n int) string {
	s := strconv.Itoa(n)
	return prefix + "01KJMMA2KVSABR24PA3EYWNYP2"[:26-len(s)] + s
}

func outgoings(n int) []hook.Outgoing {
	out := make([]hook.Outgoing, n)
	for i := range out {
		out[i].Message = message(i)
	}
	return out
}

// receive takes everything that is visible out of a queue.
func (b *bundle) receive(t *testing.T, url string) []types.Message {
	t.Helper()
	var all []types.Message
	for {
		out, err := b.raw.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{
			QueueUrl: &url, MaxNumberOfMessages: 10, MessageSystemAttributeNames: []types.MessageSystemAttributeName{"All"},
		})
		require.NoError(t, err)
		if len(out.Messages) == 0 {
			return all
		}
		all = append(all, out.Messages...)
	}
}

// numbers says how often the message of each number was received.
func numbers(t *testing.T, received []types.Message) map[int]int {
	t.Helper()
	times := make(map[int]int)
	for _, r := range received {
		m, err := hook.DecodeMessage([]byte(*r.Body))
		require.NoError(t, err)
		var body struct{ N int }
		require.NoError(t, json.Unmarshal(m.Body, &body))
		times[body.N]++
	}
	return times
}

// partly makes entries of batch calls fail: it keeps them from the service and
// lists them as failed in its answer.
type partly struct {
	next http.RoundTripper

	mu    sync.Mutex
	fails []failing
	sizes []int // entries of each batch call
}

// failing is an entry, known by a part of its text, that fails some times.
type failing struct {
	entry  string
	times  int
	code   string
	sender bool
	silent bool // the answer does not mention it
}

func (p *partly) add(f ...failing) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails = append(p.fails, f...)
}

func (p *partly) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	var in map[string]json.RawMessage
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	var entries []json.RawMessage
	if list, ok := in["Entries"]; ok {
		if err := json.Unmarshal(list, &entries); err != nil {
			return nil, err
		}
	}
	kept, failed, touched := p.split(entries)
	if !touched {
		r.Body = io.NopCloser(bytes.NewReader(body))
		return p.next.RoundTrip(r)
	}
	answer := map[string]json.RawMessage{"Successful": json.RawMessage("[]")}
	header := http.Header{"Content-Type": {"application/x-amz-json-1.0"}}
	if len(kept) > 0 {
		if in["Entries"], err = json.Marshal(kept); err != nil {
			return nil, err
		}
		if body, err = json.Marshal(in); err != nil {
			return nil, err
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp, err := p.next.RoundTrip(r)
		if err != nil {
			return nil, err
		}
		if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
			return nil, err
		}
		if err := resp.Body.Close(); err != nil {
			return nil, err
		}
	}
	if answer["Failed"], err = json.Marshal(failed); err != nil {
		return nil, err
	}
	if body, err = json.Marshal(answer); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: 200, Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: r}, nil
}

func (p *partly) split(entries []json.RawMessage) (kept, failed []json.RawMessage, touched bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(entries) > 0 {
		p.sizes = append(p.sizes, len(entries))
	}
	failed = []json.RawMessage{}
next:
	for _, e := range entries {
		for i := range p.fails {
			f := &p.fails[i]
			if f.times == 0 || !bytes.Contains(e, []byte(f.entry)) {
				continue
			}
			f.times--
			touched = true
			if !f.silent {
				var id struct{ Id string }
				if json.Unmarshal(e, &id) == nil {
					failed = append(failed, json.RawMessage(`{"Id":"`+id.Id+`","Code":"`+f.code+`","Message":"made to fail","SenderFault":`+strconv.FormatBool(f.sender)+`}`))
				}
			}
			continue next
		}
		kept = append(kept, e)
	}
	return kept, failed, touched
}
