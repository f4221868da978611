package faultwire_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"posthorn/internal/faultwire"
)

// A process of its own sees the very faults that a client in the test sees, and
// the service takes a call when it was applied and its answer was lost, or late.
func TestAHandlerMakesCallsOfOtherProcessesFail(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		mode   faultwire.Mode
		faulty bool
		taken  bool   // by the service
		status int    // 0: no answer
		body   string // a part of the answer
	}{
		{"as ever", 0, false, true, http.StatusOK, "took it"},
		{"failed", faultwire.FailBefore, true, false, http.StatusInternalServerError, "InternalServerError"},
		{"throttled", faultwire.Throttle, true, false, http.StatusBadRequest, "ThrottlingException"},
		{"applied, answer lost", faultwire.LoseAnswer, true, true, 0, ""},
		{"hung", faultwire.AnswerLate, true, true, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			took := make(chan string, 1)
			service := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				took <- string(body)
				if _, err := io.WriteString(w, "took it"); err != nil {
					t.Error(err)
				}
			})
			asked, handled := make(chan string, 1), make(chan struct{})
			faulty := faultwire.Handler(service, func(operation, call string) (faultwire.Mode, bool) {
				asked <- operation + " " + call
				return c.mode, c.faulty
			})
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(handled)
				faulty.ServeHTTP(w, r)
			}))
			defer server.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, strings.NewReader("a call"))
			require.NoError(t, err)
			req.Header.Set("X-Amz-Target", "DynamoDB_20120810.PutItem")
			req.Header.Set("Amz-Sdk-Invocation-Id", "one")
			go func() {
				if got := <-asked; got != "PutItem one" {
					t.Errorf("asked of %q", got)
				}
				if c.mode == faultwire.AnswerLate {
					cancel() // the caller gives up
				}
			}()
			answer, err := server.Client().Do(req)
			if c.status == 0 {
				require.Error(t, err)
			} else {
				require.NoError(t, err)
				require.Equal(t, c.status, answer.StatusCode)
				body, err := io.ReadAll(answer.Body)
				require.NoError(t, err)
				require.NoError(t, answer.Body.Close())
				require.Contains(t, string(body), c.body)
			}
			<-handled
			if !c.taken {
				require.Empty(t, took)
				return
			}
			require.Equal(t, "a call", <-took)
		})
	}
}
