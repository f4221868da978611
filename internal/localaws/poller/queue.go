package poller

import (
	"context"
	"time"

	"github.com/aws/aws-lambda-go/events"
)

// Queue is the queue that is polled. Its methods are called concurrently.
type Queue interface {
	// Receive returns up to max messages, 1 to 10, and waits up to wait for the
	// first. No message and no error means that none came. The messages of an
	// answer with an error are taken as received.
	Receive(ctx context.Context, max int, wait time.Duration) ([]Message, error)

	// Delete deletes up to 10 received messages. An error means that any of
	// them may still be there; deleting one again does no harm.
	Delete(ctx context.Context, receiptHandles []string) error
}

// Message is a received message: the fields of [events.SQSMessage] that the
// queue knows.
type Message struct {
	ID                     string
	ReceiptHandle          string
	Body                   string
	MD5OfBody              string
	MD5OfMessageAttributes string
	Attributes             map[string]string // ApproximateReceiveCount, SentTimestamp and so on
	MessageAttributes      map[string]Attribute
}

// Attribute is a message attribute. One of the values is set.
type Attribute struct {
	DataType    string
	StringValue *string
	BinaryValue []byte
}

// Function is the Lambda function at the other end of the mapping. An error, or
// a panic, fails the whole batch.
//
// One that runs in the same process may call over with a message's id as soon as
// nothing more happens to that message, from any goroutine: its place is free
// then for another's, however long the rest of the batch takes. Behind a Runtime
// API a batch is one piece, and over is not called.
type Function func(ctx context.Context, batch events.SQSEvent, over func(messageID string)) (events.SQSEventResponse, error)

// event returns the event of a batch.
func (p *Poller) event(batch []Message) events.SQSEvent {
	records := make([]events.SQSMessage, len(batch))
	for i := range batch {
		m := &batch[i]
		attributes := p.none
		if len(m.MessageAttributes) > 0 {
			attributes = make(map[string]events.SQSMessageAttribute, len(m.MessageAttributes))
			for name, a := range m.MessageAttributes {
				attributes[name] = events.SQSMessageAttribute{
					DataType: a.DataType, StringValue: a.StringValue, BinaryValue: a.BinaryValue,
					StringListValues: []string{}, BinaryListValues: [][]byte{},
				}
			}
		}
		records[i] = events.SQSMessage{
			MessageId: m.ID, ReceiptHandle: m.ReceiptHandle, Body: m.Body,
			Md5OfBody: m.MD5OfBody, Md5OfMessageAttributes: m.MD5OfMessageAttributes,
			Attributes: m.Attributes, MessageAttributes: attributes,
			EventSource: "aws:sqs", EventSourceARN: p.arn, AWSRegion: p.region,
		}
	}
	return events.SQSEvent{Records: records}
}
