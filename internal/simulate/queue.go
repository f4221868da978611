package simulate

import (
	"slices"
	"time"
)

// queue is first in, first out.
type queue struct {
	all  []message
	head int
}

func (q *queue) len() int { return len(q.all) - q.head }

func (q *queue) push(m message) {
	if q.head > 1024 && q.head > len(q.all)/2 {
		q.all = q.all[:copy(q.all, q.all[q.head:])]
		q.head = 0
	}
	q.all = append(q.all, m)
}

func (q *queue) pop() message {
	m := q.all[q.head]
	q.head++
	return m
}

// quantile sorts lags, in ticks, and returns one of them; 0 where there are
// none.
func quantile(lags []int32, q float64) time.Duration {
	if len(lags) == 0 {
		return 0
	}
	slices.Sort(lags)
	return time.Duration(lags[min(int(q*float64(len(lags))), len(lags)-1)]) * tick
}
