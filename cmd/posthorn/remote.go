package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"posthorn/internal/client"
)

// remote says which Posthorn a command calls, and how it answers.
type remote struct {
	URL  string `arg:"--url" help:"The API's address. Variable: POSTHORN_URL (http://localhost:8000)." placeholder:"URL"`
	Key  string `arg:"--key" help:"An API key. Variable: POSTHORN_KEY, where others on this machine do not see it." placeholder:"KEY"`
	JSON bool   `arg:"--json" help:"Print JSON, as the API answers."`
}

// callTimeout ends a call that nobody answers: API Gateway gives up after 30 s.
const callTimeout = 35 * time.Second

// Validate checks the command line.
func (r *remote) Validate() error {
	if r.URL == "" {
		if r.URL = os.Getenv("POSTHORN_URL"); r.URL == "" {
			r.URL = "http://localhost:8000"
		}
	}
	if r.Key == "" {
		r.Key = os.Getenv("POSTHORN_KEY")
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" {
		return errors.New("--url: must be the address of an API, such as http://localhost:8000")
	}
	if strings.ContainsFunc(r.Key, func(c rune) bool { return c <= ' ' || c > '~' }) {
		return errors.New("--key: must be an API key, ph_<id>_<secret>")
	}
	return nil
}

// call calls do with a client, until it is done or interrupted.
func (r *remote) call(do func(ctx context.Context, c *client.Client) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	defer transport.CloseIdleConnections()
	err := do(ctx, &client.Client{URL: r.URL, Key: r.Key, HTTP: &http.Client{Transport: transport, Timeout: callTimeout}})
	var p *client.Problem
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers at %s: start it, or name its address with --url", r.URL)
	case errors.As(err, &p) && p.Status == http.StatusUnauthorized && r.Key == "":
		return fmt.Errorf("%s asks for an API key: give one with --key or POSTHORN_KEY", r.URL)
	case errors.As(err, &p) && p.Status == http.StatusUnauthorized:
		return fmt.Errorf("%s does not know this API key, or not any more", r.URL)
	case errors.As(err, &p) && p.Status == http.StatusBadRequest:
		return usageError{err} // what was asked for is wrong
	}
	return err
}

// item is a thing of the API, as it came.
type item map[string]any

// text is a field for people: "-" where there is nothing.
func (i item) text(name string) string {
	switch v := i[name].(type) {
	case nil:
		return "-"
	case string:
		if v == "" {
			return "-"
		}
		return printable(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []any:
		words := make([]string, len(v))
		for i, word := range v {
			words[i] = printable(fmt.Sprint(word))
		}
		return strings.Join(words, ",")
	}
	return printable(fmt.Sprint(i[name]))
}

// show prints items: as JSON, or as a table of these fields, whose heads are
// their names in capitals.
func (r *remote) show(out io.Writer, items []item, fields ...string) error {
	if r.JSON {
		return writeJSON(out, items)
	}
	if len(items) == 0 {
		return hint("There are none.")
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(w, strings.ToUpper(strings.ReplaceAll(strings.Join(fields, "\t"), "_", " "))); err != nil {
		return err
	}
	for _, i := range items {
		row := make([]string, len(fields))
		for n, field := range fields {
			row[n] = i.text(field)
		}
		if _, err := fmt.Fprintln(w, strings.Join(row, "\t")); err != nil {
			return err
		}
	}
	return w.Flush()
}

// showOne prints one item: as JSON, or a field a line.
func (r *remote) showOne(out io.Writer, i item, fields ...string) error {
	if r.JSON {
		return writeJSON(out, i)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, field := range fields {
		if _, err := fmt.Fprintf(w, "%s\t%s\n", strings.ReplaceAll(field, "_", " "), i.text(field)); err != nil {
			return err
		}
	}
	return w.Flush()
}

func writeJSON(out io.Writer, v any) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
