package sqs

import (
	"container/list"
	"time"
)

// queue is one queue. All of it is guarded by the server's lock. Its methods
// change memory only; what has to reach the store is written by their callers.
type queue struct {
	uid       uint64
	name, arn string
	settings
	purged int64 // latest PurgeQueue, Unix milliseconds
	gone   bool

	received map[uint64]*message // by seq; those never received have no handle
	timers   timers              // every message
	groups   map[string]*group
	fairness
	order                    uint64
	visible, flying, waiting int // messages that are ready, in flight, delayed

	waiters list.List   // of *waiter: long polls, longest first
	alarm   *time.Timer // runs while there are waiters
	alarmAt int64
}

// counts are a queue's approximate numbers of messages, which here are exact.
type counts struct{ ready, inFlight, delayed int }

func (q *queue) counts() counts { return counts{q.visible, q.flying, q.waiting} }

// expiry is when the retention of m ends. It counts from the first send, also
// in a dead-letter queue.
func (q *queue) expiry(m *message) int64 { return m.sent + q.retention*1000 }

// groupOf returns the group of that name, which may be empty.
func (q *queue) groupOf(name []byte) *group {
	if g := q.groups[string(name)]; g != nil {
		return g
	}
	g := &group{name: string(name), index: -1}
	q.groups[g.name] = g
	return g
}

// add takes in a message: delayed until m.due, or ready when that has passed.
func (q *queue) add(m *message, groupName []byte, now int64) {
	m.group = q.groupOf(groupName)
	m.group.live++
	if m.receives > m.base {
		q.received[m.seq] = m
	}
	if m.due > now {
		m.state = delayed
		q.waiting++
		q.timers.push(m, min(m.due, q.expiry(m)))
		return
	}
	q.timers.push(m, q.expiry(m))
	q.enter(m)
}

// enter makes m the newest of the ready messages.
func (q *queue) enter(m *message) {
	q.order++
	m.state, m.order = ready, q.order
	q.visible++
	m.group.append(m)
	if m.group.head == m {
		q.changed(m.group)
	}
}

// leave undoes what m's state counts for.
func (q *queue) leave(m *message) {
	switch m.state {
	case delayed:
		q.waiting--
	case inFlight:
		q.flying--
		m.group.inFlight--
	case ready:
		q.visible--
		first := m.group.head == m
		m.group.unlink(m)
		if first {
			q.changed(m.group)
		}
	}
}

// show makes a message ready again.
func (q *queue) show(m *message) {
	q.leave(m)
	q.enter(m)
	q.timers.set(m, q.expiry(m))
}

// hide puts a message in flight until due.
func (q *queue) hide(m *message, due int64) {
	q.leave(m)
	m.state, m.due = inFlight, due
	q.flying++
	m.group.inFlight++
	q.timers.set(m, min(due, q.expiry(m)))
}

// take counts a receive of m and hides it until due.
func (q *queue) take(m *message, now, due int64) {
	m.receives++
	m.taken = now
	if m.first == 0 {
		m.first = now
	}
	q.received[m.seq] = m
	q.hide(m, due)
}

// remove forgets m.
func (q *queue) remove(m *message) {
	q.leave(m)
	q.timers.remove(m)
	delete(q.received, m.seq)
	m.group.live--
	if m.group.live == 0 {
		delete(q.groups, m.group.name)
	}
}

// advance makes ready what became visible by now, and removes and returns
// what the end of its retention reached.
func (q *queue) advance(now int64) (expired []*message) {
	for {
		m, at, ok := q.timers.first()
		if !ok || at > now {
			return expired
		}
		if q.expiry(m) <= now {
			q.remove(m)
			expired = append(expired, m)
			continue
		}
		q.show(m)
	}
}

// retain sets the retention, in seconds, which moves every message's time.
func (q *queue) retain(seconds int64) {
	if q.retention == seconds {
		return
	}
	q.retention = seconds
	all := q.timers.s
	q.timers.s = make([]timer, 0, len(all))
	for _, t := range all {
		at := q.expiry(t.m)
		if t.m.state != ready {
			at = min(at, t.m.due)
		}
		q.timers.push(t.m, at)
	}
}

// next returns the message to be received next, nil when none is ready.
func (q *queue) next() *message { return q.choose(q.flying) }
