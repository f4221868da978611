package dynamodb

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"strconv"

	"posthorn/internal/localaws/store"
)

// oldestExpiry is how long past an expiry still counts, in seconds: the
// service leaves items alone that expired more than five years ago.
const oldestExpiry = 5 * 365 * 24 * 60 * 60

// sweepStep is how many items one locked step of a sweep deletes.
const sweepStep = 64

// expiryOf is the second at which an item expires; ok is false when it does
// not. Only numbers count.
func (t *table) expiryOf(it item) (at int64, ok bool) {
	if t.TTL == "" {
		return 0, false
	}
	v := it.get(t.TTL)
	if v == nil || v.kind != kindN {
		return 0, false
	}
	at, err := strconv.ParseInt(v.text, 10, 64)
	if err != nil {
		f, err := strconv.ParseFloat(v.text, 64)
		if err != nil || f > 1<<62 {
			return 0, false
		}
		at = int64(f)
	}
	return at, at > 0
}

// stageExpiry keeps the expiry index in step with a write.
func (w *write) stageExpiry(b *store.Batch, buf *buffers) error {
	if w.table.TTL == "" {
		return nil
	}
	var was, is int64
	var had, has bool
	if w.existed {
		was, had = w.table.expiryOf(w.old)
	}
	if w.new != nil {
		is, has = w.table.expiryOf(w.new)
	}
	if had == has && was == is {
		return nil
	}
	var err error
	if had {
		buf.key = w.table.appendExpiryKey(buf.key[:0], was, w.itemKey)
		err = b.Delete(buf.key)
	}
	if has {
		buf.key = w.table.appendExpiryKey(buf.key[:0], is, w.itemKey)
		err = errors.Join(err, b.Set(buf.key, nil))
	}
	return err
}

// SweepExpired deletes the items whose expiry has passed, as the service does
// in the background, and forgets old idempotency tokens. It returns how many
// items it deleted. It walks the expired alone, not the table.
func (s *Server) SweepExpired(ctx context.Context) (int, error) {
	now := s.now().Unix()
	s.mu.RLock()
	var names []string
	for name, t := range s.tables {
		if t.TTL != "" {
			names = append(names, name)
		}
	}
	s.mu.RUnlock()
	deleted := 0
	for _, name := range names {
		for more := true; more; {
			if err := ctx.Err(); err != nil {
				return deleted, err
			}
			var n int
			var err error
			if n, more, err = s.sweepSome(name, now); err != nil {
				return deleted, err
			}
			deleted += n
		}
	}
	return deleted, s.sweepTokens(now)
}

// sweepSome deletes some of a table's expired items; more says that there may
// be others.
func (s *Server) sweepSome(name string, now int64) (deleted int, more bool, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.tables[name]
	if t == nil || t.TTL == "" {
		return 0, false, nil
	}
	var keys [][]byte
	var numbers []uint32
	lo := binary.BigEndian.AppendUint64(bytes.Clone(t.expiry), uint64(max(0, now-oldestExpiry)))
	hi := binary.BigEndian.AppendUint64(bytes.Clone(t.expiry), uint64(max(0, now)))
	err = s.store.Range(lo, hi, false, func(key, _ []byte) (bool, error) {
		itemKey := append(bytes.Clone(t.items), key[len(t.expiry)+8:]...)
		keys = append(keys, itemKey)
		numbers = append(numbers, stripeOf(itemKey))
		return len(keys) < sweepStep, nil
	})
	if err != nil || len(keys) == 0 {
		return 0, false, err
	}
	h := s.locks.take(numbers)
	defer h.release()
	b := s.store.NewBatch()
	buf := new(buffers)
	for _, key := range keys {
		w := &write{table: t, action: actionDelete, itemKey: key}
		if err := s.evaluate(w); err != nil {
			return 0, false, errors.Join(err, b.Close())
		}
		// It may have been given more time since.
		if at, ok := t.expiryOf(w.old); !ok || at >= now {
			continue
		}
		if err := w.stage(b, buf, nil); err != nil {
			return 0, false, errors.Join(err, b.Close())
		}
		deleted++
	}
	// A loss of power that brings expired items back breaks no promise.
	return deleted, len(keys) == sweepStep && deleted > 0, s.store.ApplyLazily(b)
}

func (s *Server) updateTimeToLive(rq *tableRequest) (any, error) {
	spec := rq.TimeToLiveSpecification
	if spec == nil || spec.AttributeName == "" {
		return nil, invalid("The parameter 'TimeToLiveSpecification' is required but was not present in the request")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.table(rq.TableName)
	if err != nil {
		return nil, noSuchTable(rq.TableName)
	}
	switch {
	case spec.Enabled && t.TTL == spec.AttributeName:
		return nil, invalid("TimeToLive is already enabled")
	case spec.Enabled && t.TTL != "":
		return nil, invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", t.TTL)
	case !spec.Enabled && t.TTL == "":
		return nil, invalid("TimeToLive is already disabled")
	case !spec.Enabled && t.TTL != spec.AttributeName:
		return nil, invalid("TimeToLive is active on a different AttributeName: current AttributeName is %s", t.TTL)
	}
	changed := *t
	changed.TTL = ""
	if spec.Enabled {
		changed.TTL = spec.AttributeName
	}
	b := s.store.NewBatch()
	if err := s.stageExpiries(b, &changed); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	if err := s.saveTable(b, &changed); err != nil {
		return nil, err
	}
	return map[string]any{"TimeToLiveSpecification": spec}, nil
}

// stageExpiries writes a table's expiry index anew.
func (s *Server) stageExpiries(b *store.Batch, t *table) error {
	if err := b.DeleteRange(t.expiry, after(bytes.Clone(t.expiry))); err != nil {
		return err
	}
	if t.TTL == "" {
		return nil
	}
	return s.store.Range(t.items, after(bytes.Clone(t.items)), false, func(key, record []byte) (bool, error) {
		it, _, err := decodeRecord(record)
		if err != nil {
			return false, err
		}
		if at, ok := t.expiryOf(it); ok {
			err = b.Set(t.appendExpiryKey(nil, at, key), nil)
		}
		return true, err
	})
}

func (s *Server) describeTimeToLive(rq *tableRequest) (any, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.table(rq.TableName)
	if err != nil {
		return nil, noSuchTable(rq.TableName)
	}
	out := map[string]any{"TimeToLiveStatus": "DISABLED"}
	if t.TTL != "" {
		out = map[string]any{"TimeToLiveStatus": "ENABLED", "AttributeName": t.TTL}
	}
	return map[string]any{"TimeToLiveDescription": out}, nil
}
