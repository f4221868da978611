package sqs

import (
	"maps"
	"slices"
)

const maxTags = 50

// checkTags checks the tags that a request adds to a queue that has some.
func checkTags(tags []pair[[]byte], has int) error {
	if len(tags)+has > maxTags {
		return errInvalidParameter("Too many tags added. Maximum allowed is %d.", maxTags)
	}
	for _, t := range tags {
		if len(t.name) < 1 || len(t.name) > 128 || len(t.value) > 256 {
			return errInvalidParameter("Tag keys must be between 1 and 128 characters long, tag values at most 256.")
		}
	}
	return nil
}

func (s *Server) tagQueue(c *call) error {
	if len(c.in.tags) == 0 {
		return errMissingParameter("Tags")
	}
	err := s.change(c.in.queueURL, func(q *queue) error {
		added := 0
		for _, t := range c.in.tags {
			if _, ok := q.tags[string(t.name)]; !ok {
				added++
			}
		}
		if err := checkTags(c.in.tags, len(q.tags)+added-len(c.in.tags)); err != nil {
			return err
		}
		for _, t := range c.in.tags {
			q.tags[string(t.name)] = string(t.value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.answerNothing()
}

func (s *Server) untagQueue(c *call) error {
	if len(c.in.tagKeys) == 0 {
		return errMissingParameter("TagKeys")
	}
	err := s.change(c.in.queueURL, func(q *queue) error {
		for _, name := range c.in.tagKeys {
			delete(q.tags, string(name))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.answerNothing()
}

func (s *Server) listTags(c *call) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c.in.queueURL)
	if err != nil {
		return err
	}
	c.out = append(c.out, '{')
	if len(q.tags) > 0 {
		var tags []pair[string]
		for _, name := range slices.Sorted(maps.Keys(q.tags)) {
			tags = append(tags, pair[string]{name, q.tags[name]})
		}
		c.out = appendStrings(append(c.out, `"Tags":`...), tags)
	}
	c.out = append(c.out, '}')
	return nil
}
