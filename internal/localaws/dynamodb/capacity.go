package dynamodb

import (
	"slices"
	"strings"
)

// usage counts the capacity units one operation consumed of one table.
type usage struct {
	table   *table
	base    float64
	indexes map[string]float64 // by index name; only those used
}

func (u *usage) add(indexName string, units float64) {
	if indexName == "" {
		u.base += units
		return
	}
	if u.indexes == nil {
		u.indexes = make(map[string]float64)
	}
	u.indexes[indexName] += units
}

func (u *usage) total() float64 {
	sum := u.base
	for _, n := range u.indexes {
		sum += n
	}
	return sum
}

func (u *usage) double() {
	u.base *= 2
	for name := range u.indexes {
		u.indexes[name] *= 2
	}
}

// writeUnits is what writing an item costs: one for each 1 KB begun, of the
// larger of what was there and what is, and one at least.
func writeUnits(oldSize, newSize int) float64 {
	return float64(max(1, (max(oldSize, newSize)+1023)/1024))
}

// readUnits is what reading costs: one for each 4 KB begun and one at least,
// half of it where the read need not be consistent.
func readUnits(size int, consistent bool) float64 {
	u := float64(max(1, (size+4095)/4096))
	if !consistent {
		u /= 2
	}
	return u
}

func wantsCapacity(mode string) bool { return mode == "TOTAL" || mode == "INDEXES" }

// transactional names the member that a transaction's capacity carries beside
// CapacityUnits; elsewhere there is none.
const (
	transactionRead  = "ReadCapacityUnits"
	transactionWrite = "WriteCapacityUnits"
)

// appendCapacity appends one table's ConsumedCapacity.
func appendCapacity(dst []byte, u *usage, mode, transactional string) []byte {
	one := func(name string, units float64) {
		dst = appendText(dst, name)
		dst = append(dst, `:{"CapacityUnits":`...)
		dst = appendUnits(dst, units)
		if transactional != "" {
			dst = append(dst, `,"`+transactional+`":`...)
			dst = appendUnits(dst, units)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `{"TableName":`...)
	dst = appendText(dst, u.table.Name)
	dst = append(dst, `,"CapacityUnits":`...)
	dst = appendUnits(dst, u.total())
	if transactional != "" {
		dst = append(dst, `,"`+transactional+`":`...)
		dst = appendUnits(dst, u.total())
	}
	if mode == "INDEXES" {
		dst = append(dst, ',')
		one("Table", u.base)
		first := true
		for _, ix := range u.table.Indexes {
			units, ok := u.indexes[ix.Name]
			if !ok {
				continue
			}
			if first {
				dst = append(dst, `,"GlobalSecondaryIndexes":{`...)
			} else {
				dst = append(dst, ',')
			}
			first = false
			one(ix.Name, units)
		}
		if !first {
			dst = append(dst, '}')
		}
	}
	return append(dst, '}')
}

// usages are the usages of a batch or a transaction, one a table.
type usages []*usage

// of returns the usage of a table.
func (us *usages) of(t *table) *usage {
	for _, u := range *us {
		if u.table == t {
			return u
		}
	}
	*us = append(*us, &usage{table: t})
	return (*us)[len(*us)-1]
}

// append appends the member ConsumedCapacity, a list sorted by table.
func (us usages) append(dst []byte, mode, transactional string) []byte {
	slices.SortFunc(us, func(a, b *usage) int { return strings.Compare(a.table.Name, b.table.Name) })
	dst = append(dst, `"ConsumedCapacity":[`...)
	for i, u := range us {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendCapacity(dst, u, mode, transactional)
	}
	return append(dst, ']')
}
