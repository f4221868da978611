package docstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/sign"
)

// What the documents print for the program and for an endpoint that fails.
const (
	printedAPI      = "http://localhost:8000"
	printedReceiver = "http://localhost:9000"
)

// received is a request as an endpoint got it.
type received struct {
	path   string
	header http.Header
	body   string
}

// failing is an endpoint that answers 503, and keeps what it got.
type failing struct {
	*httptest.Server
	mu      sync.Mutex
	got     []received
	refuses bool // every signature, with 401
}

func newFailing(t *testing.T) *failing {
	f := &failing{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the sender has gone
		}
		f.mu.Lock()
		f.got = append(f.got, received{r.Method + " " + r.RequestURI, r.Header, string(body)})
		refuses := f.refuses
		f.mu.Unlock()
		if refuses {
			http.Error(w, "signature", http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "down for maintenance")
	}))
	t.Cleanup(f.Close)
	return f
}

// refuse says whether signatures are refused from now on.
func (f *failing) refuse(signatures bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refuses = signatures
}

func (f *failing) first(t *testing.T) received {
	f.mu.Lock()
	defer f.mu.Unlock()
	require.NotEmpty(t, f.got, "nothing was received")
	return f.got[0]
}

// session makes the calls of a document, one after the other.
type session struct {
	t      *testing.T
	on     *local
	client *http.Client
	toReal *strings.Replacer // from the printed addresses
	toDocs *strings.Replacer // and back
	ids    bindings
}

func newSession(t *testing.T, receiver string) *session {
	on := startLocal(t)
	api := "http://localhost:" + on.port()
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	t.Cleanup(client.CloseIdleConnections)
	return &session{
		t: t, on: on, client: client, ids: bindings{},
		toReal: strings.NewReplacer(printedAPI, api, printedReceiver, receiver),
		toDocs: strings.NewReplacer(api, printedAPI, receiver, printedReceiver),
	}
}

// call is a printed call and the answer printed behind it.
type call struct {
	at      string
	command string
	status  int
	answer  string
}

// calls are the calls of a document's sessions.
func calls(t *testing.T, d *document) []call {
	var all []call
	for i, b := range d.blocks {
		if b.info != "sh" || !strings.Contains(b.text, printedAPI) || !strings.HasPrefix(b.text, "curl ") {
			continue
		}
		require.Less(t, i+1, len(d.blocks), "%s: no answer is printed", d.at(b.line))
		next := d.blocks[i+1]
		status, ok := strings.CutPrefix(next.info, "json ")
		require.True(t, ok, "%s: no answer with its status is printed", d.at(b.line))
		n, err := strconv.Atoi(status)
		require.NoError(t, err, d.at(next.line))
		all = append(all, call{d.at(b.line), b.text, n, next.text})
	}
	return all
}

// walk makes the call. What only looks is repeated until it sees what is
// printed: deliveries take a moment.
func (s *session) walk(c call) {
	s.t.Helper()
	var status int
	var body string
	var differs error
	once := func() bool {
		req, err := curl(s.t.Context(), s.ids.apply(s.toReal.Replace(c.command)))
		require.NoError(s.t, err, c.at)
		status, body, err = s.do(req)
		require.NoError(s.t, err, c.at)
		differs = s.ids.answer(c.answer, s.toDocs.Replace(body))
		if status != c.status {
			differs = fmt.Errorf("printed status %d, is %d", c.status, status)
		}
		return differs == nil || req.Method != http.MethodGet
	}
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for deadline := time.Now().Add(patience); !once() && time.Now().Before(deadline); {
		<-pause.C
	}
	require.NoError(s.t, differs, "%s: the answer is %d %s", c.at, status, body)
}

func (s *session) do(req *http.Request) (status int, body string, err error) {
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(raw), err
}

func TestTheSessionOfTheAPIWorksAsPrinted(t *testing.T) {
	t.Parallel()
	d := parse(t, "docs/api.md")
	f := newFailing(t)
	s := newSession(t, "http://"+f.Listener.Addr().String())
	all := calls(t, d)
	require.NotEmpty(t, all)
	for _, c := range all {
		s.walk(c)
	}

	path, header, body := request(t, d)
	got := f.first(t)
	require.Equal(t, path, got.path)
	require.NoError(t, s.ids.answer(body, got.body))
	require.Equal(t, fields(t, body), fields(t, got.body), "the order of the fields")
	got.header.Del("Content-Length")
	header.Del("Content-Length")
	header.Del("Host")
	require.Len(t, got.header, len(header), "headers: %v", got.header)
	for name, values := range header {
		if strings.HasSuffix(name, "-Timestamp") || strings.HasSuffix(name, "-Signature") {
			require.Len(t, got.header[name], 1, name)
			continue
		}
		require.NoError(t, s.ids.text(name, values[0], got.header.Get(name)))
	}
}

// request is the request that docs/api.md shows as an endpoint receives it.
func request(t *testing.T, d *document) (path string, header http.Header, body string) {
	t.Helper()
	for _, b := range d.blocks {
		if b.info != "http" {
			continue
		}
		head, body, ok := strings.Cut(b.text, "\n\n")
		require.True(t, ok, d.at(b.line))
		header = http.Header{}
		lines := strings.Split(head, "\n")
		for _, line := range lines[1:] {
			name, value, ok := strings.Cut(line, ": ")
			require.True(t, ok, "%s: %s", d.at(b.line), line)
			header.Add(name, value)
		}
		return strings.TrimSuffix(lines[0], " HTTP/1.1"), header, strings.TrimSuffix(body, "\n")
	}
	require.Fail(t, "no request is shown", d.path)
	return "", nil, ""
}

// fields are the names of an object's fields, in their order.
func fields(t *testing.T, object string) []string {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader([]byte(object)))
	_, err := dec.Token()
	require.NoError(t, err)
	var names []string
	for dec.More() {
		name, err := dec.Token()
		require.NoError(t, err)
		var value json.RawMessage
		require.NoError(t, dec.Decode(&value))
		names = append(names, name.(string))
	}
	return names
}

// A reader may check an implementation of theirs with what is printed.
func TestThePrintedSignaturesAreThoseOfThePrintedBody(t *testing.T) {
	t.Parallel()
	d := parse(t, "docs/api.md")
	_, header, body := request(t, d)
	_, ofEndpoint, ok := strings.Cut(strings.TrimPrefix(header.Get("X-Webhook-Delivery"), "dlv_"), "_")
	require.True(t, ok)
	var endpoint struct{ ID, Secret string }
	for _, c := range calls(t, d) {
		if c.status == http.StatusCreated && endpoint.ID != "ep_"+ofEndpoint {
			require.NoError(t, json.Unmarshal([]byte(c.answer), &endpoint))
		}
	}
	require.Equal(t, "ep_"+ofEndpoint, endpoint.ID, "the endpoint whose delivery is shown")
	at, err := strconv.ParseInt(header.Get(sign.HeaderStandardTimestamp), 10, 64)
	require.NoError(t, err)
	v := sign.Verify(header, []byte(body), []string{endpoint.Secret}, time.Unix(at, 0))
	require.NoError(t, v.Plain)
	require.NoError(t, v.Standard)
	require.Equal(t, strconv.Itoa(len(body)), header.Get("Content-Length"))
}
