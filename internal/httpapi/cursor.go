package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"posthorn/internal/hook"
	"posthorn/internal/ingest"
)

// The number of items on a page.
const (
	defaultLimit = 50
	maxLimit     = 200
)

// query is the query string of a list: its filters and its page.
type query struct {
	values  url.Values
	limit   int
	binding [8]byte
}

// listQuery reads the query of a list that takes these filters. A parameter
// that is not known is refused: a misspelt filter would widen the list.
func (a *API) listQuery(r *http.Request, filters ...string) (*query, error) {
	values, err := parameters(r, append(filters, "limit", "cursor")...)
	if err != nil {
		return nil, err
	}
	q := &query{values: values, limit: defaultLimit, binding: bind(tenantOf(r), r.URL.Path, values)}
	if values.Has("limit") {
		n, err := strconv.Atoi(values.Get("limit"))
		if err != nil || n < 1 || n > maxLimit {
			return nil, &hook.InvalidError{Field: "limit", Code: "invalid_limit", Reason: "must be a whole number from 1 to 200"}
		}
		q.limit = n
	}
	return q, nil
}

// page returns the page that is asked for. Ids of that prefix stand in the
// list's cursors.
func (q *query) page(prefix string) (p hook.Page, err error) {
	p.Limit = q.limit
	if q.values.Has("cursor") {
		p.After, err = decodeCursor(q.binding, prefix, q.values.Get("cursor"))
	}
	return p, err
}

// parameters reads the query string, in which every parameter must be known,
// stand once and have a value.
func parameters(r *http.Request, known ...string) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &hook.InvalidError{Code: "invalid_query", Reason: "the query string cannot be read"}
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		switch {
		case !slices.Contains(known, name):
			return nil, &hook.InvalidError{Field: name, Code: "unknown_parameter", Reason: "there is no such query parameter here"}
		case len(values[name]) > 1:
			return nil, &hook.InvalidError{Field: name, Code: "duplicate_parameter", Reason: "stands more than once in the query"}
		case values[name][0] == "":
			return nil, &hook.InvalidError{Field: name, Code: "empty_parameter", Reason: "has no value"}
		}
	}
	return values, nil
}

// bind is a fingerprint of what a cursor belongs to: everything that decides
// what the list holds, and not how much of it a page shows.
func bind(tenant, path string, values url.Values) [8]byte {
	filters := make(url.Values, len(values))
	for name, v := range values {
		if name != "limit" && name != "cursor" {
			filters[name] = v
		}
	}
	sum := sha256.Sum256([]byte(tenant + "\n" + path + "\n" + filters.Encode()))
	return [8]byte(sum[:8])
}

// cursorVersion is the first byte of a cursor. After it come the binding and
// the id at which the previous page ended.
const cursorVersion = 1

// cursor returns the cursor of the page that starts after the id; "" for "".
func (q *query) cursor(after string) string {
	if after == "" {
		return ""
	}
	return encodeCursor(q.binding, after)
}

func encodeCursor(binding [8]byte, after string) string {
	b := append([]byte{cursorVersion}, binding[:]...)
	return base64.RawURLEncoding.EncodeToString(append(b, after...))
}

// decodeCursor returns the id in a cursor. Anybody can make a cursor, and what
// is in it ends in a key, so it has to be an id of that prefix.
func decodeCursor(binding [8]byte, prefix, cursor string) (after string, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || strings.ContainsAny(cursor, "\r\n") || len(b) < 1+len(binding) || b[0] != cursorVersion { // the decoder skips line ends
		return "", &hook.InvalidError{Field: "cursor", Code: "invalid_cursor", Reason: "is not a cursor of this API"}
	}
	if [8]byte(b[1:9]) != binding {
		return "", &hook.InvalidError{Field: "cursor", Code: "invalid_cursor", Reason: "belongs to another query; it holds for the path and filters it came from"}
	}
	after = string(b[9:])
	if !hook.ValidID(prefix, after) {
		return "", &hook.InvalidError{Field: "cursor", Code: "invalid_cursor", Reason: "is not a cursor of this API"}
	}
	return after, nil
}

// eventType returns the filter of that name, "" when it is not given.
func (q *query) eventType() (string, error) {
	t := q.values.Get("event_type")
	if t == "" {
		return "", nil
	}
	return t, ingest.ValidateEventType(t)
}

// id returns the filter of that name, "" when it is not given.
func (q *query) id(name, prefix, what string) (string, error) {
	id := q.values.Get(name)
	if id != "" && !hook.ValidID(prefix, id) {
		return "", &problem{kind: kindNotFound, field: name, detail: "There is no such " + what + "."}
	}
	return id, nil
}

// span returns the filters since (inclusive) and until (exclusive), zero when
// they are not given.
func (q *query) span() (since, until time.Time, err error) {
	if since, err = q.time("since"); err != nil {
		return since, until, err
	}
	if until, err = q.time("until"); err != nil {
		return since, until, err
	}
	return since, until, inOrder("until", since, until)
}

// inOrder refuses, in the field that until came in, a span that ends before it
// begins. One that ends where it begins holds nothing.
func inOrder(field string, since, until time.Time) error {
	if !since.IsZero() && !until.IsZero() && until.Before(since) {
		return &hook.InvalidError{Field: field, Code: "invalid_time", Reason: "must not be before since"}
	}
	return nil
}

func (q *query) time(name string) (time.Time, error) {
	s := q.values.Get(name)
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, &hook.InvalidError{Field: name, Code: "invalid_time", Reason: `must be an RFC 3339 time such as 2026-01-31T08:00:00Z (a "+" has to be written %2B)`}
	}
	return t.UTC(), nil
}
