package awssqs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"posthorn/internal/gather"
	"posthorn/internal/hook"
)

// Options name the two queues, each by its URL or by its name; a name is
// looked up at its first use.
type Options struct {
	Queue           string
	DeadLetterQueue string
	// DeadWait is how long ReceiveDead waits for a first message, in whole
	// seconds. At 0 it asks only some of the queue's servers and may overlook
	// messages; a second is enough to ask them all.
	DeadWait time.Duration
	// Parallel is how many batches of one kind are under way at most for callers
	// that travel together; 1 when 0. One makes the fullest batches and so the
	// fewest calls; more only pay where one call after the other is too slow: at
	// 10 ms a call, one carries 1,000 messages a second.
	Parallel int
	// Rand, uniform in [0,1), spreads the waits between retries; nil: math/rand.
	Rand func() float64
}

// Queues is the queue of deliveries and its dead-letter queue. It is safe for
// concurrent use.
type Queues struct {
	client   *sqs.Client
	main     *queue
	dead     *queue
	deadWait time.Duration
	rand     func() float64
	sends    *gather.Group[outgoing, string]
	releases *gather.Group[hook.Release, string]
}

// New makes Queues. It does not call the service.
func New(cfg aws.Config, o Options) *Queues {
	client := sqs.NewFromConfig(cfg)
	q := &Queues{
		client:   client,
		main:     newQueue(client, o.Queue),
		dead:     newQueue(client, o.DeadLetterQueue),
		deadWait: o.DeadWait,
		rand:     o.Rand,
	}
	if q.rand == nil {
		q.rand = rand.Float64
	}
	together := gather.Options{Size: maxEntries, Parallel: o.Parallel}
	q.sends = gather.New(together, q.sendBatch)
	q.releases = gather.New(together, q.releaseBatch)
	return q
}

// Depths counts the messages of both queues. The numbers are the service's own
// approximation, some seconds old at times.
func (q *Queues) Depths(ctx context.Context) (hook.QueueDepths, error) {
	ready, inFlight, delayed, err := q.depth(ctx, q.main)
	if err != nil {
		return hook.QueueDepths{}, err
	}
	deadReady, deadInFlight, deadDelayed, err := q.depth(ctx, q.dead)
	if err != nil {
		return hook.QueueDepths{}, err
	}
	return hook.QueueDepths{Ready: ready, InFlight: inFlight, Delayed: delayed, Dead: deadReady + deadInFlight + deadDelayed}, nil
}

// Ready counts the messages that can be received from the queue of deliveries
// now: the service's own approximation.
func (q *Queues) Ready(ctx context.Context) (int, error) {
	ready, _, _, err := q.depth(ctx, q.main)
	return ready, err
}

// IsNoQueue says whether a call failed because there is no queue of that name in
// the account and region.
func IsNoQueue(err error) bool {
	var none *types.QueueDoesNotExist
	return errors.As(err, &none)
}

var depthAttributes = [...]types.QueueAttributeName{
	types.QueueAttributeNameApproximateNumberOfMessages,
	types.QueueAttributeNameApproximateNumberOfMessagesNotVisible,
	types.QueueAttributeNameApproximateNumberOfMessagesDelayed,
}

func (q *Queues) depth(ctx context.Context, of *queue) (ready, inFlight, delayed int, err error) {
	url, err := of.url(ctx)
	if err != nil {
		return 0, 0, 0, err
	}
	out, err := q.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: depthAttributes[:]})
	if err != nil {
		return 0, 0, 0, fmt.Errorf("read queue depth: %w", err)
	}
	var counts [len(depthAttributes)]int
	for i, name := range depthAttributes {
		if counts[i], err = strconv.Atoi(out.Attributes[string(name)]); err != nil {
			return 0, 0, 0, fmt.Errorf("read queue depth: %s: %w", name, err)
		}
	}
	return counts[0], counts[1], counts[2], nil
}

// queue is one queue's URL, known or still to be looked up.
type queue struct {
	client *sqs.Client
	name   string

	mu    sync.Mutex
	known *string
}

func newQueue(client *sqs.Client, urlOrName string) *queue {
	q := &queue{client: client, name: urlOrName}
	if strings.Contains(urlOrName, "://") {
		q.known = &urlOrName
	}
	return q
}

// url returns the queue's URL, looking it up once. A failure is not kept.
func (q *queue) url(ctx context.Context) (*string, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.known != nil {
		return q.known, nil
	}
	out, err := q.client.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: &q.name})
	if err != nil {
		return nil, fmt.Errorf("look up queue %q: %w", q.name, err)
	}
	q.known = out.QueueUrl
	return q.known, nil
}
