package hook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"
)

// Message carries one delivery through the queue. Several messages of one
// delivery can be in the queue at once: a repeat by SQS, a copy whose original
// was not deleted, a return by the sweeper. Gen and Hop tell which of them
// counts.
type Message struct {
	Ref
	EventType string
	CreatedAt time.Time // when the event was accepted, whole milliseconds
	Gen       int       // which budget of attempts: 0, then one more with each retry, replay or recover
	Hop       int       // one more with each copy, return or release
	Returns   int       // how often the sweeper has sent the delivery back undecided
	NotBefore time.Time // no post before; zero: at once
	Slot      bool      // NotBefore is the delivery's own slot in the rate limits: it need not ask again
	Deferrals int       // troubles of our own in a row that have put the delivery off
	Gone      bool      // the endpoint has answered that it is gone, and that is not on record yet
	Body      []byte    // the request body; nil: too large or not fit for a queue, read it from the event
	Trace     string    // the producer's traceparent, carried to the endpoint; empty: none
}

// wireMessage is a Message as JSON in the queue. Body travels as a JSON value,
// not as a string in a string: it is an object already, and stays byte for
// byte what it is.
type wireMessage struct {
	Version    int             `json:"v"`
	Tenant     string          `json:"tenant"`
	EventID    string          `json:"event"`
	EndpointID string          `json:"endpoint"`
	EventType  string          `json:"type"`
	CreatedAt  int64           `json:"at"`
	Gen        int             `json:"gen,omitempty"`
	Hop        int             `json:"hop,omitempty"`
	Returns    int             `json:"returns,omitempty"`
	NotBefore  int64           `json:"not_before,omitempty"`
	Slot       bool            `json:"slot,omitempty"`
	Deferrals  int             `json:"deferrals,omitempty"`
	Gone       bool            `json:"gone,omitempty"`
	Trace      string          `json:"trace,omitempty"`
	Body       json.RawMessage `json:"body,omitempty"`
}

const messageVersion = 1

// MaxInlineBody is the largest request body, in bytes, that travels inside its
// message. Ten of them stay far below the 1 MiB of a batch.
const MaxInlineBody = 32 << 10

// InlineBody returns body when it may travel inside a message and nil when it
// has to be read from the event: it is too large, or holds a character that
// SQS refuses (anything but #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD
// and #x10000 to #x10FFFF; see SendMessage in the SQS API reference).
func InlineBody(body []byte) []byte {
	if len(body) > MaxInlineBody {
		return nil
	}
	for i := 0; i < len(body); {
		if c := body[i]; c < utf8.RuneSelf {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' {
				return nil
			}
			i++
			continue
		}
		r, size := utf8.DecodeRune(body[i:])
		if r == utf8.RuneError && size == 1 || r == 0xFFFE || r == 0xFFFF {
			return nil
		}
		i += size
	}
	return body
}

// EncodeMessage writes the message as the body of a queue message.
func EncodeMessage(m *Message) ([]byte, error) {
	w := wireMessage{
		Version: messageVersion, Tenant: m.Tenant, EventID: m.EventID, EndpointID: m.EndpointID, EventType: m.EventType,
		CreatedAt: m.CreatedAt.UnixMilli(), Gen: m.Gen, Hop: m.Hop, Returns: m.Returns, Slot: m.Slot, Deferrals: m.Deferrals, Gone: m.Gone, Trace: m.Trace,
	}
	if !m.NotBefore.IsZero() {
		w.NotBefore = m.NotBefore.UnixMilli()
	}
	head, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if m.Body == nil {
		return head, nil
	}
	// The body is spliced in by hand: json.Marshal would rewrite it.
	b := make([]byte, 0, len(head)+len(m.Body)+10)
	b = append(b, head[:len(head)-1]...)
	b = append(b, `,"body":`...)
	b = append(b, m.Body...)
	return append(b, '}'), nil
}

// Parcel is what a queue message carries: one of the two.
type Parcel struct {
	Delivery *Message
	Control  *Control
}

// Control asks for the next step of a job.
type Control struct {
	Tenant string
	JobID  string
	Hop    int       // one more with each step, and with each return
	SentAt time.Time // when the job was started, whole milliseconds
}

// wireControl is a Control as JSON in the queue.
type wireControl struct {
	Version int    `json:"v"`
	Job     string `json:"job"`
	Tenant  string `json:"tenant"`
	Hop     int    `json:"hop,omitempty"`
	SentAt  int64  `json:"at"`
}

// EncodeControl writes the message as the body of a queue message.
func EncodeControl(c *Control) ([]byte, error) {
	b, err := json.Marshal(wireControl{Version: messageVersion, Job: c.JobID, Tenant: c.Tenant, Hop: c.Hop, SentAt: c.SentAt.UnixMilli()})
	if err != nil {
		return nil, fmt.Errorf("encode control message: %w", err)
	}
	return b, nil
}

// controlHead is how every control message begins, and no other does.
var controlHead = []byte(`{"v":1,"job":`)

// Decode reads the body of a queue message. Anything that EncodeMessage or
// EncodeControl did not write, or wrote in another version, is an error.
func Decode(b []byte) (Parcel, error) {
	if bytes.HasPrefix(b, controlHead) {
		c, err := decodeControl(b)
		return Parcel{Control: c}, err
	}
	m, err := DecodeMessage(b)
	return Parcel{Delivery: m}, err
}

// decodeStrictly reads one JSON object with the fields of w alone.
func decodeStrictly(b []byte, w any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(w); err != nil {
		return fmt.Errorf("decode message: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("decode message: something follows the object")
	}
	return nil
}

func decodeControl(b []byte) (*Control, error) {
	var w wireControl
	if err := decodeStrictly(b, &w); err != nil {
		return nil, err
	}
	switch {
	case w.Version != messageVersion:
		return nil, fmt.Errorf("decode message: version %d is not known", w.Version)
	case !ValidTenant(w.Tenant):
		return nil, fmt.Errorf("decode message: tenant %.70q", w.Tenant)
	case !ValidID(JobPrefix, w.Job):
		return nil, fmt.Errorf("decode message: job id %.70q", w.Job)
	case w.Hop < 0:
		return nil, errors.New("decode message: a negative count")
	case w.SentAt <= 0:
		return nil, errors.New("decode message: no time of sending")
	}
	return &Control{Tenant: w.Tenant, JobID: w.Job, Hop: w.Hop, SentAt: time.UnixMilli(w.SentAt).UTC()}, nil
}

var bodyField = []byte(`,"body":`)

// cutBody takes a message apart whose last field is a body, as EncodeMessage
// writes it, so that a body of many kilobytes is gone through once. ok is false
// for any other, which may be right all the same. The body shares b's memory.
func cutBody(b []byte) (head, body []byte, ok bool) {
	// No string holds this as it stands: the quotes in it would be escaped.
	i := bytes.Index(b, bodyField)
	if i < 0 || b[len(b)-1] != '}' {
		return nil, nil, false
	}
	body = b[i+len(bodyField) : len(b)-1]
	if len(body) < 2 || body[0] != '{' || body[len(body)-1] != '}' || !json.Valid(body) {
		return nil, nil, false
	}
	return append(b[:i:i], '}'), body, true
}

// DecodeMessage is Decode for a message that carries a delivery. What it returns
// may share b's memory.
func DecodeMessage(b []byte) (*Message, error) {
	var w wireMessage
	head, body, ok := cutBody(b)
	if !ok {
		head = b
	}
	if err := decodeStrictly(head, &w); err != nil {
		return nil, err
	}
	if ok {
		w.Body = body
	}
	switch {
	case w.Version != messageVersion:
		return nil, fmt.Errorf("decode message: version %d is not known", w.Version)
	case !ValidTenant(w.Tenant): // it becomes part of keys
		return nil, fmt.Errorf("decode message: tenant %.70q", w.Tenant)
	case !ValidID(EventPrefix, w.EventID):
		return nil, fmt.Errorf("decode message: event id %.70q", w.EventID)
	case !ValidID(EndpointPrefix, w.EndpointID):
		return nil, fmt.Errorf("decode message: endpoint id %.70q", w.EndpointID)
	case w.EventType == "":
		return nil, errors.New("decode message: no event type")
	case w.CreatedAt <= 0:
		return nil, errors.New("decode message: no time of acceptance")
	case len(w.Body) > 0 && w.Body[0] != '{':
		return nil, errors.New("decode message: the body is no object")
	case w.Gen < 0 || w.Hop < 0 || w.Returns < 0 || w.Deferrals < 0:
		return nil, errors.New("decode message: a negative count")
	}
	m := &Message{
		Ref:       Ref{Tenant: w.Tenant, EventID: w.EventID, EndpointID: w.EndpointID},
		EventType: w.EventType, CreatedAt: time.UnixMilli(w.CreatedAt).UTC(),
		Gen: w.Gen, Hop: w.Hop, Returns: w.Returns, Slot: w.Slot, Deferrals: w.Deferrals, Gone: w.Gone, Body: w.Body, Trace: w.Trace,
	}
	if w.NotBefore != 0 {
		m.NotBefore = time.UnixMilli(w.NotBefore).UTC()
	}
	return m, nil
}

// Received is a message as it came out of a queue, decoded or not.
type Received struct {
	MessageID     string
	ReceiptHandle string
	ReceiveCount  int // 1 on the first receive
	SentAt        time.Time
	Raw           string
}

// Outgoing is a message to be sent: of a delivery, or of a job.
type Outgoing struct {
	Message *Message
	Control *Control
	Delay   time.Duration // whole seconds, 0 to 900
}

// Sent is what became of an Outgoing: the id the queue gave it, or an error.
type Sent struct {
	MessageID string
	Err       error
}

// Release sets how long a received message stays invisible from now.
type Release struct {
	ReceiptHandle string
	After         time.Duration // whole seconds, 0 to 43,170
}
