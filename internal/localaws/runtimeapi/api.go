package runtimeapi

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// expect makes inv the invocation that the runtime may answer; nil: none. It
// reports whether the process may still be alive: one that was killed a moment
// ago can look like one that waits.
func (e *environment) expect(inv *invocation) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.killed {
		e.current = nil
		return false
	}
	e.current = inv
	return true
}

// claim returns the invocation of this id once.
func (e *environment) claim(id string) *invocation {
	e.mu.Lock()
	defer e.mu.Unlock()
	inv := e.current
	if inv == nil || inv.id != id {
		return nil
	}
	e.current = nil
	return inv
}

// handler is the Runtime API, version 2018-06-01.
func (e *environment) handler() http.Handler {
	mux := http.NewServeMux()
	const base = "/2018-06-01/runtime/"
	mux.HandleFunc("GET "+base+"invocation/next", e.handleNext)
	mux.HandleFunc("POST "+base+"invocation/{id}/response", func(w http.ResponseWriter, r *http.Request) { e.handleAnswer(w, r, false) })
	mux.HandleFunc("POST "+base+"invocation/{id}/error", func(w http.ResponseWriter, r *http.Request) { e.handleAnswer(w, r, true) })
	mux.HandleFunc("POST "+base+"init/error", e.handleInitError)
	return mux
}

func (e *environment) handleNext(w http.ResponseWriter, r *http.Request) {
	select {
	case e.asked <- struct{}{}:
	default: // it asked before, and was not heard yet
	}
	select {
	case inv := <-e.next:
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(inv.payload)))
		h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+e.f.o.Region+":000000000000:function:"+e.f.o.Name)
		h.Set("Lambda-Runtime-Trace-Id", inv.trace)
		if _, err := w.Write(inv.payload); err != nil {
			e.note("hand over the invocation "+inv.id, err)
		}
	case <-r.Context().Done():
	case <-e.over:
	}
}

// handleAnswer takes an answer or an error of the invocation under way.
func (e *environment) handleAnswer(w http.ResponseWriter, r *http.Request, failed bool) {
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxAnswer+1))
	if err != nil {
		// The process is dying, or it may post again: nothing was answered.
		e.reply(w, http.StatusBadRequest, `{"errorMessage":"Truncated body","errorType":"InvalidRequest"}`)
		return
	}
	inv := e.claim(r.PathValue("id"))
	if inv == nil {
		e.reply(w, http.StatusBadRequest, `{"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}`)
		return
	}
	switch {
	case len(body) > MaxAnswer:
		message := fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxAnswer)
		inv.answered <- result{err: failure(KindUnhandled, "Function.ResponseSizeTooLarge", "%s", message)}
		e.reply(w, http.StatusRequestEntityTooLarge, `{"errorMessage":"`+message+`","errorType":"RequestEntityTooLarge"}`)
	default:
		res := result{answer: body}
		// A runtime that fails in the middle of an answer says so in a trailer.
		if failed || r.Trailer.Get("Lambda-Runtime-Function-Error-Type") != "" {
			res = result{err: &FunctionError{Kind: KindUnhandled, Payload: body}}
		}
		inv.answered <- res
		e.reply(w, http.StatusAccepted, `{"status":"OK"}`)
	}
}

func (e *environment) handleInitError(w http.ResponseWriter, r *http.Request) {
	report, err := io.ReadAll(io.LimitReader(r.Body, MaxAnswer))
	if err != nil {
		e.note("read the report of a failed initialisation", err)
	}
	select {
	case e.failed <- report:
	default:
	}
	e.reply(w, http.StatusAccepted, `{"status":"OK"}`)
}

func (e *environment) reply(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := io.WriteString(w, body); err != nil {
		e.note("answer the runtime", err)
	}
}
