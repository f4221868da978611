package deliver

import (
	"context"
	"slices"
	"sync"
	"time"
)

// sharePatience is how long a message waits for a post to its endpoint to end,
// and so how long it holds a place that another endpoint's could have. To an
// endpoint that answers at once it is a queue that moves; one that is slow is
// left alone.
const sharePatience = 250 * time.Millisecond

// maxPutOff is how far ahead a message is put off at most. The endpoint may
// answer at once again long before what waits for it would have got through at
// the pace of the moment.
const maxPutOff = 5 * time.Minute

// Shares bounds the posts to one endpoint that are under way in this process,
// so that an endpoint that hangs, however much there is for it, leaves places
// to the others. It is safe for concurrent use.
type Shares struct {
	limit int
	now   func() time.Time

	mu        sync.Mutex
	endpoints map[string]*share // of those with posts under way
}

// NewShares returns Shares of at most limit posts to an endpoint at once, and,
// while the endpoint is slow, as many messages that wait for one of them to
// end. limit is at least 1.
func NewShares(limit int, now func() time.Time) *Shares {
	return &Shares{limit: max(limit, 1), now: now, endpoints: map[string]*share{}}
}

// share is what one endpoint has of the places.
type share struct {
	started []time.Time      // when the posts under way began, oldest first
	waiting []chan time.Time // each told once when a place is its own, from that moment on
	took    time.Duration    // about how long a post takes: a moving average
	tail    time.Time        // until when what was put off will keep the places busy
}

// Take takes a place for a post to the endpoint, waiting for one a moment where
// all are taken. The caller calls done when the post has ended. ok is false
// when there is none to be had: until is when there may be, so that what is
// put off comes back in turn and does not ask again and again.
func (s *Shares) Take(ctx context.Context, endpointID string) (done func(), until time.Time, ok bool) {
	s.mu.Lock()
	now := s.now()
	e := s.endpoints[endpointID]
	if e == nil {
		e = &share{}
		s.endpoints[endpointID] = e
	}
	switch {
	case len(e.started) < s.limit:
		e.started = append(e.started, now)
		s.mu.Unlock()
		return s.done(endpointID, e, now), time.Time{}, true
	case len(e.waiting) >= s.limit && e.slow(now):
		defer s.mu.Unlock()
		return nil, e.reserve(now, s.limit), false
	}
	turn := make(chan time.Time, 1)
	e.waiting = append(e.waiting, turn)
	s.mu.Unlock()

	timer := time.NewTimer(sharePatience)
	defer timer.Stop()
	select {
	case since := <-turn:
		return s.done(endpointID, e, since), time.Time{}, true
	case <-timer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(e.waiting, turn); i >= 0 {
		e.waiting = slices.Delete(e.waiting, i, i+1)
		return nil, e.reserve(s.now(), s.limit), false
	}
	return s.done(endpointID, e, <-turn), time.Time{}, true // given at the last moment
}

// done returns what ends a post that began at the moment since.
func (s *Shares) done(endpointID string, e *share, since time.Time) func() {
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		now := s.now()
		if took := now.Sub(since); e.took == 0 {
			e.took = took
		} else {
			e.took += (took - e.took) / 8
		}
		i := slices.Index(e.started, since)
		e.started = slices.Delete(e.started, i, i+1)
		if len(e.waiting) > 0 {
			e.started = append(e.started, now)
			e.waiting[0] <- now
			e.waiting = slices.Delete(e.waiting, 0, 1)
		}
		if len(e.started) == 0 {
			delete(s.endpoints, endpointID)
		}
	}
}

// slow says whether waiting for a place takes longer than anybody waits: posts
// take so long, or one under way has already.
func (e *share) slow(now time.Time) bool {
	return e.took > sharePatience || now.Sub(e.started[0]) > sharePatience
}

// reserve returns when the places will have got through what was put off
// before, and lengthens that by one post. Where that is too far ahead it begins
// anew, so that what is put off is spread over the time that it may be.
func (e *share) reserve(now time.Time, limit int) time.Time {
	took := max(e.took, now.Sub(e.started[0])) // the first may hang
	if e.tail.Before(now) {
		e.tail = now
	}
	step := min(max(took/time.Duration(limit), time.Millisecond), maxPutOff)
	if e.tail = e.tail.Add(step); e.tail.Sub(now) > maxPutOff {
		e.tail = now.Add(step)
	}
	return e.tail
}
