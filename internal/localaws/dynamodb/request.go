package dynamodb

// request is what the operations on items are asked with. Each uses its part
// of it; the actions of a transaction are requests of their own.
type request struct {
	table       string
	index       string
	item        item
	key         item
	names       []nameDef
	values      item
	expressions [exprProjection + 1]string
	given       [exprProjection + 1]bool

	returnValues    string
	returnOnFailure string
	returnCapacity  string
	selection       string
	consistent      bool
	backward        bool
	limit           int // 0: none
	segment         int // -1: none
	segments        int // 0: none
	startKey        item
}

// decodeRequest reads a request of one item or one search.
func decodeRequest(d *decoder) (*request, error) {
	rq := &request{segment: -1}
	if err := d.object(func(name string) error { return rq.field(d, name) }); err != nil {
		return nil, err
	}
	return rq, nil
}

func (rq *request) field(d *decoder, name string) (err error) {
	if d.null() {
		return nil
	}
	switch name {
	case "TableName":
		rq.table, err = d.text()
	case "IndexName":
		rq.index, err = d.text()
	case "Item":
		rq.item, err = d.item(1, 10)
	case "Key":
		rq.key, err = d.item(1, 2)
	case "ExclusiveStartKey":
		rq.startKey, err = d.item(1, 4)
	case "ExpressionAttributeNames":
		rq.names, err = d.names()
	case "ExpressionAttributeValues":
		if rq.values, err = d.item(1, 4); err == nil && len(rq.values) == 0 {
			err = invalid("ExpressionAttributeValues must not be empty")
		}
	case "ConditionExpression":
		err = rq.expression(d, exprCondition)
	case "FilterExpression":
		err = rq.expression(d, exprFilter)
	case "KeyConditionExpression":
		err = rq.expression(d, exprKeyCondition)
	case "UpdateExpression":
		err = rq.expression(d, exprUpdate)
	case "ProjectionExpression":
		err = rq.expression(d, exprProjection)
	case "ReturnValues":
		rq.returnValues, err = d.choice(name, "NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW")
	case "ReturnValuesOnConditionCheckFailure":
		rq.returnOnFailure, err = d.choice(name, "NONE", "ALL_OLD")
	case "ReturnConsumedCapacity":
		rq.returnCapacity, err = d.capacityChoice()
	case "ReturnItemCollectionMetrics":
		// Tables without local secondary indexes have none to return.
		_, err = d.choice(name, "NONE", "SIZE")
	case "Select":
		rq.selection, err = d.choice(name, "ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT")
	case "ConsistentRead":
		rq.consistent, err = d.flag()
	case "ScanIndexForward":
		var forward bool
		forward, err = d.flag()
		rq.backward = !forward
	case "Limit":
		rq.limit, err = d.atLeast("limit", 1)
	case "Segment":
		rq.segment, err = d.atLeast("segment", 0)
	case "TotalSegments":
		if rq.segments, err = d.atLeast("totalSegments", 1); err == nil && rq.segments > 1_000_000 {
			err = outOfRange("totalSegments", rq.segments, "less than or equal to 1000000")
		}
	default:
		err = notImplemented("The parameter " + name)
	}
	return err
}

func (rq *request) expression(d *decoder, k exprKind) (err error) {
	rq.given[k] = true
	rq.expressions[k], err = d.text()
	return err
}

// capacityChoice reads ReturnConsumedCapacity.
func (d *decoder) capacityChoice() (string, error) {
	return d.choice("ReturnConsumedCapacity", "NONE", "TOTAL", "INDEXES")
}

// choice reads one of some words.
func (d *decoder) choice(name string, words ...string) (string, error) {
	s, err := d.text()
	if err != nil {
		return "", err
	}
	list := ""
	for i, w := range words {
		if w == s {
			return w, nil
		}
		if i > 0 {
			list += ", "
		}
		list += w
	}
	return "", invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy enum value set: [%s]", s, lowerFirst(name), list)
}

func lowerFirst(s string) string { return string(s[0]|0x20) + s[1:] }

func (d *decoder) atLeast(name string, least int) (int, error) {
	n, err := d.integer()
	if err == nil && n < least {
		err = outOfRange(name, n, "greater than or equal to "+itoa(least))
	}
	return n, err
}

func outOfRange(name string, n int, want string) error {
	return invalid("1 validation error detected: Value '%d' at '%s' failed to satisfy constraint: Member must have value %s", n, name, want)
}

// names reads ExpressionAttributeNames.
func (d *decoder) names() ([]nameDef, error) {
	var out []nameDef
	err := d.object(func(placeholder string) error {
		name, err := d.text()
		out = append(out, nameDef{placeholder, name})
		return err
	})
	if err == nil && len(out) == 0 {
		err = invalid("ExpressionAttributeNames must not be empty")
	}
	return out, err
}

// bindings are a request's expressions, bound to its placeholders; nil where
// one was not given.
type bindings [exprProjection + 1]*bound

// bind parses and binds the expressions that an operation takes, and refuses
// any others.
func (s *Server) bind(rq *request, takes ...exprKind) (bindings, error) {
	var out bindings
	if rq.names == nil && rq.values == nil && rq.given == [exprProjection + 1]bool{} {
		return out, nil
	}
	sc, err := newScope(rq.names, rq.values)
	if err != nil {
		return out, err
	}
	left := rq.given
	some := false
	for _, k := range takes {
		if !rq.given[k] {
			continue
		}
		some, left[k] = true, false
		e, err := s.expressions.parse(k, rq.expressions[k])
		if err != nil {
			return out, err
		}
		if out[k], err = sc.bind(e); err != nil {
			return out, err
		}
	}
	for k, given := range left {
		if given {
			return out, notImplemented(exprKind(k).String() + " in this operation")
		}
	}
	return out, sc.done(some)
}
