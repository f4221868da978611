package retry

import (
	"net/http"
	"strconv"

	"posthorn/internal/hook"
)

// Succeeded says whether an endpoint that answered with this status took the
// delivery: 2xx did. Everything else failed and is tried again as the policy
// says; redirects (3xx) are never followed. Standard Webhooks asks for the
// same.
func Succeeded(status int) bool { return status >= 200 && status <= 299 }

// Outcome sorts an answer's status for the metrics.
func Outcome(status int) hook.Outcome {
	if Succeeded(status) {
		return hook.OutcomeSuccess
	}
	return hook.OutcomeHTTPError
}

// Reason writes a status for people: "HTTP 503: Service Unavailable", or
// "HTTP 599" where the status has no registered text. It is empty for a
// success.
func Reason(status int) string {
	if Succeeded(status) {
		return ""
	}
	reason := "HTTP " + strconv.Itoa(status)
	if text := http.StatusText(status); text != "" {
		reason += ": " + text
	}
	return reason
}
