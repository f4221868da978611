package awssqs

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Description is what a queue is like, as far as Posthorn depends on it.
type Description struct {
	ARN        string
	FIFO       bool
	Visibility time.Duration
	Retention  time.Duration
	Delay      time.Duration
	Redrive    *Redrive // nil: it has no redrive policy
	// RedriveFrom are the ARNs of the only queues that may use it as their
	// dead-letter queue; nil: all of the account and region may. Empty: none may.
	RedriveFrom []string
	KMSKey      string // that its messages are encrypted with; empty: none of the account's
	SSE         bool   // encrypted with SQS's own key
}

// Redrive is a redrive policy.
type Redrive struct {
	DeadLetterARN string
	MaxReceives   int
}

// Describe reads what a queue, given by URL or name, is like, and changes
// nothing. An error for which IsNoQueue holds says that it is not there.
func Describe(ctx context.Context, on aws.Config, urlOrName string) (*Description, error) {
	client := sqs.NewFromConfig(on)
	url, err := newQueue(client, urlOrName).url(ctx)
	if err != nil {
		return nil, err
	}
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
	if err != nil {
		return nil, fmt.Errorf("read attributes of queue %s: %w", urlOrName, err)
	}
	d, err := described(out.Attributes)
	if err != nil {
		return nil, fmt.Errorf("read attributes of queue %s: %w", urlOrName, err)
	}
	return d, nil
}

func described(attributes map[string]string) (*Description, error) {
	text := func(name types.QueueAttributeName) string { return attributes[string(name)] }
	d := &Description{
		ARN: text(types.QueueAttributeNameQueueArn), FIFO: text(types.QueueAttributeNameFifoQueue) == "true",
		KMSKey: text(types.QueueAttributeNameKmsMasterKeyId), SSE: text(types.QueueAttributeNameSqsManagedSseEnabled) == "true",
	}
	for name, to := range map[types.QueueAttributeName]*time.Duration{
		types.QueueAttributeNameVisibilityTimeout:      &d.Visibility,
		types.QueueAttributeNameMessageRetentionPeriod: &d.Retention,
		types.QueueAttributeNameDelaySeconds:           &d.Delay,
	} {
		n, err := strconv.Atoi(text(name))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		*to = time.Duration(n) * time.Second
	}
	if policy := text(types.QueueAttributeNameRedrivePolicy); policy != "" {
		// The count is a number, or a string, as it was set.
		var p struct {
			DeadLetterTargetArn string      `json:"deadLetterTargetArn"`
			MaxReceiveCount     json.Number `json:"maxReceiveCount"`
		}
		if err := json.Unmarshal([]byte(policy), &p); err != nil {
			return nil, fmt.Errorf("redrive policy: %w", err)
		}
		n, err := strconv.Atoi(p.MaxReceiveCount.String())
		if err != nil {
			return nil, fmt.Errorf("redrive policy: maxReceiveCount: %w", err)
		}
		d.Redrive = &Redrive{DeadLetterARN: p.DeadLetterTargetArn, MaxReceives: n}
	}
	if policy := text(types.QueueAttributeNameRedriveAllowPolicy); policy != "" {
		var p struct {
			RedrivePermission string   `json:"redrivePermission"`
			SourceQueueArns   []string `json:"sourceQueueArns"`
		}
		if err := json.Unmarshal([]byte(policy), &p); err != nil {
			return nil, fmt.Errorf("redrive allow policy: %w", err)
		}
		switch p.RedrivePermission {
		case "denyAll":
			d.RedriveFrom = []string{}
		case "byQueue":
			d.RedriveFrom = append([]string{}, p.SourceQueueArns...)
		}
	}
	return d, nil
}
