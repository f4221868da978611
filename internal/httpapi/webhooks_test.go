package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// register makes an endpoint through the API and returns its id.
func (w *world) register(t *testing.T, body string, headers ...string) string {
	t.Helper()
	return requireJSON(t, w.do("POST", "/api/v1/webhooks", body, headers...), http.StatusCreated)["id"].(string)
}

const anyEndpoint = `{"url":"https://example.com/hook","events":["*"]}`

func TestRegisterWithEverything(t *testing.T) {
	t.Parallel()
	w := newWorld()
	rec := w.do("POST", "/api/v1/webhooks", `{"url":"https://example.com/a?b=<c>&d","events":["user.created","order.*","*"],
		"secret":"test-secret","max_retries":0,"timeout":1,"retry_policy":"critical","description":"Größe & <so>","metadata":{"team":"a","":null}}`)
	requireProblem(t, rec, 400, "invalid_metadata", "metadata.")
	w.requireUntouched(t)

	rec = w.do("POST", "/api/v1/webhooks", `{"url":"https://example.com/a?b=<c>&d","events":["user.created","order.*","*"],
		"secret":"test-secret","max_retries":0,"timeout":1,"retry_policy":"critical","description":"Größe & <so>","metadata":{"team":"a"}}`)
	v := requireJSON(t, rec, http.StatusCreated)
	id := v["id"].(string)
	require.True(t, hook.ValidID(hook.EndpointPrefix, id))
	require.Equal(t, "/api/v1/webhooks/"+id, rec.Header().Get("Location"))
	require.Equal(t, map[string]any{
		"id": id, "url": "https://example.com/a?b=<c>&d", "events": []any{"user.created", "order.*", "*"},
		"secret": "test-secret", "max_retries": 0.0, "timeout": 1.0, "retry_policy": "critical", "description": "Größe & <so>",
		"metadata": map[string]any{"team": "a"}, "headers": map[string]any{}, "rate_limit": nil, "status": "active", "status_reason": nil, "left_alone_until": nil,
		"created_at": "2026-03-04T05:06:07.891Z", "updated_at": "2026-03-04T05:06:07.891Z",
	}, v)
	require.Contains(t, rec.Body.String(), "<c>&d", "no HTML escapes")

	none := 0
	require.Equal(t, &hook.Endpoint{
		ID: id, Tenant: "default", URL: "https://example.com/a?b=<c>&d", Filters: []string{"user.created", "order.*", "*"},
		Secrets: []hook.SealedSecret{{Sealed: sealedFor(DefaultTenant, id, "test-secret")}}, MaxRetries: &none, Timeout: time.Second, RetryPolicy: "critical",
		Description: "Größe & <so>", Metadata: map[string]string{"team": "a"}, Status: hook.EndpointActive, CreatedAt: start, UpdatedAt: start,
	}, w.eps[id])

	delete(v, "secret")
	require.Equal(t, v, requireJSON(t, w.do("GET", "/api/v1/webhooks/"+id, ""), http.StatusOK), "the same, without the secret")
	items, _ := requireData(t, w.do("GET", "/api/v1/webhooks", ""))
	require.Equal(t, []map[string]any{v}, items)
}

func TestRegisterWithDefaults(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		anyEndpoint,
		`{"url":"https://example.com/hook","events":["*"],"secret":null,"max_retries":null,"timeout":null,"retry_policy":null,"description":null,"metadata":null}`,
	} {
		w := newWorld()
		v := requireJSON(t, w.do("POST", "/api/v1/webhooks", body), http.StatusCreated)
		require.Equal(t, "whsec_made", v["secret"])
		require.Equal(t, 30.0, v["timeout"])
		for _, null := range []string{"max_retries", "retry_policy", "rate_limit", "status_reason", "left_alone_until"} {
			require.Contains(t, v, null)
			require.Nil(t, v[null], null)
		}
		require.Equal(t, "", v["description"])
		require.Equal(t, map[string]any{}, v["metadata"])
		require.Equal(t, map[string]any{}, v["headers"])
	}
}

// fieldCases are bad values that registration and change refuse alike.
func manyHeaders(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(`"X-%d":"v"`, i))
	}
	return strings.Join(list, ",")
}

func fieldCases() map[string]struct{ body, code, field string } {
	pairs := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"k%d":"v"`, i))
		}
		return strings.Join(list, ",")
	}
	return map[string]struct{ body, code, field string }{
		"unknown field":        {`"colour":"red"`, "unknown_field", "colour"},
		"headers an array":     {`"headers":[]`, "wrong_type", "headers"},
		"header a number":      {`"headers":{"X-A":1}`, "wrong_type", "headers.X-A"},
		"header without name":  {`"headers":{"":"a"}`, "invalid_headers", "headers."},
		"header no token":      {`"headers":{"X A":"a"}`, "invalid_headers", "headers.X A"},
		"header twice":         {`"headers":{"X-A":"a","x-a":"b"}`, "duplicate_field", "headers.x-a"},
		"header with a break":  {`"headers":{"X-A":"a\r\nX-B: b"}`, "invalid_headers", "headers.X-A"},
		"header not ASCII":     {`"headers":{"X-A":"ü"}`, "invalid_headers", "headers.X-A"},
		"header empty":         {`"headers":{"X-A":""}`, "invalid_headers", "headers.X-A"},
		"header in blanks":     {`"headers":{"X-A":" a"}`, "invalid_headers", "headers.X-A"},
		"header too long":      {`"headers":{"X-A":"` + strings.Repeat("a", 1025) + `"}`, "invalid_headers", "headers.X-A"},
		"header kept of none":  {`"headers":{"X-A":"***"}`, "invalid_headers", "headers.X-A"},
		"too many headers":     {`"headers":{` + manyHeaders(21) + `}`, "invalid_headers", "headers"},
		"rate limit low":       {`"rate_limit":0.09`, "out_of_range", "rate_limit"},
		"rate limit high":      {`"rate_limit":10001`, "out_of_range", "rate_limit"},
		"rate limit endless":   {`"rate_limit":1e999`, "out_of_range", "rate_limit"},
		"rate limit a string":  {`"rate_limit":"5"`, "wrong_type", "rate_limit"},
		"field of other case":  {`"Description":"x"`, "unknown_field", "Description"},
		"endless unknown name": {`"` + strings.Repeat("x", 300) + `":1`, "unknown_field", strings.Repeat("x", 64) + "…"},
		"twice":                {`"timeout":1,"timeout":2`, "duplicate_field", "timeout"},
		"twice, escaped":       {`"timeout":1,"t\u0069meout":2`, "duplicate_field", "timeout"},
		"policy unknown":       {`"retry_policy":"eager"`, "unknown_retry_policy", "retry_policy"},
		"policy empty":         {`"retry_policy":""`, "unknown_retry_policy", "retry_policy"},
		"policy number":        {`"retry_policy":1`, "wrong_type", "retry_policy"},
		"retries negative":     {`"max_retries":-1`, "out_of_range", "max_retries"},
		"retries 21":           {`"max_retries":21`, "out_of_range", "max_retries"},
		"retries half":         {`"max_retries":1.5`, "out_of_range", "max_retries"},
		"retries huge":         {`"max_retries":1e999`, "out_of_range", "max_retries"},
		"retries string":       {`"max_retries":"3"`, "wrong_type", "max_retries"},
		"retries boolean":      {`"max_retries":true`, "wrong_type", "max_retries"},
		"timeout 0":            {`"timeout":0`, "out_of_range", "timeout"},
		"timeout 31":           {`"timeout":31`, "out_of_range", "timeout"},
		"timeout half":         {`"timeout":0.5`, "out_of_range", "timeout"},
		"timeout object":       {`"timeout":{}`, "wrong_type", "timeout"},
		"description long":     {`"description":"` + strings.Repeat("é", 1001) + `"`, "too_long", "description"},
		"description array":    {`"description":["x"]`, "wrong_type", "description"},
		"metadata array":       {`"metadata":[]`, "wrong_type", "metadata"},
		"metadata number":      {`"metadata":{"a":"x","n":1}`, "wrong_type", "metadata.n"},
		"metadata null value":  {`"metadata":{"a":null}`, "wrong_type", "metadata.a"},
		"metadata twice":       {`"metadata":{"a":"x","a":"y"}`, "duplicate_field", "metadata.a"},
		"metadata 21 pairs":    {`"metadata":{` + pairs(21) + `}`, "invalid_metadata", "metadata"},
		"metadata long key":    {`"metadata":{"` + strings.Repeat("k", 65) + `":"v"}`, "invalid_metadata", "metadata." + strings.Repeat("k", 64) + "…"},
		"metadata long value":  {`"metadata":{"k":"` + strings.Repeat("v", 513) + `"}`, "too_long", "metadata.k"},
	}
}

// required are bad values of the fields that a registration needs.
func requiredCases() map[string]struct{ url, events, code, field string } {
	const url, events = `"https://example.com"`, `["*"]`
	many := strings.Repeat(`"a",`, 100) + `"a"`
	return map[string]struct{ url, events, code, field string }{
		"url refused":        {`"http://example.com"`, events, "invalid_url", "url"},
		"url empty":          {`""`, events, "invalid_url", "url"},
		"url null":           {`null`, events, "wrong_type", "url"},
		"url number":         {`7`, events, "wrong_type", "url"},
		"events string":      {url, `"*"`, "wrong_type", "events"},
		"events null":        {url, `null`, "wrong_type", "events"},
		"events empty":       {url, `[]`, "invalid_events", "events"},
		"events 101":         {url, `[` + many + `]`, "invalid_events", "events"},
		"filter number":      {url, `["a",2]`, "wrong_type", "events[1]"},
		"filter null":        {url, `["a","b",null]`, "wrong_type", "events[2]"},
		"filter empty":       {url, `["a","b",""]`, "invalid_filter", "events[2]"},
		"filter spaced":      {url, `["a b"]`, "invalid_filter", "events[0]"},
		"filter long":        {url, `["` + strings.Repeat("x", 129) + `"]`, "invalid_filter", "events[0]"},
		"filter prefix long": {url, `["` + strings.Repeat("x", 127) + `.*"]`, "invalid_filter", "events[0]"},
		"filter word star":   {url, `["order*"]`, "invalid_filter", "events[0]"},
		"filter mid star":    {url, `["order.*.x"]`, "invalid_filter", "events[0]"},
		"filter lone dot":    {url, `[".*"]`, "invalid_filter", "events[0]"},
		"filter two stars":   {url, `["**"]`, "invalid_filter", "events[0]"},
		"filter stars":       {url, `["a.*.*"]`, "invalid_filter", "events[0]"},
	}
}

func TestRegisterRefusesBadInput(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ body, code, field string }{
		"no url":             {`{"events":["*"]}`, "missing_field", "url"},
		"no events":          {`{"url":"https://example.com"}`, "missing_field", "events"},
		"nothing":            {`{}`, "missing_field", "url"},
		"secret short":       {`{"secret":"7 chars"}`, "invalid_secret", "secret"},
		"secret long":        {`{"secret":"` + strings.Repeat("s", 257) + `"}`, "invalid_secret", "secret"},
		"secret control":     {`{"secret":"eight\nchars"}`, "invalid_json", ""},
		"secret escaped":     {`{"secret":"eight\nchars"}`, "invalid_secret", "secret"},
		"secret number":      {`{"secret":12345678}`, "wrong_type", "secret"},
		"secret undecodable": {`{"secret":"whsec_!!!!notbase64"}`, "invalid_secret", "secret"},
		"secret weak":        {`{"secret":"whsec_` + strings.Repeat("A", 28) + `"}`, "invalid_secret", "secret"}, // 21 bytes
		"secret empty":       {`{"secret":""}`, "invalid_secret", "secret"},
		"id":                 {`{"id":"ep_1"}`, "unknown_field", "id"},
		"status":             {`{"status":"paused"}`, "unknown_field", "status"},
		"not JSON":           {`{"url":`, "invalid_json", ""},
		"bare word":          {`{"url":https}`, "invalid_json", ""},
		"array":              {`[` + anyEndpoint + `]`, "wrong_type", ""},
		"string":             {`"x"`, "wrong_type", ""},
		"something follows":  {anyEndpoint + `{}`, "invalid_json", ""},
		"blank":              {"  \n", "invalid_json", ""},
		"not UTF-8":          {"{\"url\":\"https://example.com/\xff\",\"events\":[\"*\"]}", "invalid_json", ""},
		"trailing comma":     {`{"url":"https://example.com",}`, "invalid_json", ""},
		"byte order mark":    {"\ufeff" + anyEndpoint, "invalid_json", ""},
	}
	cases["secret control"] = struct{ body, code, field string }{"{\"secret\":\"eight\nchars\"}", "invalid_json", ""}
	for name, c := range fieldCases() {
		cases[name] = struct{ body, code, field string }{`{"url":"https://example.com","events":["*"],` + c.body + `}`, c.code, c.field}
	}
	for name, c := range requiredCases() {
		cases[name] = struct{ body, code, field string }{`{"url":` + c.url + `,"events":` + c.events + `}`, c.code, c.field}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			requireProblem(t, w.do("POST", "/api/v1/webhooks", c.body), 400, c.code, c.field)
			w.requireUntouched(t)
		})
	}
}

func TestRegisterTakesWhatIsJustWithinTheLimits(t *testing.T) {
	t.Parallel()
	metadata := map[string]string{}
	for i := range 20 {
		metadata[fmt.Sprintf("%02d%s", i, strings.Repeat("é", 62))] = strings.Repeat("ü", 512)
	}
	filters := []string{strings.Repeat("x", 128), strings.Repeat("x", 126) + ".*", "*", "posthorn.test", "posthorn.*", "aZ0._-.*"}
	for len(filters) < 100 {
		filters = append(filters, fmt.Sprintf("type.%d", len(filters)))
	}
	for _, secret := range []string{"8 chars.", strings.Repeat("ß", 256)} {
		body, err := json.Marshal(map[string]any{
			"url": "https://example.com", "events": filters, "secret": secret, "max_retries": 20, "timeout": 30,
			"description": strings.Repeat("é", 1000), "metadata": metadata,
		})
		require.NoError(t, err)
		w := newWorld()
		id := w.register(t, string(body))
		require.Equal(t, filters, w.eps[id].Filters)
		require.Equal(t, metadata, w.eps[id].Metadata)
		require.Equal(t, sealedFor(DefaultTenant, id, secret), w.eps[id].Secrets[0].Sealed)
	}
	for _, number := range []string{"3", "3.0", "30e-1", "0.3e1"} {
		w := newWorld()
		id := w.register(t, `{"url":"https://example.com","events":["*"],"timeout":`+number+`,"max_retries":`+number+`}`)
		require.Equal(t, 3*time.Second, w.eps[id].Timeout, number)
		require.Equal(t, 3, *w.eps[id].MaxRetries, number)
	}
}

func TestChangeTouchesOnlyWhatItNames(t *testing.T) {
	t.Parallel()
	const full = `{"url":"https://example.com/hook","events":["a"],"secret":"test-secret","max_retries":3,"timeout":5,"retry_policy":"critical","description":"d","metadata":{"k":"v"}}`
	for body, want := range map[string]map[string]any{
		`{}`:                            {},
		`{"url":"https://example.org"}`: {"url": "https://example.org"},
		`{"events":["b.*","c"]}`:        {"events": []any{"b.*", "c"}},
		`{"max_retries":7}`:             {"max_retries": 7.0},
		`{"max_retries":null}`:          {"max_retries": nil},
		`{"timeout":29}`:                {"timeout": 29.0},
		`{"timeout":null}`:              {"timeout": 30.0},
		`{"retry_policy":"default"}`:    {"retry_policy": "default"},
		`{"retry_policy":null}`:         {"retry_policy": nil},
		`{"description":"e"}`:           {"description": "e"},
		`{"description":null}`:          {"description": ""},
		`{"metadata":{"x":"y"}}`:        {"metadata": map[string]any{"x": "y"}},
		`{"metadata":null}`:             {"metadata": map[string]any{}},
		`{"metadata":{},"timeout":2}`:   {"metadata": map[string]any{}, "timeout": 2.0},
	} {
		w := newWorld()
		id := w.register(t, full)
		before := requireJSON(t, w.do("GET", "/api/v1/webhooks/"+id, ""), http.StatusOK)
		w.sleep(1500 * time.Millisecond)
		after := requireJSON(t, w.do("PATCH", "/api/v1/webhooks/"+id, body), http.StatusOK)
		if len(want) > 0 {
			want["updated_at"] = "2026-03-04T05:06:09.391Z"
		}
		for k, v := range want {
			before[k] = v
		}
		require.Equal(t, before, after, body)
		require.Equal(t, after, requireJSON(t, w.do("GET", "/api/v1/webhooks/"+id, ""), http.StatusOK), body)
		require.Equal(t, sealedFor(DefaultTenant, id, "test-secret"), w.eps[id].Secrets[0].Sealed)
	}
}

func TestChangeRefusesBadInput(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ body, code, field string }{
		"id":         {`{"id":"x"}`, "read_only_field", "id"},
		"status":     {`{"timeout":3,"status":"paused"}`, "read_only_field", "status"},
		"secret":     {`{"secret":"another-secret"}`, "read_only_field", "secret"},
		"created_at": {`{"created_at":"2026-01-01T00:00:00Z"}`, "read_only_field", "created_at"},
		"not JSON":   {`{`, "invalid_json", ""},
		"array":      {`[]`, "wrong_type", ""},
	}
	for name, c := range fieldCases() {
		cases[name] = struct{ body, code, field string }{`{"description":"changed",` + c.body + `}`, c.code, c.field}
		if c.field == "description" {
			cases[name] = struct{ body, code, field string }{`{"timeout":7,` + c.body + `}`, c.code, c.field}
		}
	}
	for name, c := range requiredCases() {
		cases[name] = struct{ body, code, field string }{`{"url":` + c.url + `,"events":` + c.events + `}`, c.code, c.field}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			id := w.register(t, anyEndpoint)
			w.calls = map[string]int{}
			requireProblem(t, w.do("PATCH", "/api/v1/webhooks/"+id, c.body), 400, c.code, c.field)
			w.requireUntouched(t)
		})
	}
}

func TestEndpointThatIsNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld()
	theirs := w.register(t, anyEndpoint, "X-Tenant", "other")
	w.calls = map[string]int{}
	for _, id := range []string{
		theirs, testID(hook.EndpointPrefix, start, 99), testID(hook.EventPrefix, start, 1), "ep_", "x", "ep_1", "%2e%2e", "ep_%00", "a%2Fb",
		strings.ToLower(theirs), theirs + "0", strings.Repeat("e", 5000),
	} {
		requireProblem(t, w.do("GET", "/api/v1/webhooks/"+id, ""), 404, "not_found", "")
		requireProblem(t, w.do("PATCH", "/api/v1/webhooks/"+id, `{"timeout":3}`), 404, "not_found", "")
		requireProblem(t, w.do("PATCH", "/api/v1/webhooks/"+id, `{}`), 404, "not_found", "")
		requireProblem(t, w.do("DELETE", "/api/v1/webhooks/"+id, ""), 404, "not_found", "")
	}
	w.requireUntouched(t)
}

func TestDeleteEndpoint(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, anyEndpoint)
	rec := w.do("DELETE", "/api/v1/webhooks/"+id, "")
	require.Equal(t, http.StatusNoContent, rec.Code)
	require.Empty(t, rec.Body.Bytes())
	requireProblem(t, w.do("DELETE", "/api/v1/webhooks/"+id, ""), 404, "not_found", "")
}

func TestListEndpointsInPages(t *testing.T) {
	t.Parallel()
	w := newWorld()
	var want []string
	for range 7 {
		want = append([]string{w.register(t, anyEndpoint)}, want...)
	}
	w.register(t, anyEndpoint, "X-Tenant", "other")
	ids, pages := w.pages(t, "/api/v1/webhooks?limit=3")
	require.Equal(t, want, ids)
	require.Equal(t, 3, pages)
	ids, pages = w.pages(t, "/api/v1/webhooks?limit=7")
	require.Equal(t, want, ids)
	require.Equal(t, 1, pages)
	require.NotContains(t, w.do("GET", "/api/v1/webhooks", "").Body.String(), "secret")
}

func TestLongListOfEndpointsStaysUnderFourMegabytes(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for n := range 200 {
		id := testID(hook.EndpointPrefix, start, n)
		w.eps[id] = &hook.Endpoint{ID: id, Tenant: DefaultTenant, Description: strings.Repeat("\u0001", 8000), URL: "https://example.com", Filters: []string{"*"}, Status: hook.EndpointActive, CreatedAt: start, UpdatedAt: start}
	}
	rec := w.do("GET", "/api/v1/webhooks?limit=200", "")
	require.LessOrEqual(t, rec.Body.Len(), maxAnswer)
	items, cursor := requireData(t, rec)
	require.Greater(t, len(items), 50)
	require.NotEmpty(t, cursor)
	ids, _ := w.pages(t, "/api/v1/webhooks?limit=200")
	require.Len(t, ids, 200)
}

func TestFaultsOfEndpointWrites(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{failed, lost} {
		w := newWorld()
		w.faults["create"] = f
		requireProblem(t, w.do("POST", "/api/v1/webhooks", anyEndpoint), 503, "unavailable", "")
		require.Len(t, w.eps, int(f-failed), "stored only when the answer alone was lost")

		id := w.register(t, anyEndpoint)
		w.faults["update"] = f
		requireProblem(t, w.do("PATCH", "/api/v1/webhooks/"+id, `{"timeout":3}`), 503, "unavailable", "")
		require.Equal(t, 3.0, requireJSON(t, w.do("PATCH", "/api/v1/webhooks/"+id, `{"timeout":3}`), http.StatusOK)["timeout"])

		w.faults["delete"] = f
		requireProblem(t, w.do("DELETE", "/api/v1/webhooks/"+id, ""), 503, "unavailable", "")
		again := w.do("DELETE", "/api/v1/webhooks/"+id, "")
		require.Contains(t, []int{http.StatusNoContent, http.StatusNotFound}, again.Code)
		require.NotContains(t, w.eps, id)

		w.faults["secret"] = failed
		requireProblem(t, w.do("POST", "/api/v1/webhooks", anyEndpoint), 503, "unavailable", "")
	}
}

func TestAFilterThatIsRepeatedIsKeptOnce(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, `{"url":"https://example.com/hook","events":["b","a","b","a.*","a"]}`)
	require.Equal(t, []string{"b", "a", "a.*"}, w.eps[id].Filters)
}

// A filter that begins as Posthorn's own events do has to name some of them.
func TestAFilterOfOwnEventsNamesOneThatThereIs(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for _, f := range []string{"posthorn.dlq.growing", "posthorn.endpoint.*", "posthorn.*", "posthorn.test", "posthorn", "posthornish.x"} {
		w.register(t, `{"url":"https://example.com/hook","events":["`+f+`"]}`)
	}
	for _, f := range []string{"posthorn.nosuch", "posthorn.nosuch.*", "posthorn.endpoint", "posthorn.endpoint.disable"} {
		body := `{"url":"https://example.com/hook","events":["*","` + f + `"]}`
		p := requireProblem(t, w.do("POST", "/api/v1/webhooks", body), 400, "invalid_filter", "events[1]")
		require.Contains(t, p["detail"], "posthorn.delivery.dead")
	}
}

func TestAnEndpointSaysUntilWhenItIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id, other := w.register(t, anyEndpoint), w.register(t, anyEndpoint)
	path := "/api/v1/webhooks/" + id
	const until, passed = "2026-03-04T05:06:37.891Z", "2026-03-04T05:06:06.891Z"
	requireShown := func(expected any, why string) {
		t.Helper()
		require.Equal(t, expected, requireJSON(t, w.do("GET", path, ""), http.StatusOK)["left_alone_until"], why)
		items, _ := requireData(t, w.do("GET", "/api/v1/webhooks", ""))
		require.Equal(t, other, items[0]["id"])
		require.Nil(t, items[0]["left_alone_until"], "another's breaker")
		require.Equal(t, expected, items[1]["left_alone_until"], why)
	}
	requireShown(nil, "nothing was delivered yet")
	w.states[id] = hook.EndpointState{WindowAttempts: 9, WindowFailures: 9, NextSlot: start.Add(time.Hour)}
	requireShown(nil, "the breaker is closed")
	w.states[id] = hook.EndpointState{OpenUntil: start.Add(30 * time.Second)}
	requireShown(until, "it is open")
	w.states[id] = hook.EndpointState{OpenUntil: start.Add(-time.Second)}
	requireShown(passed, "no probe has succeeded yet")

	w.states[id] = hook.EndpointState{OpenUntil: start.Add(30 * time.Second)}
	for _, change := range []struct{ method, path, body string }{{"PATCH", path, `{"timeout":10}`}, {"PATCH", path, `{}`}, {"POST", path + "/rotate-secret", ""}} {
		v := requireJSON(t, w.do(change.method, change.path, change.body), http.StatusOK)
		require.Equal(t, until, v["left_alone_until"], "%v", change)
	}
	require.Nil(t, requireJSON(t, w.do("PATCH", path, `{"url":"https://example.com/mended"}`), http.StatusOK)["left_alone_until"])
	requireShown(nil, "it was mended since")
	w.states[id] = hook.EndpointState{OpenUntil: start.Add(30 * time.Second), Epoch: 1}
	requireShown(until, "it is open again")
	require.Nil(t, requireJSON(t, w.do("POST", path+"/pause", ""), http.StatusOK)["left_alone_until"])
	requireShown(nil, "it is paused")
	requireProblem(t, w.do("PATCH", path, `{"left_alone_until":null}`), 400, "read_only_field", "left_alone_until")
}

func TestTheStatesOfAPageOfEndpointsAreReadTogether(t *testing.T) {
	t.Parallel()
	w := newWorld()
	requireData(t, w.do("GET", "/api/v1/webhooks", ""))
	require.Zero(t, w.calls["states"], "there is nothing to read")
	for range 2 * encodeSize {
		w.register(t, anyEndpoint)
	}
	requireData(t, w.do("GET", "/api/v1/webhooks", ""))
	require.Equal(t, 1, w.calls["states"])
	require.Zero(t, w.calls["state"])
}

// What is not known of an endpoint's breaker is not shown as if it were closed,
// and a change that would not be answered is not made.
func TestAnEndpointWhoseStateCannotBeRead(t *testing.T) {
	t.Parallel()
	w := newWorld()
	id := w.register(t, anyEndpoint)
	path, before := "/api/v1/webhooks/"+id, *w.eps[id]
	for _, r := range []struct{ op, method, path, body string }{
		{"state", "GET", path, ""},
		{"states", "GET", "/api/v1/webhooks", ""},
		{"state", "PATCH", path, `{"timeout":10}`},
		{"state", "POST", path + "/rotate-secret", ""},
	} {
		w.faults[r.op] = failed
		requireProblem(t, w.do(r.method, r.path, r.body), 503, "unavailable", "")
		require.Equal(t, before, *w.eps[id], "%v", r)
	}
}
