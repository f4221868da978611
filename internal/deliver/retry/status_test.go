package retry

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

// TestWhatEveryStatusMeans is the table of Standard Webhooks, for every status
// there can be.
func TestWhatEveryStatusMeans(t *testing.T) {
	t.Parallel()
	for status := range 1000 {
		want := Failed
		switch {
		case status >= 200 && status <= 299:
			want = Taken
		case status == 410:
			want = Gone
		case status == 429, status == 503:
			want = Busy
		}
		require.Equal(t, want, MeaningOf(status), status)
		if want == Taken {
			require.Equal(t, hook.OutcomeSuccess, Outcome(status), status)
			require.Empty(t, Reason(status), status)
			continue
		}
		require.Equal(t, hook.OutcomeHTTPError, Outcome(status), status)
		reason := fmt.Sprintf("HTTP %d", status)
		if text := http.StatusText(status); text != "" {
			reason += ": " + text
		}
		require.Equal(t, reason, Reason(status))
	}
}

func TestReasonsAsTheyRead(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]string{
		503: "HTTP 503: Service Unavailable",
		404: "HTTP 404: Not Found",
		302: "HTTP 302: Found",
		410: "HTTP 410: Gone",
		429: "HTTP 429: Too Many Requests",
		599: "HTTP 599",
		200: "",
		204: "",
	} {
		require.Equal(t, want, Reason(status))
	}
}

func TestRetryAfterIsReadAsSecondsOrAsADate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for field, want := range map[string]time.Duration{
		"0":                               0,
		"120":                             2 * time.Minute,
		" 7 ":                             7 * time.Second,
		"Tue, 24 Nov 2026 12:00:30 GMT":   30 * time.Second,
		"Tuesday, 24-Nov-26 12:01:00 GMT": time.Minute,
		"Tue Nov 24 12:02:00 2026":        2 * time.Minute,
		"Tue, 24 Nov 2026 11:00:00 GMT":   0,
		"99999999999999999999":            time.Duration(1<<63-1) / time.Second * time.Second,
		"9223372036854775807":             time.Duration(1<<63-1) / time.Second * time.Second,
	} {
		got, ok := ParseRetryAfter(field, now)
		require.True(t, ok, field)
		require.Equal(t, want, got, field)
	}
	for _, field := range []string{"", " ", "soon", "-1", "1.5", "1s", "+3", "2026-11-24T12:00:00Z", "Tue, 24 Nov 2026"} {
		_, ok := ParseRetryAfter(field, now)
		require.False(t, ok, field)
	}
}

func TestRetryAfterIsHonouredWithinBounds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	short, long := Policy{MaxDelay: time.Minute}, Policy{MaxDelay: 8 * time.Hour}
	for _, c := range []struct {
		policy Policy
		delay  time.Duration
		field  string
		want   time.Duration
	}{
		{short, 4 * time.Second, "", 4 * time.Second},
		{short, 4 * time.Second, "nonsense", 4 * time.Second},
		{short, 4 * time.Second, "30", 30 * time.Second},
		{short, 40 * time.Second, "30", 40 * time.Second},
		{short, 4 * time.Second, "7200", time.Hour},
		{long, 4 * time.Second, "7200", 2 * time.Hour},
		{long, 4 * time.Second, "86400", 8 * time.Hour},
		{short, 4 * time.Second, "Tue, 24 Nov 2026 12:00:10 GMT", 10 * time.Second},
	} {
		require.Equal(t, c.want, After(c.policy, c.delay, c.field, now), "%+v", c)
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "Tue, 24 Nov 2026 12:00:30 GMT", "", "-1", "99999999999999999999"} {
		f.Add(s)
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, field string) {
		wait, ok := ParseRetryAfter(field, now)
		require.GreaterOrEqual(t, wait, time.Duration(0))
		if n, err := strconv.ParseUint(field, 10, 32); err == nil {
			require.True(t, ok)
			require.Equal(t, time.Duration(n)*time.Second, wait)
		}
	})
}
