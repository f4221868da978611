package sqs

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"slices"
)

// checkBatch checks what makes a batch be refused as a whole.
func checkBatch(entries []entry) error {
	if len(entries) == 0 {
		return errEmptyBatch()
	}
	if len(entries) > maxBatch {
		return errTooManyEntries(len(entries))
	}
	for i := range entries {
		id := entries[i].id
		if len(id) < 1 || len(id) > 80 || bytes.ContainsFunc(id, notInID) {
			return errEntryID()
		}
		if slices.ContainsFunc(entries[:i], func(e entry) bool { return bytes.Equal(e.id, id) }) {
			return errEntryIDs(string(id))
		}
	}
	return nil
}

// answerBatch answers a batch whose entries failed with errs, or succeeded
// where that is nil; more appends what a successful entry has besides its id.
// An empty list is left out, as by the service.
func (c *call) answerBatch(errs []error, more func(b []byte, i int) []byte) {
	c.out = append(c.out, '{')
	n := 0
	for i, err := range errs {
		if err != nil {
			continue
		}
		if n++; n == 1 {
			c.out = append(c.out, `"Successful":[`...)
		} else {
			c.out = append(c.out, ',')
		}
		c.out = appendText(append(c.out, `{"Id":`...), c.in.entries[i].id)
		c.out = more(c.out, i)
		c.out = append(c.out, '}')
	}
	if n > 0 {
		c.out = append(c.out, ']')
	}
	if failed := len(errs) - n; failed > 0 {
		if n > 0 {
			c.out = append(c.out, ',')
		}
		c.out = append(c.out, `"Failed":[`...)
		for i, err := range errs {
			if err == nil {
				continue
			}
			e := asAPIError(err)
			c.out = appendText(append(c.out, `{"Id":`...), c.in.entries[i].id)
			c.out = appendText(append(c.out, `,"Code":`...), e.code)
			c.out = appendText(append(c.out, `,"Message":`...), e.message)
			c.out = append(c.out, `,"SenderFault":`...)
			if e.sender() {
				c.out = append(c.out, "true}"...)
			} else {
				c.out = append(c.out, "false}"...)
			}
			if failed--; failed > 0 {
				c.out = append(c.out, ',')
			}
		}
		c.out = append(c.out, ']')
	}
	c.out = append(c.out, '}')
}

func nothingMore(b []byte, _ int) []byte { return b }

func (s *Server) sendMessageBatch(c *call) error {
	if err := checkBatch(c.in.entries); err != nil {
		return err
	}
	size := 0
	for i := range c.in.entries {
		size += c.in.entries[i].size()
	}
	if size > maxMessageSize {
		return errBatchTooLong(size)
	}
	var (
		sent [maxBatch]stored
		errs [maxBatch]error
	)
	n := len(c.in.entries)
	if err := s.send(c, c.in.entries, sent[:n], errs[:n]); err != nil {
		return err
	}
	c.answerBatch(errs[:n], func(b []byte, i int) []byte {
		return appendSent(append(b, ','), &sent[i], &c.in.entries[i])
	})
	return nil
}

func (s *Server) sendMessage(c *call) error {
	var (
		sent [1]stored
		errs [1]error
	)
	entries := [1]entry{c.in.entry}
	if err := s.send(c, entries[:], sent[:], errs[:]); err != nil {
		return err
	}
	if errs[0] != nil {
		return errs[0]
	}
	c.out = append(appendSent(append(c.out, '{'), &sent[0], &entries[0]), '}')
	return nil
}

// appendSent appends what a sender is told of its message.
func appendSent(b []byte, m *stored, e *entry) []byte {
	b = append(b, `"MessageId":"`...)
	b = appendUUID(b, m.id)
	b = append(b, `","MD5OfMessageBody":"`...)
	b = hex.AppendEncode(b, m.bodyMD5[:])
	if len(e.attributes) > 0 {
		b = append(b, `","MD5OfMessageAttributes":"`...)
		sum := attributesMD5(e.attributes)
		b = hex.AppendEncode(b, sum[:])
	}
	if len(e.system) > 0 {
		b = append(b, `","MD5OfMessageSystemAttributes":"`...)
		sum := attributesMD5(e.system)
		b = hex.AppendEncode(b, sum[:])
	}
	return append(b, '"')
}

// send stores and enqueues those entries that pass the checks, fills sent or
// errs for each, and returns when they are on disk. A message can be received
// once it was applied, which may be before its sender is answered; should the
// power fail in between, a consumer has seen a message whose sender repeats it.
func (s *Server) send(c *call, entries []entry, sent []stored, errs []error) error {
	s.mu.Lock()
	q, err := s.find(c.in.queueURL)
	if err != nil {
		s.mu.Unlock()
		return err
	}
	maxSize, delay := q.maxSize, q.delay
	now := s.millis()
	seq := s.seq
	s.seq += uint64(len(entries))
	s.mu.Unlock()

	b := s.store.NewBatch()
	var (
		scratch [keySize]byte
		added   [maxBatch]*message
	)
	for i := range entries {
		e := &entries[i]
		if errs[i] = e.check(maxSize); errs[i] != nil {
			continue
		}
		m := &sent[i]
		m.fill(e, now, delay)
		seq++
		added[i] = &message{seq: seq, sent: m.sent, due: m.due}
		c.work = m.append(c.work[:0])
		if err := b.Set(appendKey(scratch[:0], messagePrefix, q.uid, seq), c.work); err != nil {
			return err
		}
	}
	if b.Empty() {
		return s.store.ApplyLazily(b)
	}
	commit, err := s.store.Apply(b)
	if err != nil {
		return err
	}
	if err := s.enqueue(q, added[:len(entries)], entries); err != nil {
		return errors.Join(err, commit.Wait())
	}
	return commit.Wait()
}

// enqueue makes stored messages known to their queue, unless it was deleted
// since they were.
func (s *Server) enqueue(q *queue, added []*message, entries []entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.gone {
		added = slices.DeleteFunc(added, func(m *message) bool { return m == nil })
		if err := s.discard(q, added); err != nil {
			return err
		}
		return errNoQueue()
	}
	now := s.advance(q) // what became visible before is ahead
	for i, m := range added {
		if m != nil {
			q.add(m, entries[i].group, now)
		}
	}
	q.wake()
	s.arm(q)
	return nil
}

func (m *stored) fill(e *entry, now int64, delay int) {
	m.id = randomID()
	m.sent = now
	if d := e.delay.or(delay); d > 0 {
		m.due = now + int64(d)*1000
	}
	m.bodyMD5 = md5.Sum(e.body)
	m.group, m.attributes, m.body = e.group, e.attributes, e.body
	if len(e.system) > 0 {
		m.trace = e.system[0].text
	}
}

func (s *Server) deleteMessage(c *call) error {
	entries := [1]entry{c.in.entry}
	var errs [1]error
	if err := s.delete(s.byURL(c), entries[:], errs[:]); err != nil {
		return err
	}
	if errs[0] != nil {
		return errs[0]
	}
	return c.answerNothing()
}

func (s *Server) deleteMessageBatch(c *call) error {
	if err := checkBatch(c.in.entries); err != nil {
		return err
	}
	var errs [maxBatch]error
	n := len(c.in.entries)
	if err := s.delete(s.byURL(c), c.in.entries, errs[:n]); err != nil {
		return err
	}
	c.answerBatch(errs[:n], nothingMore)
	return nil
}

func (s *Server) byURL(c *call) func() (*queue, error) {
	return func() (*queue, error) { return s.find(c.in.queueURL) }
}

// receiptOf reads an entry's handle, which must be one of q.
func (q *queue) receiptOf(e *entry) (receipt, error) {
	if e.receipt == nil {
		return receipt{}, errMissingParameter("ReceiptHandle")
	}
	r, ok := parseReceipt(e.receipt)
	if !ok || r.queue != q.uid {
		return receipt{}, errReceiptHandle(string(e.receipt))
	}
	return r, nil
}

// delete deletes the messages that the entries' handles name, whichever of
// their receives those are of. It is applied lazily: a loss of power may undo
// it, and the message that comes back is a duplicate, which at-least-once
// delivery allows.
func (s *Server) delete(find func() (*queue, error), entries []entry, errs []error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := find()
	if err != nil {
		return err
	}
	s.advance(q)
	b := s.store.NewBatch()
	var found [maxBatch]*message
	for i := range entries {
		r, err := q.receiptOf(&entries[i])
		if err != nil {
			errs[i] = err
			continue
		}
		m := q.received[r.seq]
		if m == nil || slices.Contains(found[:i], m) {
			continue // deleted before: deleting is idempotent
		}
		found[i] = m
		if err := forget(b, q.uid, m); err != nil {
			return err
		}
	}
	if err := s.store.ApplyLazily(b); err != nil {
		return err
	}
	for _, m := range found[:len(entries)] {
		if m != nil {
			q.remove(m)
		}
	}
	q.wake() // polls wait with messages visible when too many are in flight
	s.arm(q)
	return nil
}

func (s *Server) changeMessageVisibility(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c.in.queueURL)
	if err != nil {
		return err
	}
	now := s.advance(q)
	if err := s.changeVisibility(q, &c.in.entry, now); err != nil {
		return err
	}
	q.wake()
	s.arm(q)
	return c.answerNothing()
}

func (s *Server) changeMessageVisibilityBatch(c *call) error {
	if err := checkBatch(c.in.entries); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c.in.queueURL)
	if err != nil {
		return err
	}
	now := s.advance(q)
	var errs [maxBatch]error
	for i := range c.in.entries {
		errs[i] = s.changeVisibility(q, &c.in.entries[i], now)
	}
	q.wake()
	s.arm(q)
	c.answerBatch(errs[:len(c.in.entries)], nothingMore)
	return nil
}

// changeVisibility hides a message in flight for that many seconds from now.
// The handle must be of its latest receive, from which twelve hours count in
// all. Nothing is stored: after a restart the message is visible.
func (s *Server) changeVisibility(q *queue, e *entry, now int64) error {
	r, err := q.receiptOf(e)
	if err != nil {
		return err
	}
	if !e.visibility.set {
		return errMissingParameter("VisibilityTimeout")
	}
	seconds := e.visibility.n
	if seconds < 0 || seconds > maxVisibility {
		return errInvalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be an integer between 0 and 43200.", seconds)
	}
	m := q.received[r.seq]
	switch due := now + int64(seconds)*1000; {
	case m == nil:
		return errNotChangeable(string(e.receipt))
	case m.state != inFlight:
		return errNotInFlight()
	case r.epoch != s.epoch || r.receive != m.receives:
		return errNotChangeable(string(e.receipt))
	case due > m.taken+maxVisibility*1000:
		return errInvalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond the limit [43200 seconds].", seconds)
	case seconds == 0:
		q.show(m)
	default:
		q.hide(m, due)
	}
	return nil
}
