package sqs

// timers orders the messages of a queue by the time, in Unix milliseconds, at
// which something happens to them next. Each message knows its place, so that
// any one can be moved or removed in O(log n). Four children a node halve the
// levels, and so the cache misses, that a binary heap would cost a million
// messages; keys are kept in the slice for the same reason.
type timers struct{ s []timer }

type timer struct {
	at int64
	m  *message
}

const arity = 4

func (h *timers) len() int { return len(h.s) }

// first returns the earliest message and its time; ok is false when there is none.
func (h *timers) first() (m *message, at int64, ok bool) {
	if len(h.s) == 0 {
		return nil, 0, false
	}
	return h.s[0].m, h.s[0].at, true
}

func (h *timers) push(m *message, at int64) {
	h.s = append(h.s, timer{at, m})
	h.up(len(h.s)-1, timer{at, m})
}

// set gives m, which is in the heap, another time.
func (h *timers) set(m *message, at int64) { h.place(int(m.index), timer{at, m}) }

func (h *timers) remove(m *message) {
	i, last := int(m.index), len(h.s)-1
	t := h.s[last]
	h.s[last] = timer{}
	h.s = h.s[:last]
	if i != last {
		h.place(i, t)
	}
}

func (h *timers) place(i int, t timer) {
	if i > 0 && t.at < h.s[(i-1)/arity].at {
		h.up(i, t)
		return
	}
	h.down(i, t)
}

func (h *timers) put(i int, t timer) {
	h.s[i] = t
	t.m.index = int32(i)
}

func (h *timers) up(i int, t timer) {
	for i > 0 {
		parent := (i - 1) / arity
		if h.s[parent].at <= t.at {
			break
		}
		h.put(i, h.s[parent])
		i = parent
	}
	h.put(i, t)
}

func (h *timers) down(i int, t timer) {
	for {
		child := i*arity + 1
		if child >= len(h.s) {
			break
		}
		least := child
		for c := child + 1; c < min(child+arity, len(h.s)); c++ {
			if h.s[c].at < h.s[least].at {
				least = c
			}
		}
		if h.s[least].at >= t.at {
			break
		}
		h.put(i, h.s[least])
		i = least
	}
	h.put(i, t)
}
