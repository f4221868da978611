package gzipped_test

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/gzipped"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWhoTakesGzip(t *testing.T) {
	t.Parallel()
	for accept, takes := range map[string]bool{
		"": false, "gzip": true, "br, gzip;q=0.5": true, "GZIP": true, "*": true, "deflate": false, "gzip; q=1": true, "deflate,gzip": true,
		"gzip;q=0": false, "gzip; Q=0.000": false, "*, gzip;q=0": false, "*;q=0": false, "gzip;q=x": false, "identity": false, "x-gzip": true, "xgzip": false,
	} {
		require.Equal(t, takes, gzipped.TakenBy(http.Header{"Accept-Encoding": {accept}}), accept)
	}
	require.False(t, gzipped.TakenBy(http.Header{}))
	require.True(t, gzipped.TakenBy(http.Header{"Accept-Encoding": {"br", "gzip"}}), "in a line of its own")
}

func TestWhatWasGzippedIsPlainAgain(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte("a page"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	plain, err := gzipped.Plain(b.Bytes())
	require.NoError(t, err)
	require.Equal(t, "a page", string(plain))
	for _, broken := range [][]byte{nil, []byte("a page"), b.Bytes()[:b.Len()-1]} {
		_, err := gzipped.Plain(broken)
		require.ErrorContains(t, err, "unzip: ")
	}
}
