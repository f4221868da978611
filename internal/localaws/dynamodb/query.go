package dynamodb

import (
	"bytes"
	"context"
	"encoding/binary"
	"strconv"
)

// pageSize is how many bytes of items one Query or Scan reads at most.
const pageSize = 1 << 20

// search is a Query or a Scan, checked.
type search struct {
	table      *table
	index      *index // nil: the table itself
	lo, hi     []byte
	filter     *bound
	projection *projected
}

// key is the schema of what is searched.
func (q *search) key() *keySchema {
	if q.index != nil {
		return &q.index.Key
	}
	return &q.table.Key
}

// search is Query and Scan.
func (s *Server) search(ctx context.Context, d *decoder, buf *buffers, query bool) ([]byte, error) {
	rq, err := decodeRequest(d)
	if err = finish(d, err); err != nil {
		return nil, err
	}
	out, unsynced, err := s.page(ctx, rq, buf, query)
	if err == nil && unsynced {
		err = s.store.Sync()
	}
	return out, err
}

// page reads one page; unsynced says that it shows what may not be on disk.
func (s *Server) page(ctx context.Context, rq *request, buf *buffers, query bool) (out []byte, unsynced bool, err error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	q, err := s.prepareSearch(rq, query)
	if err != nil {
		return nil, false, err
	}
	count, scanned, size := 0, 0, 0
	counting := rq.selection == "COUNT"
	var last item
	full := false
	out = append(buf.out[:0], '{')
	if !counting {
		out = append(out, `"Items":[`...)
	}
	err = s.store.Range(q.lo, q.hi, rq.backward && query, func(key, record []byte) (bool, error) {
		it, n, err := decodeRecord(record)
		if err != nil {
			return false, err
		}
		if q.index == nil && s.locks[stripeOf(key)].unsynced.Load() > 0 {
			unsynced = true
		}
		scanned++
		size += n
		last = it
		if q.filter == nil || q.filter.condition.holds(q.filter, it) {
			if !counting {
				if count > 0 {
					out = append(out, ',')
				}
				out = appendItem(out, q.projection.of(it))
			}
			count++
		}
		full = scanned == rq.limit || size >= pageSize
		return !full, ctx.Err()
	})
	if err != nil {
		return nil, false, err
	}
	if !counting {
		out = append(out, `],`...)
	}
	out = append(out, `"Count":`...)
	out = strconv.AppendInt(out, int64(count), 10)
	out = append(out, `,"ScannedCount":`...)
	out = strconv.AppendInt(out, int64(scanned), 10)
	if full {
		out = append(out, `,"LastEvaluatedKey":`...)
		out = appendItem(out, q.table.keyOf(last, q.index))
	}
	if wantsCapacity(rq.returnCapacity) {
		u := &usage{table: q.table}
		u.add(rq.index, readUnits(size, rq.consistent))
		out = append(out, `,"ConsumedCapacity":`...)
		out = appendCapacity(out, u, rq.returnCapacity, "")
	}
	return append(out, '}'), unsynced, nil
}

func (s *Server) prepareSearch(rq *request, query bool) (*search, error) {
	t, err := s.table(rq.table)
	if err != nil {
		return nil, err
	}
	q := &search{table: t}
	if rq.index != "" {
		if q.index = t.index(rq.index); q.index == nil {
			return nil, invalid("The table does not have the specified index: %s", rq.index)
		}
		if rq.consistent {
			return nil, invalid("Consistent reads are not supported on global secondary indexes")
		}
	}
	takes := []exprKind{exprFilter, exprProjection, exprKeyCondition}
	if !query {
		takes = takes[:2]
	}
	b, err := s.bind(rq, takes...)
	if err != nil {
		return nil, err
	}
	q.filter = b[exprFilter]
	if err := q.checkSelection(rq, b[exprProjection]); err != nil {
		return nil, err
	}
	if query {
		err = q.queryRange(b[exprKeyCondition])
	} else {
		err = q.scanRange(rq)
	}
	if err != nil {
		return nil, err
	}
	return q, q.startAfter(rq, query)
}

// checkSelection checks Select and the projection against each other and
// against what the index holds.
func (q *search) checkSelection(rq *request, b *bound) error {
	if b == nil {
		switch {
		case rq.selection == "SPECIFIC_ATTRIBUTES":
			return invalid("Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES")
		case rq.selection == "ALL_PROJECTED_ATTRIBUTES" && q.index == nil:
			return invalid("ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName")
		case rq.selection == "ALL_ATTRIBUTES" && q.index != nil && q.index.Projection != projectAll:
			return badParameter("Select type ALL_ATTRIBUTES is not supported for global secondary index %s because its projection type is not ALL", q.index.Name)
		}
		return nil
	}
	if rq.selection != "" && rq.selection != "SPECIFIC_ATTRIBUTES" {
		return invalid("Cannot specify the ProjectionExpression when choosing to get %s", rq.selection)
	}
	q.projection = b.tree(b.projection)
	if q.index == nil || q.index.kept == nil {
		return nil
	}
	for _, f := range q.projection.fields {
		if !q.index.keeps(f.name) {
			return badParameter("Global secondary index %s does not project [%s]", q.index.Name, f.name)
		}
	}
	return nil
}

func (ix *index) keeps(name string) bool {
	for _, k := range ix.kept {
		if k == name {
			return true
		}
	}
	return ix.kept == nil
}

// prefix is what all store keys of the table or index begin with.
func (q *search) prefix() []byte {
	if q.index != nil {
		return q.table.appendIndexPrefix(nil, q.index)
	}
	return bytes.Clone(q.table.items)
}

// queryRange turns the key condition into a range of keys.
func (q *search) queryRange(b *bound) error {
	if b == nil {
		return invalid("Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.")
	}
	k := q.key()
	conditions, err := b.keyConditions(k)
	if err != nil {
		return err
	}
	if v := conditions.hash; v.kind != kindN && v.text == "" {
		return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", emptyOf(v.kind), k.Hash.Name)
	}
	if q.filter != nil {
		if name, ok := q.filter.mentions(k); ok {
			return invalid("Filter Expression can only contain non-primary key attributes: Primary key attribute: %s", name)
		}
	}
	q.lo, q.hi, err = b.keyRange(appendHashKey(q.prefix(), conditions.hash), k.Sort, conditions.sort)
	return err
}

// scanRange is everything, or a segment's share of the buckets.
func (q *search) scanRange(rq *request) error {
	if (rq.segment >= 0) != (rq.segments > 0) {
		if rq.segment >= 0 {
			return invalid("The TotalSegments parameter is required but was not present in the request when Segment parameter is present")
		}
		return invalid("The Segment parameter is required but was not present in the request when parameter TotalSegments is present")
	}
	segment, segments := max(rq.segment, 0), max(rq.segments, 1)
	if segment >= segments {
		return invalid("The Segment parameter is zero-based and must be less than parameter TotalSegments: Segment: %d is not less than TotalSegments: %d", segment, segments)
	}
	prefix := q.prefix()
	edge := func(segment int) []byte {
		bucket := buckets * segment / segments
		if bucket >= buckets {
			return after(bytes.Clone(prefix))
		}
		return binary.BigEndian.AppendUint16(bytes.Clone(prefix), uint16(bucket))
	}
	q.lo, q.hi = edge(segment), edge(segment+1)
	return nil
}

// startAfter narrows the range to what follows ExclusiveStartKey.
func (q *search) startAfter(rq *request, query bool) error {
	if rq.startKey == nil {
		return nil
	}
	bad := func() error { return invalid("The provided starting key is invalid") }
	key := q.table.keyOf(rq.startKey, nil)
	if q.table.checkKey(key) != nil {
		return bad()
	}
	at := q.table.appendItemKey(nil, key)
	if q.index != nil {
		for _, a := range []keyAttribute{q.index.Key.Hash, q.index.Key.Sort} {
			if v := rq.startKey.get(a.Name); a.Name != "" && (v == nil || v.kind != a.Kind) {
				return bad()
			}
		}
		at = q.table.appendIndexKey(nil, q.index, rq.startKey, at)
	}
	if len(q.table.keyOf(rq.startKey, q.index)) != len(rq.startKey) {
		return bad()
	}
	if bytes.Compare(at, q.lo) < 0 || bytes.Compare(at, q.hi) >= 0 {
		if !query {
			return invalid("The provided Exclusive start key does not map to the provided Segment and TotalSegments values.")
		}
		return invalid("The provided starting key is outside query boundaries based on provided conditions")
	}
	if rq.backward && query {
		q.hi = at
	} else {
		q.lo = append(at, 0)
	}
	return nil
}

// mentions is a key attribute that the expression names, if there is one.
func (b *bound) mentions(k *keySchema) (string, bool) {
	for _, p := range conditionPaths(b.condition, nil) {
		if name := b.name(p[0]); k.has(name) {
			return name, true
		}
	}
	return "", false
}

// conditionPaths lists the paths of a condition.
func conditionPaths(c condition, out []path) []path {
	add := func(operands ...operand) {
		for _, o := range operands {
			if o.path != nil {
				out = append(out, o.path)
			}
		}
	}
	switch c := c.(type) {
	case *andNode:
		return conditionPaths(c.right, conditionPaths(c.left, out))
	case *orNode:
		return conditionPaths(c.right, conditionPaths(c.left, out))
	case *notNode:
		return conditionPaths(c.inner, out)
	case *compareNode:
		add(c.left, c.right)
	case *betweenNode:
		add(c.operand, c.lo, c.hi)
	case *inNode:
		add(c.operand)
		add(c.list...)
	case *existsNode:
		out = append(out, c.path)
	case *functionNode:
		add(c.left, c.right)
	}
	return out
}
