package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/sign"
)

// Neither the secret of an endpoint nor its headers' values are in what is
// kept, logged, listed or said of it; yet both are used.
func TestSecretsAreKeptSealed(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		// Letters that no compression takes apart; what is looked for in vain has to
		// be of the same kind as what is found.
		const (
			first   = "kP3xW9vLq7Tz2Rb8Yc4N"
			second  = "Hj6Fd1Gs5Ma0Ue8Xi3Zo"
			token   = "Vn4Bt7Ck2Pw9Qr5Ly8Ex"
			visible = "Ga6Jh3Ds1Kf7Zm0Tu9Io"
		)
		s.receiver.knows(first)
		s.receiver.knows(second)
		endpoint := s.register(map[string]any{"secret": first, "headers": map[string]string{"X-Token": token}, "description": visible})
		_, made := s.emit("order.created", map[string]any{})
		s.until(made[0], "delivered")
		require.Equal(t, token, s.receiver.received(t)[0].header.Get("X-Token"))

		rotated := s.act("POST", "/api/v1/webhooks/"+endpoint+"/rotate-secret", map[string]any{"secret": second, "overlap": 3600}, http.StatusOK)
		require.Equal(t, second, rotated["secret"])
		_, made = s.emit("order.created", map[string]any{})
		s.until(made[0], "delivered")
		both := s.receiver.received(t)[1]
		for _, one := range []string{first, second} { // either verifies the one that carries several
			require.NoError(t, verify(both, one).Standard)
		}
		require.NoError(t, verify(both, first).Plain, "the single signature stays the old secret's while it overlaps")

		s.receiver.answer(http.StatusNotFound)
		_, made = s.emit("order.created", map[string]any{})
		s.until(made[0], "dead")
		var said bytes.Buffer
		for _, path := range []string{"/api/v1/webhooks", "/api/v1/webhooks/" + endpoint, "/api/v1/deliveries/" + made[0], "/api/v1/deliveries?endpoint_id=" + endpoint, "/api/v1/events", "/metrics", "/api/v1/stats"} {
			a := s.call("GET", path, nil)
			require.Equal(t, http.StatusOK, a.status)
			raw, err := json.Marshal(a.body)
			require.NoError(t, err)
			said.Write(raw)
		}
		kept := s.kept(t)
		require.Contains(t, said.String(), visible)
		require.True(t, bytes.Contains(kept, []byte(visible)), "what is not secret is found where secrets are looked for")
		for _, hidden := range []string{first, second, token} {
			require.NotContains(t, said.String(), hidden)
			require.False(t, bytes.Contains(kept, []byte(hidden)), "in what is kept")
			require.NotContains(t, s.log.String(), hidden)
		}
	})
}

func verify(r received, secret string) sign.Verdict {
	return sign.Verify(r.header, []byte(r.body), []string{secret}, time.Now())
}

// kept is all that the system has stored.
func (s *system) kept(t *testing.T) []byte {
	t.Helper()
	if s.oracle != nil {
		return s.oracle.contents(t)
	}
	return contents(t, s.dir)
}

// contents is all that the files of a folder hold.
func contents(t *testing.T, dir string) []byte {
	t.Helper()
	var all bytes.Buffer
	require.NoError(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	}))
	return all.Bytes()
}
