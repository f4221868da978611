package sqs

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"

	"posthorn/internal/localaws/store"
)

const (
	epochKey      = "sqs/epoch"
	queuePrefix   = "sqs/q/"
	messagePrefix = "sqs/m/"
	receivePrefix = "sqs/r/"
)

// epochBits of a sequence number count the messages of one process; the bits
// above are its epoch. So no number is used twice, not even one whose message
// is gone: an old receipt handle never names a new message.
const epochBits = 40

// keySize is the length of the keys of messages and of receives.
const keySize = len(messagePrefix) + 16

func appendKey(b []byte, prefix string, uid, seq uint64) []byte {
	b = append(b, prefix...)
	b = binary.BigEndian.AppendUint64(b, uid)
	return binary.BigEndian.AppendUint64(b, seq)
}

func splitKey(key []byte, prefix string) (uid, seq uint64, err error) {
	if len(key) != len(prefix)+16 {
		return 0, 0, fmt.Errorf("key %q is not of a message", key)
	}
	return binary.BigEndian.Uint64(key[len(prefix):]), binary.BigEndian.Uint64(key[len(prefix)+8:]), nil
}

// after returns the first key behind those with that prefix.
func after(prefix string) []byte {
	b := []byte(prefix)
	b[len(b)-1]++
	return b
}

// stored is a message as it is kept in the store. Its slices are parts of the
// request it came with, or of the value it was read from.
type stored struct {
	id                   [16]byte
	sent, due, first     int64 // Unix milliseconds
	base                 uint32
	bodyMD5              [16]byte
	group, source, trace []byte // source is the queue it was dead-lettered from
	attributes           []attribute
	body                 []byte
}

const (
	storedVersion = 1
	storedHeader  = 1 + 16 + 8 + 8 + 8 + 4 + 16
)

func (m *stored) append(b []byte) []byte {
	b = append(b, storedVersion)
	b = append(b, m.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.sent))
	b = binary.BigEndian.AppendUint64(b, uint64(m.due))
	b = binary.BigEndian.AppendUint64(b, uint64(m.first))
	b = binary.BigEndian.AppendUint32(b, m.base)
	b = append(b, m.bodyMD5[:]...)
	b = appendField(b, m.group)
	b = appendField(b, m.source)
	b = appendField(b, m.trace)
	b = binary.AppendUvarint(b, uint64(len(m.attributes)))
	for i := range m.attributes {
		a := &m.attributes[i]
		b = appendField(b, a.name)
		b = appendField(b, a.dataType)
		if a.binary != nil {
			b = append(b, 1)
		} else {
			b = append(b, 0)
		}
		b = appendField(b, a.value())
	}
	return append(b, m.body...)
}

func appendField(b, field []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(field)))
	return append(b, field...)
}

// read fills m from a value. Its slices are parts of the value.
func (m *stored) read(value []byte) error {
	if len(value) < storedHeader || value[0] != storedVersion {
		return fmt.Errorf("a stored message of %d bytes is not one of version %d", len(value), storedVersion)
	}
	f := fields{b: value[1:]}
	copy(m.id[:], f.next(16))
	m.sent = int64(binary.BigEndian.Uint64(f.next(8)))
	m.due = int64(binary.BigEndian.Uint64(f.next(8)))
	m.first = int64(binary.BigEndian.Uint64(f.next(8)))
	m.base = binary.BigEndian.Uint32(f.next(4))
	copy(m.bodyMD5[:], f.next(16))
	m.group, m.source, m.trace = f.field(), f.field(), f.field()
	m.attributes = m.attributes[:0]
	for n := f.count(); n > 0 && !f.short; n-- {
		a := attribute{name: f.field(), dataType: f.field()}
		if kind := f.next(1); len(kind) == 1 && kind[0] == 1 {
			a.binary = f.field()
		} else {
			a.text = f.field()
		}
		m.attributes = append(m.attributes, a)
	}
	m.body = f.b
	if f.short {
		return fmt.Errorf("a stored message of %d bytes is cut short", len(value))
	}
	return nil
}

// fields reads a value from its front; short says that it ended early.
type fields struct {
	b     []byte
	short bool
}

func (f *fields) next(n int) []byte {
	if n > len(f.b) {
		f.short = true
		return nil
	}
	s := f.b[:n:n]
	f.b = f.b[n:]
	return s
}

func (f *fields) count() int {
	n, size := binary.Uvarint(f.b)
	if size <= 0 || n > uint64(len(f.b)) {
		f.short = true
		return 0
	}
	f.b = f.b[size:]
	return int(n)
}

func (f *fields) field() []byte { return f.next(f.count()) }

// saveReceive records how often m was received.
func saveReceive(b *store.Batch, uid uint64, m *message) error {
	var scratch [keySize]byte
	var value [12]byte
	binary.BigEndian.PutUint32(value[:], m.receives)
	binary.BigEndian.PutUint64(value[4:], uint64(m.first))
	return b.Set(appendKey(scratch[:0], receivePrefix, uid, m.seq), value[:])
}

// forget removes a message from the store.
func forget(b *store.Batch, uid uint64, m *message) error {
	var scratch [keySize]byte
	if err := b.Delete(appendKey(scratch[:0], messagePrefix, uid, m.seq)); err != nil {
		return err
	}
	if m.receives == m.base {
		return nil
	}
	return b.Delete(appendKey(scratch[:0], receivePrefix, uid, m.seq))
}

// queueRecord is a queue in the store.
type queueRecord struct {
	UID        uint64            `json:"uid"`
	Attributes map[string]string `json:"attributes"`
	Tags       map[string]string `json:"tags,omitempty"`
	Created    int64             `json:"created"`  // Unix seconds
	Modified   int64             `json:"modified"` // Unix seconds
}

// saveQueue adds the queue's settings to a batch.
func (q *queue) save(b *store.Batch) error {
	value, err := json.Marshal(queueRecord{q.uid, q.attributes, q.tags, q.created, q.modified})
	if err != nil {
		return fmt.Errorf("encode queue %s: %w", q.name, err)
	}
	return b.Set([]byte(queuePrefix+q.name), value)
}

// load reads what earlier processes left. It claims a new epoch first.
func (s *Server) load() error {
	if err := s.claimEpoch(); err != nil {
		return err
	}
	byUID := map[uint64]*queue{}
	err := s.store.Range([]byte(queuePrefix), after(queuePrefix), false, func(key, value []byte) (bool, error) {
		q, err := s.loadQueue(string(key[len(queuePrefix):]), value)
		if err != nil {
			return false, err
		}
		s.queues[q.name] = q
		byUID[q.uid] = q
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("load queues: %w", err)
	}
	c := cleanup{store: s.store}
	if err := s.loadMessages(byUID, &c); err != nil {
		return fmt.Errorf("load messages: %w", err)
	}
	return c.finish()
}

func (s *Server) claimEpoch() error {
	value, ok, err := s.store.Get([]byte(epochKey))
	if err != nil {
		return err
	}
	epoch := uint64(0)
	if ok && len(value) == 8 {
		epoch = binary.BigEndian.Uint64(value)
	}
	epoch++
	b := s.store.NewBatch()
	if err := b.Set([]byte(epochKey), binary.BigEndian.AppendUint64(nil, epoch)); err != nil {
		return err
	}
	if err := s.applyDurably(b); err != nil {
		return err
	}
	s.epoch, s.seq = uint32(epoch), epoch<<epochBits
	return nil
}

func (s *Server) loadQueue(name string, value []byte) (*queue, error) {
	var r queueRecord
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("decode queue %s: %w", name, err)
	}
	q := s.newQueue(name, r.UID)
	q.tags, q.created, q.modified = r.Tags, r.Created, r.Modified
	if err := q.set(r.Attributes); err != nil {
		return nil, fmt.Errorf("decode queue %s: %w", name, err)
	}
	return q, nil
}

// loadMessages reads the messages and then how often each was received. What
// belongs to no queue, or whose retention ended, is cleaned up.
func (s *Server) loadMessages(byUID map[uint64]*queue, c *cleanup) error {
	now := s.millis()
	loaded := map[uint64][]*message{} // by queue, ascending
	var v stored
	err := s.store.Range([]byte(messagePrefix), after(messagePrefix), false, func(key, value []byte) (bool, error) {
		uid, seq, err := splitKey(key, messagePrefix)
		if err != nil {
			return false, err
		}
		if err := v.read(value); err != nil {
			return false, err
		}
		q := byUID[uid]
		m := &message{seq: seq, sent: v.sent, due: v.due, first: v.first, receives: v.base, base: v.base}
		if q == nil || q.expiry(m) <= now {
			return true, c.delete(key)
		}
		q.add(m, v.group, now)
		loaded[uid] = append(loaded[uid], m)
		return true, nil
	})
	if err != nil {
		return err
	}
	return s.store.Range([]byte(receivePrefix), after(receivePrefix), false, func(key, value []byte) (bool, error) {
		uid, seq, err := splitKey(key, receivePrefix)
		if err != nil {
			return false, err
		}
		list := loaded[uid]
		i, ok := slices.BinarySearchFunc(list, seq, func(m *message, seq uint64) int { return cmp.Compare(m.seq, seq) })
		if !ok || len(value) != 12 {
			return true, c.delete(key)
		}
		m := list[i]
		m.receives = binary.BigEndian.Uint32(value)
		m.first = int64(binary.BigEndian.Uint64(value[4:]))
		byUID[uid].received[m.seq] = m
		return true, nil
	})
}

// cleanup deletes keys in batches of a bounded size.
type cleanup struct {
	store *store.DB
	b     *store.Batch
	n     int
}

const cleanupSize = 1000

func (c *cleanup) delete(key []byte) error {
	if c.b == nil {
		c.b = c.store.NewBatch()
	}
	if err := c.b.Delete(key); err != nil {
		return err
	}
	if c.n++; c.n%cleanupSize == 0 {
		return c.finish()
	}
	return nil
}

func (c *cleanup) finish() error {
	if c.b == nil {
		return nil
	}
	b := c.b
	c.b = nil
	return c.store.ApplyLazily(b)
}

// applyDurably makes the changes of a batch and waits until they are on disk.
func (s *Server) applyDurably(b *store.Batch) error {
	commit, err := s.store.Apply(b)
	if err != nil {
		return err
	}
	return commit.Wait()
}
