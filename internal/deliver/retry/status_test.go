package retry

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/hook"
)

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	for status := range 1000 {
		delivered := status/100 == 2
		require.Equal(t, delivered, Succeeded(status), status)
		if delivered {
			require.Equal(t, hook.OutcomeSuccess, Outcome(status), status)
			require.Empty(t, Reason(status), status)
			continue
		}
		require.Equal(t, hook.OutcomeHTTPError, Outcome(status), status)
		want := fmt.Sprintf("HTTP %d", status)
		if text := http.StatusText(status); text != "" {
			want += ": " + text
		}
		require.Equal(t, want, Reason(status))
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
