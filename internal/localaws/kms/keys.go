package kms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

const (
	keyPrefix    = "kms/k/"
	keyPrefixEnd = "kms/k0" // the first key behind those with the prefix
	materialSize = 32
)

// keyRecord is a key in the store.
type keyRecord struct {
	Created     int64  `json:"created"` // Unix milliseconds
	Description string `json:"description,omitempty"`
	Material    []byte `json:"material"`
}

// key is a symmetric key.
type key struct {
	keyRecord
	id   string
	uuid [16]byte // the id's bytes
	aead cipher.AEAD
}

func newKey(id string, r keyRecord) (*key, error) {
	k := &key{keyRecord: r, id: id}
	if n, err := hex.Decode(k.uuid[:], []byte(strings.ReplaceAll(id, "-", ""))); err != nil || n != len(k.uuid) || len(r.Material) != materialSize {
		return nil, fmt.Errorf("the stored key %s cannot be read", id)
	}
	block, err := aes.NewCipher(r.Material)
	if err != nil {
		return nil, err
	}
	k.aead, err = cipher.NewGCMWithRandomNonce(block)
	return k, err
}

// formatID is a UUID as it is written.
func formatID(u []byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

// load reads the keys of the store.
func (s *Server) load() error {
	return s.store.Range([]byte(keyPrefix), []byte(keyPrefixEnd), false, func(name, value []byte) (bool, error) {
		var r keyRecord
		id := string(name[len(keyPrefix):])
		if err := json.Unmarshal(value, &r); err != nil {
			return false, fmt.Errorf("decode key %s: %w", id, err)
		}
		k, err := newKey(id, r)
		s.keys[id] = k
		return true, err
	})
}

// add makes a key and keeps it: it is on disk when add returns.
func (s *Server) add(description string) (*key, error) {
	var uuid [16]byte
	r := keyRecord{Created: s.now().UnixMilli(), Description: description, Material: make([]byte, materialSize)}
	for _, b := range [][]byte{uuid[:], r.Material} {
		if _, err := rand.Read(b); err != nil {
			return nil, err
		}
	}
	uuid[6], uuid[8] = uuid[6]&0x0f|0x40, uuid[8]&0x3f|0x80 // a random UUID: RFC 9562, section 5.4
	k, err := newKey(formatID(uuid[:]), r)
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	b := s.store.NewBatch()
	if err := b.Set([]byte(keyPrefix+k.id), value); err != nil {
		return nil, err
	}
	c, err := s.store.Apply(b)
	if err != nil {
		return nil, err
	}
	if err := c.Wait(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[k.id] = k
	return k, nil
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// find returns the key that a request names, by its id or its ARN. There are no
// aliases, so none is found.
func (s *Server) find(keyID *string) (*key, error) {
	if keyID == nil {
		return nil, notNull("keyId")
	}
	if *keyID == "" || len(*keyID) > 2048 {
		return nil, invalidMember("'"+*keyID+"'", "keyId", "Member must have length between 1 and 2048")
	}
	name, isARN := strings.CutPrefix(*keyID, s.arn)
	if strings.HasPrefix(name, "alias/") {
		return nil, refuse("NotFoundException", "Alias %s%s is not found.", s.arn, name)
	}
	if isARN {
		name, isARN = strings.CutPrefix(name, "key/")
	}
	if !uuidForm.MatchString(name) || !isARN && name != *keyID {
		return nil, refuse("NotFoundException", "Invalid keyId '%s'", *keyID)
	}
	if k := s.byID(name); k != nil {
		return k, nil
	}
	return nil, refuse("NotFoundException", "Key '%skey/%s' does not exist", s.arn, name)
}

func (s *Server) byID(id string) *key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.keys[id]
}

// cipherVersion begins every ciphertext; the key's id follows.
const (
	cipherVersion = 1
	headSize      = 1 + 16
)

// seal encrypts under the key.
func (k *key) seal(plain []byte, context map[string]string) []byte {
	head := append([]byte{cipherVersion}, k.uuid[:]...)
	return k.aead.Seal(head, nil, plain, additional(head, context))
}

// open decrypts what seal made in the same context. errForeign and errOtherKey
// speak of the key that it names; only is the one that it has to be, nil for
// any.
func (s *Server) open(blob []byte, context map[string]string, only *key) (*key, []byte, error) {
	if len(blob) < headSize || blob[0] != cipherVersion {
		return nil, nil, errCiphertext()
	}
	k := s.byID(formatID(blob[1:headSize]))
	switch {
	case k == nil:
		return nil, nil, errForeign()
	case only != nil && k != only:
		return nil, nil, errOtherKey()
	}
	plain, err := k.aead.Open(nil, nil, blob[headSize:], additional(blob[:headSize], context))
	if err != nil {
		return nil, nil, errCiphertext()
	}
	return k, plain, nil
}

// additional is the additional data of a ciphertext: its head, and the context
// in an order and a form that no other context has.
func additional(head []byte, context map[string]string) []byte {
	b := slices.Clone(head)
	for _, name := range slices.Sorted(maps.Keys(context)) {
		for _, s := range []string{name, context[name]} {
			b = append(binary.AppendUvarint(b, uint64(len(s))), s...)
		}
	}
	return b
}
