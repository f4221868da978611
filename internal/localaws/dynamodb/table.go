package dynamodb

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// keyAttribute is one attribute of a key; no name: the key has no such part.
type keyAttribute struct {
	Name string `json:"name,omitempty"`
	Kind kind   `json:"kind,omitempty"`
}

// keySchema is the hash key and the sort key of a table or an index.
type keySchema struct {
	Hash keyAttribute `json:"hash"`
	Sort keyAttribute `json:"sort"`
}

// names are the names of the key's attributes.
func (k *keySchema) names() []string {
	if k.Sort.Name == "" {
		return []string{k.Hash.Name}
	}
	return []string{k.Hash.Name, k.Sort.Name}
}

// has says that an attribute is part of the key.
func (k *keySchema) has(name string) bool { return name == k.Hash.Name || name == k.Sort.Name }

// Projections of an index.
const (
	projectAll      = "ALL"
	projectKeysOnly = "KEYS_ONLY"
	projectInclude  = "INCLUDE"
)

// index is a global secondary index.
type index struct {
	Name       string    `json:"name"`
	Number     byte      `json:"number"`
	Key        keySchema `json:"key"`
	Projection string    `json:"projection"`
	Include    []string  `json:"include,omitempty"`

	kept []string // names of what is projected, sorted; nil: everything
}

// covers says that an item has the index's key.
func (ix *index) covers(it item) bool {
	return it.get(ix.Key.Hash.Name) != nil && (ix.Key.Sort.Name == "" || it.get(ix.Key.Sort.Name) != nil)
}

// project is the part of an item that the index holds.
func (ix *index) project(it item) item {
	if ix.kept == nil {
		return it
	}
	out := make(item, 0, len(ix.kept))
	for _, name := range ix.kept {
		if v := it.get(name); v != nil {
			out = append(out, attribute{name, *v})
		}
	}
	return out
}

// table is a table's definition. It is not changed once it is in use: a change
// replaces it, while the server's lock keeps everybody else away.
type table struct {
	Name    string       `json:"name"`
	ID      uint32       `json:"id"`
	Created int64        `json:"created"` // Unix seconds
	Billing string       `json:"billing"`
	Read    int          `json:"read,omitempty"`  // provisioned units
	Write   int          `json:"write,omitempty"` // provisioned units
	Key     keySchema    `json:"key"`
	Defined []definition `json:"defined"`
	Indexes []*index     `json:"indexes,omitempty"`
	TTL     string       `json:"ttl,omitempty"`     // attribute that holds the expiry
	Backups bool         `json:"backups,omitempty"` // point-in-time recovery was asked for
	items   []byte       // what every item's key begins with
	entries []byte       // what every index entry's key begins with
	expiry  []byte       // what every expiry entry's key begins with
}

// definition is one of a table's AttributeDefinitions.
type definition struct {
	AttributeName string
	AttributeType string
}

// prepare computes what the definition implies.
func (t *table) prepare() *table {
	t.items, t.entries, t.expiry = tableArea(areaItem, t.ID), tableArea(areaIndex, t.ID), tableArea(areaExpiry, t.ID)
	for _, ix := range t.Indexes {
		if ix.Projection == projectAll {
			continue
		}
		ix.kept = slices.Concat(t.Key.names(), ix.Key.names(), ix.Include)
		slices.Sort(ix.kept)
		ix.kept = slices.Compact(ix.kept)
	}
	return t
}

func (t *table) index(name string) *index {
	for _, ix := range t.Indexes {
		if ix.Name == name {
			return ix
		}
	}
	return nil
}

// appendItemKey appends the store's key of an item or of its key.
func (t *table) appendItemKey(dst []byte, it item) []byte {
	dst = append(dst, t.items...)
	return t.Key.append(dst, it)
}

// append appends the encoded key that an item has under the schema.
func (k *keySchema) append(dst []byte, it item) []byte {
	dst = appendHashKey(dst, it.get(k.Hash.Name))
	if k.Sort.Name != "" {
		dst = appendSortKey(dst, it.get(k.Sort.Name))
	}
	return dst
}

// appendIndexPrefix appends what every entry of an index begins with.
func (t *table) appendIndexPrefix(dst []byte, ix *index) []byte {
	return append(append(dst, t.entries...), ix.Number)
}

// appendIndexKey appends the store's key of an item's entry in an index.
func (t *table) appendIndexKey(dst []byte, ix *index, it item, itemKey []byte) []byte {
	dst = ix.Key.append(t.appendIndexPrefix(dst, ix), it)
	return append(dst, itemKey[itemPrefixLen:]...)
}

// appendExpiryKey appends the store's key of an item's expiry.
func (t *table) appendExpiryKey(dst []byte, at int64, itemKey []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, t.expiry...), uint64(at))
	return append(dst, itemKey[itemPrefixLen:]...)
}

// Limits of key values in bytes.
const (
	maxHashKey = 2048
	maxSortKey = 1024
)

// checkKey checks that an item is exactly a key of the table.
func (t *table) checkKey(key item) error {
	if len(key) != len(t.Key.names()) {
		return invalid("The provided key element does not match the schema")
	}
	for _, a := range []keyAttribute{t.Key.Hash, t.Key.Sort} {
		if a.Name == "" {
			continue
		}
		if v := key.get(a.Name); v == nil || v.kind != a.Kind {
			return invalid("The provided key element does not match the schema")
		}
	}
	return t.checkKeyValues(key)
}

// checkKeyValues checks that key values are neither empty nor too long.
func (t *table) checkKeyValues(it item) error {
	for _, a := range []keyAttribute{t.Key.Hash, t.Key.Sort} {
		v := it.get(a.Name)
		if a.Name == "" || v.kind == kindN {
			continue
		}
		if v.text == "" {
			return invalid("One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty %s value. Key: %s", emptyOf(v.kind), a.Name)
		}
	}
	if len(it.get(t.Key.Hash.Name).text) > maxHashKey {
		return badParameter("Size of hashkey has exceeded the maximum size limit of2048 bytes")
	}
	if t.Key.Sort.Name != "" && len(it.get(t.Key.Sort.Name).text) > maxSortKey {
		return badParameter("Aggregated size of all range keys has exceeded the size limit of 1024 bytes")
	}
	return nil
}

func emptyOf(k kind) string {
	if k == kindB {
		return "binary"
	}
	return "string"
}

// checkItem checks that an item can be stored: its key, and the types of what
// indexes are keyed by.
func (t *table) checkItem(it item) error {
	for _, a := range []keyAttribute{t.Key.Hash, t.Key.Sort} {
		if a.Name == "" {
			continue
		}
		v := it.get(a.Name)
		if v == nil {
			return badParameter("Missing the key %s in the item", a.Name)
		}
		if v.kind != a.Kind {
			return badParameter("Type mismatch for key %s expected: %s actual: %s", a.Name, a.Kind, v.kind)
		}
	}
	if err := t.checkKeyValues(it); err != nil {
		return err
	}
	for _, ix := range t.Indexes {
		for i, a := range []keyAttribute{ix.Key.Hash, ix.Key.Sort} {
			v := it.get(a.Name)
			if a.Name == "" || v == nil {
				continue
			}
			if v.kind != a.Kind {
				return badParameter("Type mismatch for Index Key %s Expected: %s Actual: %s IndexName: %s", a.Name, a.Kind, v.kind, ix.Name)
			}
			if v.kind != kindN && v.text == "" {
				return invalid("One or more parameter values are not valid. A value specified for a secondary index key is not supported. The AttributeValue for a key attribute cannot contain an empty %s value. IndexName: %s, IndexKey: %s", emptyOf(v.kind), ix.Name, a.Name)
			}
			if limit := [...]int{maxHashKey, maxSortKey}[i]; len(v.text) > limit {
				return badParameter("Size of the index key %s has exceeded the maximum size limit of %d bytes. IndexName: %s", a.Name, limit, ix.Name)
			}
		}
	}
	return nil
}

// keyOf is the key of an item: a table's, and an index's where one is given.
func (t *table) keyOf(it item, ix *index) item {
	names := t.Key.names()
	if ix != nil {
		names = append(names, ix.Key.names()...)
	}
	out := make(item, 0, 4)
	for _, n := range names {
		if v := it.get(n); v != nil {
			out = append(out, attribute{n, *v})
		}
	}
	return normalise(out)
}

// table returns the table of a name or an ARN. The server's lock is held.
func (s *Server) table(name string) (*table, error) {
	if strings.HasPrefix(name, "arn:") {
		_, name, _ = strings.Cut(name, ":table/")
	}
	if name == "" {
		return nil, invalid("The parameter 'TableName' is required but was not present in the request")
	}
	if t := s.tables[name]; t != nil {
		return t, nil
	}
	return nil, noTable()
}

func tableKey(name string) []byte { return append([]byte{root, areaTable}, name...) }

// load reads the definitions of all tables.
func (s *Server) load() error {
	prefix := []byte{root, areaTable}
	return s.store.Range(prefix, []byte{root, areaTable + 1}, false, func(key, value []byte) (bool, error) {
		t := &table{}
		if err := json.Unmarshal(value, t); err != nil {
			return false, fmt.Errorf("read the definition of table %s: %w", key[len(prefix):], err)
		}
		s.tables[t.Name] = t.prepare()
		return true, nil
	})
}
