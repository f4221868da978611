package sqs

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"
)

// moveTask is a message move task. It lives as long as the process: what it
// has not moved by then stays in its source.
type moveTask struct {
	id, source, destination string // ARNs; the destination is each message's own source when empty
	rate                    number // messages a second
	status, failure         string
	moved, toMove           int
	started                 int64 // Unix milliseconds
	cancel                  chan struct{}
}

const (
	moveRunning    = "RUNNING"
	moveCompleted  = "COMPLETED"
	moveCancelling = "CANCELLING"
	moveCancelled  = "CANCELLED"
	moveFailed     = "FAILED"

	// maxMoved is how many messages a step of a move task moves.
	maxMoved = 100
	// maxMoves is how many tasks of a source are remembered, as by the service.
	maxMoves = 10
)

// handle is the task's handle: what it is made of is the service's.
func (t *moveTask) handle() string {
	b := appendText([]byte(`{"taskId":`), t.id)
	b = append(appendText(append(b, `,"sourceArn":`...), t.source), '}')
	return base64.StdEncoding.EncodeToString(b)
}

func (s *Server) startMove(c *call) error {
	source, destination := string(c.in.sourceArn), string(c.in.destinationArn)
	if c.in.sourceArn == nil {
		return errMissingParameter("SourceArn")
	}
	if c.in.rate.set && (c.in.rate.n < 1 || c.in.rate.n > 500) {
		return errInvalidParameter("Value %d for parameter MaxNumberOfMessagesPerSecond is invalid. Reason: Must be between 1 and 500, if provided.", c.in.rate.n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.byArn(source)
	if q == nil {
		return errNoResource("The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	if !s.isTarget(source) {
		return errInvalidParameter("Source queue must be configured as a Dead Letter Queue.")
	}
	if c.in.destinationArn != nil {
		if s.byArn(destination) == nil {
			return errNoResource("The resource that you specified for the DestinationArn parameter doesn't exist.")
		}
		if destination == source {
			return errInvalidParameter("Source queue and destination queue must be different.")
		}
	}
	for _, t := range s.moves[source] {
		if t.status == moveRunning || t.status == moveCancelling {
			return errInvalidParameter("There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
		}
	}
	now := s.advance(q)
	t := &moveTask{
		id: string(appendUUID(nil, randomID())), source: source, destination: destination, rate: c.in.rate,
		status: moveRunning, toMove: q.visible, started: now, cancel: make(chan struct{}),
	}
	all := append(s.moves[source], t)
	s.moves[source] = all[max(0, len(all)-maxMoves):]
	if !s.closed {
		s.running.Add(1)
		go s.runMove(t)
	}
	c.out = appendText(append(c.out, `{"TaskHandle":`...), t.handle())
	c.out = append(c.out, '}')
	return nil
}

// isTarget says whether a queue's redrive policy names the ARN.
func (s *Server) isTarget(arn string) bool {
	for _, q := range s.queues {
		if q.redrive.target == arn {
			return true
		}
	}
	return false
}

// runMove moves until nothing is left to move, a step at a time.
func (s *Server) runMove(t *moveTask) {
	defer s.running.Done()
	for {
		step, pause := maxMoved, time.Duration(0)
		if t.rate.set {
			step, pause = min(t.rate.n, maxMoved), time.Second*time.Duration(min(t.rate.n, maxMoved))/time.Duration(t.rate.n)
		}
		if s.stepMove(t, step) {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-t.cancel:
		case <-s.closing.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// stepMove moves up to n messages and says whether the task has ended.
func (s *Server) stepMove(t *moveTask, n int) (ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.status == moveCancelling {
		t.status = moveCancelled
		return true
	}
	source := s.byArn(t.source)
	if source == nil {
		t.fail(legacy + "NonExistentQueue")
		return true
	}
	s.advance(source)
	for ; n > 0; n-- {
		m := source.next()
		if m == nil || t.moved >= t.toMove {
			t.status = moveCompleted
			return true
		}
		if reason := s.moveOne(t, source, m); reason != "" {
			t.fail(reason)
			return true
		}
		t.moved++
	}
	return false
}

func (t *moveTask) fail(reason string) { t.status, t.failure = moveFailed, reason }

// moveOne moves a message to its destination, in one batch. There it is a new
// message, with an id, a time of sending and a receive count of its own. It
// returns why it could not.
func (s *Server) moveOne(t *moveTask, source *queue, m *message) (failure string) {
	v, err := s.fetch(source, m)
	if err != nil {
		return err.Error()
	}
	arn := t.destination
	if arn == "" {
		arn = string(v.source)
	}
	if arn == "" {
		return "CouldNotDetermineMessageSource"
	}
	destination := s.byArn(arn)
	if destination == nil {
		return legacy + "NonExistentQueue"
	}
	now := s.millis()
	v.id, v.sent, v.due, v.first, v.base, v.source = randomID(), now, 0, 0, 0, nil
	s.seq++
	moved := &message{seq: s.seq, sent: now}
	b := s.store.NewBatch()
	if err := s.rewrite(b, source, destination, m, moved.seq, v); err != nil {
		return err.Error()
	}
	if err := s.store.ApplyLazily(b); err != nil {
		return err.Error()
	}
	source.remove(m)
	destination.add(moved, v.group, now)
	destination.wake()
	s.arm(destination)
	return ""
}

func (s *Server) listMoves(c *call) error {
	most := c.in.maxResults.or(1)
	if most < 1 || most > maxMoves {
		return errInvalidParameter("Value %d for parameter MaxResults is invalid. Reason: MaxResults must be an integer between 1 and 10.", most)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	source := string(c.in.sourceArn)
	if c.in.sourceArn == nil {
		return errMissingParameter("SourceArn")
	}
	if s.byArn(source) == nil {
		return errNoResource("The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	c.out = append(c.out, `{"Results":[`...)
	all := s.moves[source]
	for i := len(all) - 1; i >= 0 && i >= len(all)-most; i-- {
		if i < len(all)-1 {
			c.out = append(c.out, ',')
		}
		c.out = all[i].append(c.out)
	}
	c.out = append(c.out, "]}"...)
	return nil
}

func (t *moveTask) append(b []byte) []byte {
	b = appendText(append(b, `{"SourceArn":`...), t.source)
	b = appendText(append(b, `,"Status":`...), t.status)
	if t.destination != "" {
		b = appendText(append(b, `,"DestinationArn":`...), t.destination)
	}
	if t.status == moveRunning {
		b = appendText(append(b, `,"TaskHandle":`...), t.handle())
	}
	if t.failure != "" {
		b = appendText(append(b, `,"FailureReason":`...), t.failure)
	}
	if t.rate.set {
		b = strconv.AppendInt(append(b, `,"MaxNumberOfMessagesPerSecond":`...), int64(t.rate.n), 10)
	}
	b = strconv.AppendInt(append(b, `,"ApproximateNumberOfMessagesMoved":`...), int64(t.moved), 10)
	b = strconv.AppendInt(append(b, `,"ApproximateNumberOfMessagesToMove":`...), int64(t.toMove), 10)
	b = strconv.AppendInt(append(b, `,"StartedTimestamp":`...), t.started, 10)
	return append(b, '}')
}

func (s *Server) cancelMove(c *call) error {
	if c.in.taskHandle == nil {
		return errMissingParameter("TaskHandle")
	}
	var of struct {
		ID     string `json:"taskId"`
		Source string `json:"sourceArn"`
	}
	raw, err := base64.StdEncoding.DecodeString(string(c.in.taskHandle))
	if err != nil || json.Unmarshal(raw, &of) != nil || of.ID == "" || of.Source == "" {
		return errInvalidParameter("Value for parameter TaskHandle is invalid.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byArn(of.Source) == nil {
		return errNoResource("The resource that you specified for the SourceArn parameter doesn't exist.")
	}
	for _, t := range s.moves[of.Source] {
		if t.id != of.ID {
			continue
		}
		if t.status != moveRunning {
			return errInvalidParameter("Only active tasks can be cancelled.")
		}
		t.status = moveCancelling
		close(t.cancel)
		c.out = strconv.AppendInt(append(c.out, `{"ApproximateNumberOfMessagesMoved":`...), int64(t.moved), 10)
		c.out = append(c.out, '}')
		return nil
	}
	return errNoResource("Task does not exist.")
}
