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
	all, err := client.List[item](ctx, c, path, query, most)
	if err != nil {
		return err
	}
	return r.show(os.Stdout, all, fields...)
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

// moment is a time as the API takes it: one that is written as a length, such as
// 6h, is so long ago. What is neither goes to the API, which says so.
func moment(text string, now time.Time) string {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(-d).UTC().Format("2006-01-02T15:04:05.000Z")
	}
	return text
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
