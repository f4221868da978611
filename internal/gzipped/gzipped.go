// Package gzipped is for files that are kept gzipped and served over HTTP: as they
// are to who takes that, and plain to who does not.
package gzipped

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// TakenBy says whether a client takes a gzipped answer (RFC 9110, section
// 12.5.3): its Accept-Encoding names gzip, or everything, and not with a weight of
// zero. A weight that cannot be read is one of zero.
func TakenBy(h http.Header) bool {
	named, any := false, false
	for coding := range strings.SplitSeq(strings.Join(h.Values("Accept-Encoding"), ","), ",") {
		name, params, _ := strings.Cut(coding, ";")
		weight := 1.0
		if key, value, ok := strings.Cut(strings.TrimSpace(params), "="); ok && strings.EqualFold(key, "q") {
			w, err := strconv.ParseFloat(value, 64)
			if err != nil {
				w = 0
			}
			weight = w
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "gzip", "x-gzip":
			if weight == 0 {
				return false
			}
			named = true
		case "*":
			any = weight > 0
		}
	}
	return named || any
}

// Plain returns what was gzipped.
func Plain(b []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("unzip: %w", err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("unzip: %w", err)
	}
	return plain, nil
}
