package dynamodb

import (
	"errors"
	"fmt"
	"net/http"
)

const (
	namespaceService  = "com.amazonaws.dynamodb.v20120810#"
	namespaceValidate = "com.amazon.coral.validate#"
	namespaceCoral    = "com.amazon.coral.service#"
)

// apiError is an error the caller is told about, in the service's own words.
type apiError struct {
	code    string
	message string
	// item is the item a failed condition was checked against, where asked for.
	item item
	// reasons are those of a cancelled transaction, one an action.
	reasons []cancellation
}

// cancellation says why one action cancelled its transaction; the zero value
// says that it did not.
type cancellation struct {
	code    string
	message string
	item    item
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// kind is the error's type as it stands in the answer, with its namespace.
func (e *apiError) kind() string {
	switch e.code {
	case "ValidationException":
		return namespaceValidate + e.code
	case "SerializationException", "UnknownOperationException":
		return namespaceCoral + e.code
	}
	return namespaceService + e.code
}

func (e *apiError) status() int {
	if e.code == "InternalServerError" {
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// asAPIError gives every error the shape of an answer. What is not the
// caller's fault is an InternalServerError, which clients try again.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return &apiError{code: "InternalServerError", message: err.Error()}
}

func invalid(format string, args ...any) error {
	return &apiError{code: "ValidationException", message: fmt.Sprintf(format, args...)}
}

func badParameter(format string, args ...any) error {
	return invalid("One or more parameter values were invalid: "+format, args...)
}

func unserializable(format string, args ...any) error {
	return &apiError{code: "SerializationException", message: fmt.Sprintf(format, args...)}
}

// notImplemented refuses what the service has and this stand-in has not.
func notImplemented(what string) error {
	return invalid("%s is not implemented by the local stand-in for DynamoDB", what)
}

func conditionFailed() *apiError {
	return &apiError{code: "ConditionalCheckFailedException", message: "The conditional request failed"}
}

func noTable() error {
	return &apiError{code: "ResourceNotFoundException", message: "Requested resource not found"}
}
