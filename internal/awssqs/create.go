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

// retention is how long both queues keep a message: the longest there is.
const retention = 14 * 24 * time.Hour

// Spec describes the two queues.
type Spec struct {
	Queue           string        // name
	DeadLetterQueue string        // name
	Visibility      time.Duration // of both queues' messages once received
	MaxReceives     int           // after so many receives a message moves to the dead-letter queue
}

// CreateQueues makes both queues, or brings those that exist to what spec
// says, and returns their URLs. It is for places without a template: the local
// default, and tests.
func CreateQueues(ctx context.Context, cfg aws.Config, spec Spec) (queueURL, deadLetterURL string, err error) {
	client := sqs.NewFromConfig(cfg)
	common := map[string]string{
		string(types.QueueAttributeNameMessageRetentionPeriod): strconv.Itoa(int(retention / time.Second)),
		string(types.QueueAttributeNameVisibilityTimeout):      strconv.Itoa(int(seconds(spec.Visibility))),
	}
	deadLetterURL, err = createQueue(ctx, client, spec.DeadLetterQueue, common)
	if err != nil {
		return "", "", err
	}
	arn := types.QueueAttributeNameQueueArn
	out, err := client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &deadLetterURL, AttributeNames: []types.QueueAttributeName{arn}})
	if err != nil {
		return "", "", fmt.Errorf("create queue %q: read its ARN: %w", spec.DeadLetterQueue, err)
	}
	redrive, err := json.Marshal(map[string]any{"deadLetterTargetArn": out.Attributes[string(arn)], "maxReceiveCount": spec.MaxReceives})
	if err != nil {
		return "", "", fmt.Errorf("create queue %q: redrive policy: %w", spec.Queue, err)
	}
	common[string(types.QueueAttributeNameRedrivePolicy)] = string(redrive)
	queueURL, err = createQueue(ctx, client, spec.Queue, common)
	if err != nil {
		return "", "", err
	}
	return queueURL, deadLetterURL, nil
}

// createQueue makes a queue and sets its attributes in a second call, since
// CreateQueue refuses a queue that exists with other ones.
func createQueue(ctx context.Context, client *sqs.Client, name string, attributes map[string]string) (string, error) {
	out, err := client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})
	if err != nil {
		return "", fmt.Errorf("create queue %q: %w", name, err)
	}
	if _, err := client.SetQueueAttributes(ctx, &sqs.SetQueueAttributesInput{QueueUrl: out.QueueUrl, Attributes: attributes}); err != nil {
		return "", fmt.Errorf("create queue %q: set attributes: %w", name, err)
	}
	return str(out.QueueUrl), nil
}
