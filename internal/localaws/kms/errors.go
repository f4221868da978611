package kms

import (
	"errors"
	"fmt"
	"net/http"
)

// apiError is an error as the service answers it.
type apiError struct {
	status  int
	code    string
	message string // empty for those that the service leaves without one
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// asAPIError gives every error the shape of an answer. What is not the
// caller's fault is a KMSInternalException, which clients try again.
func asAPIError(err error) *apiError {
	if e, ok := errors.AsType[*apiError](err); ok {
		return e
	}
	return &apiError{http.StatusInternalServerError, "KMSInternalException", err.Error()}
}

func refuse(code, format string, args ...any) error {
	return &apiError{http.StatusBadRequest, code, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return refuse("ValidationException", format, args...)
}

// invalidMember refuses a member as the service's own model does.
func invalidMember(value, member, constraint string) error {
	return invalid("1 validation error detected: Value %s at '%s' failed to satisfy constraint: %s", value, member, constraint)
}

func notNull(member string) error { return invalidMember("null", member, "Member must not be null") }

// notImplemented refuses what the service has and this stand-in has not.
func notImplemented(what string) error {
	return refuse("UnsupportedOperationException", "%s is not implemented by the local stand-in for KMS", what)
}

// errCiphertext is without a text, as the service's.
func errCiphertext() error { return &apiError{http.StatusBadRequest, "InvalidCiphertextException", ""} }

func errOtherKey() error {
	return refuse("IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
}

// errForeign refuses a ciphertext of a key that is not here.
func errForeign() error {
	return refuse("AccessDeniedException", "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
}
