package dynamodb

// Limits of batches.
const (
	maxBatchGet      = 100
	maxBatchWrite    = 25
	maxBatchResponse = 16 << 20 // bytes of items in one BatchGetItem
)

func duplicateKeys() error { return invalid("Provided list of item keys contains duplicates") }

// tableKeys are the items one BatchGetItem asks of a table.
type tableKeys struct {
	request
	keys []item
}

// batchGet is BatchGetItem.
func (s *Server) batchGet(d *decoder, buf *buffers) ([]byte, error) {
	var asked []*tableKeys
	mode, total := "", 0
	err := d.object(func(name string) (err error) {
		switch name {
		case "RequestItems":
			return d.object(func(table string) error {
				tk := &tableKeys{request: request{table: table}}
				asked = append(asked, tk)
				err := d.object(func(name string) error {
					if name != "Keys" {
						return tk.field(d, name)
					}
					return d.array(func() error {
						key, err := d.item(1, 2)
						tk.keys = append(tk.keys, key)
						total++
						return err
					})
				})
				return err
			})
		case "ReturnConsumedCapacity":
			mode, err = d.capacityChoice()
			return err
		}
		return notImplemented("The parameter " + name)
	})
	if err = finish(d, err); err != nil {
		return nil, err
	}
	switch {
	case total > maxBatchGet:
		return nil, invalid("Too many items requested for the BatchGetItem call")
	case total == 0:
		return nil, emptyBatch()
	}
	reads, err := s.readMany(asked)
	if err != nil {
		return nil, err
	}
	return appendBatchGet(buf.out[:0], asked, reads, mode), nil
}

func emptyBatch() error {
	return invalid("1 validation error detected: Value at 'requestItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
}

// readMany reads the items of a batch, one list a table, until the answer is
// full; the lists may be shorter than what was asked.
func (s *Server) readMany(asked []*tableKeys) ([][]*read, error) {
	out := make([][]*read, len(asked))
	var all []*read
	s.mu.RLock()
	defer s.mu.RUnlock()
	size := 0
	for i, tk := range asked {
		t, err := s.table(tk.table)
		if err != nil {
			return nil, err
		}
		b, err := s.bind(&tk.request, exprProjection)
		if err != nil {
			return nil, err
		}
		seen := make(map[string]bool, len(tk.keys))
		for _, key := range tk.keys {
			r, err := s.prepareRead(t, key, b[exprProjection], tk.consistent)
			if err != nil {
				return nil, err
			}
			if seen[string(r.itemKey)] {
				return nil, duplicateKeys()
			}
			seen[string(r.itemKey)] = true
			if size >= maxBatchResponse {
				continue // checked, and left unprocessed
			}
			if err := r.do(s); err != nil {
				return nil, err
			}
			size += r.size
			out[i] = append(out[i], r)
			all = append(all, r)
		}
	}
	return out, s.settle(all...)
}

func appendBatchGet(out []byte, asked []*tableKeys, reads [][]*read, mode string) []byte {
	var us usages
	out = append(out, `{"Responses":{`...)
	unprocessed := false
	for i, tk := range asked {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendText(out, tk.table), `:[`...)
		first := true
		for _, r := range reads[i] {
			us.of(r.table).add("", readUnits(r.size, r.consistent))
			if !r.found {
				continue
			}
			if !first {
				out = append(out, ',')
			}
			first = false
			out = appendItem(out, r.projection.of(r.item))
		}
		out = append(out, ']')
		unprocessed = unprocessed || len(reads[i]) < len(tk.keys)
	}
	out = append(out, `},"UnprocessedKeys":{`...)
	if unprocessed {
		first := true
		for i, tk := range asked {
			left := tk.keys[len(reads[i]):]
			if len(left) == 0 {
				continue
			}
			if !first {
				out = append(out, ',')
			}
			first = false
			out = tk.appendKeys(append(appendText(out, tk.table), ':'), left)
		}
	}
	out = append(out, '}')
	if wantsCapacity(mode) {
		out = us.append(append(out, ','), mode, "")
	}
	return append(out, '}')
}

// appendKeys appends what is to be asked again of a table.
func (tk *tableKeys) appendKeys(out []byte, keys []item) []byte {
	out = append(out, `{"Keys":[`...)
	for i, key := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendItem(out, key)
	}
	out = append(out, ']')
	if tk.consistent {
		out = append(out, `,"ConsistentRead":true`...)
	}
	if tk.given[exprProjection] {
		out = append(out, `,"ProjectionExpression":`...)
		out = appendText(out, tk.expressions[exprProjection])
	}
	if tk.names != nil {
		out = append(out, `,"ExpressionAttributeNames":{`...)
		for i, n := range tk.names {
			if i > 0 {
				out = append(out, ',')
			}
			out = append(appendText(out, n.placeholder), ':')
			out = appendText(out, n.name)
		}
		out = append(out, '}')
	}
	return append(out, '}')
}

// plannedWrite is one write of a batch or a transaction, not yet prepared.
type plannedWrite struct {
	action  action
	request *request
}

// batchWrite is BatchWriteItem. All of it happens at once.
func (s *Server) batchWrite(d *decoder, buf *buffers) ([]byte, error) {
	planned, mode, err := decodeBatchWrite(d)
	if err = finish(d, err); err != nil {
		return nil, err
	}
	switch {
	case len(planned) > maxBatchWrite:
		return nil, invalid("Too many items requested for the BatchWriteItem call")
	case len(planned) == 0:
		return nil, emptyBatch()
	}
	s.mu.RLock()
	ws, err := s.prepareWrites(planned, duplicateKeys)
	if err != nil {
		s.mu.RUnlock()
		return nil, err
	}
	var us *usages
	if wantsCapacity(mode) {
		us = &usages{}
	}
	if err := s.commit(ws, buf, us, commitOptions{}); err != nil {
		return nil, err
	}
	out := append(buf.out[:0], `{"UnprocessedItems":{}`...)
	if us != nil {
		out = us.append(append(out, ','), mode, "")
	}
	return append(out, '}'), nil
}

// prepareWrites prepares writes, no two of which may be about one item. The
// server's lock is held.
func (s *Server) prepareWrites(planned []plannedWrite, twice func() error) ([]*write, error) {
	ws := make([]*write, 0, len(planned))
	seen := make(map[string]bool, len(planned))
	for _, p := range planned {
		w, err := s.prepareWrite(p.request, p.action)
		if err != nil {
			return nil, err
		}
		if seen[string(w.itemKey)] {
			return nil, twice()
		}
		seen[string(w.itemKey)] = true
		ws = append(ws, w)
	}
	return ws, nil
}

func decodeBatchWrite(d *decoder) (planned []plannedWrite, mode string, err error) {
	err = d.object(func(name string) (err error) {
		switch name {
		case "RequestItems":
			return d.object(func(table string) error {
				return d.array(func() error {
					p, err := decodeWriteRequest(d, table)
					planned = append(planned, p)
					return err
				})
			})
		case "ReturnConsumedCapacity":
			mode, err = d.capacityChoice()
		case "ReturnItemCollectionMetrics":
			_, err = d.choice(name, "NONE", "SIZE")
		default:
			err = notImplemented("The parameter " + name)
		}
		return err
	})
	return planned, mode, err
}

// decodeWriteRequest reads a PutRequest or a DeleteRequest.
func decodeWriteRequest(d *decoder, table string) (plannedWrite, error) {
	p := plannedWrite{request: &request{table: table, segment: -1}}
	n := 0
	err := d.object(func(name string) error {
		if d.null() {
			return nil
		}
		n++
		member := "Item"
		switch name {
		case "PutRequest":
			p.action = actionPut
		case "DeleteRequest":
			p.action, member = actionDelete, "Key"
		default:
			return notImplemented("The parameter " + name)
		}
		return d.object(func(name string) error {
			if name != member {
				return notImplemented("The parameter " + name)
			}
			return p.request.field(d, name)
		})
	})
	if err == nil && n != 1 {
		err = invalid("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
		if n == 0 {
			err = invalid("A write request needs a PutRequest or a DeleteRequest")
		}
	}
	return p, err
}
