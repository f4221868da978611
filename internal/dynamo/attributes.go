package dynamo

import (
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Attribute values by hand: these are on every path, and reflection is not
// worth its time and size here.

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func num(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func strSet(all []string) types.AttributeValue { return &types.AttributeValueMemberSS{Value: all} }

func bin(b []byte) types.AttributeValue { return &types.AttributeValueMemberB{Value: b} }

func decimal(x float64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatFloat(x, 'f', -1, 64)}
}

func millis(t time.Time) types.AttributeValue { return num(t.UnixMilli()) }

// getStr returns a string attribute, empty when there is none.
func getStr(it item, name string) string {
	if v, ok := it[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

// getNum returns a whole number, 0 when there is none.
func getNum(it item, name string) int64 {
	if v, ok := it[name].(*types.AttributeValueMemberN); ok {
		n, err := strconv.ParseInt(v.Value, 10, 64)
		if err == nil {
			return n
		}
	}
	return 0
}

// getDecimal returns a number, 0 when there is none.
func getDecimal(it item, name string) float64 {
	if v, ok := it[name].(*types.AttributeValueMemberN); ok {
		x, err := strconv.ParseFloat(v.Value, 64)
		if err == nil {
			return x
		}
	}
	return 0
}

// getBin returns binary data, nil when there is none.
func getBin(it item, name string) []byte {
	if v, ok := it[name].(*types.AttributeValueMemberB); ok {
		return v.Value
	}
	return nil
}

// getBool returns a truth value, false when there is none.
func getBool(it item, name string) bool {
	v, ok := it[name].(*types.AttributeValueMemberBOOL)
	return ok && v.Value
}

// getTime returns a moment kept in milliseconds, zero when there is none.
func getTime(it item, name string) time.Time {
	if ms := getNum(it, name); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// getBytes returns a binary attribute, nil when there is none.
func getBytes(it item, name string) []byte {
	if v, ok := it[name].(*types.AttributeValueMemberB); ok {
		return v.Value
	}
	return nil
}

func getList(it item, name string) []types.AttributeValue {
	if v, ok := it[name].(*types.AttributeValueMemberL); ok {
		return v.Value
	}
	return nil
}

func getMap(it item, name string) item {
	if v, ok := it[name].(*types.AttributeValueMemberM); ok {
		return v.Value
	}
	return nil
}

// getHash returns a SHA-256, zero when there is none.
func getHash(it item, name string) (h [sha256.Size]byte) {
	if v, ok := it[name].(*types.AttributeValueMemberB); ok {
		copy(h[:], v.Value)
	}
	return h
}

// setStr, setNum, setBool and setTime leave out what is zero.
func setStr(it item, name, v string) {
	if v != "" {
		it[name] = str(v)
	}
}

func setNum(it item, name string, v int64) {
	if v != 0 {
		it[name] = num(v)
	}
}

func setBool(it item, name string, v bool) {
	if v {
		it[name] = &types.AttributeValueMemberBOOL{Value: true}
	}
}

func setTime(it item, name string, t time.Time) {
	if !t.IsZero() {
		it[name] = millis(t)
	}
}

// setExpiry sets the time to live, rounded up to a second; zero is for ever.
func setExpiry(it item, t time.Time) {
	if !t.IsZero() {
		it[TTL] = num(t.Add(time.Second - 1).Unix())
	}
}

func getExpiry(it item) time.Time {
	if s := getNum(it, TTL); s != 0 {
		return time.Unix(s, 0).UTC()
	}
	return time.Time{}
}

// expired says whether the item is past its time to live at now. DynamoDB may
// keep it for days after.
func expired(it item, now time.Time) bool {
	s := getNum(it, TTL)
	return s != 0 && s <= now.Unix()
}

// size is about what DynamoDB bills for an item: names and values in UTF-8,
// numbers at half a byte a digit ("DynamoDB item sizes and formats", DynamoDB
// developer guide).
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
	case *types.AttributeValueMemberM:
		return 3 + size(v.Value) + len(v.Value)
	case *types.AttributeValueMemberL:
		n := 3 + len(v.Value)
		for _, e := range v.Value {
			n += valueSize(e)
		}
		return n
	case *types.AttributeValueMemberNS:
		n := 0
		for _, e := range v.Value {
			n += len(e)/2 + 2
		}
		return n
	case *types.AttributeValueMemberBOOL:
		return 1
	default: // NULL; nothing here writes other sets
		return 1
	}
}
