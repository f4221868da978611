package httpapi

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/contract"
)

// document is the OpenAPI document, which every request of these tests is held
// against.
var document = sync.OnceValues(func() (*contract.Contract, error) { return contract.New(openAPI) })

func TestTheOpenAPIDocumentIsValid(t *testing.T) {
	t.Parallel()
	_, err := document()
	require.NoError(t, err)
}

func TestTheOpenAPIDocumentIsMadeOfItsYAML(t *testing.T) {
	t.Parallel()
	written, err := os.ReadFile("openapi.yaml")
	require.NoError(t, err)
	made, err := contract.JSON(written)
	require.NoError(t, err)
	require.JSONEq(t, string(made), string(openAPI), "run go generate ./internal/httpapi")
	require.Equal(t, made, openAPI, "run go generate ./internal/httpapi")
}

// undocumented is what the tests of this package were answered otherwise than
// the document has it.
var undocumented struct {
	mu  sync.Mutex
	all []string
}

// hold holds a request and its answer against the document.
func hold(e contract.Exchange) {
	c, err := document()
	if err == nil {
		err = c.Check(e)
	}
	if err != nil {
		undocumented.mu.Lock()
		defer undocumented.mu.Unlock()
		undocumented.all = append(undocumented.all, err.Error())
	}
}

// held runs the tests and fails where anything undocumented was answered.
type held struct{ *testing.M }

func (h held) Run() int {
	code := h.M.Run()
	undocumented.mu.Lock()
	defer undocumented.mu.Unlock()
	if len(undocumented.all) == 0 {
		return code
	}
	const most = 20
	for _, said := range undocumented.all[:min(len(undocumented.all), most)] {
		fmt.Fprintln(os.Stderr, "not as openapi.yaml has it:", said)
	}
	fmt.Fprintln(os.Stderr, len(undocumented.all), "in all")
	return 1
}

func TestWhatIsUndocumentedIsFound(t *testing.T) {
	t.Parallel()
	c, err := document()
	require.NoError(t, err)
	problem := func(status int, code string) contract.Exchange {
		return contract.Exchange{
			Status: status, Header: http.Header{"Content-Type": {"application/problem+json"}},
			Body: fmt.Appendf(nil, `{"type":"about:blank","title":"t","status":%d,"detail":"d","code":%q}`, status, code),
		}
	}
	answer := func(status int, body string, header ...string) contract.Exchange {
		h := http.Header{"Content-Type": {"application/json"}}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return contract.Exchange{Status: status, Header: h, Body: []byte(body)}
	}
	refused := func(code string) contract.Exchange {
		e := problem(405, code)
		e.Header.Set("Allow", "GET, HEAD")
		return e
	}
	const event = `{"id":"evt_01M87K1Z80JKZK34SJK66W381Y","event_type":"a","created_at":"2026-11-24T20:13:18.464Z","deliveries":[],"deliveries_total":0}`
	for name, tc := range map[string]struct {
		method, path, body string
		answered           contract.Exchange
		says               string // empty: it is as documented
	}{
		"an event":                {"POST", "/api/v1/events", `{"event_type":"a","payload":{}}`, answer(202, event), ""},
		"a problem":               {"POST", "/api/v1/events", `{}`, problem(400, "missing_field"), ""},
		"a query":                 {"GET", "/api/v1/jobs?limit=200", "", answer(200, `{"data":[],"next_cursor":null}`), ""},
		"HEAD":                    {"HEAD", "/health", "", answer(200, ""), ""},
		"no such path":            {"GET", "/api/v2", "", problem(404, "not_found"), ""},
		"a field too many":        {"POST", "/api/v1/events", `{"event_type":"a","payload":{}}`, answer(202, event[:len(event)-1]+`,"x":1}`), "x"},
		"a nested field too many": {"GET", "/api/v1/jobs", "", answer(200, `{"data":[{"x":1}],"next_cursor":null}`), "/data/0"},
		"a field of another type": {"GET", "/health", "", answer(200, `{"status":"ok","version":1}`), "version"},
		"a field missing":         {"GET", "/health", "", answer(200, `{"status":"ok"}`), "version"},
		"a status":                {"GET", "/health", "", answer(201, `{}`), "status is not documented"},
		"a code":                  {"POST", "/api/v1/events", `{}`, problem(400, "out_of_range"), "code"},
		"a header":                {"GET", "/health", "", answer(200, `{"status":"ok","version":"1"}`, "X-New", "1"), "X-New"},
		"a media type":            {"GET", "/health", "", answer(200, `ok`, "Content-Type", "text/plain"), "Content-Type"},
		"a path":                  {"GET", "/api/v2", "", answer(200, `{}`), "no such path"},
		"a method":                {"PUT", "/health", "", answer(200, `{}`), "GET, HEAD"},
		"no such method":          {"PUT", "/health", "", refused("method_not_allowed"), ""},
		"a path's code":           {"GET", "/api/v2", "", problem(404, "no_path"), `has to be "not_found"`},
		"a path's form":           {"GET", "/api/v2", "", answer(404, `{"code":"not_found"}`), "problem document"},
		"a method's code":         {"PUT", "/health", "", refused("not_found"), `has to be "method_not_allowed"`},
		"a body where there is none": {
			"DELETE", "/api/v1/keys/01M87K1Y7556C7J88B4AQNEZDZ", "", answer(204, `{}`), "body",
		},
		"a request with an unknown field that was taken": {"POST", "/api/v1/events", `{"event_type":"a","payload":{},"x":1}`, answer(202, event), "x"},
		"a query out of range that was taken":            {"GET", "/api/v1/jobs?limit=0", "", answer(200, `{"data":[],"next_cursor":null}`), "limit"},
		"an id of a wrong form that was taken":           {"DELETE", "/api/v1/keys/x", "", answer(204, ""), "pattern"},
	} {
		e := tc.answered
		e.Request, e.RequestBody = httptest.NewRequest(tc.method, tc.path, nil), []byte(tc.body)
		if tc.body != "" {
			e.Request.Header.Set("Content-Type", "application/json")
		}
		err := c.Check(e)
		if tc.says == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, tc.says, name)
	}
}
