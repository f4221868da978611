package conformance

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/stretchr/testify/require"
)

const mebibyte = 1 << 20

// send sends messages of their own.
func (t *trial) send(url *string, bodies ...string) {
	for _, body := range bodies {
		_, err := t.sqs.SendMessage(t.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: &body})
		require.NoError(t, err)
	}
}

// sendLater sends a message that is delayed by so many seconds.
func (t *trial) sendLater(url *string, body string, seconds int32) {
	out := t.batch(url, types.SendMessageBatchRequestEntry{MessageBody: &body, DelaySeconds: seconds})
	require.Empty(t, out.Failed)
}

// batch sends a batch whose entries are named by their position.
func (t *trial) batch(url *string, entries ...types.SendMessageBatchRequestEntry) *sqs.SendMessageBatchOutput {
	for i := range entries {
		entries[i].Id = ptr(strconv.Itoa(i))
	}
	out, err := t.sqs.SendMessageBatch(t.ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries})
	require.NoError(t, err)
	return out
}

// failures are the entries that a batch's answer lists as failed: code and
// whose fault, by id.
func failures(list []types.BatchResultErrorEntry) map[string]string {
	all := map[string]string{}
	for _, f := range list {
		whose := "service"
		if f.SenderFault {
			whose = "sender"
		}
		all[*f.Id] = *f.Code + " of the " + whose
	}
	return all
}

func entry(body string) types.SendMessageBatchRequestEntry {
	return types.SendMessageBatchRequestEntry{MessageBody: &body}
}

func sendChecks() []check {
	return []check{
		{
			on: onSQS, name: "a batch takes ten messages and answers for each", source: sqsAPI + "SendMessageBatch.html",
			run: func(t *trial) {
				url := t.queue()
				var entries []types.SendMessageBatchRequestEntry
				for i := range 10 {
					entries = append(entries, entry("body "+strconv.Itoa(i)))
				}
				out := t.batch(url, entries...)
				require.Empty(t, out.Failed)
				ids, sent := map[string]bool{}, map[string]string{}
				for _, s := range out.Successful {
					body := "body " + *s.Id
					sum := md5.Sum([]byte(body))
					require.Equal(t, hex.EncodeToString(sum[:]), *s.MD5OfMessageBody)
					ids[*s.Id], sent[*s.MessageId] = true, body
				}
				require.Len(t, ids, 10)
				require.Len(t, sent, 10, "each has a message id of its own")
				got := map[string]string{}
				t.until("ten messages", func() bool {
					for _, m := range t.poll(url, 10, 1) {
						got[*m.MessageId] = *m.Body
					}
					return len(got) >= 10
				})
				require.Equal(t, sent, got)
			},
		},
		{
			on: onSQS, name: "a batch of none, of eleven, of two entries of one id, or of an entry with a bad id is refused", source: sqsAPI + "SendMessageBatch.html",
			run: func(t *trial) {
				url := t.queue()
				send := func(ids ...string) error {
					entries := make([]types.SendMessageBatchRequestEntry, len(ids))
					for i := range ids {
						entries[i] = types.SendMessageBatchRequestEntry{Id: &ids[i], MessageBody: ptr("x")}
					}
					_, err := t.sqs.SendMessageBatch(t.ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: entries})
					return err
				}
				var none *types.EmptyBatchRequest
				require.ErrorAs(t, send(), &none)
				var many *types.TooManyEntriesInBatchRequest
				require.ErrorAs(t, send("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"), &many)
				var twice *types.BatchEntryIdsNotDistinct
				require.ErrorAs(t, send("0", "1", "0"), &twice)
				for _, bad := range []string{"a.b", strings.Repeat("a", 81)} {
					var form *types.InvalidBatchEntryId
					require.ErrorAs(t, send(bad), &form)
				}
				require.NoError(t, send(strings.Repeat("a", 78)+"-_"))
				t.untilDepth(url, depth{"1", "0", "0"})
			},
		},
		{
			on: onSQS, name: "a message takes 1 MiB, and a batch no more than that together", source: sqsGuide + "quotas-messages.html",
			run: func(t *trial) {
				url := t.queue()
				whole := strings.Repeat("x", mebibyte)
				t.send(url, whole)
				require.Equal(t, whole, *t.receive(url).Body)
				_, err := t.sqs.SendMessage(t.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: ptr(whole + "x")})
				require.Equal(t, "InvalidParameterValue", code(err), "%v", err)

				half := whole[:mebibyte/2]
				require.Empty(t, t.batch(url, entry(half), entry(half)).Failed)
				_, err = t.sqs.SendMessageBatch(t.ctx, &sqs.SendMessageBatchInput{QueueUrl: url, Entries: []types.SendMessageBatchRequestEntry{
					{Id: ptr("0"), MessageBody: &half}, {Id: ptr("1"), MessageBody: ptr(half + "x")},
				}})
				var long *types.BatchRequestTooLong
				require.ErrorAs(t, err, &long)
			},
		},
		{
			on: onSQS, name: "of a batch with an entry at fault the others are sent, and the answer says that the sender is at fault", source: sqsAPI + "BatchResultErrorEntry.html",
			run: func(t *trial) {
				url := t.queue()
				bad := entry("bad")
				bad.MessageGroupId = ptr(strings.Repeat("g", 129))
				out := t.batch(url, entry("first"), bad, entry("second"))
				require.Len(t, out.Failed, 1)
				require.Equal(t, "1", *out.Failed[0].Id)
				require.Contains(t, *out.Failed[0].Code, "InvalidParameterValue")
				require.True(t, out.Failed[0].SenderFault)
				require.Len(t, out.Successful, 2)
				t.untilDepth(url, depth{"2", "0", "0"})
			},
		},
		{
			on: onSQS, name: "an entry with a character that no message may have fails alone, and the sender is at fault", source: sqsAPI + "SendMessageBatch.html",
			run: func(t *trial) {
				url := t.queue()
				out := t.batch(url, entry("first"), entry("a\x01b"))
				require.Equal(t, map[string]string{"1": "InvalidMessageContents of the sender"}, failures(out.Failed))
				require.Len(t, out.Successful, 1)
			},
			exceptions: []exception{{
				target: localStack, instead: "it takes the fault upon itself", source: localStackSQS + "provider.py#L1043", shows: "InvalidMessageContents of the service",
			}},
		},
		{
			on: onSQS, name: "a body keeps every character that a message may have, and no others are taken", source: sqsAPI + "SendMessage.html",
			run: func(t *trial) {
				url := t.queue()
				body := "\t\n\r <&>\"'\\ \u007f\u0085 é € \ud7ff \ue000 \ufffd \U00010000 \U0010ffff {\"a\":\"\\u0001\"}"
				t.send(url, body)
				m := t.receive(url)
				require.Equal(t, body, *m.Body)
				sum := md5.Sum([]byte(body))
				require.Equal(t, hex.EncodeToString(sum[:]), *m.MD5OfBody)
				for _, bad := range []string{"\x00", "\x1f", "\ufffe", "\uffff"} {
					_, err := t.sqs.SendMessage(t.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: ptr("a" + bad)})
					var contents *types.InvalidMessageContents
					require.ErrorAs(t, err, &contents, "%q", bad)
				}
			},
		},
		{
			on: onSQS, name: "a message without a body is refused", source: sqsAPI + "SendMessage.html",
			run: func(t *trial) {
				_, err := t.sqs.SendMessage(t.ctx, &sqs.SendMessageInput{QueueUrl: t.queue(), MessageBody: ptr("")})
				require.Error(t, err)
			},
		},
		{
			on: onSQS, name: "DelaySeconds hides a message until it is due", source: sqsGuide + "sqs-message-timers.html",
			run: func(t *trial) {
				url := t.queue()
				at := time.Now()
				t.sendLater(url, "later", 2)
				t.send(url, "now")
				require.Equal(t, "now", *t.receive(url).Body)
				require.Empty(t, t.poll(url, 10, 0))
				require.Equal(t, "later", *t.receive(url).Body)
				require.GreaterOrEqual(t, time.Since(at), 1900*time.Millisecond)
			},
		},
		{
			on: onSQS, name: "DelaySeconds is at most 900, of a queue, a message and an entry of a batch", source: sqsAPI + "SendMessage.html",
			run: func(t *trial) {
				url := t.queue("DelaySeconds", "900")
				t.sendLater(url, "x", 900)
				_, err := t.sqs.SendMessage(t.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: ptr("x"), DelaySeconds: 901})
				require.Equal(t, "InvalidParameterValue", code(err), "%v", err)
				late := entry("late")
				late.DelaySeconds = 901
				require.Equal(t, map[string]string{"0": "InvalidParameterValue of the sender"}, failures(t.batch(url, late).Failed))
				_, err = t.sqs.SetQueueAttributes(t.ctx, &sqs.SetQueueAttributesInput{QueueUrl: url, Attributes: map[string]string{"DelaySeconds": "901"}})
				require.Equal(t, "InvalidAttributeValue", code(err), "%v", err)
			},
			exceptions: []exception{{
				target: localStack, instead: "it takes any delay", source: localStackSQS + "models.py#L840", shows: "actual  : \"\"",
			}},
		},
		{
			on: onSQS, name: "a standard queue takes a MessageGroupId and shows it to the consumer", source: sqsGuide + "sqs-fair-queues.html",
			run: func(t *trial) {
				url := t.queue()
				longest := strings.Repeat("g", 127) + "!"
				for _, group := range []string{"ep_1", longest} {
					require.Empty(t, t.batch(url, types.SendMessageBatchRequestEntry{MessageBody: ptr("x"), MessageGroupId: &group}).Failed)
					m := t.receive(url)
					require.Equal(t, group, m.Attributes["MessageGroupId"])
					t.delete(url, m)
				}
			},
		},
		{
			on: onSQS, name: "messages of one group are not held back by each other", source: sqsGuide + "sqs-fair-queues.html",
			run: func(t *trial) {
				url := t.queue("VisibilityTimeout", "300")
				for range 3 {
					require.Empty(t, t.batch(url, types.SendMessageBatchRequestEntry{MessageBody: ptr("x"), MessageGroupId: ptr("one")}).Failed)
				}
				for range 3 { // those received before stay in flight
					t.receive(url)
				}
			},
		},
		{
			on: onSQS, name: "the checksum of message attributes is that of their sorted names, types and values", source: sqsGuide + "sqs-message-metadata.html",
			run: func(t *trial) {
				url := t.queue()
				attributes := map[string]types.MessageAttributeValue{
					"text":    {DataType: ptr("String"), StringValue: ptr("é")},
					"number":  {DataType: ptr("Number"), StringValue: ptr("12.5")},
					"bytes":   {DataType: ptr("Binary"), BinaryValue: []byte{0, 1, 255}},
					"Capital": {DataType: ptr("String.custom"), StringValue: ptr("x")},
				}
				want := attributesMD5(attributes)
				out, err := t.sqs.SendMessage(t.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: ptr("x"), MessageAttributes: attributes})
				require.NoError(t, err)
				require.Equal(t, want, *out.MD5OfMessageAttributes)
				m := t.receive(url)
				require.Equal(t, want, *m.MD5OfMessageAttributes)
				require.Len(t, m.MessageAttributes, len(attributes))
				for name, a := range attributes {
					got := m.MessageAttributes[name]
					require.Equal(t, *a.DataType, *got.DataType)
					require.Equal(t, a.StringValue, got.StringValue)
					require.True(t, bytes.Equal(a.BinaryValue, got.BinaryValue))
				}
			},
		},
		{
			on: onSQS, name: "a message has at most ten attributes", source: sqsGuide + "quotas-messages.html",
			run: func(t *trial) {
				url := t.queue()
				attributes := map[string]types.MessageAttributeValue{}
				for i := range 11 {
					attributes[fmt.Sprint("a", i)] = types.MessageAttributeValue{DataType: ptr("String"), StringValue: ptr("x")}
				}
				_, err := t.sqs.SendMessage(t.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: ptr("x"), MessageAttributes: attributes})
				require.Equal(t, "InvalidParameterValue", code(err), "%v", err)
				delete(attributes, "a10")
				_, err = t.sqs.SendMessage(t.ctx, &sqs.SendMessageInput{QueueUrl: url, MessageBody: ptr("x"), MessageAttributes: attributes})
				require.NoError(t, err)
			},
			exceptions: []exception{{
				target: localStack, instead: "it takes any number of them", source: localStackSQS + "provider.py#L1068", shows: "actual  : \"\"",
			}},
		},
	}
}

// attributesMD5 is the digest of message attributes as "Calculating the MD5
// message digest for message attributes" of the developer guide describes it.
func attributesMD5(attributes map[string]types.MessageAttributeValue) string {
	var b []byte
	add := func(s string) {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		add(name)
		add(*a.DataType)
		if a.StringValue != nil {
			b = append(b, 1)
			add(*a.StringValue)
		} else {
			b = append(b, 2)
			add(string(a.BinaryValue))
		}
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}
