package sqs

import (
	"errors"
	"fmt"
	"net/http"
)

// apiError is an error as the service answers it. The shape is the error's
// name in the service's JSON protocol; the code is the older query protocol's
// name for it, which SDKs show their callers because the service sends it in
// the x-amzn-query-error header.
type apiError struct {
	status      int
	shape, code string
	message     string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// sender says whether the fault is the caller's.
func (e *apiError) sender() bool { return e.status < http.StatusInternalServerError }

const (
	namespace = "com.amazonaws.sqs#"
	coral     = "com.amazon.coral.service#"
	legacy    = "AWS.SimpleQueueService."
)

// asAPIError turns any error into one that can be answered. What the caller
// did not cause is an internal failure, which SDKs retry.
func asAPIError(err error) *apiError {
	var e *apiError
	if errors.As(err, &e) {
		return e
	}
	return &apiError{http.StatusInternalServerError, coral + "InternalFailure", "InternalFailure", err.Error()}
}

func badRequest(shape, code, format string, args ...any) error {
	return &apiError{http.StatusBadRequest, shape, code, fmt.Sprintf(format, args...)}
}

func errInvalidParameter(format string, args ...any) error {
	return badRequest(coral+"InvalidParameterValueException", "InvalidParameterValue", format, args...)
}

func errMissingParameter(name string) error {
	return badRequest(coral+"MissingRequiredParameterException", "MissingParameter", "The request must contain the parameter %s.", name)
}

func errSerialization(format string, args ...any) error {
	return badRequest(coral+"SerializationException", "SerializationException", format, args...)
}

func errUnknownOperation(name string) error {
	return badRequest(coral+"UnknownOperationException", "UnknownOperationException", "The operation %q is not one of Amazon SQS.", name)
}

// errUnsupported refuses what the service has and this stand-in has not.
func errUnsupported(format string, args ...any) error {
	return badRequest(namespace+"UnsupportedOperation", legacy+"UnsupportedOperation", format+" not supported by the local SQS.", args...)
}

func errNoQueue() error {
	return badRequest(namespace+"QueueDoesNotExist", legacy+"NonExistentQueue", "The specified queue does not exist.")
}

func errQueueExists(attribute string) error {
	return badRequest(namespace+"QueueNameExists", "QueueAlreadyExists",
		"A queue already exists with the same name and a different value for attribute %s", attribute)
}

func errDeletedRecently() error {
	return badRequest(namespace+"QueueDeletedRecently", legacy+"QueueDeletedRecently",
		"You must wait 60 seconds after deleting a queue before you can create another with the same name.")
}

func errPurgeInProgress(queue string) error {
	return &apiError{
		http.StatusForbidden, namespace + "PurgeQueueInProgress", legacy + "PurgeQueueInProgress",
		"Only one PurgeQueue operation on " + queue + " is allowed every 60 seconds.",
	}
}

func errInvalidAddress(url string) error {
	return &apiError{
		http.StatusNotFound, namespace + "InvalidAddress", "InvalidAddress",
		"The address " + url + " is not valid for this endpoint.",
	}
}

func errNoResource(format string, args ...any) error {
	return &apiError{
		http.StatusNotFound, namespace + "ResourceNotFoundException", "ResourceNotFoundException",
		fmt.Sprintf(format, args...),
	}
}

func errOverLimit(format string, args ...any) error {
	return &apiError{http.StatusForbidden, namespace + "OverLimit", "OverLimit", fmt.Sprintf(format, args...)}
}

func errAttributeName(name string) error {
	return badRequest(namespace+"InvalidAttributeName", "InvalidAttributeName", "Unknown Attribute %s.", name)
}

func errAttributeValue(name, reason string) error {
	return badRequest(namespace+"InvalidAttributeValue", "InvalidAttributeValue",
		"Invalid value for the parameter %s. Reason: %s", name, reason)
}

func errContents() error {
	return badRequest(namespace+"InvalidMessageContents", "InvalidMessageContents", "%s", invalidCharacters)
}

const invalidCharacters = "Invalid characters found. Valid unicode characters are " +
	"#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"

func errReceiptHandle(handle string) error {
	return &apiError{
		http.StatusNotFound, namespace + "ReceiptHandleIsInvalid", "ReceiptHandleIsInvalid",
		fmt.Sprintf("The input receipt handle %q is not a valid receipt handle.", handle),
	}
}

// errNotChangeable refuses a visibility change through a handle whose message
// is gone or was received again since.
func errNotChangeable(handle string) error {
	return errInvalidParameter("Value %s for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.", handle)
}

// errNotInFlight refuses a visibility change of a message that is visible.
func errNotInFlight() error {
	return badRequest(namespace+"MessageNotInflight", legacy+"MessageNotInflight", "The specified message isn't in flight.")
}

func errEmptyBatch() error {
	return badRequest(namespace+"EmptyBatchRequest", legacy+"EmptyBatchRequest", "There should be at least one entry in the request.")
}

func errTooManyEntries(n int) error {
	return badRequest(namespace+"TooManyEntriesInBatchRequest", legacy+"TooManyEntriesInBatchRequest",
		"Maximum number of entries per request are %d. You have sent %d.", maxBatch, n)
}

func errEntryIDs(id string) error {
	return badRequest(namespace+"BatchEntryIdsNotDistinct", legacy+"BatchEntryIdsNotDistinct", "Id %s repeated.", id)
}

func errEntryID() error {
	return badRequest(namespace+"InvalidBatchEntryId", legacy+"InvalidBatchEntryId",
		"A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.")
}

func errBatchTooLong(size int) error {
	return badRequest(namespace+"BatchRequestTooLong", legacy+"BatchRequestTooLong",
		"Batch requests cannot be longer than %d bytes. You have sent %d bytes.", maxMessageSize, size)
}
