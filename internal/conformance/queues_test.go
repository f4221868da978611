package conformance

import (
	"errors"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/aws/smithy-go"
	"github.com/stretchr/testify/require"

	"posthorn/internal/awssqs"
)

func ptr[T any](v T) *T { return &v }

// code is an error's code, as SDKs show it. It is empty for what no service
// said.
func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

// queue makes a queue with attributes, of which each is a name and a value, and
// returns its URL.
func (t *trial) queue(attributes ...string) *string {
	in := &sqs.CreateQueueInput{QueueName: ptr(t.name()), Attributes: map[string]string{}}
	for i := 0; i < len(attributes); i += 2 {
		in.Attributes[attributes[i]] = attributes[i+1]
	}
	out, err := t.sqs.CreateQueue(t.ctx, in)
	require.NoError(t, err)
	t.forget(out.QueueUrl)
	return out.QueueUrl
}

// forget deletes a queue when the trial is over.
func (t *trial) forget(url *string) {
	t.cleanup(func() {
		_, err := t.sqs.DeleteQueue(t.ctx, &sqs.DeleteQueueInput{QueueUrl: url})
		require.NoError(t, err)
	})
}

// attributes reads attributes of a queue.
func (t *trial) attributes(url *string, names ...types.QueueAttributeName) map[string]string {
	out, err := t.sqs.GetQueueAttributes(t.ctx, &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: names})
	require.NoError(t, err)
	return out.Attributes
}

// depth is how many messages of a queue are ready, in flight and delayed.
type depth struct{ ready, inFlight, delayed string }

func (t *trial) depth(url *string) depth {
	a := t.attributes(url, "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")
	return depth{a["ApproximateNumberOfMessages"], a["ApproximateNumberOfMessagesNotVisible"], a["ApproximateNumberOfMessagesDelayed"]}
}

// untilDepth waits for a depth: the service's counts trail what happens.
func (t *trial) untilDepth(url *string, want depth) {
	got := depth{}
	t.until("a queue with "+want.ready+" messages ready, "+want.inFlight+" in flight, "+want.delayed+" delayed", func() bool {
		got = t.depth(url)
		return got == want
	})
}

func queueChecks() []check {
	return []check{
		{
			on: onSQS, name: "the two queues are made, and made again, as Posthorn does it", source: sqsAPI + "CreateQueue.html",
			run: func(t *trial) {
				spec := awssqs.Spec{Queue: t.name(), DeadLetterQueue: t.name(), Visibility: 270e9, MaxReceives: 5}
				url, dead, err := awssqs.CreateQueues(t.ctx, t.target.config, spec)
				require.NoError(t, err)
				t.forget(&url)
				t.forget(&dead)
				again, deadAgain, err := awssqs.CreateQueues(t.ctx, t.target.config, spec)
				require.NoError(t, err)
				require.Equal(t, []string{url, dead}, []string{again, deadAgain})
				a := t.attributes(&url, "All")
				require.Equal(t, "270", a["VisibilityTimeout"])
				require.Equal(t, "1209600", a["MessageRetentionPeriod"])
				arn := t.attributes(&dead, "QueueArn")["QueueArn"]
				require.JSONEq(t, `{"deadLetterTargetArn":"`+arn+`","maxReceiveCount":5}`, a["RedrivePolicy"])
			},
		},
		{
			on: onSQS, name: "CreateQueue answers with the queue that is there when it names none of its attributes", source: sqsAPI + "CreateQueue.html",
			run: func(t *trial) {
				name := t.name()
				first, err := t.sqs.CreateQueue(t.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "7"}})
				require.NoError(t, err)
				t.forget(first.QueueUrl)
				for _, attributes := range []map[string]string{nil, {"VisibilityTimeout": "7"}} {
					again, err := t.sqs.CreateQueue(t.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
					require.NoError(t, err)
					require.Equal(t, *first.QueueUrl, *again.QueueUrl)
				}
				require.Equal(t, "7", t.attributes(first.QueueUrl, "VisibilityTimeout")["VisibilityTimeout"])
			},
		},
		{
			on: onSQS, name: "CreateQueue refuses other attributes than those of the queue that is there", source: sqsAPI + "CreateQueue.html",
			run: func(t *trial) {
				name := t.name()
				first, err := t.sqs.CreateQueue(t.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "7"}})
				require.NoError(t, err)
				t.forget(first.QueueUrl)
				_, err = t.sqs.CreateQueue(t.ctx, &sqs.CreateQueueInput{QueueName: &name, Attributes: map[string]string{"VisibilityTimeout": "8"}})
				var exists *types.QueueNameExists
				require.ErrorAs(t, err, &exists)
			},
		},
		{
			on: onSQS, name: "a queue's name has 1 to 80 letters, digits, hyphens and underscores", source: sqsAPI + "CreateQueue.html",
			run: func(t *trial) {
				longest := t.name() + strings.Repeat("_", 80)
				out, err := t.sqs.CreateQueue(t.ctx, &sqs.CreateQueueInput{QueueName: ptr(longest[:80])})
				require.NoError(t, err)
				t.forget(out.QueueUrl)
				for _, name := range []string{longest[:80] + "_", t.name() + ".", t.name() + " "} {
					_, err := t.sqs.CreateQueue(t.ctx, &sqs.CreateQueueInput{QueueName: &name})
					require.Equal(t, "InvalidParameterValue", code(err), "%q: %v", name, err)
				}
			},
		},
		{
			on: onSQS, name: "a queue that says nothing of it hides for 30 s, keeps for 4 days, delays nothing and takes 1 MiB", source: sqsAPI + "SetQueueAttributes.html",
			run: func(t *trial) {
				a := t.attributes(t.queue(), "All")
				require.Equal(t, []string{"30", "345600", "0", "0", "1048576"}, []string{
					a["VisibilityTimeout"], a["MessageRetentionPeriod"], a["DelaySeconds"], a["ReceiveMessageWaitTimeSeconds"], a["MaximumMessageSize"],
				})
			},
		},
		{
			on: onSQS, name: "SetQueueAttributes changes what it names and leaves the rest", source: sqsAPI + "SetQueueAttributes.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "7", "DelaySeconds", "3")
				_, err := t.sqs.SetQueueAttributes(t.ctx, &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{"VisibilityTimeout": "8"}})
				require.NoError(t, err)
				a := t.attributes(url, "VisibilityTimeout", "DelaySeconds")
				require.Equal(t, map[string]string{"VisibilityTimeout": "8", "DelaySeconds": "3"}, a, "and only what was asked for is answered")
			},
		},
		{
			on: onSQS, name: "an attribute's number has its bounds", source: sqsAPI + "SetQueueAttributes.html",
			run: func(t *trial) {
				url := t.queue()
				for _, b := range []struct {
					name        string
					least, most int
				}{
					{"MessageRetentionPeriod", 60, 1209600},
					{"VisibilityTimeout", 0, 43200},
					{"ReceiveMessageWaitTimeSeconds", 0, 20},
					{"MaximumMessageSize", 1024, 1048576},
				} {
					for n, fits := range map[int]bool{b.least - 1: false, b.least: true, b.most: true, b.most + 1: false} {
						_, err := t.sqs.SetQueueAttributes(t.ctx, &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{b.name: strconv.Itoa(n)}})
						if fits {
							require.NoError(t, err, "%s %d", b.name, n)
							continue
						}
						require.Equal(t, "InvalidAttributeValue", code(err), "%s %d: %v", b.name, n, err)
					}
				}
			},
			exceptions: []exception{{
				target: localStack, instead: "it takes any number", source: localStackSQS + "models.py#L958", shows: "actual  : \"\"",
			}},
		},
		{
			on: onSQS, name: "maxReceiveCount is 1 to 1,000", source: sqsGuide + "sqs-configure-dead-letter-queue.html",
			run: func(t *trial) {
				url, dead := t.queue(), t.queue()
				arn := t.attributes(dead, "QueueArn")["QueueArn"]
				for n, fits := range map[string]bool{"0": false, "1": true, "1000": true, "1001": false} {
					_, err := t.sqs.SetQueueAttributes(t.ctx, &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{
						"RedrivePolicy": `{"deadLetterTargetArn":"` + arn + `","maxReceiveCount":` + n + `}`,
					}})
					require.Equal(t, fits, err == nil, "%s: %v", n, err)
				}
			},
		},
		{
			on: onSQS, name: "GetQueueUrl finds a queue by its name, and says when there is none", source: sqsAPI + "GetQueueUrl.html",
			run: func(t *trial) {
				url := t.queue()
				out, err := t.sqs.GetQueueUrl(t.ctx, &sqs.GetQueueUrlInput{QueueName: ptr((*url)[strings.LastIndexByte(*url, '/')+1:])})
				require.NoError(t, err)
				require.Equal(t, *url, *out.QueueUrl)
				_, err = t.sqs.GetQueueUrl(t.ctx, &sqs.GetQueueUrlInput{QueueName: ptr(t.name())})
				var none *types.QueueDoesNotExist
				require.ErrorAs(t, err, &none)
			},
		},
		{
			on: onSQS, name: "every call to a queue that is not there says so", source: sqsAPI + "SendMessageBatch.html",
			run: func(t *trial) {
				url := ptr(*t.queue() + "-not")
				handle := "handle"
				for name, call := range map[string]func() error{
					"send": func() error {
						_, err := t.sqs.SendMessage(t.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: ptr("x")})
						return err
					},
					"send a batch": func() error {
						_, err := t.sqs.SendMessageBatch(t.ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{{Id: ptr("0"), MessageBody: ptr("x")}}})
						return err
					},
					"receive": func() error {
						_, err := t.sqs.ReceiveMessage(t.ctx, &sqs.ReceiveMessageInput{QueueUrl: url})
						return err
					},
					"delete": func() error {
						_, err := t.sqs.DeleteMessageBatch(t.ctx, &sqs.DeleteMessageBatchInput{QueueUrl: url, Entries: []types.DeleteMessageBatchRequestEntry{{Id: ptr("0"), ReceiptHandle: &handle}}})
						return err
					},
					"change visibility": func() error {
						_, err := t.sqs.ChangeMessageVisibilityBatch(t.ctx, &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: url, Entries: []types.ChangeMessageVisibilityBatchRequestEntry{{Id: ptr("0"), ReceiptHandle: &handle}}})
						return err
					},
					"read attributes": func() error {
						_, err := t.sqs.GetQueueAttributes(t.ctx, &sqs.GetQueueAttributesInput{QueueUrl: url, AttributeNames: []types.QueueAttributeName{"All"}})
						return err
					},
				} {
					var none *types.QueueDoesNotExist
					require.ErrorAs(t, call(), &none, name)
				}
			},
		},
		{
			on: onSQS, name: "the depths of a queue count what is ready, in flight and delayed", source: sqsAPI + "GetQueueAttributes.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				t.untilDepth(url, depth{"0", "0", "0"})
				t.send(url, "a", "b", "c")
				t.sendLater(url, "d", 900)
				t.untilDepth(url, depth{"3", "0", "1"})
				m := t.receive(url)
				t.untilDepth(url, depth{"2", "1", "1"})
				t.release(url, m, 0)
				t.untilDepth(url, depth{"3", "0", "1"})
				t.delete(url, t.receive(url))
				t.untilDepth(url, depth{"2", "0", "1"})
			},
		},
		{
			on: onSQS, name: "ListQueues lists by the beginning of the name, in pages", source: sqsAPI + "ListQueues.html",
			run: func(t *trial) {
				prefix := t.name()
				want := map[string]bool{}
				for _, suffix := range []string{"a", "b", "c"} {
					out, err := t.sqs.CreateQueue(t.ctx, &sqs.CreateQueueInput{QueueName: ptr(prefix + suffix)})
					require.NoError(t, err)
					t.forget(out.QueueUrl)
					want[*out.QueueUrl] = true
				}
				t.queue() // another
				got := map[string]bool{}
				pages := sqs.NewListQueuesPaginator(t.sqs, &sqs.ListQueuesInput{QueueNamePrefix: &prefix, MaxResults: ptr(int32(2))})
				for pages.HasMorePages() {
					page, err := pages.NextPage(t.ctx)
					require.NoError(t, err)
					require.LessOrEqual(t, len(page.QueueUrls), 2)
					for _, url := range page.QueueUrls {
						require.False(t, got[url], "twice: %s", url)
						got[url] = true
					}
				}
				require.Equal(t, want, got)
			},
		},
	}
}
