package sqs

import (
	"container/list"
	"time"
)

// waiter is a long poll that waits. It is signalled at most once a wait.
type waiter struct {
	signal chan struct{}
	place  *list.Element // nil once signalled
}

// wait queues a long poll up. The server's lock is held.
func (s *Server) wait(q *queue) *waiter {
	w := &waiter{signal: make(chan struct{}, 1)}
	w.place = q.waiters.PushBack(w)
	s.arm(q)
	return w
}

// unwait ends a wait. One that was signalled and will not receive, or has left
// something behind, must wake the next.
func (s *Server) unwait(q *queue, w *waiter) {
	if w.place != nil {
		q.waiters.Remove(w.place)
		w.place = nil
	}
	s.arm(q)
}

// wake signals the poll that waits longest, if a message is ready. Whoever
// makes messages ready calls it once; a poll that leaves some behind calls it
// again. So there is always one on its way while there is work for it, and
// never a herd.
func (q *queue) wake() {
	if q.visible == 0 && !q.gone {
		return
	}
	if front := q.waiters.Front(); front != nil {
		w := front.Value.(*waiter)
		q.waiters.Remove(front)
		w.place = nil
		w.signal <- struct{}{}
	}
}

// arm sets the queue's alarm to its next event while polls wait for one.
func (s *Server) arm(q *queue) {
	_, at, ok := q.timers.first()
	if !ok || q.waiters.Len() == 0 {
		if q.alarm != nil && q.alarmAt != 0 {
			q.alarm.Stop()
			q.alarmAt = 0
		}
		return
	}
	if q.alarmAt == at {
		return
	}
	q.alarmAt = at
	d := time.Duration(max(at-s.millis(), 0)) * time.Millisecond
	if q.alarm == nil {
		q.alarm = time.AfterFunc(d, func() { s.ring(q) })
		return
	}
	q.alarm.Reset(d)
}

// ring is called when the queue's next event is due.
func (s *Server) ring(q *queue) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q.alarmAt = 0
	s.advance(q)
	q.wake()
	s.arm(q)
}
