package sqs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// settings are what SetQueueAttributes and TagQueue set. The attributes are
// kept as the texts they are answered as; what is needed often is kept read.
type settings struct {
	attributes        map[string]string
	tags              map[string]string
	created, modified int64 // Unix seconds

	visibility, delay, wait, maxSize int
	retention                        int64 // seconds
	redrive                          redrivePolicy
	allow                            allowPolicy
}

// redrivePolicy moves a message to the target queue when it is received once
// more than max times. The zero value moves nothing.
type redrivePolicy struct {
	target string // the queue's ARN
	max    int
}

// allowPolicy says which queues may use a queue as their dead-letter queue.
type allowPolicy struct {
	Permission string   `json:"redrivePermission"`
	Sources    []string `json:"sourceQueueArns,omitempty"`
}

func (p allowPolicy) allows(arn string) bool {
	switch p.Permission {
	case "denyAll":
		return false
	case "byQueue":
		return slices.Contains(p.Sources, arn)
	}
	return true
}

// limit is the range of an attribute that is a number.
type limit struct{ otherwise, least, most int }

const (
	maxMessageSize   = 1 << 20
	maxBatch         = 10
	maxVisibility    = 12 * 60 * 60
	maxDelay         = 900
	maxWait          = 20
	defaultRetention = 4 * 24 * 60 * 60
)

func limitOf(attribute string) (limit, bool) {
	switch attribute {
	case "DelaySeconds":
		return limit{0, 0, maxDelay}, true
	case "MaximumMessageSize":
		return limit{maxMessageSize, 1024, maxMessageSize}, true
	case "MessageRetentionPeriod":
		return limit{defaultRetention, 60, 14 * 24 * 60 * 60}, true
	case "ReceiveMessageWaitTimeSeconds":
		return limit{0, 0, maxWait}, true
	case "VisibilityTimeout":
		return limit{30, 0, maxVisibility}, true
	}
	return limit{}, false
}

// numeric are the attributes that every queue has a number for.
var numeric = [...]string{
	"DelaySeconds", "MaximumMessageSize", "MessageRetentionPeriod", "ReceiveMessageWaitTimeSeconds", "VisibilityTimeout",
}

func defaultAttributes() map[string]string {
	a := map[string]string{"SqsManagedSseEnabled": "true"}
	for _, name := range numeric {
		l, _ := limitOf(name)
		a[name] = strconv.Itoa(l.otherwise)
	}
	return a
}

// checkAttribute returns the form in which an attribute is kept, "" for one
// that is to be removed, or why it is refused.
func checkAttribute(name, value string) (string, error) {
	if l, ok := limitOf(name); ok {
		n, err := strconv.Atoi(value)
		if err != nil || n < l.least || n > l.most {
			return "", errAttributeValue(name, fmt.Sprintf("Must be an integer from %d to %d.", l.least, l.most))
		}
		return strconv.Itoa(n), nil
	}
	switch name {
	case "RedrivePolicy":
		if value == "" {
			return "", nil
		}
		p, err := parseRedrive(value)
		if err != nil {
			return "", err
		}
		return p.String(), nil
	case "RedriveAllowPolicy":
		if value == "" {
			return "", nil
		}
		return parseAllow(value)
	case "SqsManagedSseEnabled":
		if value != "true" && value != "false" {
			return "", errAttributeValue(name, "Must be true or false.")
		}
		return value, nil
	case "Policy", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds":
		if value == "" { // as templates write an attribute that is not used
			return "", nil
		}
		return "", errUnsupported("The attribute %s is", name)
	case "DeduplicationScope", "FifoThroughputLimit":
		return "", badRequest(namespace+"InvalidAttributeName", "InvalidAttributeName",
			"You can specify the %s only when FifoQueue is set to true.", name)
	}
	return "", errAttributeName(name)
}

// checkAttributes checks what a request sets.
func checkAttributes(given []pair[[]byte]) (map[string]string, error) {
	checked := make(map[string]string, len(given))
	for _, a := range given {
		value, err := checkAttribute(string(a.name), string(a.value))
		if err != nil {
			return nil, err
		}
		checked[string(a.name)] = value
	}
	return checked, nil
}

func errRedrive(value, reason string) error {
	return errInvalidParameter("Value %s for parameter RedrivePolicy is invalid. Reason: %s", value, reason)
}

func parseRedrive(value string) (redrivePolicy, error) {
	var p struct {
		Target *string `json:"deadLetterTargetArn"`
		Max    any     `json:"maxReceiveCount"` // the service takes both 3 and "3"
	}
	d := json.NewDecoder(strings.NewReader(value))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return redrivePolicy{}, errRedrive(value, "Redrive policy is not a valid JSON map.")
	}
	if p.Target == nil || p.Max == nil {
		return redrivePolicy{}, errRedrive(value, "Redrive policy does not contain mandatory attribute: deadLetterTargetArn or maxReceiveCount.")
	}
	n, err := strconv.Atoi(fmt.Sprint(p.Max))
	if err != nil || n < 1 || n > 1000 {
		return redrivePolicy{}, errRedrive(value, fmt.Sprintf("Invalid value for maxReceiveCount: %v, valid values are from 1 to 1000 both inclusive.", p.Max))
	}
	return redrivePolicy{target: *p.Target, max: n}, nil
}

// String returns the policy as GetQueueAttributes answers it.
func (p redrivePolicy) String() string {
	b := appendText([]byte(`{"deadLetterTargetArn":`), p.target)
	return fmt.Sprintf(`%s,"maxReceiveCount":%d}`, b, p.max)
}

func parseAllow(value string) (string, error) {
	refuse := func(reason string) (string, error) {
		return "", errInvalidParameter("Value %s for parameter RedriveAllowPolicy is invalid. Reason: %s", value, reason)
	}
	var p allowPolicy
	d := json.NewDecoder(strings.NewReader(value))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return refuse("Redrive allow policy is not a valid JSON map.")
	}
	switch {
	case p.Permission != "allowAll" && p.Permission != "denyAll" && p.Permission != "byQueue":
		return refuse("Invalid value for redrivePermission: valid values are allowAll, denyAll and byQueue.")
	case (p.Permission == "byQueue") != (len(p.Sources) > 0):
		return refuse("sourceQueueArns must be given if, and only if, redrivePermission is byQueue.")
	case len(p.Sources) > 10:
		return refuse("sourceQueueArns must not have more than 10 entries.")
	}
	b, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("encode redrive allow policy: %w", err)
	}
	return string(b), nil
}

// set takes attributes over that checkAttributes returned.
func (q *queue) set(checked map[string]string) error {
	for name, value := range checked {
		if value == "" {
			delete(q.attributes, name)
		} else {
			q.attributes[name] = value
		}
	}
	var n [len(numeric)]int
	for i, name := range numeric {
		var err error
		if n[i], err = strconv.Atoi(q.attributes[name]); err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
	}
	q.delay, q.maxSize, q.wait, q.visibility = n[0], n[1], n[3], n[4]
	q.retain(int64(n[2]))
	q.redrive, q.allow = redrivePolicy{}, allowPolicy{}
	if p := q.attributes["RedrivePolicy"]; p != "" {
		var err error
		if q.redrive, err = parseRedrive(p); err != nil {
			return err
		}
	}
	if p := q.attributes["RedriveAllowPolicy"]; p != "" {
		if err := json.Unmarshal([]byte(p), &q.allow); err != nil {
			return fmt.Errorf("attribute RedriveAllowPolicy: %w", err)
		}
	}
	return nil
}

// checkTarget makes sure that a new redrive policy of the queue named by arn
// has a target that may be used. The lock is held.
func (s *Server) checkTarget(arn string, checked map[string]string) error {
	value := checked["RedrivePolicy"]
	if value == "" {
		return nil
	}
	p, err := parseRedrive(value)
	if err != nil {
		return err
	}
	target := s.byArn(p.target)
	switch {
	case target == nil:
		return errRedrive(value, "Dead letter target does not exist.")
	case p.target == arn:
		return errRedrive(value, "A queue cannot be its own dead letter target.")
	case !target.allow.allows(arn):
		return errRedrive(value, "The redrive allow policy of the dead letter target does not permit this source queue.")
	}
	return nil
}

// queueAttribute returns the value of an attribute of q, "" when q has none.
func (q *queue) queueAttribute(name string) (value string, known bool) {
	c := q.counts()
	switch name {
	case "QueueArn":
		return q.arn, true
	case "CreatedTimestamp":
		return strconv.FormatInt(q.created, 10), true
	case "LastModifiedTimestamp":
		return strconv.FormatInt(q.modified, 10), true
	case "ApproximateNumberOfMessages":
		return strconv.Itoa(c.ready), true
	case "ApproximateNumberOfMessagesNotVisible":
		return strconv.Itoa(c.inFlight), true
	case "ApproximateNumberOfMessagesDelayed":
		return strconv.Itoa(c.delayed), true
	case "Policy", "RedrivePolicy", "RedriveAllowPolicy", "SqsManagedSseEnabled", "KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds",
		"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit":
		return q.attributes[name], true
	}
	if _, ok := limitOf(name); ok {
		return q.attributes[name], true
	}
	return "", false
}

var dynamicAttributes = [...]string{
	"QueueArn", "CreatedTimestamp", "LastModifiedTimestamp",
	"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed",
}

func (s *Server) getQueueAttributes(c *call) error {
	names := make([]string, 0, len(c.in.attributeNames))
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(c.in.queueURL)
	if err != nil {
		return err
	}
	s.advance(q)
	for _, name := range c.in.attributeNames {
		if string(name) == "All" {
			names = append(slices.Collect(maps.Keys(q.attributes)), dynamicAttributes[:]...)
			break
		}
		names = append(names, string(name))
	}
	slices.Sort(names)
	var answer []pair[string]
	for _, name := range slices.Compact(names) {
		value, known := q.queueAttribute(name)
		if !known {
			return errAttributeName(name)
		}
		if value != "" {
			answer = append(answer, pair[string]{name, value})
		}
	}
	c.out = append(c.out, '{')
	if len(answer) > 0 {
		c.out = append(c.out, `"Attributes":`...)
		c.out = appendStrings(c.out, answer)
	}
	c.out = append(c.out, '}')
	return nil
}

func (s *Server) setQueueAttributes(c *call) error {
	checked, err := checkAttributes(c.in.attributes)
	if err != nil {
		return err
	}
	if c.in.attributes == nil {
		return errMissingParameter("Attributes")
	}
	err = s.change(c.in.queueURL, func(q *queue) error {
		if err := s.checkTarget(q.arn, checked); err != nil {
			return err
		}
		q.modified = s.millis() / 1000
		return q.set(checked)
	})
	if err != nil {
		return err
	}
	return c.answerNothing()
}

// selectors are the names of attributes that a receive asks for.
type selectors struct {
	system   systemSet
	messages [][]byte
}

// systemSet is a set of system attributes.
type systemSet uint8

const (
	senderID systemSet = 1 << iota
	sentTimestamp
	receiveCount
	firstReceive
	groupID
	traceHeader
	sourceArn
	everySystem systemSet = 1<<iota - 1
)

// selectSystem reads the names of system attributes, from both the present and
// the discontinued parameter.
func selectSystem(lists ...[][]byte) (set systemSet, err error) {
	for _, list := range lists {
		for _, name := range list {
			switch string(name) {
			case "All":
				set |= everySystem
			case "SenderId":
				set |= senderID
			case "SentTimestamp":
				set |= sentTimestamp
			case "ApproximateReceiveCount":
				set |= receiveCount
			case "ApproximateFirstReceiveTimestamp":
				set |= firstReceive
			case "MessageGroupId":
				set |= groupID
			case "AWSTraceHeader":
				set |= traceHeader
			case "DeadLetterQueueSourceArn":
				set |= sourceArn
			case "SequenceNumber", "MessageDeduplicationId": // of FIFO queues
			default:
				return 0, errAttributeName(string(name))
			}
		}
	}
	return set, nil
}

// wanted says whether a message attribute is asked for: by name, by a prefix
// with ".*", or as one of all.
func wanted(names [][]byte, name []byte) bool {
	for _, n := range names {
		switch s := string(n); s {
		case "All", "*", ".*":
			return true
		}
		if prefix, ok := bytes.CutSuffix(n, []byte(".*")); ok && bytes.HasPrefix(name, prefix) || bytes.Equal(n, name) {
			return true
		}
	}
	return false
}
