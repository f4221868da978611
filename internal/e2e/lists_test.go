package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every list, read page by page, holds everything once and in its order.
func TestListsPageByPage(t *testing.T) {
	t.Parallel()
	everywhere(t, func(t *testing.T, s *system) {
		s.receiver.answer(http.StatusBadRequest)
		var endpoints, events, deliveries []string
		for range 5 {
			endpoints = append(endpoints, s.register(map[string]any{"secret": secret, "max_retries": 0}))
		}
		for n := range 7 {
			event, made := s.emit(fmt.Sprintf("list.test%d", n%2), map[string]any{"n": n})
			events, deliveries = append(events, event), append(deliveries, made...)
		}
		for _, d := range deliveries {
			s.until(d, "dead")
		}
		s.eventually("the dead letters", func() bool { return s.peek("/api/v1/stats")["dlq"].(map[string]any)["entries"] == 35.0 })

		require.Equal(t, reversed(endpoints), s.ids("/api/v1/webhooks", "id"))
		require.Equal(t, reversed(events), s.ids("/api/v1/events", "id"))
		require.Len(t, s.ids("/api/v1/events?event_type=list.test1", "id"), 3)
		require.Equal(t, reversed(events), s.ids("/api/v1/deliveries?endpoint_id="+endpoints[2], "event_id"))
		require.Equal(t, reversed(events), s.ids("/api/v1/deliveries?status=dead&endpoint_id="+endpoints[2], "event_id"))
		require.Empty(t, s.ids("/api/v1/deliveries?status=retrying&endpoint_id="+endpoints[2], "event_id"))
		require.Equal(t, reversed(endpoints), s.ids("/api/v1/deliveries?event_id="+events[3], "endpoint_id"))
		require.ElementsMatch(t, deliveries, s.ids("/api/v1/dlq", "delivery_id"))
		require.Len(t, s.ids("/api/v1/dlq?event_type=list.test1&endpoint_id="+endpoints[0], "id"), 3)
	})
}

// ids reads a list two at a time.
func (s *system) ids(path, field string) []string {
	s.t.Helper()
	return s.pages(path, field, 2)
}

// pages reads a list so many at a time.
func (s *system) pages(path, field string, limit int) []string {
	s.t.Helper()
	u, err := url.Parse(path)
	require.NoError(s.t, err)
	query := u.Query()
	query.Set("limit", strconv.Itoa(limit))
	ids := []string{}
	for pages := 0; ; pages++ {
		require.Less(s.t, pages, 100, "the list does not end")
		u.RawQuery = query.Encode()
		a := s.call("GET", u.String(), nil)
		require.Equal(s.t, http.StatusOK, a.status, a.body)
		data := a.body["data"].([]any)
		require.LessOrEqual(s.t, len(data), limit)
		for _, d := range data {
			ids = append(ids, d.(map[string]any)[field].(string))
		}
		if a.body["next_cursor"] == nil {
			return ids
		}
		query.Set("cursor", a.body["next_cursor"].(string))
	}
}

func reversed(ids []string) []string {
	r := make([]string, len(ids))
	for i, id := range ids {
		r[len(ids)-1-i] = id
	}
	return r
}
