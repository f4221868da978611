package backup

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// LineError is a line that is no dead letter.
type LineError struct {
	File string
	Line int // from 1
	What string
}

func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.What) }

// line is a dead letter of a file.
type line struct {
	number    int
	end       int64 // where the next line begins
	eventType string
	payload   json.RawMessage
	id        string // its event's own id when it is sent again
	why       string // why it cannot be sent again; empty: it can
}

// Why dead letters are passed over.
const (
	NoEvent  = "no_event"  // a message that could not be decoded, or whose event was gone
	OwnEvent = "own_event" // one of Posthorn's own events, which it sends by itself
)

// reservedTypes begin the types of Posthorn's own events.
const reservedTypes = "posthorn."

// readLines calls each with the lines of a file that are not empty. Its error is a
// *LineError where a line is no dead letter.
func readLines(in io.Reader, name string, from int64, before int, each func(line) error) error {
	r := bufio.NewReader(in)
	for at, number := from, before+1; ; number++ {
		raw, err := r.ReadBytes('\n')
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return fmt.Errorf("read %s: %w", name, err)
		}
		at += int64(len(raw))
		if len(bytes.TrimSpace(raw)) > 0 {
			l, wrong := parse(raw)
			if wrong != "" {
				return &LineError{name, number, wrong}
			}
			l.number, l.end = number, at
			if err := each(l); err != nil {
				return err
			}
		}
		if last {
			return nil
		}
	}
}

func parse(raw []byte) (l line, wrong string) {
	var letter struct {
		ID        string          `json:"id"`
		EventID   string          `json:"event_id"`
		EventType string          `json:"event_type"`
		Payload   json.RawMessage `json:"payload"`
	}
	var syntax *json.SyntaxError
	switch err := json.Unmarshal(raw, &letter); {
	case errors.As(err, &syntax):
		return l, "is no JSON: " + syntax.Error()
	case err != nil:
		return l, "is no dead letter: " + err.Error()
	case !strings.HasPrefix(letter.ID, "dlq_"):
		return l, "is no dead letter: its id has to begin with dlq_"
	}
	l.eventType, l.payload, l.id = letter.EventType, letter.Payload, "dlq-import:"+letter.EventID
	switch {
	case letter.EventID == "" || len(letter.Payload) == 0 || string(letter.Payload) == "null":
		l.why = NoEvent
	case letter.EventType == "":
		return l, "is no dead letter: it has no event_type"
	case letter.Payload[0] != '{':
		return l, "is no dead letter: its payload has to be an object"
	case strings.HasPrefix(letter.EventType, reservedTypes):
		l.why = OwnEvent
	}
	return l, ""
}
