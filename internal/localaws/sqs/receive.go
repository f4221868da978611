package sqs

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"
)

// poll is what a receive asks for.
type poll struct {
	max              int
	visibility, wait number // the queue's when not set
}

// delivery is a message that was received. The value is as stored; what
// changed since is beside it.
type delivery struct {
	receipt  receipt
	first    int64
	receives uint32
	value    []byte
}

// maxBuried bounds how many messages one look at a queue moves to its
// dead-letter queue, and so how long it holds the lock.
const maxBuried = 100

func checkPoll(in *request) (poll, error) {
	p := poll{max: in.maxMessages.or(1), visibility: in.visibility, wait: in.waitTime}
	switch {
	case p.max < 1 || p.max > maxBatch:
		return p, errInvalidParameter("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", p.max)
	case p.wait.n < 0 || p.wait.n > maxWait:
		return p, errInvalidParameter("Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", p.wait.n)
	case p.visibility.n < 0 || p.visibility.n > maxVisibility:
		return p, errInvalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= 43200, if provided.", p.visibility.n)
	case in.attempt != nil:
		return p, errInvalidParameter("Value %s for parameter ReceiveRequestAttemptId is invalid. Reason: The request includes a parameter that is not valid for this queue type.", in.attempt)
	}
	return p, nil
}

// receive waits for messages as long as p says, or until ctx or the server
// ends, and takes what there is.
func (s *Server) receive(ctx context.Context, find func() (*queue, error), p poll) ([]delivery, error) {
	s.mu.Lock()
	q, err := find()
	if err != nil {
		s.mu.Unlock()
		return nil, err
	}
	wait := p.wait.or(q.wait)
	var timer *time.Timer
	for last := wait == 0; ; {
		if q.gone {
			s.mu.Unlock()
			return nil, errNoQueue()
		}
		got, again, err := s.take(q, p, wait == 0)
		if q.visible > 0 {
			q.wake()
		}
		s.arm(q)
		if err != nil {
			s.mu.Unlock()
			return nil, err
		}
		if len(got) > 0 {
			s.mu.Unlock()
			if got, err = s.read(got); err != nil || len(got) > 0 || last {
				return got, err
			}
			s.mu.Lock() // all were deleted meanwhile
			continue
		}
		if again {
			s.mu.Unlock() // let others in
			s.mu.Lock()
			continue
		}
		if last || s.closed {
			s.mu.Unlock()
			return nil, nil
		}
		w := s.wait(q)
		s.mu.Unlock()
		if timer == nil {
			timer = time.NewTimer(time.Duration(wait) * time.Second)
			defer timer.Stop()
		}
		left := false
		select {
		case <-w.signal:
		case <-timer.C:
			last = true
		case <-s.closing.Done():
			left = true
		case <-ctx.Done():
			left = true
		}
		s.mu.Lock()
		s.unwait(q, w)
		if left {
			// It may have been signalled too: then another has to go.
			q.wake()
			s.mu.Unlock()
			return nil, ctx.Err()
		}
	}
}

// take takes up to p.max messages of q, and moves those that were received too
// often to the dead-letter queue. again says that there may be more to take.
// At the limit of messages in flight a short poll is refused, and a long poll
// finds nothing. The lock is held.
func (s *Server) take(q *queue, p poll, short bool) (got []delivery, again bool, err error) {
	now := s.advance(q)
	visibility := p.visibility.or(q.visibility)
	if q.visible == 0 {
		return nil, false, nil
	}
	b := s.store.NewBatch()
	var (
		buried burial
		taken  [maxBatch]*message
	)
	defer func() {
		// Also after an error: what was taken with no timeout is visible.
		for _, m := range taken {
			if m != nil && visibility == 0 {
				q.show(m)
			}
		}
	}()
	for len(got) < p.max && len(buried.messages) < maxBuried {
		m := q.next()
		if m == nil {
			break
		}
		if target := s.deadLetterQueue(q, m); target != nil {
			if err = s.bury(b, q, target, m, &buried); err != nil {
				break
			}
			continue
		}
		if q.flying >= s.inFlightLimit {
			if short && len(got) == 0 {
				err = errOverLimit("Too many messages in flight: at most %d are allowed.", s.inFlightLimit)
			}
			break
		}
		q.take(m, now, now+int64(visibility)*1000)
		taken[len(got)] = m
		if err = saveReceive(b, q.uid, m); err != nil {
			break
		}
		got = append(got, delivery{
			receipt:  receipt{queue: q.uid, seq: m.seq, epoch: s.epoch, receive: m.receives},
			receives: m.receives, first: m.first,
		})
	}
	if err != nil && asAPIError(err).sender() {
		got = nil // over the limit, yet moves were made
	} else if err != nil {
		buried.undo(q, now)
		return nil, false, err
	}
	// Receive counts may be lost with the power: they are approximate. Moves
	// may be lost too, as a whole: the message is then where it was.
	if err := s.store.ApplyLazily(b); err != nil {
		buried.undo(q, now)
		return nil, false, err
	}
	buried.finish(s, now)
	return got, len(got) == 0 && len(buried.messages) > 0, err
}

// read reads the messages that were taken. Those deleted meanwhile, by the
// handle of an earlier receive, are left out.
func (s *Server) read(got []delivery) ([]delivery, error) {
	kept := got[:0]
	var scratch [keySize]byte
	for _, d := range got {
		value, ok, err := s.store.Get(appendKey(scratch[:0], messagePrefix, d.receipt.queue, d.receipt.seq))
		if err != nil {
			return nil, fmt.Errorf("read received message: %w", err)
		}
		if ok {
			d.value = value
			kept = append(kept, d)
		}
	}
	return kept, nil
}

func (s *Server) receiveMessage(c *call) error {
	p, err := checkPoll(&c.in)
	if err != nil {
		return err
	}
	var sel selectors
	if sel.system, err = selectSystem(c.in.systemNames, c.in.attributeNames); err != nil {
		return err
	}
	sel.messages = c.in.messageNames
	got, err := s.receive(c.ctx, func() (*queue, error) { return s.find(c.in.queueURL) }, p)
	if err != nil {
		return err
	}
	if len(got) == 0 {
		return c.answerNothing()
	}
	c.out = append(c.out, `{"Messages":[`...)
	var m stored
	for i := range got {
		if i > 0 {
			c.out = append(c.out, ',')
		}
		if err := m.read(got[i].value); err != nil {
			return err
		}
		c.out = s.appendMessage(c.out, &got[i], &m, sel)
	}
	c.out = append(c.out, "]}"...)
	return nil
}

func (s *Server) appendMessage(b []byte, d *delivery, m *stored, sel selectors) []byte {
	b = append(b, `{"MessageId":"`...)
	b = appendUUID(b, m.id)
	b = append(b, `","ReceiptHandle":"`...)
	b = d.receipt.append(b)
	b = append(b, `","MD5OfBody":"`...)
	b = hex.AppendEncode(b, m.bodyMD5[:])
	b = appendText(append(b, `","Body":`...), m.body)
	if sel.system != 0 {
		b = s.appendSystem(b, d, m, sel.system)
	}
	if len(m.attributes) > 0 && len(sel.messages) > 0 {
		chosen := m.attributes[:0:0]
		for _, a := range m.attributes {
			if wanted(sel.messages, a.name) {
				chosen = append(chosen, a)
			}
		}
		if len(chosen) > 0 {
			sum := attributesMD5(chosen)
			b = append(b, `,"MD5OfMessageAttributes":"`...)
			b = hex.AppendEncode(b, sum[:])
			b = append(b, `","MessageAttributes":`...)
			b = appendAttributes(b, chosen)
		}
	}
	return append(b, '}')
}

// appendSystem appends the member with those system attributes that are
// wanted and that the message has, if there is one.
func (s *Server) appendSystem(b []byte, d *delivery, m *stored, want systemSet) []byte {
	before := len(b)
	b = append(b, `,"Attributes":{`...)
	start := len(b)
	s.system(d, m, func(name systemSet, key string, value []byte) {
		if want&name == 0 || len(value) == 0 {
			return
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(appendText(b, key), ':')
		b = appendText(b, value)
	})
	if len(b) == start {
		return b[:before]
	}
	return append(b, '}')
}

// system calls visit with each system attribute; the value is valid during
// the call.
func (s *Server) system(d *delivery, m *stored, visit func(name systemSet, key string, value []byte)) {
	var scratch [24]byte
	number := func(n int64) []byte { return strconv.AppendInt(scratch[:0], n, 10) }
	visit(senderID, "SenderId", []byte(s.account))
	visit(sentTimestamp, "SentTimestamp", number(m.sent))
	visit(receiveCount, "ApproximateReceiveCount", number(int64(d.receives)))
	visit(firstReceive, "ApproximateFirstReceiveTimestamp", number(d.first))
	visit(groupID, "MessageGroupId", m.group)
	visit(traceHeader, "AWSTraceHeader", m.trace)
	visit(sourceArn, "DeadLetterQueueSourceArn", m.source)
}
