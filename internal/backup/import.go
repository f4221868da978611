package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"posthorn/internal/client"
)

const (
	batchPath   = "/api/v1/events/batch"
	batchEvents = 100
	batchBytes  = 3 << 20 // of payloads; the API takes 4 MB with all around them
)

const (
	tries    = 8 // of a batch, while the API says that it may pass
	longest  = 30 * time.Second
	shortest = time.Second
)

// Import sends the dead letters of a file again, as events: each with the id
// "dlq-import:" and the id of the event it was, so that neither the dead letters of
// one event nor a repeat within 24 hours make a second one.
type Import struct {
	API  *client.Client
	Told func(lines, of int) // called after each batch; of is 0 where that is not known
	// Wait waits between tries; nil: by the clock.
	Wait func(ctx context.Context, d time.Duration) error
}

// Result is what an import has done, over all its runs.
type Result struct {
	Sent       int            `json:"sent"`        // dead letters whose event was accepted
	Before     int            `json:"before"`      // those of them that earlier runs have sent
	PassedOver map[string]int `json:"passed_over"` // those that cannot be sent, by reason
}

// imported is how far the import of a file to one Posthorn has come.
type imported struct {
	SHA256 string `json:"sha256"` // of the whole file
	Bytes  int64  `json:"bytes"`  // how much of it is done
	Lines  int    `json:"lines"`
	Result
}

// From sends what it reads, and stops at the first line that is no dead letter: a
// *LineError, with all before it sent.
func (i *Import) From(ctx context.Context, in io.Reader, name string) (Result, error) {
	r := &run{Import: i, name: name, at: imported{Result: Result{PassedOver: map[string]int{}}}, save: func() error { return nil }}
	return r.all(ctx, in)
}

// FromFile sends a file's. It reads all of it before it sends anything, so that a line
// that is no dead letter is found first: a *LineError. How far it came is in
// path.imported: it goes on from there, and what was imported to the same URL once is
// not imported again as long as that file is kept.
func (i *Import) FromFile(ctx context.Context, path string) (result Result, err error) {
	f, err := os.Open(path)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	whole, lines := sha256.New(), 0
	if err := readLines(io.TeeReader(f, whole), path, 0, 0, func(l line) error { lines = l.number; return nil }); err != nil {
		return Result{}, err
	}
	sum := hex.EncodeToString(whole.Sum(nil))

	state, all := path+".imported", map[string]*imported{}
	if err := readState(state, &all); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return Result{}, err
	}
	r := &run{Import: i, name: path, lines: lines, at: imported{SHA256: sum, Result: Result{PassedOver: map[string]int{}}}}
	if before := all[i.API.URL]; before != nil {
		if before.SHA256 != sum {
			return Result{}, fmt.Errorf("%s is not the file that %s tells of: remove that to begin anew", path, state)
		}
		r.at = *before
		r.at.Before = r.at.Sent
	}
	r.save = func() error {
		all[i.API.URL] = &r.at
		return writeState(state, all)
	}
	if _, err := f.Seek(r.at.Bytes, io.SeekStart); err != nil {
		return Result{}, err
	}
	return r.all(ctx, f)
}

// run is an import that goes on.
type run struct {
	*Import
	name  string
	lines int
	at    imported
	save  func() error

	batch  []line
	size   int
	passed map[string]int // since the last batch
}

func (r *run) all(ctx context.Context, in io.Reader) (Result, error) {
	r.passed = map[string]int{}
	end, number := r.at.Bytes, r.at.Lines
	err := readLines(in, r.name, end, number, func(l line) error {
		if l.why == "" && len(r.batch) > 0 && (len(r.batch) == batchEvents || r.size+len(l.payload) > batchBytes) {
			if err := r.flush(ctx, end, number); err != nil {
				return err
			}
		}
		if end, number = l.end, l.number; l.why != "" {
			r.passed[l.why]++
			return nil
		}
		r.batch, r.size = append(r.batch, l), r.size+len(l.payload)
		return nil
	})
	if wrong := (*LineError)(nil); err == nil || errors.As(err, &wrong) {
		err = errors.Join(r.flush(ctx, end, number), err)
	}
	return r.at.Result, err
}

// flush sends the batch, and says that all up to end, and the line of this number, is
// done.
func (r *run) flush(ctx context.Context, end int64, number int) error {
	if err := r.send(ctx); err != nil {
		return err
	}
	r.at.Bytes, r.at.Lines, r.at.Sent = end, number, r.at.Sent+len(r.batch)
	for why, n := range r.passed {
		r.at.PassedOver[why] += n
	}
	r.batch, r.size, r.passed = nil, 0, map[string]int{}
	if err := r.save(); err != nil {
		return err
	}
	r.Told(r.at.Lines, r.lines)
	return nil
}

type event struct {
	EventType string          `json:"event_type"`
	Payload   json.RawMessage `json:"payload"`
	ID        string          `json:"id"`
}

// send sends the batch. What may pass, it waits for and tries again, for the events
// that were not accepted.
func (r *run) send(ctx context.Context) error {
	left := r.batch
	for try := 1; len(left) > 0; try++ {
		events := make([]event, len(left))
		for n, l := range left {
			events[n] = event{l.eventType, l.payload, l.id}
		}
		var answer struct {
			Data []client.Problem `json:"data"`
		}
		err := r.API.Call(ctx, http.MethodPost, batchPath, nil, map[string]any{"events": events}, &answer)
		var asked time.Duration
		var whole *client.Problem
		var elsewhere *client.Elsewhere
		switch {
		case err == nil && len(answer.Data) != len(left):
			return fmt.Errorf("%s: %w", r.API.URL, client.ErrNotPosthorn)
		case err == nil:
			var wrong *refusal
			if left, err = r.refused(left, answer.Data); errors.As(err, &wrong) {
				return err
			}
		case errors.Is(err, client.ErrNotPosthorn), errors.As(err, &elsewhere):
			return err
		case errors.As(err, &whole):
			if asked = whole.RetryAfter; !passes(whole.Status) {
				return err
			}
		}
		if len(left) == 0 {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if try == tries {
			return err
		}
		if err := r.wait(ctx, max(asked, min(longest, shortest<<(try-1)))); err != nil {
			return err
		}
	}
	return nil
}

// refusal is a line whose event the API does not take.
type refusal struct {
	file string
	line int
	why  *client.Problem
}

func (e *refusal) Error() string { return fmt.Sprintf("%s:%d: %s", e.file, e.line, e.why) }

// refused returns the lines that were not accepted for a reason that may pass, with
// the last of these. Its error is a *refusal where another reason stands.
func (r *run) refused(sent []line, answers []client.Problem) (again []line, err error) {
	for n := range answers {
		answer := &answers[n]
		switch {
		case answer.Code == "":
		case passes(answer.Status):
			again, err = append(again, sent[n]), answer
		default:
			return nil, &refusal{r.name, sent[n].number, answer}
		}
	}
	return again, err
}

// passes says whether an answer may be another one a little later.
func passes(status int) bool { return status == http.StatusTooManyRequests || status >= 500 }

func (r *run) wait(ctx context.Context, d time.Duration) error {
	if r.Wait != nil {
		return r.Wait(ctx, d)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
