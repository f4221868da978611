package dynamodb

import (
	"bytes"
	"errors"

	"posthorn/internal/localaws/store"
)

// action is what a write does to its item.
type action uint8

const (
	actionPut action = iota
	actionUpdate
	actionDelete
	actionCheck
)

// maxItem is the largest item, names and values, in bytes.
const maxItem = 400 << 10

// write is one write on one item: prepared from a request without looking at
// the item, evaluated on it, staged into a batch.
type write struct {
	table     *table
	action    action
	item      item // what a put stores
	key       item // what the others are about
	condition *bound
	update    *bound
	showOld   bool // a failed condition answers with the item
	itemKey   []byte

	existed bool
	old     item
	oldSize int
	new     item // nil: there will be none
	newSize int
}

// prepareWrite checks everything about a write that does not depend on the
// stored item. The server's lock is held.
func (s *Server) prepareWrite(rq *request, a action) (*write, error) {
	t, err := s.table(rq.table)
	if err != nil {
		return nil, err
	}
	w := &write{table: t, action: a, item: rq.item, key: rq.key, showOld: rq.returnOnFailure == "ALL_OLD"}
	takes := []exprKind{exprCondition, exprUpdate}
	if a != actionUpdate {
		takes = takes[:1]
	}
	b, err := s.bind(rq, takes...)
	if err != nil {
		return nil, err
	}
	w.condition, w.update = b[exprCondition], b[exprUpdate]
	if a == actionCheck && w.condition == nil {
		return nil, invalid("The parameter 'ConditionExpression' is required but was not present in the request")
	}
	if a == actionPut {
		if rq.item == nil {
			return nil, invalid("The parameter 'Item' is required but was not present in the request")
		}
		if err := t.checkItem(w.item); err != nil {
			return nil, err
		}
		if w.newSize = w.item.size(); w.newSize > maxItem {
			return nil, invalid("Item size has exceeded the maximum allowed size")
		}
		w.itemKey = t.appendItemKey(make([]byte, 0, 96), w.item)
		return w, nil
	}
	if rq.key == nil {
		return nil, invalid("The parameter 'Key' is required but was not present in the request")
	}
	if err := t.checkKey(w.key); err != nil {
		return nil, err
	}
	if w.update != nil {
		for _, c := range w.update.update {
			if name := w.update.name(c.path[0]); t.Key.has(name) {
				return nil, badParameter("Cannot update attribute %s. This attribute is part of the key", name)
			}
		}
	}
	w.itemKey = t.appendItemKey(make([]byte, 0, 96), w.key)
	return w, nil
}

// evaluate reads the item, checks the condition and computes the item to be.
// The item's stripe is locked.
func (s *Server) evaluate(w *write) error {
	err := s.store.View(w.itemKey, func(record []byte) (err error) {
		w.existed = true
		w.old, w.oldSize, err = decodeRecord(record)
		return err
	})
	if err != nil {
		return err
	}
	if w.condition != nil && !w.condition.condition.holds(w.condition, w.old) {
		e := conditionFailed()
		if w.showOld && w.existed {
			e.item = w.old
		}
		return e
	}
	switch w.action {
	case actionPut:
		w.new = w.item
	case actionUpdate:
		return w.applyUpdate()
	case actionDelete, actionCheck:
	}
	return nil
}

func (w *write) applyUpdate() error {
	w.new = w.old
	if !w.existed {
		w.new = w.key
	}
	if w.update == nil {
		w.newSize = w.new.size()
		return nil
	}
	var err error
	if w.new, err = w.update.apply(w.new); err != nil {
		return err
	}
	if err := w.table.checkItem(w.new); err != nil {
		return err
	}
	if w.newSize = w.new.size(); w.newSize > maxItem {
		return invalid("Item size to update has exceeded the maximum allowed size")
	}
	return nil
}

// stage adds the write and what follows from it in the indexes to a batch, and
// what it costs to u where u is not nil.
func (w *write) stage(b *store.Batch, buf *buffers, u *usage) error {
	if u != nil {
		u.add("", writeUnits(w.oldSize, w.newSize))
	}
	if w.action == actionCheck {
		return nil
	}
	for _, ix := range w.table.Indexes {
		if err := w.stageIndex(b, buf, u, ix); err != nil {
			return err
		}
	}
	if err := w.stageExpiry(b, buf); err != nil {
		return err
	}
	if w.new == nil {
		if !w.existed {
			return nil
		}
		return b.Delete(w.itemKey)
	}
	buf.key = appendRecord(buf.key[:0], w.new, w.newSize)
	return b.Set(w.itemKey, buf.key)
}

func (w *write) stageIndex(b *store.Batch, buf *buffers, u *usage, ix *index) error {
	had, has := w.existed && ix.covers(w.old), w.new != nil && ix.covers(w.new)
	if !had && !has {
		return nil
	}
	var oldKey, newKey, oldEntry, newEntry []byte
	var oldSize, newSize int
	buf.key = buf.key[:0]
	if had {
		part := ix.project(w.old)
		oldSize = part.size()
		oldKey = w.table.appendIndexKey(nil, ix, w.old, w.itemKey)
		oldEntry = appendRecord(nil, part, oldSize)
	}
	if has {
		part := ix.project(w.new)
		newSize = part.size()
		newKey = w.table.appendIndexKey(nil, ix, w.new, w.itemKey)
		newEntry = appendRecord(nil, part, newSize)
	}
	moved := !bytes.Equal(oldKey, newKey)
	if !moved && bytes.Equal(oldEntry, newEntry) {
		return nil
	}
	var err error
	if had && moved {
		err = b.Delete(oldKey)
	}
	if has {
		err = errors.Join(err, b.Set(newKey, newEntry))
	}
	switch {
	case u == nil:
	case had && has && moved:
		u.add(ix.Name, writeUnits(oldSize, 0)+writeUnits(0, newSize))
	default:
		u.add(ix.Name, writeUnits(oldSize, newSize))
	}
	return err
}

// commit makes writes at once or not at all: it locks their items, evaluates
// and stages them, and waits until they are on disk. The server's lock is held
// for reading on entry, and released before the disk is waited for. us, where
// it is not nil, collects what the writes cost.
func (s *Server) commit(ws []*write, buf *buffers, us *usages, o commitOptions) error {
	h, c, err := s.commitNow(ws, buf, us, o)
	if c != nil {
		err = c.Wait()
		h.written()
		return err
	}
	// Nothing was written; but what the answer tells of must not be undone by a
	// loss of power either.
	if h.unsynced() {
		return errors.Join(s.store.Sync(), err)
	}
	return err
}

// commitNow does what commit does under locks. It returns no commit when
// nothing was written.
func (s *Server) commitNow(ws []*write, buf *buffers, us *usages, o commitOptions) (held, *store.Commit, error) {
	defer s.mu.RUnlock()
	numbers := make([]uint32, 0, 8)
	for _, w := range ws {
		numbers = append(numbers, stripeOf(w.itemKey))
	}
	if o.lockToken != nil {
		numbers = append(numbers, stripeOf(o.lockToken))
	}
	h := s.locks.take(numbers)
	defer h.release()
	c, err := s.commitLocked(ws, buf, us, o, h)
	return h, c, err
}

// commitOptions are what a transaction adds to its writes.
type commitOptions struct {
	// lockToken is a key that is locked beside the items.
	lockToken []byte
	// before runs before the writes are evaluated; done leaves them out.
	before func() (done bool, err error)
	// failed collects why write i failed; nil: the first failure is the answer.
	failed func(i int, err *apiError)
	// conclude runs once all are evaluated, and adds to the batch.
	conclude func(b *store.Batch) error
}

// commitLocked does what commit does under the items' locks.
func (s *Server) commitLocked(ws []*write, buf *buffers, us *usages, o commitOptions, h held) (*store.Commit, error) {
	if o.before != nil {
		if done, err := o.before(); done || err != nil {
			return nil, err
		}
	}
	for i, w := range ws {
		err := s.evaluate(w)
		if err == nil {
			continue
		}
		e, ok := errors.AsType[*apiError](err)
		if !ok || o.failed == nil {
			return nil, err
		}
		o.failed(i, e)
	}
	b := s.store.NewBatch()
	if o.conclude != nil {
		if err := o.conclude(b); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	for _, w := range ws {
		var u *usage
		if us != nil {
			u = us.of(w.table)
		}
		if err := w.stage(b, buf, u); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	if b.Empty() {
		return nil, b.Close()
	}
	h.writing()
	c, err := s.store.Apply(b)
	if err != nil {
		h.written()
		return nil, err
	}
	return &c, nil
}

// writeItem is PutItem, UpdateItem and DeleteItem.
func (s *Server) writeItem(d *decoder, buf *buffers, a action) ([]byte, error) {
	rq, err := decodeRequest(d)
	if err = finish(d, err); err != nil {
		return nil, err
	}
	if a != actionUpdate && rq.returnValues != "" && rq.returnValues != "NONE" && rq.returnValues != "ALL_OLD" {
		return nil, invalid("ReturnValues can only be ALL_OLD or NONE")
	}
	s.mu.RLock()
	w, err := s.prepareWrite(rq, a)
	if err != nil {
		s.mu.RUnlock()
		return nil, err
	}
	var us *usages
	if wantsCapacity(rq.returnCapacity) {
		us = &usages{}
	}
	if err := s.commit([]*write{w}, buf, us, commitOptions{}); err != nil {
		return nil, err
	}
	out := append(buf.out[:0], '{')
	if it := w.returned(rq.returnValues); len(it) > 0 {
		out = append(out, `"Attributes":`...)
		out = appendItem(out, it)
	}
	if us != nil {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, `"ConsumedCapacity":`...)
		out = appendCapacity(out, us.of(w.table), rq.returnCapacity, "")
	}
	return append(out, '}'), nil
}

// returned is what ReturnValues asks for.
func (w *write) returned(mode string) item {
	var paths []path
	if w.update != nil {
		for _, c := range w.update.update {
			paths = append(paths, c.path)
		}
	}
	switch mode {
	case "ALL_OLD":
		return w.old
	case "ALL_NEW":
		return w.new
	case "UPDATED_OLD":
		if paths != nil {
			return w.update.tree(paths).of(w.old)
		}
	case "UPDATED_NEW":
		if paths != nil {
			return w.update.tree(paths).of(w.new)
		}
	}
	return nil
}
