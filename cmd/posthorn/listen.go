package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"posthorn/internal/client"
	"posthorn/verify"
)

// listenHere registers an endpoint for as long as it runs, and shows what comes.
type listenHere struct {
	remote
	Events                   []string
	Addr, PublicURL, Forward string
	Secret                   secretText
}

func listenCommand() *cobra.Command {
	l := &listenHere{}
	c := &cobra.Command{
		Use: "listen", Short: "Show deliveries as they arrive at an endpoint of its own", Args: none,
		Long:    "Register an endpoint for as long as this runs, and show each delivery with its signature checked.",
		Example: "  posthorn listen\n  posthorn listen --events 'order.*' --forward http://localhost:3000/hook",
		RunE:    checked(l.Validate, l.Run),
	}
	l.flags(c.Flags())
	l.Secret.flag(c)
	f := c.Flags()
	f.StringArrayVar(&l.Events, "events", nil, "A `FILTER`, such as order.*; or several, separated by commas; may be given more than once (*).")
	f.StringVar(&l.Addr, "addr", "127.0.0.1:0", "Address to listen on, `HOST:PORT`; port 0: any free one.")
	f.StringVar(&l.PublicURL, "public-url", "", "`URL` where Posthorn reaches this, such as a tunnel's. Without it: the address, which a Posthorn on this machine reaches.")
	f.StringVar(&l.Forward, "forward", "", "Post each delivery on to this `URL`, and answer as it does.")
	return c
}

// Validate checks the command line.
func (c *listenHere) Validate() error {
	for name, value := range map[string]string{"--public-url": c.PublicURL, "--forward": c.Forward} {
		if u, err := url.Parse(value); value != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			return fmt.Errorf("%s: must be a URL of http or https", name)
		}
	}
	if _, port, err := net.SplitHostPort(c.Addr); err != nil || !isPort(port) {
		return fmt.Errorf("--addr: must be HOST:PORT, such as 127.0.0.1:9000, and not %q", c.Addr)
	}
	if len(c.Events) == 0 {
		c.Events = []string{"*"}
	}
	c.Events = strings.Split(strings.Join(c.Events, ","), ",")
	if slices.Contains(c.Events, "") {
		return errors.New("--events: a filter is empty: give one such as 'order.*', or '*' for all")
	}
	return c.remote.Validate()
}

// isPort says whether a text is the number of a port, or 0 for any.
func isPort(text string) bool {
	_, err := strconv.ParseUint(text, 10, 16)
	return err == nil
}

// cleanUp is how long the endpoint's removal may take when the command ends.
const cleanUp = 10 * time.Second

// Run implements the command.
func (c *listenHere) Run() error {
	return c.call(func(ctx context.Context, api *client.Client) error { return c.until(ctx, api, os.Stdout) })
}

// until shows what comes until ctx ends, and leaves nothing behind.
func (c *listenHere) until(ctx context.Context, api *client.Client, out io.Writer) (err error) {
	body := map[string]any{"events": c.Events, "description": "posthorn listen"}
	if err := c.Secret.into(body); err != nil {
		return lineError{err}
	}
	l, err := net.Listen("tcp", c.Addr)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	at := c.PublicURL
	if at == "" {
		at = "http://" + l.Addr().String() + "/"
	}
	var e struct{ ID, Secret string }
	body["url"] = at
	if err := c.register(ctx, api, body, &e); err != nil {
		return errors.Join(err, l.Close())
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
		defer cancel()
		if e := api.Call(ctx, http.MethodDelete, "/api/v1/webhooks/"+e.ID, nil, nil, nil); e != nil {
			err = errors.Join(err, fmt.Errorf("remove the endpoint: %w", e))
		}
	}()
	said := fmt.Sprintf("Endpoint %s takes %s at %s, until this ends.", e.ID, strings.Join(c.Events, ", "), at)
	if c.Secret.text == "" { // who gave one knows it, and may not want it on a screen
		said += " Its secret: " + e.Secret
	}
	if err := hint(said); err != nil {
		return err
	}
	forward := &http.Client{Transport: &http.Transport{}, Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer forward.CloseIdleConnections()
	server := &http.Server{Handler: &showing{out: out, secret: e.Secret, to: c.Forward, client: forward, json: c.JSON}, ReadHeaderTimeout: callTimeout}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case <-ctx.Done():
	case err := <-ended:
		return fmt.Errorf("listen: %w", err)
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUp)
	defer cancel()
	err = server.Shutdown(stopping)
	if e := <-ended; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// register makes the endpoint. When ctx ends, the answer is still waited for, for as
// long as cleaning up may take: it names what there is to remove.
func (c *listenHere) register(ctx context.Context, api *client.Client, body, into any) error {
	answered, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-answered.Done():
		case <-time.After(cleanUp):
			cancel()
		}
	})()
	return api.Call(answered, http.MethodPost, "/api/v1/webhooks", nil, body, into)
}

// showing takes deliveries and prints them.
type showing struct {
	mu     sync.Mutex
	out    io.Writer
	secret string
	to     string // where they are posted on to; empty: nowhere
	client *http.Client
	json   bool
}

// ServeHTTP implements http.Handler.
func (s *showing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	event, err := verify.Request(r, s.secret)
	status, failed := http.StatusNoContent, error(nil)
	if err != nil {
		status = verify.Status(err)
	} else if s.to != "" {
		status, failed = s.forward(r)
	}
	s.print(event, err, status, failed)
	w.WriteHeader(status)
}

// forward posts a delivery on as it came, and returns the answer's status: 502
// where there is none, and why.
func (s *showing) forward(r *http.Request) (int, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return http.StatusBadGateway, err
	}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodPost, s.to, bytes.NewReader(body))
	if err != nil {
		return http.StatusBadGateway, err
	}
	req.Header = r.Header.Clone()
	resp, err := s.client.Do(req)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return http.StatusBadGateway, fmt.Errorf("nothing answers at %s", s.to)
	} else if err != nil {
		return http.StatusBadGateway, err
	}
	if err := resp.Body.Close(); err != nil {
		return http.StatusBadGateway, err
	}
	return resp.StatusCode, nil
}

// print writes the lines of a delivery. Where they cannot be written, the answer
// is all that is left of it.
func (s *showing) print(e verify.Event, refused error, status int, failed error) {
	var b bytes.Buffer
	signature, forward := "genuine", ""
	if refused != nil {
		signature = refused.Error()
	}
	if failed != nil {
		forward = failed.Error()
	}
	if s.json {
		line := struct {
			Event      verify.Event `json:"event"`
			DeliveryID string       `json:"delivery_id"`
			Attempt    int          `json:"attempt"`
			Signature  string       `json:"signature"`
			Answer     int          `json:"answer"`
			Forward    string       `json:"forward,omitempty"` // why nothing answered there
		}{e, e.DeliveryID, e.Attempt, signature, status, forward}
		if err := json.NewEncoder(&b).Encode(line); err != nil {
			return
		}
	} else {
		fmt.Fprintf(&b, "%s  %s  attempt %d  signature: %s  answered: %d\n", printable(e.Type), printable(e.ID), e.Attempt, printable(signature), status)
		if forward != "" {
			fmt.Fprintf(&b, "  %s\n", printable(forward))
		}
		if len(e.Data) > 0 {
			fmt.Fprintf(&b, "  %s\n", printable(string(e.Data)))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.out.Write(b.Bytes()); err != nil {
		s.out = io.Discard
	}
}
