package sqs_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

func (b *bundle) attributes(t *testing.T, url string, names ...types.QueueAttributeName) map[string]string {
	t.Helper()
	out, err := b.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: names})
	require.NoError(t, err)
	return out.Attributes
}

func (b *bundle) set(t *testing.T, url string, attributes map[string]string) error {
	t.Helper()
	_, err := b.SetQueueAttributes(t.Context(), &awssqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: attributes})
	return err
}

func TestCreatingAQueueAgainGivesTheSameOneUnlessAttributesDiffer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", map[string]string{"DelaySeconds": "7"})
	require.Equal(t, url, b.queue(t, "q", nil))
	require.Equal(t, url, b.queue(t, "q", map[string]string{"DelaySeconds": "07", "VisibilityTimeout": "30"}))
	_, err := b.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("q"), Attributes: map[string]string{"DelaySeconds": "8"}})
	require.Equal(t, "A queue already exists with the same name and a different value for attribute DelaySeconds", requireCode(t, err, "QueueAlreadyExists"))
	var exists *types.QueueNameExists
	require.ErrorAs(t, err, &exists)
}

func TestAQueueIsRefusedAsByTheService(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue(t, "dlq", nil)
	b.queue(t, "closed", map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"denyAll"}`})
	b.queue(t, "picky", map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"byQueue","sourceQueueArns":["arn:aws:sqs:us-east-1:000000000000:other"]}`})
	redrive := func(policy string) map[string]string { return map[string]string{"RedrivePolicy": policy} }
	tests := map[string]struct {
		name       string
		attributes map[string]string
		code       string
	}{
		"name form":            {"a.b", nil, "InvalidParameterValue"},
		"empty name":           {"", nil, "InvalidParameterValue"},
		"name too long":        {strings.Repeat("a", 81), nil, "InvalidParameterValue"},
		"FIFO name":            {"q.fifo", nil, "InvalidParameterValue"},
		"FIFO":                 {"q.fifo", map[string]string{"FifoQueue": "true"}, "AWS.SimpleQueueService.UnsupportedOperation"},
		"unknown attribute":    {"q", map[string]string{"Colour": "red"}, "InvalidAttributeName"},
		"FIFO attribute":       {"q", map[string]string{"ContentBasedDeduplication": "true"}, "InvalidAttributeName"},
		"policy":               {"q", map[string]string{"Policy": "{}"}, "AWS.SimpleQueueService.UnsupportedOperation"},
		"key":                  {"q", map[string]string{"KmsMasterKeyId": "alias/x"}, "AWS.SimpleQueueService.UnsupportedOperation"},
		"retention too short":  {"q", map[string]string{"MessageRetentionPeriod": "59"}, "InvalidAttributeValue"},
		"retention too long":   {"q", map[string]string{"MessageRetentionPeriod": "1209601"}, "InvalidAttributeValue"},
		"visibility too long":  {"q", map[string]string{"VisibilityTimeout": "43201"}, "InvalidAttributeValue"},
		"not a number":         {"q", map[string]string{"DelaySeconds": "x"}, "InvalidAttributeValue"},
		"size too small":       {"q", map[string]string{"MaximumMessageSize": "1023"}, "InvalidAttributeValue"},
		"redrive not JSON":     {"q", redrive(`x`), "InvalidParameterValue"},
		"redrive of nothing":   {"q", redrive(`{"maxReceiveCount":3}`), "InvalidParameterValue"},
		"no receives":          {"q", redrive(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dlq","maxReceiveCount":0}`), "InvalidParameterValue"},
		"too many receives":    {"q", redrive(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dlq","maxReceiveCount":1001}`), "InvalidParameterValue"},
		"no such target":       {"q", redrive(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:nope","maxReceiveCount":3}`), "InvalidParameterValue"},
		"target elsewhere":     {"q", redrive(`{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:dlq","maxReceiveCount":3}`), "InvalidParameterValue"},
		"target allows none":   {"q", redrive(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:closed","maxReceiveCount":3}`), "InvalidParameterValue"},
		"target allows others": {"q", redrive(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:picky","maxReceiveCount":3}`), "InvalidParameterValue"},
		"permission":           {"q", map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"some"}`}, "InvalidParameterValue"},
		"sources missing":      {"q", map[string]string{"RedriveAllowPolicy": `{"redrivePermission":"byQueue"}`}, "InvalidParameterValue"},
	}
	for name, test := range tests {
		t.Log(name)
		_, err := b.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: &test.name, Attributes: test.attributes})
		requireCode(t, err, test.code)
		_, err = b.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String("q")})
		requireCode(t, err, "AWS.SimpleQueueService.NonExistentQueue")
	}
	b.queue(t, "other", redrive(`{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:picky","maxReceiveCount":"3"}`))
}

func TestQueueAttributes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", map[string]string{"MessageRetentionPeriod": "604800", "ReceiveMessageWaitTimeSeconds": "10", "VisibilityTimeout": "20"})
	b.clock.Advance(time.Minute)
	want := map[string]string{
		"ApproximateNumberOfMessages": "0", "ApproximateNumberOfMessagesDelayed": "0", "ApproximateNumberOfMessagesNotVisible": "0",
		"CreatedTimestamp": "1800000000", "LastModifiedTimestamp": "1800000000", "DelaySeconds": "0", "MaximumMessageSize": "1048576",
		"MessageRetentionPeriod": "604800", "QueueArn": "arn:aws:sqs:us-east-1:000000000000:q", "ReceiveMessageWaitTimeSeconds": "10",
		"SqsManagedSseEnabled": "true", "VisibilityTimeout": "20",
	}
	require.Equal(t, want, b.attributes(t, url, "All"))
	require.NoError(t, b.set(t, url, map[string]string{"DelaySeconds": "420", "MaximumMessageSize": "2048", "Policy": ""}))
	want["DelaySeconds"], want["MaximumMessageSize"], want["LastModifiedTimestamp"] = "420", "2048", "1800000060"
	require.Equal(t, want, b.attributes(t, url, "All"))
	b.send(t, url, "x")
	require.Equal(t, map[string]string{"ApproximateNumberOfMessagesDelayed": "1", "DelaySeconds": "420"},
		b.attributes(t, url, "ApproximateNumberOfMessagesDelayed", "DelaySeconds", "RedrivePolicy"))
	require.Empty(t, b.attributes(t, url))
	_, err := b.GetQueueAttributes(t.Context(), &awssqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"Colour"}})
	require.Equal(t, "Unknown Attribute Colour.", requireCode(t, err, "InvalidAttributeName"))
	requireCode(t, b.set(t, url, map[string]string{"VisibilityTimeout": "1", "DelaySeconds": "901"}), "InvalidAttributeValue")
	require.Equal(t, want["VisibilityTimeout"], b.attributes(t, url, "VisibilityTimeout")["VisibilityTimeout"])
	require.Equal(t, "Unknown Attribute FifoQueue.", requireCode(t, b.set(t, url, map[string]string{"FifoQueue": "true"}), "InvalidAttributeName"))
}

func TestARedrivePolicyIsTakenBackByAnEmptyValue(t *testing.T) {
	t.Parallel()
	b := setup(t)
	dlq := b.queue(t, "dlq", nil)
	url := b.queue(t, "q", map[string]string{"RedrivePolicy": `{"maxReceiveCount":"3", "deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dlq"}`})
	require.JSONEq(t, `{"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dlq","maxReceiveCount":3}`, b.attributes(t, url, "RedrivePolicy")["RedrivePolicy"])
	sources := func() []string {
		out, err := b.ListDeadLetterSourceQueues(t.Context(), &awssqs.ListDeadLetterSourceQueuesInput{QueueUrl: &dlq})
		require.NoError(t, err)
		return out.QueueUrls
	}
	require.Equal(t, []string{url}, sources())
	requireCode(t, b.set(t, dlq, map[string]string{"RedrivePolicy": `{"maxReceiveCount":3,"deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dlq"}`}), "InvalidParameterValue")
	require.NoError(t, b.set(t, url, map[string]string{"RedrivePolicy": ""}))
	require.Empty(t, b.attributes(t, url, "RedrivePolicy"))
	require.Empty(t, sources())
}

func TestQueuesAreListedByPrefixAndInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	out, err := b.ListQueues(t.Context(), &awssqs.ListQueuesInput{})
	require.NoError(t, err)
	require.Empty(t, out.QueueUrls)
	var want []string
	for _, name := range []string{"a1", "a2", "a3"} {
		want = append(want, b.queue(t, name, nil))
	}
	b.queue(t, "b", nil)
	var got []string
	pages := awssqs.NewListQueuesPaginator(b.Client, &awssqs.ListQueuesInput{QueueNamePrefix: aws.String("a"), MaxResults: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.QueueUrls), 2)
		got = append(got, page.QueueUrls...)
	}
	require.Equal(t, want, got)
	for _, n := range []int32{0, 1001} {
		_, err = b.ListQueues(t.Context(), &awssqs.ListQueuesInput{MaxResults: aws.Int32(n)})
		requireCode(t, err, "InvalidParameterValue")
	}
}

func TestADeletedQueueIsGoneAndItsNameRestsForAMinute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	b.send(t, url, "x")
	_, err := b.DeleteQueue(t.Context(), &awssqs.DeleteQueueInput{QueueUrl: &url})
	require.NoError(t, err)
	_, err = b.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x")})
	var gone *types.QueueDoesNotExist
	require.ErrorAs(t, err, &gone)
	_, err = b.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("q")})
	requireCode(t, err, "AWS.SimpleQueueService.QueueDeletedRecently")
	b.clock.Advance(time.Minute)
	require.Empty(t, b.receive(t, b.queue(t, "q", nil)))
}

func TestAPurgeEmptiesTheQueueOnceAMinute(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	b.send(t, url, "in flight")
	handle := b.one(t, url).ReceiptHandle
	b.send(t, url, "waiting")
	purge := func() error {
		_, err := b.PurgeQueue(t.Context(), &awssqs.PurgeQueueInput{QueueUrl: &url})
		return err
	}
	require.NoError(t, purge())
	require.Equal(t, "Only one PurgeQueue operation on q is allowed every 60 seconds.", requireCode(t, purge(), "AWS.SimpleQueueService.PurgeQueueInProgress"))
	b.clock.Advance(time.Minute)
	require.Empty(t, b.receive(t, url))
	require.NoError(t, b.remove(t, url, handle))
	b.send(t, url, "after")
	b.one(t, url)
	require.NoError(t, purge())
}

func TestTags(t *testing.T) {
	t.Parallel()
	b := setup(t)
	out, err := b.CreateQueue(t.Context(), &awssqs.CreateQueueInput{QueueName: aws.String("q"), Tags: map[string]string{"tag1": "value1"}})
	require.NoError(t, err)
	tags := func() map[string]string {
		list, err := b.ListQueueTags(t.Context(), &awssqs.ListQueueTagsInput{QueueUrl: out.QueueUrl})
		require.NoError(t, err)
		return list.Tags
	}
	_, err = b.TagQueue(t.Context(), &awssqs.TagQueueInput{QueueUrl: out.QueueUrl, Tags: map[string]string{"tag2": "value2", "tag3": ""}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"tag1": "value1", "tag2": "value2", "tag3": ""}, tags())
	_, err = b.UntagQueue(t.Context(), &awssqs.UntagQueueInput{QueueUrl: out.QueueUrl, TagKeys: []string{"tag1", "tag2", "tag3", "nope"}})
	require.NoError(t, err)
	require.Empty(t, tags())
}

func TestWhatIsNotImplementedIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	_, err := b.AddPermission(t.Context(), &awssqs.AddPermissionInput{QueueUrl: &url, Label: aws.String("l"), AWSAccountIds: []string{"1"}, Actions: []string{"*"}})
	requireCode(t, err, "AWS.SimpleQueueService.UnsupportedOperation")
	for name, test := range map[string]struct{ target, body, kind string }{
		"unknown operation":  {"AmazonSQS.Frobnicate", `{}`, "UnknownOperationException"},
		"another service":    {"DynamoDB_20120810.GetItem", `{}`, "UnknownOperationException"},
		"query protocol":     {"", `Action=ListQueues&Version=2012-11-05`, "UnknownOperationException"},
		"unknown parameter":  {"AmazonSQS.SendMessage", `{"Colour":"red"}`, "UnsupportedOperation"},
		"list values":        {"AmazonSQS.SendMessage", `{"MessageAttributes":{"a":{"StringListValues":["x"]}}}`, "UnsupportedOperation"},
		"not JSON":           {"AmazonSQS.SendMessage", `{`, "SerializationException"},
		"a text as number":   {"AmazonSQS.SendMessage", `{"DelaySeconds":"1"}`, "SerializationException"},
		"trailing rubbish":   {"AmazonSQS.ListQueues", `{} x`, "SerializationException"},
		"more than is taken": {"AmazonSQS.ListQueues", strings.Repeat(" ", 8<<20+1), "SerializationException"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.http.URL, strings.NewReader(test.body))
			require.NoError(t, err)
			if test.target != "" {
				req.Header.Set("X-Amz-Target", test.target)
			}
			resp, err := b.http.Client().Do(req)
			require.NoError(t, err)
			var body strings.Builder
			require.NoError(t, resp.Write(&body))
			require.Equal(t, http.StatusBadRequest, resp.StatusCode)
			require.Contains(t, body.String(), "#"+test.kind+`"`)
			require.NotEmpty(t, resp.Header.Get("x-amzn-query-error"))
		})
	}
}

func TestTheURLOfAQueueIsAtTheHostThatWasAsked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.queue(t, "q", nil)
	port := b.http.URL[strings.LastIndexByte(b.http.URL, ':'):]
	other := awssqs.New(b.Options(), func(o *awssqs.Options) { o.BaseEndpoint = aws.String("http://localhost" + port) })
	out, err := other.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String("q")})
	require.NoError(t, err)
	require.Equal(t, "http://localhost"+port+"/000000000000/q", *out.QueueUrl)
	// It is valid at the other host too.
	b.send(t, *out.QueueUrl, "x")
	_, err = b.GetQueueUrl(t.Context(), &awssqs.GetQueueUrlInput{QueueName: aws.String("q"), QueueOwnerAWSAccountId: aws.String("1")})
	requireCode(t, err, "AWS.SimpleQueueService.NonExistentQueue")
}
