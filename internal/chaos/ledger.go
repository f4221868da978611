package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
)

// ledger notes what happens while it happens: what producers were told, what
// arrived, and which attempts may be on no record.
type ledger struct {
	mu         sync.Mutex
	accepted   map[int]acceptance     // by the event's number
	ids        map[int]map[string]int // by the event's number: arrivals, by the id they came with
	arrivals   map[string]*arrivals   // by delivery
	died       map[string]int
	unrecorded map[string]int
	overtaken  map[string]int
	posts      int
	wrong      []string // what may never happen
	misses     int      // of wrong that are not kept
}

// acceptance is a 202.
type acceptance struct {
	event     string
	listed    []string // the first of its deliveries
	total     int
	keyed     bool
	endpoints int // that its type goes to
}

// arrivals are the posts of one delivery.
type arrivals struct {
	event, endpoint int // their numbers
	posts           []arrived
}

// arrived is one post.
type arrived struct {
	stamp string // tells an attempt from another: number, time and signature
	how   behaviour
}

func newLedger() *ledger {
	return &ledger{
		accepted: map[int]acceptance{}, ids: map[int]map[string]int{}, arrivals: map[string]*arrivals{},
		died: map[string]int{}, unrecorded: map[string]int{}, overtaken: map[string]int{},
	}
}

// maxWrong bounds what is kept of what may never happen.
const maxWrong = 20

// wrongf notes what may never happen.
func (l *ledger) wrongf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(format, args...)
}

func (l *ledger) note(format string, args ...any) {
	if len(l.wrong) >= maxWrong {
		l.misses++
		return
	}
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// accept notes that an event was acknowledged: its deliveries are owed from now
// on.
func (l *ledger) accept(event int, a acceptance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if before, twice := l.accepted[event]; twice {
		l.note("event %d was accepted twice, as %s and %s", event, before.event, a.event)
	}
	l.accepted[event] = a
}

// progress returns how many events are accepted and how many posts arrived.
func (l *ledger) progress() (accepted, posts int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted), l.posts
}

// arrive notes a post and returns which one of its delivery it is, from 0.
func (l *ledger) arrive(delivery, id string, event, endpoint int, h http.Header) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posts++
	if l.ids[event] == nil {
		l.ids[event] = map[string]int{}
	}
	l.ids[event][id]++
	d := l.arrivals[delivery]
	if d == nil {
		d = &arrivals{event: event, endpoint: endpoint}
		l.arrivals[delivery] = d
	}
	if d.event != event || d.endpoint != endpoint {
		l.note("delivery %s is of event %d at endpoint %d, and of %d at %d", delivery, d.event, d.endpoint, event, endpoint)
	}
	d.posts = append(d.posts, arrived{stamp: h.Get("X-Webhook-Attempt") + " " + h.Get("Webhook-Timestamp") + " " + h.Get("Webhook-Signature")})
	return len(d.posts) - 1
}

// answer notes how a post was answered.
func (l *ledger) answer(delivery string, n int, how behaviour) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrivals[delivery].posts[n].how = how
}

// environmentDied notes that the environment died, or timed out, which had those
// deliveries: of each one attempt may have been made that is on no record.
func (l *ledger) environmentDied(deliveries []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range deliveries {
		l.died[id]++
	}
}

// attemptLine is what the deliver function logs of an attempt.
type attemptLine struct {
	Message     string `json:"msg"`
	Delivery    string `json:"delivery_id"`
	Status      string `json:"status"`
	RecordError string `json:"record_error"`
}

var attemptMark = []byte(`"msg":"attempt"`)

// line notes what a line of the deliver function's log says of attempts that
// are on no record: the store did not take them, or another message had ended
// the delivery meanwhile.
func (l *ledger) line(b []byte) {
	if !bytes.Contains(b, attemptMark) {
		return
	}
	var a attemptLine
	if err := json.Unmarshal(b, &a); err != nil {
		l.wrongf("a line of the log cannot be read: %v: %.200q", err, b)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case a.RecordError != "":
		l.unrecorded[a.Delivery]++
	case a.Status == "":
		l.overtaken[a.Delivery]++
	}
}
