package sqs

import (
	"bytes"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
)

// newQueue returns an empty queue with the default attributes.
func (s *Server) newQueue(name string, uid uint64) *queue {
	q := &queue{
		uid: uid, name: name, arn: "arn:aws:sqs:" + s.region + ":" + s.account + ":" + name,
		received: map[uint64]*message{}, groups: map[string]*group{},
	}
	q.attributes, q.tags = defaultAttributes(), map[string]string{}
	q.created = s.millis() / 1000
	q.modified = q.created
	return q
}

// url is the queue's address at the host that was asked.
func (s *Server) url(c *call, q *queue) string { return c.base + "/" + s.account + "/" + q.name }

// find returns the queue of a URL. Which host it names does not matter: one
// server may be asked by several names. The lock is held.
func (s *Server) find(url []byte) (*queue, error) {
	if url == nil {
		return nil, errMissingParameter("QueueUrl")
	}
	slash := bytes.LastIndexByte(url, '/')
	if slash < 0 {
		return nil, errInvalidAddress(string(url))
	}
	path, name := url[:slash], url[slash+1:]
	account := path[bytes.LastIndexByte(path, '/')+1:]
	if q := s.queues[string(name)]; q != nil && string(account) == s.account {
		return q, nil
	}
	return nil, errNoQueue()
}

// byArn returns the queue of an ARN, nil when there is none. The lock is held.
func (s *Server) byArn(arn string) *queue {
	if q := s.queues[arn[strings.LastIndexByte(arn, ':')+1:]]; q != nil && q.arn == arn {
		return q
	}
	return nil
}

// advance brings a queue to the present: see queue.advance. Messages whose
// retention ended are deleted lazily; should a loss of power bring one back,
// it is expired all the same. The lock is held.
func (s *Server) advance(q *queue) int64 {
	now := s.millis()
	expired := q.advance(now)
	if len(expired) > 0 {
		if err := s.discard(q, expired); err != nil {
			// The store refuses writes; the next send will say so. The
			// messages stay gone here, and are expired when loaded.
			return now
		}
	}
	return now
}

// discard deletes messages of q from the store, lazily, in bounded batches.
func (s *Server) discard(q *queue, messages []*message) error {
	for part := range slices.Chunk(messages, cleanupSize) {
		b := s.store.NewBatch()
		for _, m := range part {
			if err := forget(b, q.uid, m); err != nil {
				return err
			}
		}
		if err := s.store.ApplyLazily(b); err != nil {
			return err
		}
	}
	return nil
}

// recently is for how long a deleted queue's name cannot be used, and a purged
// queue not be purged, in milliseconds.
const recently = 60_000

func validQueueName(name []byte) bool {
	return len(name) >= 1 && len(name) <= 80 && !bytes.ContainsFunc(name, notInID)
}

// notInID says that a character may not be in a queue's name or an entry's id.
func notInID(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}

func (s *Server) createQueue(c *call) error {
	name := string(c.in.queueName)
	if c.in.queueName == nil {
		return errMissingParameter("QueueName")
	}
	for _, a := range c.in.attributes {
		if string(a.name) == "FifoQueue" && string(a.value) == "true" {
			return errUnsupported("A FIFO queue is")
		}
	}
	if !validQueueName(c.in.queueName) {
		return errInvalidParameter("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
	}
	checked, err := checkAttributes(c.in.attributes)
	if err != nil {
		return err
	}
	if err := checkTags(c.in.tags, 0); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q := s.queues[name]; q != nil {
		for _, attribute := range slices.Sorted(maps.Keys(checked)) {
			if q.attributes[attribute] != checked[attribute] {
				return errQueueExists(attribute)
			}
		}
		c.answerURL(s.url(c, q))
		return nil
	}
	now := s.millis()
	if at, ok := s.deleted[name]; ok && now-at < recently {
		return errDeletedRecently()
	}
	s.seq++
	q := s.newQueue(name, s.seq)
	if err := s.checkTarget(q.arn, checked); err != nil {
		return err
	}
	for _, t := range c.in.tags {
		q.tags[string(t.name)] = string(t.value)
	}
	if err := q.set(checked); err != nil {
		return err
	}
	b := s.store.NewBatch()
	if err := q.save(b); err != nil {
		return err
	}
	// Queues are created and changed so rarely that waiting for the disk
	// with the lock held is worth the plainness.
	if err := s.applyDurably(b); err != nil {
		return err
	}
	delete(s.deleted, name)
	s.queues[name] = q
	c.answerURL(s.url(c, q))
	return nil
}

func (c *call) answerURL(url string) {
	c.out = appendText(append(c.out, `{"QueueUrl":`...), url)
	c.out = append(c.out, '}')
}

func (c *call) answerNothing() error {
	c.out = append(c.out, "{}"...)
	return nil
}

// change runs edit on a queue's settings and saves them. When either fails the
// settings are as before.
func (s *Server) change(url []byte, edit func(*queue) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(url)
	if err != nil {
		return err
	}
	before := q.settings
	q.attributes, q.tags = maps.Clone(before.attributes), maps.Clone(before.tags)
	err = edit(q)
	if err == nil {
		b := s.store.NewBatch()
		if err = q.save(b); err == nil {
			err = s.applyDurably(b)
		}
	}
	if err != nil {
		q.retain(before.retention)
		q.settings = before
		return err
	}
	return nil
}

// deleteQueue removes the queue's record at once, and on disk before the
// answer. Its messages follow lazily: loading removes what is left of a queue
// that is not there.
func (s *Server) deleteQueue(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c.in.queueURL)
	if err != nil {
		return err
	}
	b := s.store.NewBatch()
	if err := b.Delete([]byte(queuePrefix + q.name)); err != nil {
		return err
	}
	if err := s.applyDurably(b); err != nil {
		return err
	}
	delete(s.queues, q.name)
	delete(s.moves, q.arn)
	now := s.millis()
	for name, at := range s.deleted {
		if now-at >= recently {
			delete(s.deleted, name)
		}
	}
	s.deleted[q.name] = now
	q.gone = true
	if err := s.empty(q); err != nil {
		return err
	}
	for q.waiters.Len() > 0 {
		q.wake()
	}
	return c.answerNothing()
}

// empty removes every message of q.
func (s *Server) empty(q *queue) error {
	all := make([]*message, 0, q.timers.len())
	for _, t := range q.timers.s {
		all = append(all, t.m)
	}
	q.timers, q.fairness = timers{}, fairness{}
	q.visible, q.flying, q.waiting = 0, 0, 0
	q.groups, q.received = map[string]*group{}, map[uint64]*message{}
	s.arm(q)
	return s.discard(q, all)
}

func (s *Server) purgeQueue(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c.in.queueURL)
	if err != nil {
		return err
	}
	now := s.millis()
	if q.purged != 0 && now-q.purged < recently {
		return errPurgeInProgress(q.name)
	}
	q.purged = now
	if err := s.empty(q); err != nil {
		return err
	}
	return c.answerNothing()
}

func (s *Server) getQueueURL(c *call) error {
	if c.in.queueName == nil {
		return errMissingParameter("QueueName")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[string(c.in.queueName)]
	if q == nil || c.in.owner != nil && string(c.in.owner) != s.account {
		return errNoQueue()
	}
	c.answerURL(s.url(c, q))
	return nil
}

func (s *Server) listQueues(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answerPage(c, "QueueUrls", func(q *queue) bool { return strings.HasPrefix(q.name, string(c.in.prefix)) })
}

func (s *Server) listSourceQueues(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	target, err := s.find(c.in.queueURL)
	if err != nil {
		return err
	}
	return s.answerPage(c, "queueUrls", func(q *queue) bool { return q.redrive.target == target.arn })
}

// answerPage answers the URLs of the queues that are wanted, by name, from
// where the page before ended. The lock is held.
func (s *Server) answerPage(c *call, member string, want func(*queue) bool) error {
	const most = 1000
	size := c.in.maxResults.or(most)
	if size < 1 || size > most {
		return errInvalidParameter("Value %d for parameter MaxResults is invalid. Reason: MaxResults must be an integer between 1 and %d.", size, most)
	}
	last, err := base64.RawURLEncoding.DecodeString(string(c.in.nextToken))
	if err != nil {
		return errInvalidParameter("Invalid or expired next token.")
	}
	var names []string
	for name, q := range s.queues {
		if want(q) && name > string(last) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	more := len(names) > size
	names = names[:min(len(names), size)]
	c.out = append(c.out, '{')
	// The service leaves an empty list out, except where its API requires it.
	if len(names) > 0 || member == "queueUrls" {
		c.out = append(appendText(c.out, member), ':', '[')
		for i, name := range names {
			if i > 0 {
				c.out = append(c.out, ',')
			}
			c.out = appendText(c.out, s.url(c, s.queues[name]))
		}
		c.out = append(c.out, ']')
	}
	if more && c.in.maxResults.set {
		c.out = appendText(append(c.out, `,"NextToken":`...), base64.RawURLEncoding.EncodeToString([]byte(names[len(names)-1])))
	}
	c.out = append(c.out, '}')
	return nil
}
