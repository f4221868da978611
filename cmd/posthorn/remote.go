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
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"posthorn/internal/client"
)

// remote says which Posthorn a command calls, and how it answers.
type remote struct {
	URL     string
	Key     string
	Profile string
	JSON    bool

	keyFrom  string // what gave the key; empty: there is none
	argument string // the API's field that is given as an argument, and not by a flag
}

// flags are those of every command that calls the API.
func (r *remote) flags(f *pflag.FlagSet) {
	f.Var(filled{&r.URL}, "server", "The API's address: a `URL`. Variable: POSTHORN_URL (http://localhost:8000).")
	f.Var(filled{&r.Key}, "key", "An API `KEY`. Variable: POSTHORN_KEY, where others on this machine do not see it.")
	f.Var(filled{&r.Profile}, "profile", "The profile of this `NAME`, from ~/.config/posthorn/config.yaml: an address and a key. Variable: POSTHORN_PROFILE.")
	f.BoolVar(&r.JSON, "json", false, "Print JSON, as the API answers; a list as one array.")
}

// group is a group of commands that call the API.
func (r *remote) group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	c := group(use, short, commands...)
	c.Example = example
	r.flags(c.PersistentFlags())
	return c
}

// does is what a command does that calls the API.
type does func(ctx context.Context, c *client.Client, args []string) error

// runs makes the call of a command.
func (r *remote) runs(do does) func(*cobra.Command, []string) error {
	return func(_ *cobra.Command, args []string) error {
		if err := r.Validate(); err != nil {
			return onTheLine(err)
		}
		return r.call(func(ctx context.Context, c *client.Client) error { return ofOne(args, do(ctx, c, args)) })
	}
}

// ofOne names the thing that a command is about where the API says that there is none.
// Where it is another that is not there, the API names its field.
func ofOne(args []string, err error) error {
	var p *client.Problem
	if len(args) != 1 || !errors.As(err, &p) || p.Status != http.StatusNotFound || p.Field != "" || strings.Contains(err.Error(), args[0]) {
		return err
	}
	return fmt.Errorf("%s: %w", args[0], err)
}

// callTimeout ends a call that nobody answers: API Gateway gives up after 30 s.
const callTimeout = 35 * time.Second

// standardURL is where a Posthorn is that nobody names.
const standardURL = "http://localhost:8000"

// Validate checks the command line, and completes it from the environment and the
// file of profiles, in this order. A profile that a flag names counts before the
// environment. Its key goes to its own address and to no other.
func (r *remote) Validate() error {
	file, err := readProfiles()
	if err != nil {
		return usageError{err}
	}
	name := r.Profile
	if name == "" {
		name = os.Getenv("POSTHORN_PROFILE")
	}
	chosen, err := file.named(name)
	if err != nil {
		return usageError{err}
	}
	urlFrom := r.chooseURL(chosen.url, file.path)
	if !isAPI(r.URL) {
		return fmt.Errorf("%s: must be the address of an API, such as http://localhost:8000", urlFrom)
	}
	if base, _, within := strings.Cut(r.URL+"/", "/api/v1/"); within {
		return fmt.Errorf("%s: give the address without /api/v1: %s", urlFrom, base)
	}
	ofProfile := ""
	if strings.TrimSuffix(r.URL, "/") == strings.TrimSuffix(chosen.url, "/") {
		ofProfile = chosen.key
	}
	switch key := os.Getenv("POSTHORN_KEY"); {
	case r.Key != "":
		r.keyFrom = "--key"
	case r.Profile != "" && ofProfile != "", key == "" && ofProfile != "":
		r.Key, r.keyFrom = ofProfile, file.path
	case key != "":
		r.Key, r.keyFrom = key, "POSTHORN_KEY"
	}
	if !isKey(r.Key) {
		return fmt.Errorf("%s: must be an API key, ph_<id>_<secret>", r.keyFrom)
	}
	return file.warn()
}

// chooseURL chooses the address of --server, of the environment or of a profile, and
// returns what gave it.
func (r *remote) chooseURL(ofProfile, path string) (from string) {
	fromEnvironment := os.Getenv("POSTHORN_URL")
	switch {
	case r.URL != "":
		return "--server"
	case ofProfile != "" && (r.Profile != "" || fromEnvironment == ""):
		r.URL = ofProfile
		return path
	case fromEnvironment != "":
		r.URL = fromEnvironment
		return "POSTHORN_URL"
	}
	r.URL = standardURL
	return "--server"
}

// first is the first text that is not empty.
func first(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// isAPI says whether a text may be the address of an API.
func isAPI(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == ""
}

// isKey says whether a text may stand in a header.
func isKey(text string) bool {
	return !strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' })
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
		return fmt.Errorf("nothing answers at %s: start it, or name its address with --server", r.URL)
	case errors.As(err, &p) && p.Status == http.StatusUnauthorized && r.Key == "":
		return fmt.Errorf("%s asks for an API key: give one with --key or POSTHORN_KEY, or in a --profile", r.URL)
	case errors.As(err, &p) && p.Status == http.StatusUnauthorized:
		return fmt.Errorf("%s does not know this API key, or not any more: it came from %s", r.URL, r.keyFrom)
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return errors.New("interrupted")
	case errors.As(err, &p) && p.Status == http.StatusBadRequest:
		return usageError{ofFlag(p, r.argument)} // what was asked for is wrong
	}
	return err
}

// flagOf are the flags that are called otherwise than the API's fields.
var flagOf = map[string]string{
	"endpoint_id": "endpoint", "event_id": "event", "event_type": "type", "failure_reason": "reason", "headers": "header", "id": "idempotency-key",
}

// ofFlag says in the words of the command line what the API says of a field. argument
// is the field that is given without a flag; empty: there is none.
func ofFlag(p *client.Problem, argument string) error {
	rest, ok := strings.CutPrefix(p.Error(), p.Field+":")
	if p.Field == "" || !ok {
		return p
	}
	if p.Field == argument {
		return fmt.Errorf("%s:%s", strings.ToUpper(argument), rest)
	}
	name, within := strings.TrimPrefix(p.Field, "filter."), ""
	if at := strings.IndexAny(name, ".["); at >= 0 {
		name, within = name[:at], name[at:]
	}
	return fmt.Errorf("--%s%s:%s", first(flagOf[name], strings.ReplaceAll(name, "_", "-")), within, rest)
}

// item is a thing of the API, as it came: with its fields in their order, and its
// numbers as they were written.
type item struct {
	raw    json.RawMessage
	fields map[string]json.RawMessage
}

// UnmarshalJSON implements json.Unmarshaler.
func (i *item) UnmarshalJSON(raw []byte) error {
	i.raw = slices.Clone(raw)
	return json.Unmarshal(raw, &i.fields)
}

// MarshalJSON implements json.Marshaler.
func (i item) MarshalJSON() ([]byte, error) { return i.raw, nil }

// text is a field for people: "-" where there is nothing.
func (i item) text(name string) string { return plain(i.fields[name]) }

// plain is a JSON value for people.
func plain(raw json.RawMessage) string {
	var words []json.RawMessage
	var text string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return "-"
	case json.Unmarshal(raw, &text) == nil:
		if text == "" {
			return "-"
		}
		return printable(text)
	case json.Unmarshal(raw, &words) == nil:
		said := make([]string, len(words))
		for i, word := range words {
			said[i] = plain(word)
		}
		return strings.Join(said, ",")
	}
	return printable(string(raw))
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
