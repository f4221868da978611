package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"posthorn/internal/config"
	"posthorn/internal/dynamo"
	"posthorn/internal/hook"
	"posthorn/internal/httpapi"
	"posthorn/internal/id"
	"posthorn/internal/wire"
)

// keysCommand has the commands on API keys. They go to the table, past the API:
// the first key has to come from somewhere, and who may write the table may call
// anyway.
func keysCommand() *cobra.Command {
	return group("keys", "Make, list and revoke API keys", createKeyCommand(), listKeysCommand(), revokeKeyCommand())
}

// keysTimeout ends a command that reaches nobody.
const keysTimeout = 30 * time.Second

// keyStore is where the keys are.
type keyStore struct{ place }

// with calls do with the table.
func (s *keyStore) with(do func(ctx context.Context, t *dynamo.Table) error) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	return s.at(ctx, nil, func(ctx context.Context, cfg *config.Config, on wire.Services) error {
		return do(ctx, dynamo.New(on, cfg.Table, dynamo.Options{}))
	})
}

var errTenant = errors.New(`--tenant: must be 1 to 64 of a-z, 0-9, "_" and "-"`)

// createKey makes a key.
type createKey struct {
	keyStore
	Role, Tenant, Description string
}

func createKeyCommand() *cobra.Command {
	k := &createKey{}
	c := &cobra.Command{
		Use: "create", Short: "Make a key, and print it, alone, on standard output", Args: none,
		Long:    "Make a key, and print it, alone, on standard output. It is shown this once.",
		Example: "  posthorn keys create --role admin --table NAME\n  posthorn keys create --role producer --tenant acme --description \"the shop\" --local",
		RunE:    checked(k.Validate, k.Run),
	}
	k.flags(c.Flags())
	c.Flags().StringVar(&k.Role, "role", "", "The `ROLE`, what it may do: admin, everything; producer, post events; viewer, read; metrics, read /metrics and /api/v1/stats.")
	c.Flags().StringVar(&k.Tenant, "tenant", httpapi.DefaultTenant, "The `TENANT` whose key it is.")
	c.Flags().StringVar(&k.Description, "description", "", "What it is for: a `TEXT`.")
	return c
}

// Validate checks the command line.
func (c *createKey) Validate() error {
	switch {
	case !hook.Role(c.Role).Valid():
		return errors.New(`--role: must be one of "admin","producer","viewer","metrics"`)
	case !hook.ValidTenant(c.Tenant):
		return errTenant
	case hook.Role(c.Role) == hook.RoleMetrics && c.Tenant != httpapi.DefaultTenant:
		return fmt.Errorf("--role: metrics is for keys of the tenant %s alone: what it reads counts all tenants", httpapi.DefaultTenant)
	case !utf8.ValidString(c.Description) || utf8.RuneCountInString(c.Description) > hook.MaxDescription:
		return fmt.Errorf("--description: must be at most %d characters long, in UTF-8", hook.MaxDescription)
	}
	return c.keyStore.Validate()
}

// Run implements the command.
func (c *createKey) Run() error {
	return c.with(func(ctx context.Context, t *dynamo.Table) error {
		keyID := id.NewSource().New("", time.Now())
		k := &hook.APIKey{ID: keyID, Tenant: c.Tenant, Role: hook.Role(c.Role), Description: c.Description, CreatedAt: hook.IDTime(keyID)}
		text, err := k.NewSecret(rand.Reader)
		if err != nil {
			return err
		}
		if err := t.CreateAPIKey(ctx, k); err != nil {
			return err
		}
		if _, err := fmt.Println(text); err != nil {
			return fmt.Errorf("print the key: %w", err)
		}
		return hint("This is the only time that the key is shown. Send it as Authorization: Bearer, or as X-API-Key.")
	})
}

// hint writes a line to people, apart from what programs read.
func hint(line string) error {
	_, err := fmt.Fprintln(os.Stderr, line)
	return err
}

// listKeys lists keys.
type listKeys struct {
	keyStore
	Tenant string
	JSON   bool
}

func listKeysCommand() *cobra.Command {
	k := &listKeys{}
	c := &cobra.Command{
		Use: "list", Short: "List the keys, newest first, without what they open with", Args: none,
		Example: "  posthorn keys list --table NAME\n  posthorn keys list --local --json",
		RunE:    checked(k.Validate, k.Run),
	}
	k.flags(c.Flags())
	c.Flags().StringVar(&k.Tenant, "tenant", "", "Those of this `TENANT`.")
	c.Flags().BoolVar(&k.JSON, "json", false, "Print one JSON array.")
	return c
}

// Validate checks the command line.
func (c *listKeys) Validate() error {
	if c.Tenant != "" && !hook.ValidTenant(c.Tenant) {
		return errTenant
	}
	return c.keyStore.Validate()
}

// Run implements the command.
func (c *listKeys) Run() error {
	return c.with(func(ctx context.Context, t *dynamo.Table) error {
		all := []*hook.APIKey{}
		for page := (hook.Page{Limit: 200}); ; {
			found, next, err := t.ListAPIKeys(ctx, c.Tenant, page)
			if err != nil {
				return err
			}
			all = append(all, found...)
			if next == "" {
				break
			}
			page.After = next
		}
		if c.JSON {
			return printJSON(all)
		}
		return printTable(all)
	})
}

func printJSON(all []*hook.APIKey) error {
	type shown struct {
		ID          string `json:"id"`
		Role        string `json:"role"`
		Tenant      string `json:"tenant"`
		Description string `json:"description"`
		CreatedAt   string `json:"created_at"`
	}
	list := make([]shown, len(all))
	for i, k := range all {
		list[i] = shown{k.ID, string(k.Role), k.Tenant, k.Description, hook.FormatTime(k.CreatedAt)}
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(list)
}

func printTable(all []*hook.APIKey) error {
	if len(all) == 0 {
		return hint("There are no keys.")
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(w, "ID\tROLE\tTENANT\tCREATED\tDESCRIPTION"); err != nil {
		return err
	}
	for _, k := range all {
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.ID, k.Role, k.Tenant, k.CreatedAt.Format(time.RFC3339), printable(k.Description)); err != nil {
			return err
		}
	}
	return w.Flush()
}

// printable keeps what a tenant wrote from moving the operator's cursor.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// revokeKey revokes a key.
type revokeKey struct {
	keyStore
	ID string
}

func revokeKeyCommand() *cobra.Command {
	k := &revokeKey{}
	c := &cobra.Command{
		Use: "revoke ID", Short: "Revoke a key by its id", Args: one("ID"),
		Long:    "Revoke a key by its id: what stands between ph_ and the next _.",
		Example: "  posthorn keys revoke 01JCXZ5T5V8Q0R9A1B2C3D4E5F --table NAME",
	}
	k.flags(c.Flags())
	c.RunE = func(cmd *cobra.Command, args []string) error {
		k.ID = args[0]
		return checked(k.Validate, k.Run)(cmd, args)
	}
	return c
}

// Validate checks the command line. It does not repeat what
// was given, which may be a whole key.
func (c *revokeKey) Validate() error {
	if !hook.ValidKeyID(c.ID) {
		return errors.New("ID: must be the id of a key, the 26 characters between ph_ and the next _")
	}
	return c.keyStore.Validate()
}

// Run implements the command.
func (c *revokeKey) Run() error {
	return c.with(func(ctx context.Context, t *dynamo.Table) error {
		if err := t.DeleteAPIKey(ctx, "", c.ID); errors.Is(err, hook.ErrNotFound) {
			return fmt.Errorf("there is no key %s", c.ID)
		} else if err != nil {
			return err
		}
		return hint("Revoked. A process that has just used the key takes it for up to 60 seconds more.")
	})
}
