package lifetest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"posthorn/internal/deliver/post"
	"posthorn/internal/hook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	ok200 = post.Result{StatusCode: 200, Outcome: hook.OutcomeSuccess}
	no503 = post.Result{StatusCode: 503, Outcome: hook.OutcomeHTTPError, Reason: "HTTP 503: Service Unavailable"}
	no429 = post.Result{StatusCode: 429, Outcome: hook.OutcomeHTTPError, Reason: "HTTP 429: Too Many Requests", RetryAfter: "100"}
	no410 = post.Result{StatusCode: 410, Outcome: hook.OutcomeHTTPError, Reason: "HTTP 410: Gone"}
)

// storm is a machine of random things that happen to a world.
type storm struct {
	*world
	calm bool // nothing goes wrong, and one thing happens after the other
}

const atOnce = 3 // processes

// pick draws one of n.
func pick(t *rapid.T, what string, n int) int { return rapid.IntRange(0, n-1).Draw(t, what) }

func (s *storm) answer(t *rapid.T) post.Result {
	answers := []post.Result{no503, ok200, no503, no503, no429, no410}
	return answers[pick(t, "answer", len(answers))]
}

func (s *storm) clock(t *rapid.T) time.Duration {
	if s.calm {
		return 0
	}
	return rapid.SampledFrom([]time.Duration{0, 0, 0, -40 * time.Second, 40 * time.Second, -20 * time.Minute, 20 * time.Minute}).Draw(t, "clock")
}

// room skips an action when there is enough under way.
func (s *storm) room(t *rapid.T) {
	if len(s.running()) >= atOnce {
		t.Skip("enough is under way")
	}
}

// begun says how a process that was just started goes on: to its end, or up to
// a call that goes wrong, or to where it posts or writes a row, or not yet.
func (s *storm) begun(t *rapid.T, p *process) { s.goOn(t, p, 4) }

// goOn takes a process further. The last of ways leaves it as it is.
func (s *storm) goOn(t *rapid.T, p *process, ways int) {
	way := 0
	if !s.calm {
		way = pick(t, "way", ways)
	}
	switch way {
	case 0:
		s.finish(t, p, func() post.Result { return s.answer(t) })
	case 1:
		s.step(t, p, pick(t, "good calls", 10), made)
		s.step(t, p, 1, []fate{made, failed, lost, diedBefore, diedAfter}[pick(t, "fate", 5)])
	case 2:
		s.halfWay(t, p)
	}
}

// halfWay takes a process to its next post, or to its next write of a row: what
// happens meanwhile is what it has not seen.
func (s *storm) halfWay(t *rapid.T, p *process) {
	for n := 0; ; n++ {
		s.step(t, p, 1, made)
		waits := slices.ContainsFunc(s.calls(), func(c *call) bool {
			return c.p == p && (c.post || c.writes() && strings.Contains(c.name, "row"))
		})
		if waits || n == 30 {
			return
		}
	}
}

// step decides about some calls of a process, one after the other.
func (s *storm) step(t *rapid.T, p *process, n int, f fate) {
	for range n {
		var mine []*call
		for _, c := range s.calls() {
			if c.p == p {
				mine = append(mine, c)
			}
		}
		if len(mine) == 0 {
			return
		}
		c := mine[pick(t, "call", len(mine))]
		if c.post {
			c.answer = s.answer(t)
		}
		s.note("process %d: %s: %s", p.number, c.name, f)
		s.decide(t, c, f)
	}
}

// deliver receives some messages for the deliver function.
func (s *storm) deliver(t *rapid.T) {
	s.room(t)
	received := s.take(func(q *queued) bool { return pick(t, "leave "+q.id, 3) < 2 })
	if len(received) == 0 {
		t.Skip("nothing to receive")
	}
	s.begun(t, s.world.deliver(s.clock(t), received))
}

// take receives messages. Of one delivery only those of one generation come
// together, so that the model can tell which one a post was made for; and only
// one delivery comes more than once, and a job's message alone, so that what
// runs at the same time in one process always does so in the same order.
func (s *storm) take(wanted func(*queued) bool) []hook.Received {
	var batch []*queued
	several := ""
	for _, q := range s.ready(false) {
		m := q.parcel.Delivery
		if m == nil && len(batch) > 0 || !wanted(q) {
			continue
		}
		if m == nil {
			return s.receive([]*queued{q}, visibility)
		}
		same := slices.ContainsFunc(batch, func(o *queued) bool { return o.parcel.Delivery.Ref == m.Ref })
		other := slices.ContainsFunc(batch, func(o *queued) bool { return o.parcel.Delivery.Ref == m.Ref && o.parcel.Delivery.Gen != m.Gen })
		if other || same && several != "" && several != m.EndpointID {
			continue
		}
		if same {
			several = m.EndpointID
		}
		batch = append(batch, q)
	}
	return s.receive(batch, visibility)
}

// repeat has a message delivered that is in flight: SQS delivers at least once.
func (s *storm) repeat(t *rapid.T) {
	s.room(t)
	var flying []*queued
	for _, q := range s.queue {
		if !q.gone && !q.dead && q.handle != "" {
			flying = append(flying, q)
		}
	}
	if len(flying) == 0 {
		t.Skip("nothing in flight")
	}
	s.disturbed++
	s.begun(t, s.world.deliver(s.clock(t), []hook.Received{flying[pick(t, "message", len(flying))].received()}))
}

// race has one message delivered twice at once: two posts are under way, and
// either may be recorded first.
func (s *storm) race(t *rapid.T) {
	if len(s.running()) > 0 {
		t.Skip("enough is under way")
	}
	var waiting []*queued
	for _, q := range s.ready(false) {
		if q.parcel.Delivery != nil && q.receives < maxReceives {
			waiting = append(waiting, q)
		}
	}
	if len(waiting) == 0 {
		t.Skip("nothing to receive")
	}
	s.disturbed++
	q := waiting[pick(t, "message", len(waiting))]
	received := s.receive([]*queued{q}, visibility)
	first, second := s.world.deliver(0, received), s.world.deliver(0, received)
	s.halfWay(t, first)
	s.halfWay(t, second)
	if rapid.Bool().Draw(t, "the second is faster") {
		first, second = second, first
	}
	if rapid.Bool().Draw(t, "one of them goes wrong") {
		s.goOn(t, first, 2)
		s.goOn(t, second, 2)
		return
	}
	answers := [][2]post.Result{{no410, ok200}, {no503, ok200}, {ok200, no503}, {ok200, ok200}}[pick(t, "answers", 4)]
	s.finish(t, first, func() post.Result { return answers[0] })
	if len(s.ready(true)) > 0 && rapid.Bool().Draw(t, "swept in between") {
		s.finish(t, s.world.sweep(0), func() post.Result { return ok200 })
	}
	s.finish(t, second, func() post.Result { return answers[1] })
}

// produce has the producer send its event again.
func (s *storm) produce(t *rapid.T) {
	s.disturbed++
	s.world.produce(t, s.refs()[pick(t, "delivery", len(s.lives))], true)
}

func (s *storm) sweep(t *rapid.T) {
	s.room(t)
	if len(s.ready(true)) == 0 {
		t.Skip("nothing to sweep")
	}
	s.begun(t, s.world.sweep(s.clock(t)))
}

func (s *storm) endpoint(t *rapid.T) string {
	return s.endpoints[pick(t, "endpoint", len(s.endpoints))]
}

func good(status int) bool { return status >= 200 && status < 300 }

// pause pauses an endpoint. Of a pause and a resume at the same time nobody can
// tell which was first.
func (s *storm) pause(t *rapid.T) {
	s.room(t)
	e := s.endpoint(t)
	before, meanwhile := s.resumes[e], slices.ContainsFunc(s.processes, func(p *process) bool { return p.what == "POST webhooks/"+e+"/resume" })
	s.begun(t, s.request(s.clock(t), "POST", "webhooks/"+e+"/pause", "", func(_ *process, status int) {
		if good(status) && s.resumes[e] == before && !meanwhile {
			s.inactive[e] = max(s.inactive[e], paused)
		}
	}))
}

func (s *storm) resume(t *rapid.T) {
	s.room(t)
	s.begun(t, s.startResume(s.endpoint(t), s.clock(t)))
}

func (s *storm) startResume(e string, clock time.Duration) *process {
	s.owed[e]++
	s.resumes[e]++
	s.mayBeActive(e)
	return s.request(clock, "POST", "webhooks/"+e+"/resume", "", func(_ *process, status int) {
		if good(status) || status == http.StatusNotFound {
			s.owed[e]--
		}
	})
}

func (s *storm) delete(t *rapid.T) {
	s.room(t)
	if pick(t, "really", 4) < 3 {
		t.Skip("there is little to see after it")
	}
	e := s.endpoint(t)
	s.begun(t, s.request(s.clock(t), "DELETE", "webhooks/"+e, "", func(_ *process, status int) {
		if good(status) {
			s.inactive[e] = gone
		}
	}))
}

// redrive asks for deliveries to be sent again. Those that promised names, as
// the answer stood when the request was made, have to get a fresh budget.
func (s *storm) redrive(t *rapid.T, path, body string, promised func(p *process, row *hook.Delivery) bool) {
	if !s.calm { // two at once send two messages of one generation
		s.disturbed++
	}
	s.begun(t, s.request(s.clock(t), "POST", path, body, func(p *process, status int) {
		for ref, row := range p.rows {
			if good(status) && row != nil && promised(p, row) {
				s.lives[ref].promised = max(s.lives[ref].promised, row.Gen+1)
			}
		}
	}))
}

func (s *storm) retry(t *rapid.T) {
	s.room(t)
	ref := s.refs()[pick(t, "delivery", len(s.lives))]
	s.redrive(t, "deliveries/"+ref.ID()+"/retry", "", func(_ *process, row *hook.Delivery) bool { return row.Ref == ref })
}

func (s *storm) resend(t *rapid.T) {
	s.room(t)
	s.redrive(t, "events/"+s.event.ID+"/resend", "", func(_ *process, row *hook.Delivery) bool { return !s.deleted[row.EndpointID] })
}

func (s *storm) replay(t *rapid.T) {
	s.room(t)
	var entries []string
	for _, ref := range s.refs() {
		if row := s.lives[ref].row; row != nil && row.DeadLetterID != "" {
			entries = append(entries, row.DeadLetterID)
		}
	}
	if len(entries) == 0 {
		t.Skip("no entry")
	}
	entry := entries[pick(t, "entry", len(entries))]
	s.redrive(t, "dlq/"+entry+"/replay", "", func(_ *process, row *hook.Delivery) bool { return row.DeadLetterID == entry })
}

func (s *storm) replayAll(t *rapid.T) {
	s.room(t)
	s.redrive(t, "dlq/replay", `{"filter":{}}`, func(p *process, row *hook.Delivery) bool { return row.DeadLetterID != "" && p.after(row.CompletedAt) })
}

func (s *storm) recover(t *rapid.T) {
	s.room(t)
	e := s.endpoint(t)
	s.redrive(t, "webhooks/"+e+"/recover", `{"since":"1999-01-01T00:00:00Z"}`, func(p *process, row *hook.Delivery) bool {
		return row.EndpointID == e && row.Status == hook.Dead && p.after(row.CompletedAt)
	})
}

// run takes a process further that is under way.
func (s *storm) run(t *rapid.T) {
	running := s.running()
	if len(running) == 0 {
		t.Skip("nothing runs")
	}
	p := running[pick(t, "process", len(running))]
	s.note("process %d goes on", p.number)
	s.goOn(t, p, 3)
}

// wait lets time pass.
func (s *storm) wait(t *rapid.T) {
	d := []time.Duration{0, time.Second, 10 * time.Second, 70 * time.Second, 16 * time.Minute}[pick(t, "time", 5)]
	if d == 0 { // until there is something to do
		if d = time.Until(s.next()); d < 0 {
			t.Skip("there is something to do")
		}
	}
	s.sleep(d)
	s.look(t, true, true)
}

// drain has everything that was begun come to its end, with nothing going wrong
// any more, and checks what has become of it.
func (s *storm) drain(t *rapid.T) {
	answer := ok200
	if rapid.Bool().Draw(t, "nothing but failures at last") {
		answer = no503
	}
	last := func() post.Result { return answer }
	for _, p := range s.running() {
		s.finish(t, p, last)
	}
	for _, e := range s.endpoints {
		if s.owed[e] > 0 { // who was not answered asks again
			s.finish(t, s.startResume(e, 0), last)
		}
	}
	for rounds := 0; ; rounds++ {
		require.Less(t, rounds, 2000, "it does not come to an end in %s: %v", s.slept, s.queue)
		next := s.next()
		if next.IsZero() {
			break
		}
		s.sleep(time.Until(next))
		if batch := s.take(func(*queued) bool { return true }); len(batch) > 0 {
			s.finish(t, s.world.deliver(0, batch), last)
		}
		if len(s.ready(true)) > 0 {
			s.finish(t, s.world.sweep(0), last)
		}
	}
	s.look(t, true, true)
	for _, ref := range s.refs() {
		l := s.lives[ref]
		e, row := s.stored[ref.EndpointID], l.row
		require.NotNil(t, row, "delivery %s is lost", s.letter(ref))
		require.Equal(t, l.newest, row.Gen, "the newest budget of %s is used", s.letter(ref))
		if e != nil && row.Status != hook.Delivered {
			require.GreaterOrEqual(t, row.Gen, l.promised, "%s is not sent again", s.letter(ref))
		}
		switch row.Status {
		case hook.Held:
			require.True(t, e != nil && e.Status != hook.EndpointActive, "%s is held for ever", s.letter(ref))
		case hook.Dead:
			require.NotEmpty(t, row.DeadLetterID, "%s is dead without an entry", s.letter(ref))
		case hook.Delivered, hook.Cancelled:
		default:
			require.Fail(t, "lost", "delivery %s ends %s", s.letter(ref), row.Status)
		}
		later, err := s.table.Attempts(context.Background(), ref, 200)
		require.NoError(t, err)
		require.Len(t, later, max(row.Attempts-1, 0), "every attempt is in the log")
	}
}

// storms is a property: whatever happens, and then to the end. An action's name
// twice makes it twice as likely.
func storms(calm bool, more map[string]func(*storm, *rapid.T), check func(*storm, *rapid.T)) func(*rapid.T) {
	return func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			s := &storm{world: newWorld(t, calm), calm: calm}
			defer s.close()
			actions := map[string]func(*rapid.T){
				"": func(t *rapid.T) { require.Empty(t, s.violations) }, "deliver": s.deliver, "deliver more": s.deliver, "deliver yet more": s.deliver,
				"sweep": s.sweep, "pause": s.pause, "resume": s.resume, "delete": s.delete, "retry": s.retry, "replay": s.replay, "replay all": s.replayAll, "recover": s.recover, "resend": s.resend,
				"wait": s.wait, "wait more": s.wait,
			}
			for name, do := range more {
				actions[name] = func(t *rapid.T) { do(s, t) }
			}
			t.Repeat(actions)
			s.drain(t)
			check(s, t)
		})
	}
}

// Whatever happens to whatever call of whoever: each post was allowed, each
// change of the row has its reason, and in the end nothing is lost.
func TestOneDeliveryUnderEveryInterleaving(t *testing.T) {
	rapid.Check(t, storms(false, map[string]func(*storm, *rapid.T){
		"repeat": (*storm).repeat, "race": (*storm).race, "produce again": (*storm).produce, "run": (*storm).run, "run on": (*storm).run,
	}, func(*storm, *rapid.T) {}))
}

// When nothing goes wrong and one thing happens after the other, nothing is
// posted that is not counted, and nothing more often than its policy says.
func TestWithoutTroubleEveryPostIsAnAttempt(t *testing.T) {
	rapid.Check(t, storms(true, nil, func(s *storm, t *rapid.T) {
		require.Zero(t, s.disturbed)
		for _, ref := range s.refs() {
			l := s.lives[ref]
			require.Len(t, l.posts, l.row.Attempts, "posts of %s", s.letter(ref))
			for gen := range l.row.Gen + 1 {
				require.LessOrEqual(t, l.count(gen, all), l.allowed, "posts of %s in generation %d", s.letter(ref), gen)
				require.LessOrEqual(t, l.count(gen, func(p *posted) bool { return p.success }), 1, "successes of %s in generation %d", s.letter(ref), gen)
			}
		}
	}))
}
