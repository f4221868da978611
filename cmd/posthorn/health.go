package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"posthorn/internal/config"
)

// health asks a running server whether it lives: for the health checks of
// containers, whose images have no shell and no curl.
type health struct {
	URL   string
	Ready bool
}

func healthCommand() *cobra.Command {
	h := &health{}
	c := &cobra.Command{
		Use: "health", Short: "Ask a running server whether it lives, for the health check of a container", Args: none,
		Example: "  posthorn health\n  posthorn health --ready --server http://127.0.0.1:8000",
		RunE:    checked(h.Validate, h.Run),
	}
	c.Flags().StringVar(&h.URL, "server", "", "`URL` of the server. Without it: the one that HOST and PORT describe.")
	c.Flags().BoolVar(&h.Ready, "ready", false, "Ask whether its services answer too: GET /ready instead of /health.")
	return c
}

// healthTime bounds the question.
const healthTime = 5 * time.Second

// Validate checks the command line.
func (c *health) Validate() error {
	if c.URL == "" {
		return nil
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("--server: must be a URL such as http://127.0.0.1:8000")
	}
	return nil
}

// Run implements the command.
func (c *health) Run() error {
	base := c.URL
	if base == "" {
		cfg, err := config.Load(config.Operate, config.Environment())
		if err != nil {
			return usageError{onOneLine(err)}
		}
		host := cfg.HTTP.Host
		if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		base = "http://" + net.JoinHostPort(host, strconv.Itoa(cfg.HTTP.Port))
	}
	path := "/health"
	if c.Ready {
		path = "/ready"
	}
	return ask(strings.TrimSuffix(base, "/") + path)
}

// ask is nil when a GET is answered with 200.
func ask(where string) error {
	ctx, cancel := context.WithTimeout(context.Background(), healthTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, http.NoBody)
	if err != nil {
		return fmt.Errorf("ask %s: %w", where, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	switch failed := (*url.Error)(nil); {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nothing answers at %s", where)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s does not answer within %s", where, healthTime)
	case errors.As(err, &failed):
		return fmt.Errorf("ask %s: %w", where, failed.Err)
	case err != nil:
		return fmt.Errorf("ask %s: %w", where, err)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return fmt.Errorf("read the answer of %s: %w", where, err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s: %s", where, resp.Status, strings.TrimSpace(string(body)))
	}
	_, err = fmt.Println(strings.TrimSpace(string(body)))
	return err
}
