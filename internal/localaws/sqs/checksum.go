package sqs

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"slices"
)

// attributesMD5 returns the digest of message attributes that SDKs compare: of
// each, in the order of the names, the name, the type and the value with their
// lengths (Amazon SQS Developer Guide, "Calculating the MD5 message digest for
// message attributes"). The attributes must be sorted.
func attributesMD5(attributes []attribute) [md5.Size]byte {
	var scratch [512]byte
	b := scratch[:0]
	for i := range attributes {
		a := &attributes[i]
		b = appendSized(b, a.name)
		b = appendSized(b, a.dataType)
		if a.binary != nil {
			b = append(b, 2)
		} else {
			b = append(b, 1)
		}
		b = appendSized(b, a.value())
	}
	return md5.Sum(b)
}

func appendSized(b, s []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

func sortAttributes(attributes []attribute) {
	slices.SortFunc(attributes, func(a, b attribute) int { return bytes.Compare(a.name, b.name) })
}
