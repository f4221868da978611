package sqs

import (
	"fmt"

	"posthorn/internal/localaws/store"
)

// deadLetterQueue returns the queue that m has to move to instead of being
// received once more, nil when it stays. Without its target a policy moves
// nothing: a message is then received again rather than lost.
func (s *Server) deadLetterQueue(q *queue, m *message) *queue {
	if q.redrive.max == 0 || int(m.receives-m.base) < q.redrive.max {
		return nil
	}
	return s.byArn(q.redrive.target)
}

// burial is the messages on their way to a dead-letter queue: they have left
// memory, and enter the target when the batch that moves them was applied.
type burial struct {
	target   *queue
	messages []*message
	groups   [][]byte
}

// bury moves a message to the target in the store, once b is applied: it is
// deleted and set again under the target in the same batch. It keeps its id,
// its time of sending and its receive count.
func (s *Server) bury(b *store.Batch, q, target *queue, m *message, done *burial) error {
	v, err := s.fetch(q, m)
	if err != nil {
		return err
	}
	v.source, v.base, v.first, v.due = []byte(q.arn), m.receives, m.first, 0
	if err := s.rewrite(b, q, target, m, m.seq, v); err != nil {
		return err
	}
	q.remove(m)
	done.target = target
	done.messages = append(done.messages, m)
	done.groups = append(done.groups, v.group)
	return nil
}

// fetch reads one message. One that the store has not is dropped, since it
// would stand in the way of all behind it for good.
func (s *Server) fetch(q *queue, m *message) (*stored, error) {
	value, ok, err := s.store.Get(appendKey(nil, messagePrefix, q.uid, m.seq))
	if err != nil {
		return nil, fmt.Errorf("read message to move: %w", err)
	}
	if !ok {
		q.remove(m)
		return nil, fmt.Errorf("message %d of queue %s is not in the store", m.seq, q.name)
	}
	var v stored
	if err := v.read(value); err != nil {
		return nil, fmt.Errorf("read message to move: %w", err)
	}
	return &v, nil
}

// rewrite adds to b the move of m from one queue to another under a sequence
// number.
func (s *Server) rewrite(b *store.Batch, from, to *queue, m *message, seq uint64, v *stored) error {
	var scratch [keySize]byte
	if err := b.Set(appendKey(scratch[:0], messagePrefix, to.uid, seq), v.append(nil)); err != nil {
		return err
	}
	return forget(b, from.uid, m)
}

// finish puts the messages into the target and wakes a poll of it.
func (d *burial) finish(s *Server, now int64) {
	if len(d.messages) == 0 {
		return
	}
	for i, m := range d.messages {
		m.base, m.due = m.receives, 0
		d.target.add(m, d.groups[i], now)
	}
	d.target.wake()
	s.arm(d.target)
}

// undo puts the messages back where they were.
func (d *burial) undo(q *queue, now int64) {
	for i, m := range d.messages {
		m.due = 0
		q.add(m, d.groups[i], now)
	}
}
