package backup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"slices"

	"posthorn/internal/client"
)

// dlqPath is where the API lists dead letters.
const dlqPath = "/api/v1/dlq"

// pageSize is the most that a page may hold.
const pageSize = 200

// ErrExists: the file that an export is to make is there already.
var ErrExists = errors.New("is there already: name another file, or remove it")

// Export writes dead letters, newest first, one a line. What dies after it began is
// not among them; what is deleted or sent again meanwhile may be missing.
type Export struct {
	API *client.Client
	// Asked narrows them down, as the API takes it. Filter is the same as people
	// wrote it: an export goes on only where that is equal.
	Asked  url.Values
	Filter url.Values
	Told   func(lines int) // called after each page
}

// To writes them to out, and returns how many.
func (e *Export) To(ctx context.Context, out io.Writer) (lines int, err error) {
	at := position{}
	for {
		page, next, err := e.page(ctx, at.Cursor)
		if err != nil {
			return at.Lines, err
		}
		if err := at.add(out, page); err != nil {
			return at.Lines, err
		}
		e.Told(at.Lines)
		if at.Cursor = next; next == "" {
			return at.Lines, nil
		}
	}
}

// position is how far an export has come, and of what it is one.
type position struct {
	URL    string     `json:"url"`
	Filter url.Values `json:"filter"`
	Asked  url.Values `json:"asked"`
	Cursor string     `json:"cursor"` // of the next page
	Bytes  int64      `json:"bytes"`  // how much of the file there is of the pages before it
	Lines  int        `json:"lines"`
}

func (p *position) add(out io.Writer, page []json.RawMessage) error {
	for _, letter := range page {
		n, err := out.Write(append(slices.Clone(letter), '\n'))
		if err != nil {
			return err
		}
		p.Bytes += int64(n)
		p.Lines++
	}
	return nil
}

func (e *Export) page(ctx context.Context, cursor string) (page []json.RawMessage, next string, err error) {
	return client.Page[json.RawMessage](ctx, e.API, dlqPath, e.Asked, pageSize, cursor)
}

// ToFile makes a file of them, and returns how many they are. Until it is whole it is
// called path.partial, with path.partial.state beside it, which says where to go on:
// an export to the same path goes on there. No line is in it twice, and none is left
// out. ErrExists where the file is there.
func (e *Export) ToFile(ctx context.Context, path string) (lines int, err error) {
	if _, err := os.Lstat(path); err == nil {
		return 0, fmt.Errorf("%s %w", path, ErrExists)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	partial, state := path+".partial", path+".partial.state"
	at, err := e.begun(partial, state)
	if err != nil {
		return 0, err
	}
	lines, err = e.goOn(ctx, partial, state, at)
	if err != nil {
		return lines, err
	}
	if err := os.Rename(partial, path); err != nil {
		return lines, err
	}
	return lines, os.Remove(state)
}

// begun returns where to go on: at the beginning, unless there is a part of the same
// export.
func (e *Export) begun(partial, state string) (*position, error) {
	anew := &position{URL: e.API.URL, Filter: e.Filter, Asked: e.Asked}
	at := &position{}
	err := readState(state, at)
	if errors.Is(err, fs.ErrNotExist) {
		return anew, nil
	} else if err != nil {
		return nil, err
	}
	info, err := os.Stat(partial)
	if errors.Is(err, fs.ErrNotExist) {
		return anew, nil // it was made whole, or somebody threw it away
	} else if err != nil {
		return nil, err
	}
	if at.URL != e.API.URL || !maps.EqualFunc(at.Filter, e.Filter, slices.Equal) {
		return nil, fmt.Errorf("%s is a part of another export, of %s with the filter %q: end that one, or remove the file", partial, at.URL, at.Filter.Encode())
	}
	if info.Size() < at.Bytes {
		return nil, fmt.Errorf("%s is shorter than it was: remove it to begin anew", partial)
	}
	e.Asked = at.Asked // a time such as 6h is so long before the export began
	return at, nil
}

// goOn writes page by page. A page counts once it is on disk and the state says so.
func (e *Export) goOn(ctx context.Context, partial, state string, at *position) (lines int, err error) {
	f, err := os.OpenFile(partial, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(at.Bytes); err != nil {
		return at.Lines, err
	}
	if _, err := f.Seek(at.Bytes, io.SeekStart); err != nil {
		return at.Lines, err
	}
	if err := writeState(state, at); err != nil {
		return at.Lines, err
	}
	for {
		page, next, err := e.page(ctx, at.Cursor)
		if err != nil {
			return at.Lines, err
		}
		if err := at.add(f, page); err != nil {
			return at.Lines, err
		}
		if err := f.Sync(); err != nil {
			return at.Lines, err
		}
		if at.Cursor = next; next != "" { // the last page is asked for again, should the file not be renamed
			if err := writeState(state, at); err != nil {
				return at.Lines, err
			}
		}
		e.Told(at.Lines)
		if next == "" {
			return at.Lines, nil
		}
	}
}
