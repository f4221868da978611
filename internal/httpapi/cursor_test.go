package httpapi

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestListsRefuseBadParameters(t *testing.T) {
	t.Parallel()
	w := newWorld()
	endpoint := testID(hook.EndpointPrefix, start, 1)
	for _, c := range []struct{ path, query, code, field string }{
		{"webhooks", "limit=0", "invalid_limit", "limit"},
		{"webhooks", "limit=201", "invalid_limit", "limit"},
		{"webhooks", "limit=-1", "invalid_limit", "limit"},
		{"webhooks", "limit=ten", "invalid_limit", "limit"},
		{"webhooks", "limit=1.0", "invalid_limit", "limit"},
		{"webhooks", "limit=99999999999999999999", "invalid_limit", "limit"},
		{"webhooks", "limit=", "empty_parameter", "limit"},
		{"webhooks", "limit=1&limit=2", "duplicate_parameter", "limit"},
		{"webhooks", "status=active", "unknown_parameter", "status"},
		{"webhooks", "cursor=!", "invalid_cursor", "cursor"},
		{"webhooks", "a=%zz", "invalid_query", ""},
		{"webhooks", "a;b", "invalid_query", ""},
		{"events", "type=a", "unknown_parameter", "type"},
		{"events", "event_type=a+b", "invalid_event_type", "event_type"},
		{"events", "event_type=a.*", "invalid_event_type", "event_type"},
		{"events", "event_type=", "empty_parameter", "event_type"},
		{"events", "since=yesterday", "invalid_time", "since"},
		{"events", "since=2026-03-04", "invalid_time", "since"},
		{"events", "since=2026-03-04T05:06:07+02:00", "invalid_time", "since"}, // the + is a space
		{"events", "until=1772600767", "invalid_time", "until"},
		{"events", "since=2026-03-04T05:06:08Z&until=2026-03-04T05:06:07Z", "invalid_time", "until"},
		{"event-types", "limit=5", "unknown_parameter", "limit"},
		{"deliveries", "status=dead&endpont_id=" + endpoint, "unknown_parameter", "endpont_id"},
		{"deliveries", "status=failed&endpoint_id=" + endpoint, "invalid_status", "status"},
		{"deliveries", "since=x&endpoint_id=" + endpoint, "invalid_time", "since"},
		{"deliveries", "event_type=%20&endpoint_id=" + endpoint, "invalid_event_type", "event_type"},
		{"dlq", "failure_reason=x", "unknown_parameter", "failure_reason"},
		{"dlq", "event_type=%C3%A9", "invalid_event_type", "event_type"},
		{"dlq", "until=x", "invalid_time", "until"},
	} {
		requireProblem(t, w.do("GET", "/api/v1/"+c.path+"?"+c.query, ""), 400, c.code, c.field)
	}
	for _, query := range []string{"deliveries?endpoint_id=x", "deliveries?endpoint_id=" + testID(hook.EventPrefix, start, 1), "dlq?endpoint_id=x"} {
		requireProblem(t, w.do("GET", "/api/v1/"+query, ""), 404, "not_found", "endpoint_id")
	}
	requireProblem(t, w.do("GET", "/api/v1/deliveries?event_id=x", ""), 404, "not_found", "event_id")
	require.Empty(t, w.calls, "nothing was read")
}

func TestCursorBelongsToItsQuery(t *testing.T) {
	t.Parallel()
	w := newWorld()
	for range 3 {
		w.register(t, anyEndpoint)
		w.post(t, `{"event_type":"a","payload":{}}`)
	}
	_, cursor := requireData(t, w.do("GET", "/api/v1/events?limit=1&event_type=a&since=2026-01-01T00:00:00Z", ""))
	require.NotEmpty(t, cursor)
	require.Equal(t, url.QueryEscape(cursor), cursor, "it needs no escapes")

	// The same query, written in another order, with pages of another size.
	items, _ := requireData(t, w.do("GET", "/api/v1/events?cursor="+cursor+"&since=2026-01-01T00:00:00Z&limit=7&event_type=a", ""))
	require.Len(t, items, 2)

	for _, other := range []string{
		"/api/v1/events?cursor=", "/api/v1/events?event_type=a&cursor=", "/api/v1/events?event_type=b&since=2026-01-01T00:00:00Z&cursor=",
		"/api/v1/events?event_type=a&since=2026-01-01T00:00:01Z&cursor=", "/api/v1/webhooks?cursor=", "/api/v1/dlq?event_type=a&since=2026-01-01T00:00:00Z&cursor=",
	} {
		requireProblem(t, w.do("GET", other+cursor, ""), 400, "invalid_cursor", "cursor")
	}
	same := "/api/v1/events?event_type=a&since=2026-01-01T00:00:00Z&cursor="
	requireProblem(t, w.do("GET", same+cursor, "", "X-Tenant", "other"), 400, "invalid_cursor", "cursor")
	for _, bad := range []string{cursor[:5], cursor + "=", cursor + "*", cursor[:len(cursor)-4], "x" + cursor[1:], strings.Repeat("A", 300), cursor[:8] + "%0A" + cursor[8:]} {
		requireProblem(t, w.do("GET", same+bad, ""), 400, "invalid_cursor", "cursor")
	}
}

func TestCursorHoldsNothingButAnID(t *testing.T) {
	t.Parallel()
	binding := [8]byte{1, 2, 3}
	id := testID(hook.EventPrefix, start, 1)
	after, err := decodeCursor(binding, hook.EventPrefix, encodeCursor(binding, id))
	require.NoError(t, err)
	require.Equal(t, id, after)
	for _, after := range []string{"", "evt_", "evt_1", testID(hook.EndpointPrefix, start, 1), id + "0", id[:len(id)-1] + "#", id[:len(id)-1] + "\x00", strings.ToLower(id)} {
		_, err := decodeCursor(binding, hook.EventPrefix, encodeCursor(binding, after))
		require.Error(t, err, "%q", after)
	}
	_, err = decodeCursor(binding, hook.EndpointPrefix, encodeCursor(binding, id))
	require.Error(t, err)
	_, err = decodeCursor(binding, hook.EventPrefix, encodeCursor([8]byte{}, id))
	require.Error(t, err)
	valid, err := base64.RawURLEncoding.DecodeString(encodeCursor(binding, id))
	require.NoError(t, err)
	valid[0]++
	_, err = decodeCursor(binding, hook.EventPrefix, base64.RawURLEncoding.EncodeToString(valid))
	require.Error(t, err, "another version")
}

func FuzzCursor(f *testing.F) {
	binding := bind("default", "/api/v1/events", url.Values{"event_type": {"a"}})
	f.Add(encodeCursor(binding, testID(hook.EventPrefix, time.UnixMilli(0), 1)))
	f.Add(encodeCursor([8]byte{}, "evt_1"))
	f.Add("")
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, cursor string) {
		after, err := decodeCursor(binding, hook.EventPrefix, cursor)
		if err != nil {
			k, field, _ := kindOf(err)
			require.Equal(t, http.StatusBadRequest, k.status)
			require.Equal(t, "cursor", field)
			return
		}
		require.Equal(t, cursor, encodeCursor(binding, after), "one cursor, one spelling")
	})
}
