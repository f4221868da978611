package sqs

import "container/heap"

// group is the messages of a queue that share a MessageGroupId, or have none.
// The visible ones form a list, oldest first.
type group struct {
	name       string
	head, tail *message
	live       int // messages in the queue, visible or not
	inFlight   int
	index      int // place among the quiet groups, -1 when not there
	noisy      bool
}

func (g *group) append(m *message) {
	m.prev, m.next = g.tail, nil
	if g.tail != nil {
		g.tail.next = m
	} else {
		g.head = m
	}
	g.tail = m
}

func (g *group) unlink(m *message) {
	if m.prev != nil {
		m.prev.next = m.next
	} else {
		g.head = m.next
	}
	if m.next != nil {
		m.next.prev = m.prev
	} else {
		g.tail = m.prev
	}
	m.prev, m.next = nil, nil
}

// fairness chooses among the groups that have visible messages. As in the
// service's fair queues, a group that has more than a tenth of the queue's
// messages in flight, and at least 30, waits while another has something to
// receive; otherwise the oldest visible message is next.
//
// At most nine groups can be noisy at once, so the noisy ones are a short
// list. A group moves between the two when it is looked at, not when the
// counts change: each choice is O(log n).
type fairness struct {
	quiet quietGroups
	noisy []*group
}

const noisyMinimum = 30

func (g *group) isNoisy(inFlight int) bool {
	return g.name != "" && g.inFlight >= noisyMinimum && g.inFlight*10 > inFlight
}

// changed is to be called when the head of g is another message, or none.
func (f *fairness) changed(g *group) {
	switch {
	case g.noisy: // choose drops it when it is empty
	case g.head == nil && g.index >= 0:
		heap.Remove(&f.quiet, g.index)
	case g.head != nil && g.index >= 0:
		heap.Fix(&f.quiet, g.index)
	case g.head != nil:
		heap.Push(&f.quiet, g)
	}
}

// choose returns the message to be received next, nil when none is visible.
// inFlight counts those of the whole queue.
func (f *fairness) choose(inFlight int) *message {
	kept := f.noisy[:0]
	for _, g := range f.noisy {
		if g.head != nil && g.isNoisy(inFlight) {
			kept = append(kept, g)
			continue
		}
		g.noisy = false
		f.changed(g)
	}
	clear(f.noisy[len(kept):])
	f.noisy = kept
	for len(f.quiet) > 0 {
		g := f.quiet[0]
		if !g.isNoisy(inFlight) {
			return g.head
		}
		heap.Pop(&f.quiet)
		g.noisy = true
		f.noisy = append(f.noisy, g)
	}
	var oldest *message
	for _, g := range f.noisy {
		if oldest == nil || g.head.order < oldest.order {
			oldest = g.head
		}
	}
	return oldest
}

// quietGroups is a heap by the age of each group's oldest visible message.
type quietGroups []*group

func (q quietGroups) Len() int           { return len(q) }
func (q quietGroups) Less(i, j int) bool { return q[i].head.order < q[j].head.order }
func (q quietGroups) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *quietGroups) Push(x any) {
	g := x.(*group)
	g.index = len(*q)
	*q = append(*q, g)
}

func (q *quietGroups) Pop() any {
	last := len(*q) - 1
	g := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	g.index = -1
	return g
}
