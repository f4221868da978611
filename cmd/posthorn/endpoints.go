package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"posthorn/internal/client"
)

// endpointsCommand has the commands on endpoints.
func endpointsCommand() *cobra.Command {
	r := &remote{}
	return r.group("endpoints", "Register, change, pause and resume endpoints",
		"  posthorn endpoints create https://shop.example/hook --events 'order.*'\n  posthorn endpoints list",
		listEndpoints(r), showEndpoint(r), createEndpoint(r), updateEndpoint(r), deleteEndpoint(r),
		pauseEndpoint(r), resumeEndpoint(r), recoverEndpoint(r), rotateSecret(r), testEndpoint(r))
}

const endpointsPath = "/api/v1/webhooks"

func endpointPath(id, action string) string {
	return endpointsPath + "/" + url.PathEscape(id) + action
}

var endpointFields = []string{
	"id", "url", "status", "status_reason", "left_alone_until", "events", "description", "max_retries", "timeout", "retry_policy", "rate_limit",
	"headers", "metadata", "created_at", "updated_at",
}

// withSecret is an endpoint as it is shown once.
var withSecret = append([]string{"secret"}, endpointFields...)

func listEndpoints(r *remote) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the endpoints, newest first", Args: none,
		Example: "  posthorn endpoints list\n  posthorn endpoints list --limit 0 --json",
	}
	limit := limitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
		return r.list(ctx, c, endpointsPath, nil, *limit, "id", "status", "left_alone_until", "events", "url", "status_reason")
	})
	return c
}

// onEndpoint is a command on one endpoint.
func onEndpoint(r *remote, c *cobra.Command) *cobra.Command {
	c.Use += " ID"
	c.Args = one("ID")
	c.ValidArgsFunction = r.ids(endpointsPath, "url")
	return c
}

func showEndpoint(r *remote) *cobra.Command {
	return onEndpoint(r, &cobra.Command{
		Use: "show", Short: "Show an endpoint",
		Example: "  posthorn endpoints show ep_01M87K1Y771YB2C77R73KNNW8P",
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.get(ctx, c, endpointPath(args[0], ""), endpointFields...)
		}),
	})
}

// endpointFlags are what can be said of an endpoint.
type endpointFlags struct {
	events, headers, metadata []string

	url, maxRetries, retryPolicy, rateLimit, description string

	timeout int
}

func (e *endpointFlags) flags(f *pflag.FlagSet) {
	f.StringVar(&e.url, "url", "", "`URL` of the endpoint, that its deliveries are posted to.")
	f.StringArrayVar(&e.events, "events", nil, "`FILTERS` of event types, such as order.*, separated by commas; may be given more than once.")
	f.StringArrayVar(&e.headers, "header", nil, "`HEADER` of your own that is sent along, as 'Name: value'; may be given more than once.")
	f.StringArrayVar(&e.metadata, "metadata", nil, "`PAIR` of your own, as name=value; may be given more than once.")
	f.StringVar(&e.maxRetries, "max-retries", "", "`N` attempts after the first, 0 to 20; none: the retry policy decides.")
	f.StringVar(&e.retryPolicy, "retry-policy", "", "Retry policy with this `NAME`; none: the event type's, or the default one.")
	f.StringVar(&e.rateLimit, "rate-limit", "", "At most `N` attempts a second on average, 0.1 to 10000; none: no limit.")
	f.IntVar(&e.timeout, "timeout", 0, "`SECONDS` for an attempt, 1 to 30.")
	f.StringVar(&e.description, "description", "", "`TEXT` of your own.")
}

// none stands on the command line for a field that has no value.
const noValue = "none"

// body is what the flags that are given say, as the API takes it.
func (e *endpointFlags) body(f *pflag.FlagSet) (map[string]any, error) {
	body := map[string]any{}
	set := func(flag, field string, value any) {
		if f.Changed(flag) {
			body[field] = value
		}
	}
	set("url", "url", e.url)
	set("events", "events", strings.Split(strings.Join(e.events, ","), ","))
	set("description", "description", e.description)
	set("timeout", "timeout", e.timeout)
	set("retry-policy", "retry_policy", e.retryPolicy)
	if e.retryPolicy == noValue {
		body["retry_policy"] = nil
	}
	if f.Changed("max-retries") {
		n, err := strconv.Atoi(e.maxRetries)
		if err != nil && e.maxRetries != noValue {
			return nil, fmt.Errorf("--max-retries: must be a whole number or %s, and not %q", noValue, e.maxRetries)
		}
		body["max_retries"] = n
		if err != nil {
			body["max_retries"] = nil
		}
	}
	if f.Changed("rate-limit") {
		n, err := strconv.ParseFloat(e.rateLimit, 64)
		if err != nil && e.rateLimit != noValue {
			return nil, fmt.Errorf("--rate-limit: must be a number or %s, and not %q", noValue, e.rateLimit)
		}
		body["rate_limit"] = n
		if err != nil {
			body["rate_limit"] = nil
		}
	}
	for _, of := range []struct {
		flag, field, between string
		given                []string
	}{{"header", "headers", ":", e.headers}, {"metadata", "metadata", "=", e.metadata}} {
		if !f.Changed(of.flag) {
			continue
		}
		pairs := map[string]string{}
		for _, text := range of.given {
			name, value, ok := strings.Cut(text, of.between)
			if !ok {
				return nil, fmt.Errorf("--%s: %q has no %q", of.flag, text, of.between)
			}
			if of.flag == "header" {
				value = strings.TrimSpace(value)
			}
			pairs[name] = value
		}
		body[of.field] = pairs
	}
	return body, nil
}

func createEndpoint(r *remote) *cobra.Command {
	c := &cobra.Command{
		Use: "create [URL]", Short: "Register an endpoint, and print its secret, once", Args: atMostOne,
		Example: "  posthorn endpoints create https://shop.example/hook --events 'order.*,payment.failed'\n" +
			"  posthorn endpoints create https://shop.example/hook --events '*' --rate-limit 50 --header 'X-Environment: test'",
	}
	e, secret := &endpointFlags{}, secretFlag(c)
	e.flags(c.Flags())
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 && cmd.Flags().Changed("url") {
			return lineError{errors.New("--url: give the endpoint's URL once")}
		} else if len(args) > 0 {
			e.url, r.argument = args[0], "url"
		}
		body, err := e.body(cmd.Flags())
		if err == nil && e.url == "" {
			err = errors.New("URL is missing: says where its deliveries are posted to")
		}
		if err == nil && len(e.events) == 0 {
			err = errors.New("--events: says which event types it takes, such as 'order.*', or '*' for all")
		}
		if err == nil {
			err = secret.into(body)
		}
		if err != nil {
			return lineError{err}
		}
		body["url"] = e.url
		return r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
			return r.showSecret(r.post(ctx, c, endpointsPath, body, withSecret...))
		})(cmd, args)
	}
	return c
}

// showSecret says of a secret that was shown that it is not shown again.
func (r *remote) showSecret(err error) error {
	if err != nil {
		return err
	}
	return hint("This is the only time that the secret is shown.")
}

// secretText is a secret of the caller's own.
type secretText struct{ text string }

func secretFlag(c *cobra.Command) *secretText {
	s := &secretText{}
	s.flag(c)
	return s
}

func (s *secretText) flag(c *cobra.Command) {
	c.Flags().Var(filled{&s.text}, "secret", "A `SECRET` of your own instead of one that is made; -: the first line of standard input, where others on this machine do not see it.")
}

// into puts the secret into a request's body where there is one.
func (s *secretText) into(body map[string]any) error {
	switch s.text {
	case "":
	case "-":
		line, err := firstLine()
		if err != nil {
			return fmt.Errorf("--secret: %w", err)
		}
		body["secret"] = line
	default:
		body["secret"] = s.text
	}
	return nil
}

func updateEndpoint(r *remote) *cobra.Command {
	c := onEndpoint(r, &cobra.Command{
		Use: "update", Short: "Change what is given of an endpoint",
		Long: "Change what is given of an endpoint, and nothing else. Headers, and metadata, are replaced as a whole; a header's value of *** stands for the one that is there.",
		Example: "  posthorn endpoints update ep_01M87K1Y771YB2C77R73KNNW8P --timeout 10 --description 'orders, to billing'\n" +
			"  posthorn endpoints update ep_01M87K1Y771YB2C77R73KNNW8P --rate-limit none --clear-metadata",
	})
	e := &endpointFlags{}
	e.flags(c.Flags())
	clearHeaders := c.Flags().Bool("clear-headers", false, "Take away all headers of your own.")
	clearMetadata := c.Flags().Bool("clear-metadata", false, "Take away all pairs of your own.")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		body, err := e.body(cmd.Flags())
		if err != nil {
			return lineError{err}
		}
		if *clearHeaders && len(e.headers) > 0 || *clearMetadata && len(e.metadata) > 0 {
			return lineError{errors.New("what is given cannot be cleared at the same time")}
		}
		if *clearHeaders {
			body["headers"] = map[string]string{}
		}
		if *clearMetadata {
			body["metadata"] = map[string]string{}
		}
		if len(body) == 0 {
			return lineError{errors.New("nothing is to be changed: give a flag that says what")}
		}
		return r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.ask(ctx, c, http.MethodPatch, endpointPath(args[0], ""), body, endpointFields...)
		})(cmd, args)
	}
	return c
}

func deleteEndpoint(r *remote) *cobra.Command {
	return onEndpoint(r, &cobra.Command{
		Use: "delete", Short: "Remove an endpoint; what is queued for it is cancelled",
		Example: "  posthorn endpoints delete ep_01M87K1Y771YB2C77R73KNNW8P",
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.remove(ctx, c, endpointPath(args[0], ""), args[0])
		}),
	})
}

func pauseEndpoint(r *remote) *cobra.Command {
	return onEndpoint(r, &cobra.Command{
		Use: "pause", Short: "Hold an endpoint's deliveries",
		Example: "  posthorn endpoints pause ep_01M87K1Y771YB2C77R73KNNW8P",
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.post(ctx, c, endpointPath(args[0], "/pause"), nil, "id", "status", "status_reason", "url")
		}),
	})
}

func resumeEndpoint(r *remote) *cobra.Command {
	c := onEndpoint(r, &cobra.Command{
		Use: "resume", Short: "Release what is held at an endpoint, and make it active",
		Example: "  posthorn endpoints resume ep_01M87K1Y771YB2C77R73KNNW8P\n  posthorn endpoints resume ep_01M87K1Y771YB2C77R73KNNW8P --no-wait",
	})
	noWait := noWaitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, args []string) error {
		return r.start(ctx, c, endpointPath(args[0], "/resume"), nil, *noWait)
	})
	return c
}

func recoverEndpoint(r *remote) *cobra.Command {
	c := onEndpoint(r, &cobra.Command{
		Use: "recover", Short: "Send again what ended dead at an endpoint since a time",
		Example: "  posthorn endpoints recover ep_01M87K1Y771YB2C77R73KNNW8P --since 2026-11-24T04:00:00Z\n  posthorn endpoints recover ep_01M87K1Y771YB2C77R73KNNW8P --since 6h",
	})
	since := c.Flags().String("since", "", "Deaths at or after this `TIME`, as 2026-11-24T04:00:00Z, or as 6h for so long ago; required.")
	noWait := noWaitFlag(c)
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if *since == "" {
			return lineError{errors.New("--since: says from when on, such as 2026-11-24T04:00:00Z or 6h")}
		}
		at, err := moment("--since", *since, time.Now())
		if err != nil {
			return err
		}
		body := map[string]any{"since": at}
		return r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.start(ctx, c, endpointPath(args[0], "/recover"), body, *noWait)
		})(cmd, args)
	}
	return c
}

func rotateSecret(r *remote) *cobra.Command {
	c := onEndpoint(r, &cobra.Command{
		Use: "rotate-secret", Short: "Give an endpoint a new secret, and print it, once",
		Long:    "Give an endpoint a new secret, and print it, once. The ones before it sign on beside it until their overlap ends.",
		Example: "  posthorn endpoints rotate-secret ep_01M87K1Y771YB2C77R73KNNW8P\n  posthorn endpoints rotate-secret ep_01M87K1Y771YB2C77R73KNNW8P --overlap 168h",
	})
	secret := secretFlag(c)
	overlap := c.Flags().Duration("overlap", 24*time.Hour, "For how much `TIME` the secrets before it sign on, up to 720h; 0s: they stop at once.")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		body := map[string]any{"overlap": int64(*overlap / time.Second)}
		if *overlap%time.Second != 0 {
			return lineError{errors.New("--overlap: must be whole seconds")}
		}
		if err := secret.into(body); err != nil {
			return lineError{err}
		}
		return r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.showSecret(r.post(ctx, c, endpointPath(args[0], "/rotate-secret"), body, withSecret...))
		})(cmd, args)
	}
	return c
}

func testEndpoint(r *remote) *cobra.Command {
	return onEndpoint(r, &cobra.Command{
		Use: "test", Short: "Send a test event to an endpoint",
		Example: "  posthorn endpoints test ep_01M87K1Y771YB2C77R73KNNW8P",
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			return r.postEvent(ctx, c, endpointPath(args[0], "/test"), nil, "id", "event_type", "created_at")
		}),
	})
}
