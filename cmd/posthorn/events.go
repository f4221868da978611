package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"

	"posthorn/internal/client"
)

// eventsCommand has the commands on events.
func eventsCommand() *cobra.Command {
	r := &remote{}
	return r.group("events", "Send events, look at them, and send them again",
		"  posthorn events send --type order.created --payload '{\"order\":1001}'\n  posthorn events list --since 2h",
		listEvents(r), showEvent(r), sendEvent(r), resendEvent(r))
}

const eventsPath = "/api/v1/events"

var eventFields = []string{"id", "event_type", "created_at", "deliveries_total"}

func listEvents(r *remote) *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the events, newest first", Args: none,
		Example: "  posthorn events list --type order.created --since 2h\n  posthorn events list --since 2026-11-24T04:00:00Z --until 2026-11-24T05:00:00Z --json",
	}
	var eventType, since, until string
	typeFlag(r, c, &eventType)
	c.Flags().StringVar(&since, "since", "", "Accepted at or after this `TIME`, as 2026-11-24T04:00:00Z, or as 2h for so long ago.")
	c.Flags().StringVar(&until, "until", "", "Accepted before this `TIME`.")
	limit := limitFlag(c)
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
		query, err := between(given("event_type", eventType), since, until)
		if err != nil {
			return err
		}
		return r.list(ctx, c, eventsPath, query, *limit, eventFields...)
	})
	return c
}

func showEvent(r *remote) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show an event with its payload and its deliveries", Args: one("ID"),
		ValidArgsFunction: r.ids(eventsPath, "event_type"),
		Example:           "  posthorn events show evt_01M87K1Z80JKZK34SJK66W381Y",
		RunE: r.runs(func(ctx context.Context, c *client.Client, args []string) error {
			var e item
			if err := c.Call(ctx, http.MethodGet, eventsPath+"/"+url.PathEscape(args[0]), nil, nil, &e); err != nil {
				return err
			}
			if err := r.showOne(os.Stdout, e, append(eventFields, "payload")...); err != nil || r.JSON {
				return err
			}
			return r.showWithin(e, "deliveries", "id", "endpoint_id")
		}),
	}
}

func sendEvent(r *remote) *cobra.Command {
	c := &cobra.Command{
		Use: "send", Short: "Send an event", Args: none,
		Long: "Send an event, whose payload is a JSON object, from the command line, a file or standard input. It is sent as it is written, but for the white space between its tokens.",
		Example: "  posthorn events send --type order.created --payload '{\"order\":1001}' --idempotency-key order-1001\n" +
			"  posthorn events send --type order.created --file order.json\n" +
			"  jq .order export.json | posthorn events send --type order.created --file -",
	}
	var eventType, payload, file, key string
	typeFlag(r, c, &eventType)
	c.Flags().Lookup("type").Usage = "The event's `TYPE`, such as order.created; required."
	c.Flags().StringVar(&payload, "payload", "", "The payload: a `JSON` object.")
	c.Flags().StringVar(&file, "file", "", "The `FILE` that holds the payload; -: standard input.")
	c.Flags().StringVar(&key, "idempotency-key", "", "Your own `ID` of the event: a repeat with it within 24 hours is the same event.")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if eventType == "" {
			return lineError{errors.New("--type: says which event type, such as order.created")}
		}
		if cmd.Flags().Changed("payload") == cmd.Flags().Changed("file") {
			return lineError{errors.New("give the payload, with either --payload or --file; --file - is standard input")}
		}
		text, err := payloadOf(payload, file)
		if err != nil {
			return usageError{err}
		}
		body := map[string]any{"event_type": eventType, "payload": text}
		if cmd.Flags().Changed("idempotency-key") {
			body["id"] = key
		}
		return r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
			var accepted item
			header, err := c.CallWithHeader(ctx, http.MethodPost, eventsPath, nil, body, &accepted)
			if err != nil {
				return err
			}
			if err := r.showEvent(accepted, eventFields...); err != nil {
				return err
			}
			if header.Get("Idempotent-Replayed") == "true" {
				return hint("It was accepted before, with this key: this is the same event.")
			}
			return nil
		})(cmd, args)
	}
	return c
}

// maxInput bounds what is read of a payload, in bytes: twice what the API takes,
// so that the API says how large it may be.
const maxInput = 2 << 20

// payloadOf is a payload from the command line or a file. Its error says where it
// is no JSON.
func payloadOf(text, file string) (json.RawMessage, error) {
	raw, where := []byte(text), "--payload"
	if file != "" {
		in, err := input(file)
		if err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		raw, err = io.ReadAll(io.LimitReader(in, maxInput))
		if err = errors.Join(err, in.Close()); err != nil {
			return nil, fmt.Errorf("--file: %w", err)
		}
		if where = file; file == "-" {
			where = "standard input"
		}
	}
	if err := isJSON(raw, where); err != nil {
		return nil, err
	}
	return raw, nil
}

// isJSON says in which line a text is no JSON.
func isJSON(raw []byte, where string) error {
	var value json.RawMessage
	err := json.Unmarshal(raw, &value)
	var wrong *json.SyntaxError
	switch {
	case err == nil:
		return nil
	case len(bytes.TrimSpace(raw)) == 0:
		return fmt.Errorf("%s: is empty", where)
	case errors.As(err, &wrong):
		return fmt.Errorf("%s:%d: is no JSON: %s", where, 1+bytes.Count(raw[:min(int(wrong.Offset), len(raw))], []byte("\n")), wrong)
	}
	return fmt.Errorf("%s: is no JSON: %w", where, err)
}

func resendEvent(r *remote) *cobra.Command {
	c := &cobra.Command{
		Use: "resend ID", Short: "Send an event again, to all that match now or to one endpoint", Args: one("ID"),
		ValidArgsFunction: r.ids(eventsPath, "event_type"),
		Example: "  posthorn events resend evt_01M87K1Z80JKZK34SJK66W381Y\n" +
			"  posthorn events resend evt_01M87K1Z80JKZK34SJK66W381Y --endpoint ep_01M87K1Y771YB2C77R73KNNW8P",
	}
	var endpoint string
	endpointFlag(r, c, &endpoint, "To the endpoint with this `ID`, whether it matches or not.")
	c.RunE = r.runs(func(ctx context.Context, c *client.Client, args []string) error {
		body := map[string]any{}
		if endpoint != "" {
			body["endpoint_id"] = endpoint
		}
		return r.postEvent(ctx, c, eventsPath+"/"+url.PathEscape(args[0])+"/resend", body, eventFields...)
	})
	return c
}

// eventTypesCommand lists event types.
func eventTypesCommand() *cobra.Command {
	r := &remote{}
	c := &cobra.Command{
		Use: "event-types", Short: "List the event types, with how many events there were", Args: none,
		Example: "  posthorn event-types\n  posthorn event-types --json",
		RunE: r.runs(func(ctx context.Context, c *client.Client, _ []string) error {
			var answer struct {
				Data []item `json:"data"`
			}
			if err := c.Call(ctx, http.MethodGet, "/api/v1/event-types", nil, nil, &answer); err != nil {
				return err
			}
			return r.show(os.Stdout, answer.Data, "name", "events_total", "predefined", "description")
		}),
	}
	r.flags(c.Flags())
	return c
}
