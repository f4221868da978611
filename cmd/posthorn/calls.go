package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"posthorn/internal/client"
)

// The calls that most of the commands on the API make.

// limitFlag says how much of a list is shown.
func limitFlag(c *cobra.Command) *int {
	return c.Flags().Int("limit", 50, "At most `N`; 0: all.")
}

// list prints a list of the API.
func (r *remote) list(ctx context.Context, c *client.Client, path string, query url.Values, most int, fields ...string) error {
	if most < 0 {
		return lineError{fmt.Errorf("--limit: must be 0 or more, and not %d", most)}
	}
	asked := most
	if most > 0 {
		asked++ // one more says that there is more
	}
	all, err := client.List[item](ctx, c, path, query, asked)
	if err != nil {
		return err
	}
	cut := most > 0 && len(all) > most
	if cut {
		all = all[:most]
	}
	if err := r.show(os.Stdout, all, fields...); err != nil || !cut {
		return err
	}
	return hint("There are more: --limit 0 for all.")
}

// get prints one thing of the API.
func (r *remote) get(ctx context.Context, c *client.Client, path string, fields ...string) error {
	return r.ask(ctx, c, http.MethodGet, path, nil, fields...)
}

// post makes a call, and prints the answer.
func (r *remote) post(ctx context.Context, c *client.Client, path string, body any, fields ...string) error {
	return r.ask(ctx, c, http.MethodPost, path, body, fields...)
}

func (r *remote) ask(ctx context.Context, c *client.Client, method, path string, body any, fields ...string) error {
	var answer item
	if err := c.Call(ctx, method, path, nil, body, &answer); err != nil {
		return err
	}
	return r.showOne(os.Stdout, answer, fields...)
}

// given are the parameters that have a value, of pairs of name and value.
func given(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

// remove makes a call that takes a thing away, and says so to people.
func (r *remote) remove(ctx context.Context, c *client.Client, path, id string) error {
	if err := c.Call(ctx, http.MethodDelete, path, nil, nil, nil); err != nil {
		return fmt.Errorf("%s: %w", id, err)
	}
	return hint(id + " is gone.")
}

// showWithin prints the things that another one holds as a table, below it.
// Where there are none it prints nothing.
func (r *remote) showWithin(i item, name string, fields ...string) error {
	var all []item
	if err := json.Unmarshal(i.fields[name], &all); err != nil || len(all) == 0 {
		return err
	}
	if _, err := fmt.Println(); err != nil {
		return err
	}
	return r.show(os.Stdout, all, fields...)
}

// moment is the time that a flag says, as the API takes it: one that is written as
// a length, such as 6h, is so long ago. A flag that is not given stays empty.
func moment(flag, text string, now time.Time) (string, error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC().Format("2006-01-02T15:04:05.000Z"), nil
	}
	if _, err := time.Parse(time.RFC3339, text); text != "" && err != nil {
		return "", lineError{fmt.Errorf("%s: must be a time such as 2026-11-28T12:00:00Z, or 6h for so long ago, and not %q", flag, text)}
	}
	return text, nil
}

// between puts the times of --since and --until into a query.
func between(query url.Values, since, until string) (url.Values, error) {
	now := time.Now()
	for _, of := range []struct{ name, text string }{{"since", since}, {"until", until}} {
		at, err := moment("--"+of.name, of.text, now)
		if err != nil {
			return nil, err
		}
		if at != "" {
			query.Set(of.name, at)
		}
	}
	return query, nil
}

// postEvent makes a call that sends an event, prints it, and says where its
// deliveries are to be seen.
func (r *remote) postEvent(ctx context.Context, c *client.Client, path string, body any, fields ...string) error {
	var sent item
	if err := c.Call(ctx, http.MethodPost, path, nil, body, &sent); err != nil {
		return err
	}
	return r.showEvent(sent, fields...)
}

// showEvent prints an event, and says where its deliveries are to be seen.
func (r *remote) showEvent(sent item, fields ...string) error {
	if err := r.showOne(os.Stdout, sent, fields...); err != nil {
		return err
	}
	if sent.text("deliveries_total") == "0" {
		return hint("No endpoint takes it: nothing is sent.")
	}
	return hint("See: posthorn deliveries list --event " + sent.text("id"))
}

// input is a file, or standard input for "-".
func input(file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(os.Stdin), nil
	}
	return os.Open(file)
}

// firstLine is the first line of standard input.
func firstLine() (string, error) {
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, maxInput)).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("standard input is empty")
		}
		return "", err
	}
	return line, nil
}
