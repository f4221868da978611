package dynamo

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// item is an item as the SDK takes and gives it.
type item = map[string]types.AttributeValue

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

// putText sets an attribute; an empty text is left out.
func putText(it item, name, s string) {
	if s != "" {
		it[name] = text(s)
	}
}

// putNumber sets an attribute; 0 is left out.
func putNumber(it item, name string, n int64) {
	if n != 0 {
		it[name] = number(n)
	}
}

// putTime sets an attribute to whole milliseconds since 1970; the zero time is
// left out.
func putTime(it item, name string, t time.Time) {
	if !t.IsZero() {
		it[name] = number(t.UnixMilli())
	}
}

// seconds returns t as TTL counts it, rounded up.
func seconds(t time.Time) int64 {
	s := t.Unix()
	if t.After(time.Unix(s, 0)) {
		s++
	}
	return s
}

// putExpiry sets the attribute that TTL looks at; the zero time, which means
// never, is left out.
func putExpiry(it item, t time.Time) {
	if !t.IsZero() {
		it[attrExpires] = number(seconds(t))
	}
}

// expired says whether the item counts as gone.
func expired(it item, now time.Time) bool {
	v, ok := it[attrExpires].(*types.AttributeValueMemberN)
	if !ok {
		return false
	}
	at, err := strconv.ParseInt(v.Value, 10, 64)
	return err == nil && at != 0 && at <= now.Unix()
}

// attributes reads an item. The first attribute of a wrong type or form makes
// err, which is for the end; an attribute that is not there is the zero value.
type attributes struct {
	item item
	err  error
}

func (a *attributes) wrong(name, want string) {
	if a.err == nil {
		k := keyOf(a.item)
		a.err = fmt.Errorf("item %s %s: attribute %s is no %s", k.pk, k.sk, name, want)
	}
}

func (a *attributes) text(name string) string {
	switch v := a.item[name].(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case nil:
		return ""
	}
	a.wrong(name, "string")
	return ""
}

func (a *attributes) number(name string) int64 {
	switch v := a.item[name].(type) {
	case *types.AttributeValueMemberN:
		n, err := strconv.ParseInt(v.Value, 10, 64)
		if err == nil {
			return n
		}
	case nil:
		return 0
	}
	a.wrong(name, "whole number")
	return 0
}

func (a *attributes) int(name string) int { return int(a.number(name)) }

// time reads milliseconds since 1970.
func (a *attributes) time(name string) time.Time {
	if a.item[name] == nil {
		return time.Time{}
	}
	return time.UnixMilli(a.number(name)).UTC()
}

// unix reads seconds since 1970.
func (a *attributes) unix(name string) time.Time {
	if n := a.number(name); n != 0 {
		return time.Unix(n, 0).UTC()
	}
	return time.Time{}
}

func (a *attributes) bytes(name string) []byte {
	switch v := a.item[name].(type) {
	case *types.AttributeValueMemberB:
		return v.Value
	case nil:
		return nil
	}
	a.wrong(name, "binary")
	return nil
}

func (a *attributes) bool(name string) bool {
	switch v := a.item[name].(type) {
	case *types.AttributeValueMemberBOOL:
		return v.Value
	case nil:
		return false
	}
	a.wrong(name, "boolean")
	return false
}

// texts reads a list of strings.
func (a *attributes) texts(name string) []string {
	list := a.list(name)
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, v := range list {
		s, ok := v.(*types.AttributeValueMemberS)
		if !ok {
			a.wrong(name, "list of strings")
			return nil
		}
		out[i] = s.Value
	}
	return out
}

func (a *attributes) list(name string) []types.AttributeValue {
	switch v := a.item[name].(type) {
	case *types.AttributeValueMemberL:
		return v.Value
	case nil:
		return nil
	}
	a.wrong(name, "list")
	return nil
}

func (a *attributes) mapping(name string) item {
	switch v := a.item[name].(type) {
	case *types.AttributeValueMemberM:
		return v.Value
	case nil:
		return nil
	}
	a.wrong(name, "map")
	return nil
}

// body reads what putBody wrote.
func (a *attributes) body(name string) []byte {
	v, deflated := a.item[name].(*types.AttributeValueMemberB)
	if !deflated {
		return []byte(a.text(name))
	}
	b, err := inflate(v.Value)
	if err != nil {
		a.wrong(name, "deflated text")
	}
	return b
}

const (
	// unit is how many bytes of an item one write is billed for.
	unit = 1 << 10
	// maxItem is the size of the largest item, names and values ("Service,
	// account, and table quotas", DynamoDB Developer Guide).
	maxItem = 400 << 10
)

func units(size int) int { return (size + unit - 1) / unit }

// size is how many bytes an item is billed as ("DynamoDB Item sizes and
// formats", Developer Guide), to a byte or two of each number.
func size(it item) int {
	n := 0
	for name, v := range it {
		n += len(name) + valueSize(v)
	}
	return n
}

func valueSize(v types.AttributeValue) int {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return len(v.Value)
	case *types.AttributeValueMemberN:
		return len(v.Value)/2 + 2
	case *types.AttributeValueMemberB:
		return len(v.Value)
	case *types.AttributeValueMemberL:
		n := 3 + len(v.Value)
		for _, e := range v.Value {
			n += valueSize(e)
		}
		return n
	case *types.AttributeValueMemberM:
		return 3 + len(v.Value) + size(v.Value)
	default:
		return 1
	}
}

// deflater deflates texts. It keeps its working memory for the next one.
type deflater struct{ pool sync.Pool }

func (d *deflater) deflate(b []byte) ([]byte, error) {
	var out bytes.Buffer
	w, ok := d.pool.Get().(*flate.Writer)
	if !ok {
		var err error
		if w, err = flate.NewWriter(&out, flate.BestSpeed); err != nil {
			return nil, fmt.Errorf("deflate: %w", err)
		}
	}
	defer d.pool.Put(w)
	w.Reset(&out)
	if _, err := w.Write(b); err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("deflate: %w", err)
	}
	return out.Bytes(), nil
}

// putBody sets an attribute of an otherwise complete item to a long text: as a
// string, or deflated where that saves a unit or the text is not valid UTF-8.
func (d *deflater) putBody(it item, name string, body []byte) error {
	rest := size(it) + len(name)
	valid := utf8.Valid(body)
	if valid && units(rest+len(body)) > 1 || !valid {
		small, err := d.deflate(body)
		if err != nil {
			return err
		}
		if !valid || units(rest+len(small)) < units(rest+len(body)) {
			it[name] = &types.AttributeValueMemberB{Value: small}
			return nil
		}
	}
	it[name] = text(string(body))
	return nil
}

// maxInflated bounds what a deflated text may grow to, far above what is ever
// written.
const maxInflated = 4 << 20

func inflate(b []byte) ([]byte, error) {
	r := flate.NewReader(bytes.NewReader(b))
	out, err := io.ReadAll(io.LimitReader(r, maxInflated+1))
	if err != nil {
		return nil, fmt.Errorf("inflate: %w", err)
	}
	if len(out) > maxInflated {
		return nil, errors.New("inflate: too large")
	}
	return out, nil
}
