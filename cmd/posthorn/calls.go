package main

import (
	"context"
	"net/http"
	"net/url"
	"os"

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
