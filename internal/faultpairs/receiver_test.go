package faultpairs

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"posthorn/internal/deliver/post"
	"posthorn/internal/deliver/retry"
	"posthorn/internal/hook"
)

const secret = "test-secret"

// hang is a status that is never answered.
const hang = -1

// receiver is all endpoints. What it is posted has to be signed.
type receiver struct {
	t *testing.T

	mu      sync.Mutex
	scripts map[string][]int // by URL: the statuses of its answers, the last one for all further
	got     []arrival
}

// arrival is a post that arrived.
type arrival struct {
	delivery, event, kind string
	status                int
}

func newReceiver(t *testing.T) *receiver {
	return &receiver{t: t, scripts: map[string][]int{}}
}

// answers lets the posts to a URL be answered so, one after the other, and all
// further ones like the last.
func (r *receiver) answers(url string, statuses ...int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scripts[url] = statuses
}

// arrivals returns what has arrived.
func (r *receiver) arrivals() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]arrival(nil), r.got...)
}

// take takes a post and returns the status of its answer.
func (r *receiver) take(p post.Request) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verify(p)
	status := http.StatusOK
	if script := r.scripts[p.URL]; len(script) > 0 {
		if status = script[0]; len(script) > 1 {
			r.scripts[p.URL] = script[1:]
		}
	}
	r.got = append(r.got, arrival{
		delivery: p.Header.Get("X-Webhook-Delivery"), event: p.Header.Get("Webhook-Id"), kind: p.Header.Get("X-Webhook-Event"), status: status,
	})
	return status
}

// verify checks the signature with the library that receivers use. All endpoints
// are registered with the same secret, and after a rotation it signs on.
func (r *receiver) verify(p post.Request) {
	verifier, err := standardwebhooks.NewWebhookRaw([]byte(secret))
	require.NoError(r.t, err)
	if err := verifier.Verify(p.Body, p.Header); err != nil {
		r.t.Errorf("a post to %s is not signed: %v", p.URL, err)
	}
}

// posts is the network between an environment and the receiver.
type posts struct {
	receiver *receiver
	from     *environment
}

// Post implements deliver.Poster.
func (p posts) Post(ctx context.Context, r post.Request) post.Result {
	select {
	case <-p.from.gone: // it is no more, and posts nothing
		return post.Result{Outcome: hook.OutcomeOther, Reason: "cancelled"}
	default:
	}
	status := p.receiver.take(r)
	answer := 10 * time.Millisecond
	if status == hang {
		answer = r.Timeout
	}
	timer := time.NewTimer(answer)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return post.Result{Outcome: hook.OutcomeOther, Reason: "cancelled", Duration: answer}
	}
	if status == hang {
		return post.Result{Outcome: hook.OutcomeTimeout, Reason: "timeout", Duration: answer}
	}
	return post.Result{StatusCode: status, Outcome: retry.Outcome(status), Reason: retry.Reason(status), Duration: answer}
}
