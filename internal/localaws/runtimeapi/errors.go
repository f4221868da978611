package runtimeapi

import (
	"encoding/json"
	"errors"
	"fmt"
)

var (
	// ErrThrottled says that all environments are busy: TooManyRequestsException.
	// It reports Throttled() true.
	ErrThrottled error = throttled{}

	// ErrClosed says that the function was closed.
	ErrClosed = errors.New("runtimeapi: the function is closed")

	// ErrPayloadTooLarge says that the payload is over [MaxPayload]:
	// RequestTooLargeException.
	ErrPayloadTooLarge = errors.New("runtimeapi: the payload is too large")
)

type throttled struct{}

func (throttled) Error() string   { return "runtimeapi: rate exceeded" }
func (throttled) Throttled() bool { return true }

// Kind says how an invocation failed.
type Kind string

// The kinds of failure.
const (
	KindUnhandled Kind = "unhandled" // the runtime reported an error, or its answer was refused
	KindTimeout   Kind = "timeout"   // killed at the function's timeout, or at the end of the time to initialise
	KindExit      Kind = "exit"      // the process ended
)

// FunctionError is the failure of one invocation.
type FunctionError struct {
	Kind Kind
	// Payload is what Lambda answers the caller: a JSON object with errorType
	// and errorMessage, written by the runtime where it reported the error.
	Payload []byte
}

func (e *FunctionError) Error() string {
	return fmt.Sprintf("runtimeapi: function failed (%s): %s", e.Kind, e.Payload)
}

// failure returns an error of Lambda's own making.
func failure(kind Kind, errorType, format string, args ...any) *FunctionError {
	payload, err := json.Marshal(struct {
		Type    string `json:"errorType"`
		Message string `json:"errorMessage"`
	}{errorType, fmt.Sprintf(format, args...)})
	if err != nil { // two strings always encode
		payload = []byte(`{"errorType":"` + errorType + `"}`)
	}
	return &FunctionError{Kind: kind, Payload: payload}
}
