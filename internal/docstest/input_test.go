package docstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// caller calls a running program.
type caller struct {
	t      *testing.T
	url    string
	client *http.Client
}

// call makes a request with a JSON body, or none, and returns its answer.
func (c *caller) call(method, path, body string) (status int, answer string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	require.NoError(c.t, err)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.client.Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return resp.StatusCode, string(raw)
}

// accepted is what was accepted.
type accepted struct {
	ID         string            `json:"id"`
	Code       string            `json:"code"`
	Deliveries []json.RawMessage `json:"deliveries"`
	Total      int               `json:"deliveries_total"`
	Payload    json.RawMessage   `json:"payload"`
	Data       []accepted        `json:"data"`
	Next       *string           `json:"next_cursor"`
}

func decoded(t *testing.T, answer string) accepted {
	t.Helper()
	var a accepted
	require.NoError(t, json.Unmarshal([]byte(answer), &a), answer)
	return a
}

// event is an event of a type that no endpoint matches.
func event(payload string) string { return `{"event_type":"odd.input","payload":` + payload + `}` }

// string256 is a payload of that many bytes.
func payloadOf(size int) string { return `{"s":"` + strings.Repeat("x", size-8) + `"}` }

func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
}

func batchOf(events ...string) string { return `{"events":[` + strings.Join(events, ",") + `]}` }

// odd is an input that docs/api.md names: where it goes, and what else is true
// of its answer.
type odd struct {
	path, body string
	check      func(c *caller, a accepted)
}

// kept checks that the payload is shown as it was sent.
func kept(payload string) func(c *caller, a accepted) {
	return func(c *caller, a accepted) {
		status, answer := c.call("GET", "/api/v1/events/"+a.ID, "")
		require.Equal(c.t, http.StatusOK, status, answer)
		require.Contains(c.t, answer, `"payload":`+payload+`}`) // byte for byte
	}
}

const (
	events = "/api/v1/events"
	batch  = "/api/v1/events/batch"
	kib256 = 256 << 10
	twice  = `{"a":1,"a":2}`
	lone   = `{"s":"\ud800"}`
	huge   = `{"n":1e999}`
)

// oddInput is every input of the table, by its words.
func oddInput() map[string]odd {
	good, bad := event(`{}`), []string{`{"event_type":"odd input","payload":{}}`, event(`[]`), `7`}
	hundred := strings.Split(strings.Repeat(good+"\n", 100), "\n")[:100]
	withBad := append([]string{}, hundred...)
	withBad[0], withBad[50], withBad[99] = bad[0], bad[1], bad[2]
	return map[string]odd{
		"a payload of 256 KB (262,144 bytes)":                            {events, event(payloadOf(kib256)), kept(payloadOf(kib256))},
		"a payload of 256 KB and as much white space between its tokens": {events, event("{" + strings.Repeat(" ", kib256) + payloadOf(kib256)[1:]), kept(payloadOf(kib256))},
		"a payload of one byte more than 256 KB":                         {events, event(payloadOf(kib256 + 1)), nil},
		"a body over 1 MB":                                               {events, event(payloadOf(1 << 20)), nil},
		"a payload nested 100 deep":                                      {events, event(nested(100)), kept(nested(100))},
		"a payload nested 101 deep":                                      {events, event(nested(101)), nil},
		"a payload nested 100,000 deep":                                  {events, event(nested(100_000)), nil},
		"a payload in which a key stands twice":                          {events, event(twice), kept(twice)},
		"an event in which a field stands twice":                         {events, `{"event_type":"odd.input","event_type":"odd.input","payload":{}}`, nil},
		"bytes that are not UTF-8":                                       {events, event("{\"s\":\"\xff\"}"), nil},
		"half a surrogate pair, as an escape":                            {events, event(lone), kept(lone)},
		"a number that no machine holds, such as `1e999`":                {events, event(huge), kept(huge)},
		"a payload that is an array":                                     {events, event(`[]`), nil},
		"an event that no endpoint matches":                              {events, good, matchesNone},
		"an event that 10,000 endpoints match":                           {events, `{"event_type":"wide.input","payload":{}}`, matchesTenThousand},
		"a batch of 100 with three bad ones":                             {batch, batchOf(withBad...), refusesThree},
		"a batch of 101":                                                 {batch, batchOf(append(hundred, good)...), nil},
		"a batch over 4 MB":                                              {batch, batchOf(event(payloadOf(4 << 20))), nil},
	}
}

func matchesNone(c *caller, a accepted) {
	require.NotNil(c.t, a.Deliveries)
	require.Empty(c.t, a.Deliveries)
	require.Zero(c.t, a.Total)
	_, answer := c.call("GET", events+"?event_type=odd.input&limit=200", "")
	require.Contains(c.t, answer, a.ID)
}

const many = 10_000

func matchesTenThousand(c *caller, a accepted) {
	require.Len(c.t, a.Deliveries, 100)
	require.Equal(c.t, many, a.Total)
	var listed int
	for cursor := ""; ; {
		status, answer := c.call("GET", "/api/v1/deliveries?limit=200&event_id="+a.ID+cursor, "")
		require.Equal(c.t, http.StatusOK, status, answer)
		page := decoded(c.t, answer)
		listed += len(page.Data)
		if page.Next == nil {
			break
		}
		cursor = "&cursor=" + *page.Next
	}
	require.Equal(c.t, many, listed)
	_, answer := c.call("GET", "/api/v1/jobs?limit=1", "")
	require.Contains(c.t, answer, `"kind":"fan_out"`)
	require.Contains(c.t, answer, fmt.Sprintf(`"event_id":%q`, a.ID))
	require.Contains(c.t, answer, `"total":9900`)
}

func refusesThree(c *caller, a accepted) {
	require.Len(c.t, a.Data, 100)
	refused := map[int]string{0: "invalid_event_type", 50: "wrong_type", 99: "wrong_type"}
	for i, one := range a.Data {
		require.Equal(c.t, refused[i], one.Code, i)
		require.Equal(c.t, refused[i] == "", one.ID != "", i)
	}
}

// register makes n endpoints, which are not there when they are posted to.
func (c *caller) register(n int) {
	body := `{"url":"http://127.0.0.1:1/","events":["wide.input"],"max_retries":0}`
	var wg sync.WaitGroup
	places := make(chan struct{}, 8)
	refused := make(chan string, n)
	for range n {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			req, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url+"/api/v1/webhooks", bytes.NewReader([]byte(body)))
			if err != nil {
				refused <- err.Error()
				return
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := c.client.Do(req)
			if err != nil {
				refused <- err.Error()
				return
			}
			defer resp.Body.Close()
			if raw, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
				refused <- string(raw)
			}
		})
	}
	wg.Wait()
	close(refused)
	require.Empty(c.t, <-refused)
}

var answerForm = regexp.MustCompile("^([0-9]{3})(?: `([a-z_]+)`)?")

// Whatever a producer sends, the program answers as docs/api.md says.
func TestLargeAndOddInputIsAnsweredAsDocumented(t *testing.T) {
	t.Parallel()
	c := &caller{t, "http://localhost:" + startLocal(t).port(), &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}, Timeout: patience}}
	t.Cleanup(c.client.CloseIdleConnections)
	c.register(many)
	inputs := oddInput()
	rows := parse(t, "docs/api.md").under(t, "Large and odd input").rows
	require.Len(t, rows, len(inputs))
	for _, row := range rows {
		in, ok := inputs[row[0]]
		require.True(t, ok, "no input is made of %q", row[0])
		want := answerForm.FindStringSubmatch(row[1])
		require.NotNil(t, want, row[1])
		status, answer := c.call(http.MethodPost, in.path, in.body)
		require.Equal(t, want[1], strconv.Itoa(status), "%s: %.300s", row[0], answer)
		a := decoded(t, answer)
		require.Equal(t, want[2], a.Code, row[0])
		if in.check != nil {
			in.check(c, a)
		}
	}
}
