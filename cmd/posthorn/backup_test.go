package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Dead letters of one Posthorn are delivered by another.
func TestDeadLettersAreRestoredElsewhere(t *testing.T) {
	from, to := localURL(t), localURL(t)
	ok := func(url string, args ...string) (out, said string) {
		t.Helper()
		code, out, said := printed(t, append(args, "--server", url)...)
		require.Zero(t, code, said)
		return out, said
	}
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer down.Close()
	ok(from, "endpoints", "create", down.URL, "--events", "*")
	ok(from, "events", "send", "--type", "a.b", "--payload", `{"n": 1.50}`)
	ok(from, "events", "send", "--type", "a.c", "--payload", `{}`)
	require.Eventually(t, func() bool {
		out, _ := ok(from, "dlq", "list")
		return strings.Count(out, "HTTP 503") == 2
	}, 20*time.Second, 50*time.Millisecond)

	path := filepath.Join(t.TempDir(), "letters.jsonl")
	out, said := ok(from, "dlq", "export", path)
	require.Empty(t, out)
	require.Equal(t, "2 dead letters are in "+path+".\n", said)
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	out, said = ok(from, "dlq", "export")
	require.Equal(t, string(file), out)
	require.Equal(t, "2 dead letters.\n", said)
	out, _ = ok(from, "dlq", "export", "--type", "a.b")
	require.Equal(t, 1, strings.Count(out, "\n"))
	require.Contains(t, out, `"payload":{"n":1.50}`)

	_, said = ok(to, "dlq", "import", path)
	require.Equal(t, "2 dead letters are sent again.\n", said)
	_, said = ok(to, "dlq", "import", path)
	require.Equal(t, "0 dead letters are sent again. 2 were before.\n", said)
	require.NoError(t, os.Remove(path+".imported"))
	asJSON, _ := ok(to, "dlq", "import", path, "--json")
	require.JSONEq(t, `{"sent":2,"before":0,"passed_over":{}}`, asJSON)
	out, _ = ok(to, "events", "list", "--json")
	var events []struct{ Payload json.RawMessage }
	require.NoError(t, json.Unmarshal([]byte(out), &events))
	require.Len(t, events, 2, "also without the note that it was done")
	require.True(t, bytes.Contains(file, events[1].Payload), "as it was written")

	code, _, said := printed(t, "dlq", "export", path, "--server", from)
	require.Equal(t, exitUsage, code)
	require.Equal(t, "posthorn: "+path+" is there already: name another file, or remove it\n", said)
	require.NoError(t, os.WriteFile(path, []byte("{}\n"), 0o600))
	code, _, said = printed(t, "dlq", "import", path, "--server", to)
	require.Equal(t, exitUsage, code)
	require.Equal(t, "posthorn: "+path+":1: is no dead letter: its id has to begin with dlq_\n", said)
	code, _, said = printed(t, "dlq", "import", "/nowhere/x", "--server", to)
	require.Equal(t, exitFailure, code)
	require.Contains(t, said, "/nowhere/x")
}
