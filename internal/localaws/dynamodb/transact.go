package dynamodb

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"posthorn/internal/localaws/store"
)

// Limits of transactions.
const (
	maxTransaction     = 100
	maxTransactionSize = 4 << 20
	maxToken           = 36
	// tokenLife is how long a ClientRequestToken is remembered, in seconds.
	tokenLife = 10 * 60
)

// transaction is a TransactWriteItems or TransactGetItems as it was asked.
type transaction struct {
	planned []plannedWrite // of a read: the actions mean nothing
	token   string
	mode    string // ReturnConsumedCapacity
}

var transactWriteActions = map[string]action{"Put": actionPut, "Update": actionUpdate, "Delete": actionDelete, "ConditionCheck": actionCheck}

func decodeTransaction(d *decoder, actions map[string]action) (*transaction, error) {
	tx := &transaction{}
	err := d.object(func(name string) (err error) {
		if d.null() {
			return nil
		}
		switch name {
		case "TransactItems":
			return d.array(func() error {
				p, err := decodeAction(d, actions)
				tx.planned = append(tx.planned, p)
				return err
			})
		case "ClientRequestToken":
			if tx.token, err = d.text(); err == nil && (tx.token == "" || len(tx.token) > maxToken) {
				err = invalid("1 validation error detected: Value '%s' at 'clientRequestToken' failed to satisfy constraint: Member must have length between 1 and %d", tx.token, maxToken)
			}
		case "ReturnConsumedCapacity":
			tx.mode, err = d.capacityChoice()
		case "ReturnItemCollectionMetrics":
			_, err = d.choice(name, "NONE", "SIZE")
		default:
			err = notImplemented("The parameter " + name)
		}
		return err
	})
	if err = finish(d, err); err != nil {
		return nil, err
	}
	switch n := len(tx.planned); {
	case n == 0:
		return nil, invalid("1 validation error detected: Value '[]' at 'transactItems' failed to satisfy constraint: Member must have length greater than or equal to 1")
	case n > maxTransaction:
		return nil, invalid("1 validation error detected: Value at 'transactItems' failed to satisfy constraint: Member must have length less than or equal to %d", maxTransaction)
	}
	return tx, nil
}

// decodeAction reads one action of a transaction.
func decodeAction(d *decoder, actions map[string]action) (plannedWrite, error) {
	var p plannedWrite
	err := d.object(func(name string) (err error) {
		if d.null() {
			return nil
		}
		a, ok := actions[name]
		if !ok {
			return notImplemented("The parameter " + name)
		}
		if p.request != nil {
			return invalid("TransactItems can only contain one of Check, Put, Update or Delete")
		}
		p.action = a
		p.request, err = decodeRequest(d)
		return err
	})
	if err == nil && p.request == nil {
		err = invalid("Invalid Request: TransactWriteRequest should contain Delete or Put or Update request")
	}
	return p, err
}

func itemTwice() error {
	return invalid("Transaction request cannot include multiple operations on one item")
}

// transactWrite is TransactWriteItems.
func (s *Server) transactWrite(d *decoder, buf *buffers) ([]byte, error) {
	tx, err := decodeTransaction(d, transactWriteActions)
	if err != nil {
		return nil, err
	}
	s.mu.RLock()
	ws, err := s.prepareWrites(tx.planned, itemTwice)
	if err != nil {
		s.mu.RUnlock()
		return nil, err
	}
	var us *usages
	if wantsCapacity(tx.mode) {
		us = &usages{}
	}
	reasons := make([]cancellation, len(ws))
	cancelled := false
	repeated := false
	o := commitOptions{
		failed: func(i int, e *apiError) {
			cancelled = true
			reasons[i] = reasonOf(e)
		},
		conclude: func(b *store.Batch) error {
			if cancelled {
				return cancelledBy(reasons)
			}
			size := 0
			for _, w := range ws {
				size += max(w.newSize, len(w.itemKey))
			}
			if size > maxTransactionSize {
				return tooLarge(size)
			}
			return nil
		},
	}
	if tx.token != "" {
		digest := tx.digest(ws)
		o.lockToken = tokenKey(tx.token)
		o.before = func() (bool, error) {
			var err error
			repeated, err = s.seenToken(tx.token, digest)
			return repeated, err
		}
		conclude := o.conclude
		o.conclude = func(b *store.Batch) error {
			if err := conclude(b); err != nil {
				return err
			}
			return s.rememberToken(b, tx.token, digest)
		}
	}
	if err := s.commit(ws, buf, us, o); err != nil {
		return nil, err
	}
	out := append(buf.out[:0], '{')
	if us != nil {
		kind := transactionWrite
		if repeated {
			// A repeat is charged as the reads it takes to see that.
			kind = transactionRead
			for _, w := range ws {
				us.of(w.table).add("", 1)
			}
		}
		for _, u := range *us {
			u.double()
		}
		out = us.append(out, tx.mode, kind)
	}
	return append(out, '}'), nil
}

// reasonOf is why a write cancels its transaction.
func reasonOf(e *apiError) cancellation {
	r := cancellation{code: "ValidationError", message: e.message, item: e.item}
	if e.code == "ConditionalCheckFailedException" {
		r.code = "ConditionalCheckFailed"
	}
	return r
}

func cancelledBy(reasons []cancellation) error {
	codes := make([]string, len(reasons))
	for i, r := range reasons {
		codes[i] = r.code
		if r.code == "" {
			codes[i] = "None"
		}
	}
	return &apiError{
		code:    "TransactionCanceledException",
		message: "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(codes, ", ") + "]",
		reasons: reasons,
	}
}

// digest is the same for transactions that ask for the same.
func (tx *transaction) digest(ws []*write) [sha256.Size]byte {
	var b []byte
	for i, p := range tx.planned {
		rq := p.request
		b = append(b, byte(p.action))
		b = appendLengthed(b, string(ws[i].itemKey))
		b = appendStored(b, rq.item)
		b = appendStored(b, rq.values)
		names := slices.Clone(rq.names)
		slices.SortFunc(names, func(a, b nameDef) int { return strings.Compare(a.placeholder, b.placeholder) })
		b = binary.AppendUvarint(b, uint64(len(names)))
		for _, n := range names {
			b = appendLengthed(appendLengthed(b, n.placeholder), n.name)
		}
		for _, text := range rq.expressions {
			b = appendLengthed(b, text)
		}
		b = appendLengthed(b, rq.returnOnFailure)
	}
	return sha256.Sum256(b)
}

func tokenKey(token string) []byte { return append([]byte{root, areaToken}, token...) }

func oldTokenKey(expires int64, token string) []byte {
	return append(binary.BigEndian.AppendUint64([]byte{root, areaTokenOld}, uint64(expires)), token...)
}

// seenToken says that a transaction with the token was done already. It is an
// error if that one was another.
func (s *Server) seenToken(token string, digest [sha256.Size]byte) (bool, error) {
	v, ok, err := s.store.Get(tokenKey(token))
	if err != nil || !ok {
		return false, err
	}
	if len(v) != len(digest)+8 {
		return false, errCorrupt
	}
	if int64(binary.BigEndian.Uint64(v[len(digest):])) <= s.now().Unix() {
		return false, nil
	}
	if !slices.Equal(v[:len(digest)], digest[:]) {
		return false, &apiError{code: "IdempotentParameterMismatchException", message: "DynamoDB rejected the request because you retried a request with a different payload but with an idempotent token that was already used."}
	}
	return true, nil
}

func (s *Server) rememberToken(b *store.Batch, token string, digest [sha256.Size]byte) error {
	expires := s.now().Unix() + tokenLife
	v := binary.BigEndian.AppendUint64(digest[:], uint64(expires))
	return errors.Join(b.Set(tokenKey(token), v), b.Set(oldTokenKey(expires, token), nil))
}

// sweepTokens forgets tokens that have expired.
func (s *Server) sweepTokens(now int64) error {
	b := s.store.NewBatch()
	prefix := len(oldTokenKey(0, ""))
	err := s.store.Range(oldTokenKey(0, ""), oldTokenKey(max(now, 0), ""), false, func(key, _ []byte) (bool, error) {
		token := string(key[prefix:])
		expires := int64(binary.BigEndian.Uint64(key[prefix-8:]))
		v, ok, err := s.store.Get(tokenKey(token))
		if err != nil {
			return false, err
		}
		// The token may have been used again after it expired.
		if ok && len(v) == sha256.Size+8 && int64(binary.BigEndian.Uint64(v[sha256.Size:])) == expires {
			err = b.Delete(tokenKey(token))
		}
		return true, errors.Join(err, b.Delete(key))
	})
	if err != nil || b.Empty() {
		return errors.Join(err, b.Close())
	}
	return s.store.ApplyLazily(b)
}

// transactGet is TransactGetItems.
func (s *Server) transactGet(d *decoder, buf *buffers) ([]byte, error) {
	tx, err := decodeTransaction(d, map[string]action{"Get": actionCheck})
	if err != nil {
		return nil, err
	}
	reads, err := s.readAtOnce(tx)
	if err != nil {
		return nil, err
	}
	if err := s.settle(reads...); err != nil {
		return nil, err
	}
	var us usages
	out := append(buf.out[:0], `{"Responses":[`...)
	for i, r := range reads {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '{')
		if r.found {
			out = append(out, `"Item":`...)
			out = appendItem(out, r.projection.of(r.item))
		}
		out = append(out, '}')
		us.of(r.table).add("", 2*readUnits(r.size, true))
	}
	out = append(out, ']')
	if wantsCapacity(tx.mode) {
		out = us.append(append(out, ','), tx.mode, transactionRead)
	}
	return append(out, '}'), nil
}

// readAtOnce reads items while none of them can change.
func (s *Server) readAtOnce(tx *transaction) ([]*read, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	reads := make([]*read, 0, len(tx.planned))
	numbers := make([]uint32, 0, len(tx.planned))
	seen := make(map[string]bool, len(tx.planned))
	for _, p := range tx.planned {
		t, err := s.table(p.request.table)
		if err != nil {
			return nil, err
		}
		b, err := s.bind(p.request, exprProjection)
		if err != nil {
			return nil, err
		}
		r, err := s.prepareRead(t, p.request.key, b[exprProjection], true)
		if err != nil {
			return nil, err
		}
		if seen[string(r.itemKey)] {
			return nil, itemTwice()
		}
		seen[string(r.itemKey)] = true
		reads = append(reads, r)
		numbers = append(numbers, stripeOf(r.itemKey))
	}
	h := s.locks.take(numbers)
	defer h.release()
	size := 0
	for _, r := range reads {
		if err := r.do(s); err != nil {
			return nil, err
		}
		size += r.size
	}
	if size > maxTransactionSize {
		return nil, tooLarge(size)
	}
	return reads, nil
}

func tooLarge(size int) error {
	return invalid("Transaction payload size cannot exceed 4MB. Payload Size: %d", size)
}
