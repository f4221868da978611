package verify_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"posthorn/internal/hook"
	"posthorn/internal/sign"
	"posthorn/verify"
)

// delivery is a request as Posthorn makes it.
func delivery(secret string) *http.Request {
	r := httptest.NewRequest("POST", "/hook", strings.NewReader(body))
	sign.Headers(r.Header, []hook.Secret{{Value: secret}}, id, time.Now(), []byte(body))
	return r
}

// A handler that takes what is signed, and refuses all else.
func ExampleRequest() {
	handler := func(w http.ResponseWriter, r *http.Request) {
		event, err := verify.Request(r, secret)
		if err != nil {
			http.Error(w, err.Error(), verify.Status(err))
			return
		}
		fmt.Printf("%s: %s\n", event.Type, event.Data)
		w.WriteHeader(http.StatusNoContent)
	}

	answer := httptest.NewRecorder()
	handler(answer, delivery(secret))
	fmt.Println(answer.Code)

	answer = httptest.NewRecorder()
	handler(answer, httptest.NewRequest("POST", "/hook", strings.NewReader(body)))
	fmt.Println(answer.Code, answer.Body)
	// Output:
	// order.created: {"order": 1001}
	// 204
	// 401 the request is not signed: neither Webhook-Signature nor X-Webhook-Signature is there
}

// While a secret is rotated, both are given: a delivery that is signed with either
// is taken.
func ExampleRequest_rotation() {
	for _, signedWith := range []string{"the-old-secret", "the-new-secret", "another-one"} {
		_, err := verify.Request(delivery(signedWith), "the-new-secret", "the-old-secret")
		fmt.Println(err)
	}
	// Output:
	// <nil>
	// <nil>
	// the signature does not hold
}

// A receiver with a clock that is off by more.
func ExampleVerifier() {
	v := verify.Verifier{
		Secrets:   []string{secret},
		Tolerance: 10 * time.Minute,
		MaxBody:   300_000,
		Now:       func() time.Time { return time.Now().Add(11 * time.Minute) },
	}
	_, err := v.Request(delivery(secret))
	fmt.Println(errors.Is(err, verify.ErrTimestamp), err)
	// Output:
	// true the timestamp is outside the tolerance: Webhook-Timestamp is more than 10m0s from now
}
