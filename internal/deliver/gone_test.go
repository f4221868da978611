package deliver_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"posthorn/internal/deliver/post"
	"posthorn/internal/deliver/retry"
	"posthorn/internal/hook"
)

var says410 = post.Result{StatusCode: http.StatusGone, Outcome: hook.OutcomeHTTPError, Reason: retry.Reason(http.StatusGone)}

func TestGoneDisablesTheEndpointAndEndsTheDelivery(t *testing.T) {
	for name, c := range map[string]struct {
		call     string
		f        fault
		disabled bool
	}{
		"":                           {"disable", 0, true},
		"telling fails":              {"notify", fails, false},
		"disabling fails":            {"disable", fails, false},
		"disabling's answer is lost": {"disable", answerLost, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, says410)
				w.fault(c.call, 0, c.f)
				require.False(t, w.deliver(w.message(), "m", 1))
				require.Equal(t, hook.Dead, w.row().Status)
				require.Equal(t, "HTTP 410: Gone", w.row().FailureReason)
				require.Len(t, w.dead, 1, "it gets its entry")
				require.Equal(t, c.disabled, w.endpoint.Status == hook.EndpointDisabled)

				// What was not done is done by the next 410, and told once: a notice of
				// the same key is the same.
				again := *w.message()
				again.Gen = 1
				require.False(t, w.deliver(&again, "n", 1))
				require.Equal(t, hook.EndpointDisabled, w.endpoint.Status)
				require.NotEmpty(t, w.notices)
				for _, n := range w.notices {
					require.Equal(t, w.notices[0].Key, n.Key)
				}
			})
		})
	}
}

// The endpoint is disabled whatever became of the record, by this answer or by
// another's: the delivery ends dead all the same, and is not held.
func TestADeliveryWhoseEndpointIsGoneEndsDeadAlsoWhereThatWasNotRecordedAtOnce(t *testing.T) {
	for name, disabledAlready := range map[string]bool{"disabled by this answer": false, "disabled by another's": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, says410)
				for n := range 5 {
					w.fault("save", n, fails)
				}
				if disabledAlready {
					w.onCall = map[string]func(){"post": func() {
						e := *w.endpoint
						e.Rev++
						e.SetStatus(hook.EndpointDisabled, "HTTP 410: Gone")
						w.endpoint = &e
					}}
				}
				require.False(t, w.deliver(w.message(), "m", 1))
				require.Nil(t, w.row())
				require.Equal(t, hook.EndpointDisabled, w.endpoint.Status)
				require.Len(t, w.copies, 1)

				time.Sleep(w.copies[0].Delay)
				require.False(t, w.deliver(w.copies[0].Message, "c", 1))
				require.Equal(t, hook.Dead, w.row().Status)
				require.Equal(t, "HTTP 410: Gone", w.row().FailureReason)
				require.Len(t, w.dead, 1, "it gets its entry")
				require.Len(t, w.posts, 1)
			})
		})
	}
}

// Where neither the record nor the copy went through, the endpoint stays as it
// is: the delivery would be held at one that is disabled.
func TestAnEndpointIsNotDisabledBeforeTheDeathIsSafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, says410)
		for n := range 5 {
			w.fault("save", n, fails)
		}
		w.fault("send", 0, fails)
		require.True(t, w.deliver(w.message(), "m", 1))
		require.Equal(t, hook.EndpointActive, w.endpoint.Status)
		require.False(t, w.deliver(w.message(), "m", 2))
		require.Equal(t, hook.Dead, w.row().Status)
		require.Equal(t, hook.EndpointDisabled, w.endpoint.Status)
	})
}

// The answer is of an endpoint that its owner has changed while it was under
// way: to another URL, or by resuming it.
func TestALateAnswerDoesNotDisableAnEndpointThatWasMended(t *testing.T) {
	for name, mend := range map[string]func(e *hook.Endpoint){
		"another URL": func(e *hook.Endpoint) { e.URL = "https://example.com/mended" },
		"resumed": func(e *hook.Endpoint) {
			e.SetStatus(hook.EndpointPaused, "")
			e.SetStatus(hook.EndpointActive, "")
		},
	} {
		for when, op := range map[string]string{"while it is posted to": "post", "while it is told of": "notify"} {
			t.Run(name+"/"+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, says410)
					w.onCall = map[string]func(){op: func() {
						e := *w.endpoint
						mend(&e)
						e.Rev++
						w.endpoint = &e
					}}
					require.False(t, w.deliver(w.message(), "m", 1))
					require.Equal(t, hook.Dead, w.row().Status)
					require.Equal(t, hook.EndpointActive, w.endpoint.Status)
					if op == "post" {
						require.Empty(t, w.notices, "there is nothing to tell of")
					}
				})
			})
		}
	}
}
