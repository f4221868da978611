package sqs

import (
	"encoding/base64"
)

// request is the union of what requests carry. Its slices are parts of the
// buffer that was decoded; a nil one was not given.
type request struct {
	queueURL, queueName, prefix, owner []byte
	sourceArn, destinationArn          []byte
	taskHandle, nextToken, attempt     []byte
	waitTime, maxMessages, maxResults  number
	rate                               number
	attributes, tags                   []pair[[]byte]
	tagKeys                            [][]byte
	attributeNames, systemNames        [][]byte
	messageNames                       [][]byte
	entry                              // of an operation on one message
	entries                            []entry
}

// entry is what a request says of one message.
type entry struct {
	id, body, receipt, group, dedup []byte
	delay, visibility               number
	attributes, system              []attribute
}

// attribute is a message attribute: exactly one of its values is given.
type attribute struct {
	name, dataType []byte
	text, binary   []byte
}

// value returns the attribute's value, whichever it is.
func (a *attribute) value() []byte {
	if a.binary != nil {
		return a.binary
	}
	return a.text
}

// number is an integer that may not have been given.
type number struct {
	n   int
	set bool
}

func (n number) or(otherwise int) int {
	if n.set {
		return n.n
	}
	return otherwise
}

// decode reads the body of a request, overwriting it. Members that no
// operation of a standard queue has are refused: ignoring them would hide what
// is not implemented.
func (r *request) decode(body []byte) error {
	d := decoder{parser{b: body}}
	err := d.object(func(name []byte) error {
		switch string(name) {
		case "QueueUrl":
			return d.textInto(&r.queueURL)
		case "QueueName":
			return d.textInto(&r.queueName)
		case "QueueNamePrefix":
			return d.textInto(&r.prefix)
		case "QueueOwnerAWSAccountId":
			return d.textInto(&r.owner)
		case "SourceArn":
			return d.textInto(&r.sourceArn)
		case "DestinationArn":
			return d.textInto(&r.destinationArn)
		case "TaskHandle":
			return d.textInto(&r.taskHandle)
		case "NextToken":
			return d.textInto(&r.nextToken)
		case "ReceiveRequestAttemptId":
			return d.textInto(&r.attempt)
		case "WaitTimeSeconds":
			return d.numberInto(&r.waitTime)
		case "MaxNumberOfMessages":
			return d.numberInto(&r.maxMessages)
		case "MaxResults":
			return d.numberInto(&r.maxResults)
		case "MaxNumberOfMessagesPerSecond":
			return d.numberInto(&r.rate)
		case "Attributes":
			return d.pairsInto(&r.attributes)
		case "Tags", "tags":
			return d.pairsInto(&r.tags)
		case "TagKeys":
			return d.textsInto(&r.tagKeys)
		case "AttributeNames":
			return d.textsInto(&r.attributeNames)
		case "MessageSystemAttributeNames":
			return d.textsInto(&r.systemNames)
		case "MessageAttributeNames":
			return d.textsInto(&r.messageNames)
		case "Entries":
			return d.entriesInto(r)
		}
		return d.member(&r.entry, name)
	})
	if err != nil {
		return err
	}
	return d.end()
}

type decoder struct{ parser }

func (d *decoder) member(e *entry, name []byte) error {
	switch string(name) {
	case "Id":
		return d.textInto(&e.id)
	case "MessageBody":
		return d.textInto(&e.body)
	case "ReceiptHandle":
		return d.textInto(&e.receipt)
	case "MessageGroupId":
		return d.textInto(&e.group)
	case "MessageDeduplicationId":
		return d.textInto(&e.dedup)
	case "DelaySeconds":
		return d.numberInto(&e.delay)
	case "VisibilityTimeout":
		return d.numberInto(&e.visibility)
	case "MessageAttributes":
		return d.attributesInto(&e.attributes)
	case "MessageSystemAttributes":
		return d.attributesInto(&e.system)
	}
	return errUnsupported("The parameter %q is", name)
}

func (d *decoder) textInto(s *[]byte) (err error) {
	*s, err = d.text()
	return err
}

func (d *decoder) numberInto(n *number) (err error) {
	n.set = true
	n.n, err = d.integer()
	return err
}

func (d *decoder) textsInto(list *[][]byte) error {
	*list = (*list)[:0]
	return d.array(func() error {
		s, err := d.text()
		*list = append(*list, s)
		return err
	})
}

func (d *decoder) pairsInto(list *[]pair[[]byte]) error {
	*list = (*list)[:0]
	return d.object(func(name []byte) error {
		value, err := d.text()
		*list = append(*list, pair[[]byte]{name, value})
		return err
	})
}

func (d *decoder) entriesInto(r *request) error {
	r.entries = r.entries[:0]
	return d.array(func() error {
		r.entries = append(r.entries, entry{})
		e := &r.entries[len(r.entries)-1]
		return d.object(func(name []byte) error { return d.member(e, name) })
	})
}

func (d *decoder) attributesInto(list *[]attribute) error {
	*list = (*list)[:0]
	return d.object(func(name []byte) error {
		a := attribute{name: name}
		err := d.object(func(member []byte) error {
			switch string(member) {
			case "DataType":
				return d.textInto(&a.dataType)
			case "StringValue":
				return d.textInto(&a.text)
			case "BinaryValue":
				coded, err := d.text()
				if err != nil {
					return err
				}
				a.binary = make([]byte, base64.StdEncoding.DecodedLen(len(coded)))
				n, err := base64.StdEncoding.Decode(a.binary, coded)
				if err != nil {
					return errSerialization("The value of message attribute %q is not base64.", name)
				}
				a.binary = a.binary[:n]
				return nil
			case "StringListValues", "BinaryListValues":
				// The service reserves these for the future; the SDKs of
				// some languages send them empty.
				return d.array(func() error { return errUnsupported("Message attribute list values are") })
			}
			return errUnsupported("The message attribute member %q is", member)
		})
		*list = append(*list, a)
		return err
	})
}

// reset makes r ready for another request, keeping the memory of its lists.
func (r *request) reset() {
	clear(r.entries[:cap(r.entries)])
	*r = request{
		attributes: nil, tags: nil, tagKeys: nil,
		entries: r.entries[:0],
	}
}
