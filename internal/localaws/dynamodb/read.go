package dynamodb

import "slices"

// read is one item that is asked for.
type read struct {
	table      *table
	itemKey    []byte
	projection *projected
	consistent bool

	found bool
	item  item
	size  int
}

// prepareRead checks a request for one item. The server's lock is held.
func (s *Server) prepareRead(t *table, key item, b *bound, consistent bool) (*read, error) {
	if key == nil {
		return nil, invalid("The parameter 'Key' is required but was not present in the request")
	}
	if err := t.checkKey(key); err != nil {
		return nil, err
	}
	r := &read{table: t, itemKey: t.appendItemKey(make([]byte, 0, 96), key), consistent: consistent}
	if b != nil {
		r.projection = b.tree(b.projection)
	}
	return r, nil
}

// do reads the item.
func (r *read) do(s *Server) error {
	return s.store.View(r.itemKey, func(record []byte) (err error) {
		r.found = true
		r.item, r.size, err = decodeRecord(record)
		return err
	})
}

// settle waits until what was read of some items is on disk, where it may not
// be: an answer must not show what a loss of power undoes.
func (s *Server) settle(reads ...*read) error {
	unsynced := func(r *read) bool { return s.locks[stripeOf(r.itemKey)].unsynced.Load() > 0 }
	if !slices.ContainsFunc(reads, unsynced) {
		return nil
	}
	return s.store.Sync()
}

// getItem is GetItem.
func (s *Server) getItem(d *decoder, buf *buffers) ([]byte, error) {
	rq, err := decodeRequest(d)
	if err = finish(d, err); err != nil {
		return nil, err
	}
	r, err := s.readOne(rq)
	if err != nil {
		return nil, err
	}
	if err := s.settle(r); err != nil {
		return nil, err
	}
	out := append(buf.out[:0], '{')
	if r.found {
		out = append(out, `"Item":`...)
		out = appendItem(out, r.projection.of(r.item))
	}
	if wantsCapacity(rq.returnCapacity) {
		if r.found {
			out = append(out, ',')
		}
		out = append(out, `"ConsumedCapacity":`...)
		u := &usage{table: r.table, base: readUnits(r.size, r.consistent)}
		out = appendCapacity(out, u, rq.returnCapacity, "")
	}
	return append(out, '}'), nil
}

func (s *Server) readOne(rq *request) (*read, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t, err := s.table(rq.table)
	if err != nil {
		return nil, err
	}
	b, err := s.bind(rq, exprProjection)
	if err != nil {
		return nil, err
	}
	r, err := s.prepareRead(t, rq.key, b[exprProjection], rq.consistent)
	if err != nil {
		return nil, err
	}
	return r, r.do(s)
}
