package faultwire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
)

// Handler returns a service whose calls fail as how says, for callers in
// processes of their own. how is asked once for each call, and told the name of
// the SDK's call, which its retries share; ok is false for one that is to be
// answered as ever.
func Handler(service http.Handler, how func(operation, call string) (m Mode, ok bool)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		mode, faulty := how(operation, r.Header.Get(callHeader))
		if !faulty {
			service.ServeHTTP(w, r)
			return
		}
		// Read at once: a server sees that a caller has left when it has read all
		// that came, and nothing can be read from one that has.
		body, err := readBody(r)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		switch mode {
		case LoseAnswer:
			service.ServeHTTP(unheard{http.Header{}}, r)
			panic(http.ErrAbortHandler) // the server breaks the connection
		case AnswerLate:
			<-r.Context().Done()
			late := r.WithContext(context.WithoutCancel(r.Context()))
			late.Body = io.NopCloser(bytes.NewReader(body))
			service.ServeHTTP(unheard{http.Header{}}, late)
		case Throttle:
			pass(w, refusal(r, http.StatusBadRequest, "ThrottlingException"))
		default:
			pass(w, refusal(r, http.StatusInternalServerError, "InternalServerError"))
		}
	})
}

// pass writes an answer.
func pass(w http.ResponseWriter, answer *http.Response) {
	for name, values := range answer.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.StatusCode)
	_, err := io.Copy(w, answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		panic(http.ErrAbortHandler)
	}
}

// unheard is where an answer goes that nobody gets.
type unheard struct{ header http.Header }

// Header implements http.ResponseWriter.
func (u unheard) Header() http.Header { return u.header }

// WriteHeader implements http.ResponseWriter.
func (u unheard) WriteHeader(int) {}

// Write implements http.ResponseWriter.
func (u unheard) Write(b []byte) (int, error) { return len(b), nil }
