package httpapi

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"posthorn/internal/hook"
	"posthorn/internal/ingest"
)

// Limits of an endpoint's fields.
const (
	maxFilters       = 100
	minSecret        = 8   // characters
	maxSecret        = 256 // characters
	minWhsecKey      = 24  // bytes behind "whsec_" (Standard Webhooks 1.0.0)
	maxWhsecKey      = 64
	maxRetries       = 20  // after the first attempt
	minTimeout       = 1   // seconds, whole ones
	maxTimeout       = 30  // seconds
	minRate          = 0.1 // deliveries a second
	maxRate          = 10_000
	maxHeaders       = 20
	maxHeaderValue   = 1024 // bytes
	maxDescription   = hook.MaxDescription
	maxMetadata      = 20  // pairs
	maxMetadataKey   = 64  // characters
	maxMetadataValue = 512 // characters

	defaultTimeout = 30 * time.Second
)

// endpointFields is what a caller has said of an endpoint.
type endpointFields struct {
	changes []func(*hook.Endpoint)
	secret  string        // plain; empty: not said
	headers []plainHeader // of hasHeaders
	// hasHeaders says that the headers are to be those of headers, and no other.
	hasHeaders bool
}

// plainHeader is a header of the caller's own; keep stands for the value that
// is there.
type plainHeader struct {
	name, value string
	keep        bool
}

// newField decodes one field of a registration.
func (f *endpointFields) newField(a *API, name, value []byte) error {
	if string(name) != "secret" {
		return f.field(a, name, value)
	}
	if isNull(value) {
		return nil // one is made
	}
	secret, err := secretValue(value)
	f.secret = secret
	return err
}

// secretValue decodes a secret of the caller's own.
func secretValue(value []byte) (string, error) {
	secret, err := stringValue("secret", value)
	if err != nil {
		return "", err
	}
	if n := utf8.RuneCountInString(secret); n < minSecret || n > maxSecret || strings.ContainsFunc(secret, unprintable) {
		return "", &hook.InvalidError{Field: "secret", Code: "invalid_secret", Reason: "must be 8 to 256 printable characters"}
	}
	// Standard Webhooks says what follows the prefix. What cannot be decoded
	// would sign with another key than its receiver takes it for.
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if key, err := base64.StdEncoding.DecodeString(encoded); err != nil || len(key) < minWhsecKey || len(key) > maxWhsecKey {
			return "", &hook.InvalidError{Field: "secret", Code: "invalid_secret", Reason: `must have the base64 of 24 to 64 bytes behind "whsec_"`}
		}
	}
	return secret, nil
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// changedField is newField for a change of an endpoint, which takes less.
func (f *endpointFields) changedField(a *API, name, value []byte) error {
	switch field := string(name); field {
	case "secret", "id", "status", "status_reason", "left_alone_until", "created_at", "updated_at":
		return &hook.InvalidError{Field: field, Code: "read_only_field", Reason: "cannot be changed"}
	}
	return f.field(a, name, value)
}

// field decodes a field that can be set and changed.
func (f *endpointFields) field(a *API, name, value []byte) error {
	if string(name) == "headers" {
		headers, err := headersValue(value)
		f.headers, f.hasHeaders = headers, true
		return err
	}
	change, err := a.endpointField(name, value)
	if err != nil {
		return err
	}
	f.changes = append(f.changes, change)
	return nil
}

// seal seals what is secret for an endpoint, and adds it to the changes. It
// comes when everything has been found valid.
func (f *endpointFields) seal(ctx context.Context, a *API, tenant, id string) error {
	if f.secret != "" {
		sealed, err := a.o.Sealer.Seal(ctx, tenant, id, []byte(f.secret))
		if err != nil {
			return fmt.Errorf("seal secret: %w", err)
		}
		f.changes = append(f.changes, func(e *hook.Endpoint) { e.Secrets = []hook.SealedSecret{{Sealed: sealed}} })
	}
	if !f.hasHeaders {
		return nil
	}
	headers := make([]hook.SealedHeader, len(f.headers))
	for i, h := range f.headers {
		headers[i].Name = h.name
		if h.keep {
			continue
		}
		sealed, err := a.o.Sealer.Seal(ctx, tenant, id, []byte(h.value))
		if err != nil {
			return fmt.Errorf("seal header %s: %w", h.name, err)
		}
		headers[i].Sealed = sealed
	}
	f.changes = append(f.changes, func(e *hook.Endpoint) { e.Headers = kept(headers, e.Headers) })
	return nil
}

// check refuses to keep a header's value where there is none.
func (f *endpointFields) check(e *hook.Endpoint) error {
	for _, h := range f.headers {
		there := slices.ContainsFunc(e.Headers, func(old hook.SealedHeader) bool { return old.Name == h.name })
		if h.keep && !there {
			return &hook.InvalidError{Field: "headers." + h.name, Code: "invalid_headers", Reason: `is "***", which stands for a value that is there, and there is none`}
		}
	}
	return nil
}

// kept returns headers with those values filled in that are to stay as they
// are.
func kept(headers, before []hook.SealedHeader) []hook.SealedHeader {
	filled := slices.Clone(headers)
	for i := range filled {
		for _, old := range before {
			if filled[i].Sealed == nil && old.Name == filled[i].Name {
				filled[i].Sealed = old.Sealed
			}
		}
	}
	return filled
}

// endpointField decodes a field whose value is kept as it is. null is the
// default where a field has one.
func (a *API) endpointField(name, value []byte) (change func(*hook.Endpoint), err error) {
	switch string(name) {
	case "url":
		url, err := a.urlValue(value)
		return func(e *hook.Endpoint) { e.URL = url }, err
	case "events":
		filters, err := filtersValue(value)
		return func(e *hook.Endpoint) { e.Filters = filters }, err
	case "max_retries":
		if isNull(value) {
			return func(e *hook.Endpoint) { e.MaxRetries = nil }, nil
		}
		n, err := wholeNumber("max_retries", value, 0, maxRetries)
		return func(e *hook.Endpoint) { e.MaxRetries = &n }, err
	case "timeout":
		if isNull(value) {
			return func(e *hook.Endpoint) { e.Timeout = defaultTimeout }, nil
		}
		seconds, err := wholeNumber("timeout", value, minTimeout, maxTimeout)
		return func(e *hook.Endpoint) { e.Timeout = time.Duration(seconds) * time.Second }, err
	case "rate_limit":
		if isNull(value) {
			return func(e *hook.Endpoint) { e.RateLimit = 0 }, nil
		}
		rate, err := number("rate_limit", value, minRate, maxRate)
		return func(e *hook.Endpoint) { e.RateLimit = rate }, err
	case "retry_policy":
		policy, err := a.policyValue(value)
		return func(e *hook.Endpoint) { e.RetryPolicy = policy }, err
	case "description":
		description, err := descriptionValue(value)
		return func(e *hook.Endpoint) { e.Description = description }, err
	case "metadata":
		metadata, err := metadataValue(value)
		return func(e *hook.Endpoint) { e.Metadata = metadata }, err
	}
	return nil, unknownField(name, value)
}

func (a *API) urlValue(value []byte) (string, error) {
	url, err := stringValue("url", value)
	if err != nil {
		return "", err
	}
	return url, a.o.CheckURL(url)
}

func filtersValue(value []byte) ([]string, error) {
	filters, err := stringList("events", value)
	if err != nil {
		return nil, err
	}
	if len(filters) == 0 || len(filters) > maxFilters {
		return nil, &hook.InvalidError{Field: "events", Code: "invalid_events", Reason: "must hold 1 to 100 filters"}
	}
	once := make([]string, 0, len(filters))
	for i, f := range filters {
		if !knownFilter(f) {
			return nil, &hook.InvalidError{
				Field: fmt.Sprintf("events[%d]", i), Code: "invalid_filter",
				Reason: "names none of Posthorn's own events, which are " + strings.Join(ownTypes(), ", "),
			}
		}
		if !slices.Contains(once, f) {
			once = append(once, f)
		}
		if !validFilter(f) {
			return nil, &hook.InvalidError{
				Field: fmt.Sprintf("events[%d]", i), Code: "invalid_filter",
				Reason: `must be an event type of 1 to 128 letters, digits, ".", "_" or "-", a prefix such as "order.*", or "*"`,
			}
		}
	}
	return once, nil
}

// ownTypes are the types of Posthorn's own events that a filter may name.
func ownTypes() []string { return append(hook.OperationalTypes(), hook.TypeTest) }

// knownFilter says whether a filter that begins as Posthorn's own events do
// names any of them: another one would never match, and look as if it did.
func knownFilter(f string) bool {
	prefix, many := strings.CutSuffix(f, "*")
	return !strings.HasPrefix(f, hook.ReservedTypePrefix) || slices.ContainsFunc(ownTypes(), func(own string) bool {
		return own == f || many && strings.HasSuffix(prefix, ".") && strings.HasPrefix(own, prefix)
	})
}

// validFilter says whether f is an event type, the start of one before a dot
// and ".*", or "*".
func validFilter(f string) bool {
	if f == "*" {
		return true
	}
	if len(f) > ingest.MaxEventType {
		return false
	}
	return ingest.ValidateEventType(strings.TrimSuffix(f, ".*")) == nil
}

func (a *API) policyValue(value []byte) (string, error) {
	if isNull(value) {
		return "", nil
	}
	policy, err := stringValue("retry_policy", value)
	if err != nil {
		return "", err
	}
	if !slices.Contains(a.o.RetryPolicies, policy) {
		return "", &hook.InvalidError{Field: "retry_policy", Code: "unknown_retry_policy", Reason: "must be one of " + strings.Join(a.o.RetryPolicies, ", ")}
	}
	return policy, nil
}

func descriptionValue(value []byte) (string, error) {
	if isNull(value) {
		return "", nil
	}
	description, err := stringValue("description", value)
	if err != nil {
		return "", err
	}
	if utf8.RuneCountInString(description) > maxDescription {
		return "", &hook.InvalidError{Field: "description", Code: "too_long", Reason: "must be at most 1,000 characters long"}
	}
	return description, nil
}

func metadataValue(value []byte) (map[string]string, error) {
	if isNull(value) {
		return nil, nil
	}
	metadata := make(map[string]string)
	err := object("metadata", value, func(name, value []byte) error {
		path := join("metadata", name)
		if len(metadata) == maxMetadata {
			return &hook.InvalidError{Field: "metadata", Code: "invalid_metadata", Reason: "must hold at most 20 pairs"}
		}
		if n := utf8.RuneCount(name); n < 1 || n > maxMetadataKey {
			return &hook.InvalidError{Field: path, Code: "invalid_metadata", Reason: "its name must be 1 to 64 characters long"}
		}
		v, err := stringValue(path, value)
		if err != nil {
			return err
		}
		if utf8.RuneCountInString(v) > maxMetadataValue {
			return &hook.InvalidError{Field: path, Code: "too_long", Reason: "must be at most 512 characters long"}
		}
		metadata[string(name)] = v
		return nil
	})
	return metadata, err
}
