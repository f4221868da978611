package sqs

import (
	"context"
	"encoding/hex"
	"time"
)

// Message is a received message with all its attributes.
type Message struct {
	MessageID, ReceiptHandle, Body    string
	MD5OfBody, MD5OfMessageAttributes string
	// Attributes are the system attributes, such as ApproximateReceiveCount.
	Attributes        map[string]string
	MessageAttributes map[string]MessageAttribute
}

// MessageAttribute is an attribute that the sender gave a message. BinaryValue
// is nil unless the data type is Binary.
type MessageAttribute struct {
	DataType, StringValue string
	BinaryValue           []byte
}

// Receive receives up to maxMessages, of 1 to 10, as ReceiveMessage does with
// all attributes and the queue's visibility timeout. It waits up to wait, of 0
// to 20 seconds in whole seconds, for the first message. When ctx ends it
// returns its error.
func (s *Server) Receive(ctx context.Context, queueName string, maxMessages int, wait time.Duration) ([]Message, error) {
	in := request{
		maxMessages: number{n: maxMessages, set: true},
		waitTime:    number{n: int(wait / time.Second), set: true},
	}
	p, err := checkPoll(&in)
	if err != nil {
		return nil, err
	}
	got, err := s.receive(ctx, s.named(queueName), p)
	if err != nil {
		return nil, err
	}
	messages := make([]Message, len(got))
	for i := range got {
		var v stored
		if err := v.read(got[i].value); err != nil {
			return nil, err
		}
		messages[i] = s.message(&got[i], &v)
	}
	return messages, nil
}

func (s *Server) message(d *delivery, v *stored) Message {
	m := Message{
		MessageID:     string(appendUUID(nil, v.id)),
		ReceiptHandle: string(d.receipt.append(nil)),
		Body:          string(v.body),
		MD5OfBody:     hex.EncodeToString(v.bodyMD5[:]),
		Attributes:    make(map[string]string, 5),
	}
	s.system(d, v, func(_ systemSet, key string, value []byte) {
		if len(value) > 0 {
			m.Attributes[key] = string(value)
		}
	})
	if len(v.attributes) > 0 {
		sum := attributesMD5(v.attributes)
		m.MD5OfMessageAttributes = hex.EncodeToString(sum[:])
		m.MessageAttributes = make(map[string]MessageAttribute, len(v.attributes))
		for _, a := range v.attributes {
			m.MessageAttributes[string(a.name)] = MessageAttribute{string(a.dataType), string(a.text), a.binary}
		}
	}
	return m
}

// DeleteBatch deletes received messages, of which there may be more than ten.
// It returns the first error of any, after it has deleted the others.
func (s *Server) DeleteBatch(ctx context.Context, queueName string, receiptHandles []string) error {
	var first error
	for len(receiptHandles) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(len(receiptHandles), maxBatch)
		var entries [maxBatch]entry
		var errs [maxBatch]error
		for i, handle := range receiptHandles[:n] {
			entries[i].receipt = []byte(handle)
		}
		if err := s.delete(s.named(queueName), entries[:n], errs[:n]); err != nil {
			return err
		}
		for _, err := range errs[:n] {
			if first == nil {
				first = err
			}
		}
		receiptHandles = receiptHandles[n:]
	}
	return first
}

// Depth returns how many messages of a queue are visible, in flight, and
// delayed.
func (s *Server) Depth(queueName string) (ready, inFlight, delayed int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.named(queueName)()
	if err != nil {
		return 0, 0, 0, err
	}
	s.advance(q)
	c := q.counts()
	return c.ready, c.inFlight, c.delayed, nil
}

// named finds a queue by its name. The lock is held when it is called.
func (s *Server) named(queueName string) func() (*queue, error) {
	return func() (*queue, error) {
		if q := s.queues[queueName]; q != nil {
			return q, nil
		}
		return nil, errNoQueue()
	}
}
