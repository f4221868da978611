package lifetest

import (
	"context"
	"fmt"
	"time"

	"posthorn/internal/hook"
)

// queued is a message in one of the queues.
type queued struct {
	id       string
	raw      string
	parcel   hook.Parcel
	sent     time.Time
	visible  time.Time
	receives int
	dead     bool // it is in the dead-letter queue
	gone     bool // it was deleted
	handle   string
}

// The queue as the template makes it, at a size that is quick to get through.
const (
	maxReceives = 3
	visibility  = 6 * functionTime
)

// put puts a message into a queue.
func (w *world) put(raw string, delay time.Duration, dead bool) *queued {
	parcel, err := hook.Decode([]byte(raw))
	if err != nil {
		panic(err)
	}
	w.messages++
	q := &queued{id: fmt.Sprint("m", w.messages), raw: raw, parcel: parcel, sent: time.Now(), visible: time.Now().Add(delay), dead: dead}
	w.queue = append(w.queue, q)
	if m := parcel.Delivery; m != nil {
		w.lives[m.Ref].sent(m)
	}
	return q
}

// ready returns what can be received.
func (w *world) ready(dead bool) []*queued {
	var all []*queued
	for _, q := range w.queue {
		if !q.gone && q.dead == dead && !q.visible.After(time.Now()) {
			all = append(all, q)
		}
	}
	return all
}

// receive takes messages; one that was received too often goes to the
// dead-letter queue.
func (w *world) receive(all []*queued, hidden time.Duration) []hook.Received {
	var out []hook.Received
	for _, q := range all {
		if !q.dead && q.receives >= maxReceives {
			q.dead, q.receives, q.visible = true, 0, time.Now()
			continue
		}
		q.receives++
		q.visible = time.Now().Add(hidden)
		q.handle = fmt.Sprintf("%s/%d", q.id, q.receives)
		out = append(out, q.received())
	}
	return out
}

func (q *queued) received() hook.Received {
	return hook.Received{MessageID: q.id, ReceiptHandle: q.handle, ReceiveCount: q.receives, SentAt: q.sent, Raw: q.raw}
}

func (w *world) byHandle(handle string) *queued {
	for _, q := range w.queue {
		if q.handle == handle && !q.gone {
			return q
		}
	}
	return nil
}

// what names a message in the log.
func what(o hook.Outgoing) string {
	if o.Control != nil {
		return fmt.Sprint("control hop ", o.Control.Hop)
	}
	return fmt.Sprintf("%s gen %d hop %d", o.Message.EndpointID[len(o.Message.EndpointID)-1:], o.Message.Gen, o.Message.Hop)
}

// Send puts messages into the queue, one after the other.
func (p *process) Send(ctx context.Context, out []hook.Outgoing) []hook.Sent {
	sent := make([]hook.Sent, len(out))
	for i, o := range out {
		var raw []byte
		var err error
		if o.Control != nil {
			raw, err = hook.EncodeControl(o.Control)
		} else {
			raw, err = hook.EncodeMessage(o.Message)
		}
		if err != nil {
			panic(err)
		}
		sent[i].Err = p.ask(ctx, "Send "+what(o), func(*call) { sent[i].MessageID = p.w.put(string(raw), o.Delay, false).id })
	}
	return sent
}

// SendDead puts a message into the dead-letter queue.
func (p *process) SendDead(ctx context.Context, raw string) error {
	return p.ask(ctx, "SendDead", func(*call) { p.w.put(raw, 0, true) })
}

// Release sets how long messages stay invisible.
func (p *process) Release(ctx context.Context, rs []hook.Release) []error {
	errs := make([]error, len(rs))
	for i, r := range rs {
		errs[i] = p.ask(ctx, "Release "+r.ReceiptHandle, func(*call) {
			if q := p.w.byHandle(r.ReceiptHandle); q != nil && !q.dead {
				q.visible = time.Now().Add(r.After)
			}
		})
	}
	return errs
}

// ReceiveDead takes messages out of the dead-letter queue.
func (p *process) ReceiveDead(ctx context.Context, limit int) (all []hook.Received, err error) {
	err = p.ask(ctx, "ReceiveDead", func(*call) {
		ready := p.w.ready(true)
		all = p.w.receive(ready[:min(len(ready), limit)], visibility)
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

// DeleteDead removes messages from the dead-letter queue.
func (p *process) DeleteDead(ctx context.Context, handles []string) []error {
	errs := make([]error, len(handles))
	for i, h := range handles {
		errs[i] = p.remove(ctx, h)
	}
	return errs
}

// remove deletes a message.
func (p *process) remove(ctx context.Context, handle string) error {
	return p.ask(ctx, "Delete "+handle, func(*call) {
		if q := p.w.byHandle(handle); q != nil {
			q.gone = true
		}
	})
}
