package httpapi

import (
	"context"
	"net/http"
	"slices"

	"posthorn/internal/hook"
)

// list collects the items of a list's answer and keeps it under maxAnswer.
type list struct {
	body  []byte
	count int
	last  string // what a page after the last item starts after
}

// add appends an encoded item, or says that it does not fit any more. The first
// item always fits: a page that stays empty would never end.
func (l *list) add(id string, item []byte) bool {
	const head, tail = `{"data":[`, 200 // room for the cursor
	if l.count == 0 {
		l.body = append(l.body, head...)
	} else {
		if len(l.body)+len(item)+tail > maxAnswer {
			return false
		}
		l.body = append(l.body, ',')
	}
	l.body = append(l.body, item...)
	l.count++
	l.last = id
	return true
}

// close ends the answer. An empty cursor is null: the list ends here.
func (l *list) close(cursor string) []byte {
	if l.count == 0 {
		l.body = append(l.body, `{"data":[`...)
	}
	l.body = append(l.body, `],"next_cursor":`...)
	if cursor == "" {
		return append(l.body, `null}`...)
	}
	l.body = append(l.body, '"')
	l.body = append(l.body, cursor...) // base64: nothing to escape
	return append(l.body, `"}`...)
}

const (
	// fetchSize is how many items are read at a time: full pages of the
	// largest events would not all fit in the answer.
	fetchSize = 50
	// encodeSize is how many items are encoded, and joined with their events,
	// at a time.
	encodeSize = 8
	// maxShort is how many reads may bring less than was asked for before the
	// page ends: each may have searched megabytes for it.
	maxShort = 3
)

// source is where the items of a list come from.
type source[T any] struct {
	fetch  func(ctx context.Context, p hook.Page) (items []T, next string, err error)
	id     func(item T) string // what a page may start after, as next is
	prefix string              // of those ids
	encode func(ctx context.Context, items []T) ([][]byte, error)
}

// writeList answers with a page of a source.
func writeList[T any](a *API, w http.ResponseWriter, r *http.Request, q *query, from source[T]) error {
	page, err := q.page(from.prefix)
	if err != nil {
		return err
	}
	var l list
	after, err := fill(r.Context(), &l, page, from)
	if err != nil {
		return err
	}
	a.write(w, r, http.StatusOK, "application/json", l.close(q.cursor(after)))
	return nil
}

// fill reads into l until the page, the answer or the list is full, or too
// little comes, and returns what the next page starts after, "" at the end.
func fill[T any](ctx context.Context, l *list, p hook.Page, from source[T]) (after string, err error) {
	after = p.After
	for short := 0; short < maxShort; {
		want := min(fetchSize, p.Limit-l.count)
		items, next, err := from.fetch(ctx, hook.Page{Limit: want, After: after})
		if err != nil {
			return "", err
		}
		for chunk := range slices.Chunk(items, encodeSize) {
			encoded, err := from.encode(ctx, chunk)
			if err != nil {
				return "", err
			}
			for i, item := range encoded {
				if !l.add(from.id(chunk[i]), item) {
					return l.last, nil
				}
			}
		}
		after = next
		if after == "" || l.count >= p.Limit {
			break
		}
		if len(items) < want {
			short++
		}
	}
	return after, nil
}

// encodeEach makes an encoder of items out of one of a single item.
func encodeEach[T any](shape func(T) any) func(context.Context, []T) ([][]byte, error) {
	return func(_ context.Context, items []T) ([][]byte, error) {
		out := make([][]byte, len(items))
		for i, item := range items {
			b, err := encode(shape(item))
			if err != nil {
				return nil, err
			}
			out[i] = b
		}
		return out, nil
	}
}
