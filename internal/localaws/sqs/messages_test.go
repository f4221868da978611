package sqs_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

func text(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &value}
}

func typed(dataType, value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: &dataType, StringValue: &value}
}

func blob(value string) types.MessageAttributeValue {
	return types.MessageAttributeValue{DataType: aws.String("Binary"), BinaryValue: []byte(value)}
}

func TestASendIsRefusedAsByTheService(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	small := b.queue(t, "small", map[string]string{"MaximumMessageSize": "1024"})
	many := map[string]types.MessageAttributeValue{}
	for i := range 11 {
		many[fmt.Sprint("a", i)] = text("v")
	}
	attribute := func(name string, v types.MessageAttributeValue) awssqs.SendMessageInput {
		return awssqs.SendMessageInput{MessageAttributes: map[string]types.MessageAttributeValue{name: v}}
	}
	tests := map[string]struct {
		in            awssqs.SendMessageInput
		url, body     string
		code, message string
	}{
		"no such queue":       {url: b.http.URL + "/000000000000/nope", code: "AWS.SimpleQueueService.NonExistentQueue", message: "The specified queue does not exist."},
		"another account":     {url: b.http.URL + "/111111111111/q", code: "AWS.SimpleQueueService.NonExistentQueue"},
		"no address":          {url: "q", code: "InvalidAddress", message: "The address q is not valid for this endpoint."},
		"empty body":          {body: "-", in: awssqs.SendMessageInput{MessageBody: aws.String("")}, code: "MissingParameter", message: "The request must contain the parameter MessageBody."},
		"over 1 MiB":          {body: strings.Repeat("x", 1<<20+1), code: "InvalidParameterValue", message: "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes."},
		"over the queue's":    {url: small, body: strings.Repeat("x", 1025), code: "InvalidParameterValue", message: "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."},
		"attributes count":    {url: small, body: strings.Repeat("x", 1020), in: attribute("ab", text("c")), code: "InvalidParameterValue"},
		"control character":   {body: "a\x01b", code: "InvalidMessageContents", message: "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"},
		"non-character":       {body: "\uffff", code: "InvalidMessageContents"},
		"delay too long":      {in: awssqs.SendMessageInput{DelaySeconds: 901}, code: "InvalidParameterValue", message: "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900."},
		"negative delay":      {in: awssqs.SendMessageInput{DelaySeconds: -1}, code: "InvalidParameterValue"},
		"group with a space":  {in: awssqs.SendMessageInput{MessageGroupId: aws.String("group 123")}, code: "InvalidParameterValue", message: "Value group 123 for parameter MessageGroupId is invalid. Reason: MessageGroupId can only include alphanumeric and punctuation characters. 1 to 128 in length."},
		"empty group":         {in: awssqs.SendMessageInput{MessageGroupId: aws.String("")}, code: "InvalidParameterValue"},
		"group too long":      {in: awssqs.SendMessageInput{MessageGroupId: aws.String(strings.Repeat("a", 129))}, code: "InvalidParameterValue"},
		"deduplication":       {in: awssqs.SendMessageInput{MessageDeduplicationId: aws.String("d")}, code: "InvalidParameterValue"},
		"eleven attributes":   {in: awssqs.SendMessageInput{MessageAttributes: many}, code: "InvalidParameterValue", message: "Number of message attributes [11] exceeds the allowed maximum [10]."},
		"empty attribute":     {in: attribute("ErrorDetails", text("")), code: "InvalidParameterValue", message: "Message (user) attribute 'ErrorDetails' must contain a non-empty value of type 'String'."},
		"bad attribute text":  {in: attribute("a", text("\x02")), code: "InvalidParameterValue"},
		"reserved name":       {in: attribute("AWS.x", text("v")), code: "InvalidParameterValue"},
		"reserved, any case":  {in: attribute("aMaZon.x", text("v")), code: "InvalidParameterValue"},
		"name starts with .":  {in: attribute(".x", text("v")), code: "InvalidParameterValue"},
		"name ends with .":    {in: attribute("x.", text("v")), code: "InvalidParameterValue"},
		"name with a space":   {in: attribute("a b", text("v")), code: "InvalidParameterValue"},
		"name too long":       {in: attribute(strings.Repeat("a", 257), text("v")), code: "InvalidParameterValue"},
		"unknown type":        {in: attribute("a", typed("Float", "1")), code: "InvalidParameterValue"},
		"type too long":       {in: attribute("a", typed("String."+strings.Repeat("a", 256), "1")), code: "InvalidParameterValue"},
		"not a number":        {in: attribute("a", typed("Number", "1x")), code: "InvalidParameterValue", message: "Can't cast the value of message (user) attribute 'a' to a number."},
		"binary without":      {in: attribute("a", typed("Binary", "1")), code: "InvalidParameterValue"},
		"unknown system name": {in: awssqs.SendMessageInput{MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{"X": {DataType: aws.String("String"), StringValue: aws.String("v")}}}, code: "InvalidParameterValue"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := test.in
			in.QueueUrl = &url
			if test.url != "" {
				in.QueueUrl = &test.url
			}
			if in.MessageBody == nil {
				in.MessageBody = aws.String("body")
				if test.body != "" {
					in.MessageBody = &test.body
				}
			}
			_, err := b.SendMessage(t.Context(), &in)
			message := requireCode(t, err, test.code)
			if test.message != "" {
				require.Equal(t, test.message, message)
			}
		})
	}
	t.Cleanup(func() { // after the parallel subtests
		_, _, _, err := b.server.Depth("nope")
		require.Error(t, err)
		ready, _, _, err := b.server.Depth("q")
		require.NoError(t, err)
		require.Zero(t, ready)
	})
}

func TestABodyOfOneMebibyteAndEveryAllowedCharacterArriveAsSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	for _, body := range []string{
		strings.Repeat("x", 1<<20), "\t\n\r ~\u007f\u0080\ud7ff\ue000\ufffd\U00010000\U0010ffff", `\"/<>&'` + "\u2028",
	} {
		b.send(t, url, body)
		m := b.one(t, url)
		require.Equal(t, body, *m.Body)
	}
}

func TestMessageAttributesComeBackWithTheServicesDigests(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	sent, err := b.SendMessage(t.Context(), &awssqs.SendMessageInput{
		QueueUrl: &url, MessageBody: aws.String("msg"), MessageGroupId: aws.String("ep_1"),
		MessageAttributes: map[string]types.MessageAttributeValue{"Help.Me": text("Me"), "Hello": text("There"), "General": text("Kenobi")},
		MessageSystemAttributes: map[string]types.MessageSystemAttributeValue{
			"AWSTraceHeader": {DataType: aws.String("String"), StringValue: aws.String("Root=1-5759e988-bd862e3fe1be46a994272793")},
		},
	})
	require.NoError(t, err)
	// The digests of these attributes were recorded from Amazon SQS.
	require.Equal(t, "4c360f3fdafd970e05fae2f149d997f5", *sent.MD5OfMessageAttributes)
	require.Equal(t, "6e2baaf3b97dbeef01c0043275f9a0e7", *sent.MD5OfMessageBody)
	require.NotEmpty(t, *sent.MD5OfMessageSystemAttributes)
	tests := []struct {
		names []string
		want  []string
		md5   string
	}{
		{nil, nil, ""},
		{[]string{"All"}, []string{"General", "Hello", "Help.Me"}, "4c360f3fdafd970e05fae2f149d997f5"},
		{[]string{"*"}, []string{"General", "Hello", "Help.Me"}, "4c360f3fdafd970e05fae2f149d997f5"},
		{[]string{".*"}, []string{"General", "Hello", "Help.Me"}, "4c360f3fdafd970e05fae2f149d997f5"},
		{[]string{"Foo", "Help"}, nil, ""},
		{[]string{"Hello", "General"}, []string{"General", "Hello"}, "fca026605781cb4126a1e9044df24232"},
		{[]string{"Foo", "Hello"}, []string{"Hello"}, "a311262e065454b75da111d535b8dacd"},
		{[]string{"Hel.*"}, []string{"Hello", "Help.Me"}, "83fee93c1bcd8b9a5a923ffacdc636c7"},
	}
	for _, test := range tests {
		out, err := b.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{
			QueueUrl: &url, MessageAttributeNames: test.names, AttributeNames: []types.QueueAttributeName{"MessageGroupId"},
			MessageSystemAttributeNames: []types.MessageSystemAttributeName{"AWSTraceHeader", "SequenceNumber"},
		})
		require.NoError(t, err)
		require.Len(t, out.Messages, 1, "%q", test.names)
		m := out.Messages[0]
		require.Equal(t, test.md5, aws.ToString(m.MD5OfMessageAttributes), "%q", test.names)
		require.Len(t, m.MessageAttributes, len(test.want))
		for _, name := range test.want {
			require.Contains(t, m.MessageAttributes, name)
		}
		require.Equal(t, map[string]string{"MessageGroupId": "ep_1", "AWSTraceHeader": "Root=1-5759e988-bd862e3fe1be46a994272793"}, m.Attributes)
		b.clock.Advance(30 * time.Second)
	}
	_, err = b.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{"Nonsense"}})
	requireCode(t, err, "InvalidAttributeName")
}

func TestBinaryAndNumberAttributesComeBackAsSent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	attributes := map[string]types.MessageAttributeValue{
		"blob": blob("\x00\x01\xff"), "number": typed("Number.float", "-1.5e+3"), "text": typed("String.custom", "ü"),
	}
	sent, err := b.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("x"), MessageAttributes: attributes})
	require.NoError(t, err)
	m := b.one(t, url)
	require.Equal(t, attributes, m.MessageAttributes)
	require.Equal(t, *sent.MD5OfMessageAttributes, *m.MD5OfMessageAttributes)
	b.send(t, url, "with a digest recorded from Amazon SQS")
	got, err := b.SendMessage(t.Context(), &awssqs.SendMessageInput{
		QueueUrl: &url, MessageBody: aws.String("test"),
		MessageAttributes: map[string]types.MessageAttributeValue{"attr1": blob("traceparent\x1e00-774062d6c37081a5a0b9b5b88e30627c-2d2482211f6489da-01")},
	})
	require.NoError(t, err)
	require.Equal(t, "8cbe4db156db8a94db8b801b7addb984", *got.MD5OfMessageAttributes)
}

func TestAReceiveIsRefusedAsByTheService(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	for message, in := range map[string]awssqs.ReceiveMessageInput{
		"Value 11 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.":                                     {MaxNumberOfMessages: 11},
		"Value -1 for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.":                                     {MaxNumberOfMessages: -1},
		"Value 21 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.":                                           {WaitTimeSeconds: 21},
		"Value -1 for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.":                                           {WaitTimeSeconds: -1},
		"Value 43201 for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= 43200, if provided.":                                   {VisibilityTimeout: 43201},
		"Value x for parameter ReceiveRequestAttemptId is invalid. Reason: The request includes a parameter that is not valid for this queue type.": {ReceiveRequestAttemptId: aws.String("x")},
	} {
		in.QueueUrl = &url
		_, err := b.ReceiveMessage(t.Context(), &in)
		require.Equal(t, message, requireCode(t, err, "InvalidParameterValue"))
	}
}

func TestADelayedMessageIsReceivedWhenItsDelayHasPassed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", map[string]string{"DelaySeconds": "5"})
	b.send(t, url, "the queue's delay")
	_, err := b.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("its own"), DelaySeconds: 900})
	require.NoError(t, err)
	require.Empty(t, b.receive(t, url))
	_, _, delayed, err := b.server.Depth("q")
	require.NoError(t, err)
	require.Equal(t, 2, delayed)
	b.clock.Advance(4999 * time.Millisecond)
	require.Empty(t, b.receive(t, url))
	b.clock.Advance(time.Millisecond)
	require.Equal(t, "the queue's delay", *b.one(t, url).Body)
	b.clock.Advance(895 * time.Second)
	require.Len(t, b.receive(t, url), 2)
}

func (b *bundle) changeTo(t *testing.T, url string, handle *string, seconds int32) error {
	t.Helper()
	_, err := b.ChangeMessageVisibility(t.Context(), &awssqs.ChangeMessageVisibilityInput{QueueUrl: &url, ReceiptHandle: handle, VisibilityTimeout: seconds})
	return err
}

func (b *bundle) remove(t *testing.T, url string, handle *string) error {
	t.Helper()
	_, err := b.DeleteMessage(t.Context(), &awssqs.DeleteMessageInput{QueueUrl: &url, ReceiptHandle: handle})
	return err
}

func TestAVisibilityTimeoutIsChangedAndNotRemembered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	b.send(t, url, "x")
	m := b.one(t, url)
	require.NoError(t, b.changeTo(t, url, m.ReceiptHandle, 100))
	b.clock.Advance(99 * time.Second)
	require.Empty(t, b.receive(t, url))
	b.clock.Advance(time.Second)
	m = b.one(t, url)
	require.Equal(t, "2", m.Attributes["ApproximateReceiveCount"])
	b.clock.Advance(30 * time.Second)
	m = b.one(t, url)
	require.NoError(t, b.changeTo(t, url, m.ReceiptHandle, 0))
	b.one(t, url)
}

func TestTwelveHoursCountFromTheReceive(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	b.send(t, url, "x")
	m := b.one(t, url)
	require.NoError(t, b.changeTo(t, url, m.ReceiptHandle, 43_200))
	b.clock.Advance(time.Hour)
	require.Equal(t, "Value 39601 for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].",
		requireCode(t, b.changeTo(t, url, m.ReceiptHandle, 39_601), "InvalidParameterValue"))
	require.NoError(t, b.changeTo(t, url, m.ReceiptHandle, 39_600))
	requireCode(t, b.changeTo(t, url, m.ReceiptHandle, 43_201), "InvalidParameterValue")
	requireCode(t, b.changeTo(t, url, m.ReceiptHandle, -1), "InvalidParameterValue")
}

func TestReceiptHandlesOfEarlierReceives(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	other := b.queue(t, "other", nil)
	b.send(t, url, "x")
	first := b.one(t, url).ReceiptHandle
	b.clock.Advance(30 * time.Second)
	requireCode(t, b.changeTo(t, url, first, 1), "AWS.SimpleQueueService.MessageNotInflight")
	second := b.one(t, url).ReceiptHandle
	require.Equal(t, "Value "+*first+" for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.",
		requireCode(t, b.changeTo(t, url, first, 1), "InvalidParameterValue"))
	for _, bad := range []string{"garbage", *first + "A", "B" + (*first)[1:]} {
		require.Equal(t, fmt.Sprintf("The input receipt handle %q is not a valid receipt handle.", bad),
			requireCode(t, b.remove(t, url, &bad), "ReceiptHandleIsInvalid"))
	}
	requireCode(t, b.remove(t, other, first), "ReceiptHandleIsInvalid")
	// An earlier handle may still delete, and deleting twice is no fault.
	require.NoError(t, b.remove(t, url, first))
	require.NoError(t, b.remove(t, url, first))
	require.NoError(t, b.remove(t, url, second))
	requireCode(t, b.changeTo(t, url, second, 1), "InvalidParameterValue")
	b.clock.Advance(time.Hour)
	require.Empty(t, b.receive(t, url))
}

func TestAMessageVisibleAgainCanBeDeletedByItsHandle(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", nil)
	b.send(t, url, "x")
	b.send(t, url, "y")
	got := b.receive(t, url)
	require.Len(t, got, 2)
	b.clock.Advance(30 * time.Second)
	require.NoError(t, b.remove(t, url, got[0].ReceiptHandle))
	require.Equal(t, *got[1].Body, *b.one(t, url).Body)
}

func TestARetentionEndsFromTheFirstSendInFlightOrNot(t *testing.T) {
	t.Parallel()
	b := setup(t)
	url := b.queue(t, "q", map[string]string{"MessageRetentionPeriod": "60"})
	b.send(t, url, "in flight")
	b.one(t, url)
	b.send(t, url, "waiting")
	_, err := b.SendMessage(t.Context(), &awssqs.SendMessageInput{QueueUrl: &url, MessageBody: aws.String("delayed"), DelaySeconds: 100})
	require.NoError(t, err)
	b.clock.Advance(59 * time.Second)
	ready, inFlight, delayed, err := b.server.Depth("q")
	require.NoError(t, err)
	require.Equal(t, []int{2, 0, 1}, []int{ready, inFlight, delayed})
	b.clock.Advance(time.Second)
	ready, inFlight, delayed, err = b.server.Depth("q")
	require.NoError(t, err)
	require.Equal(t, []int{0, 0, 0}, []int{ready, inFlight, delayed})
	b.send(t, url, "later")
	b.clock.Advance(30 * time.Second)
	_, err = b.SetQueueAttributes(t.Context(), &awssqs.SetQueueAttributesInput{QueueUrl: &url, Attributes: map[string]string{"MessageRetentionPeriod": "120"}})
	require.NoError(t, err)
	b.clock.Advance(80 * time.Second)
	require.Equal(t, "later", *b.one(t, url).Body)
}

func TestTheLimitOfMessagesInFlight(t *testing.T) {
	t.Parallel()
	b := setup(t, limitInFlight(3))
	url := b.queue(t, "q", nil)
	for range 5 {
		b.send(t, url, "x")
	}
	got := b.receive(t, url)
	require.Len(t, got, 3)
	_, err := b.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &url})
	requireCode(t, err, "OverLimit")
	out, err := b.ReceiveMessage(t.Context(), &awssqs.ReceiveMessageInput{QueueUrl: &url, WaitTimeSeconds: 1})
	require.NoError(t, err)
	require.Empty(t, out.Messages)
	require.NoError(t, b.remove(t, url, got[0].ReceiptHandle))
	b.one(t, url)
}
