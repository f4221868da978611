package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"posthorn/internal/client"
	"posthorn/internal/config"
	"posthorn/internal/dynamo"
	"posthorn/internal/hook"
	"posthorn/internal/httpapi"
	"posthorn/internal/id"
	"posthorn/internal/wire"
)

// keysCommand has the commands on API keys. They go through the API, or to the
// table, past it: the first key has to come from somewhere, and who may write the
// table may call anyway.
func keysCommand() *cobra.Command {
	s := &keyStore{}
	c := group("keys", "Make, list and revoke API keys", createKeyCommand(s), listKeysCommand(s), revokeKeyCommand(s))
	c.Long = "Make, list and revoke API keys: in the table, with --table or --local, as the first key of a stack is made; or through the API, with --server, --key or --profile. " +
		"Without any of them the environment says which: POSTHORN_TABLE, or POSTHORN_URL, POSTHORN_KEY and POSTHORN_PROFILE."
	c.Example = "  posthorn keys create --role admin --local\n  posthorn keys list --server https://hooks.example.com"
	f := c.PersistentFlags()
	s.place.flags(f)
	s.remote.flags(f)
	// A key is made nowhere but where somebody said.
	f.Lookup("table").Usage = "DynamoDB table; of a stack, its output TableName. Variable: POSTHORN_TABLE."
	f.Lookup("server").Usage = "The API's address: a `URL`. Variable: POSTHORN_URL. With --key alone it is http://localhost:8000."
	return c
}

// keysTimeout ends a command that reaches nobody.
const keysTimeout = 30 * time.Second

// keyStore is where the keys are.
type keyStore struct {
	place
	remote

	overAPI bool
}

// Validate checks the command line, and decides between the table and the API: by
// flags, or else by the environment, or else by a file of profiles.
func (s *keyStore) Validate() error {
	table := s.Table != nil || s.Local || s.AWSHost != nil || s.AWSPort != nil
	api := s.URL != "" || s.Key != "" || s.Profile != ""
	if table && api {
		return errors.New("--table and --local are for the table, --server, --key and --profile for the API: give either")
	}
	if !table && !api {
		table = os.Getenv("POSTHORN_TABLE") != ""
		api = os.Getenv("POSTHORN_URL")+os.Getenv("POSTHORN_KEY")+os.Getenv("POSTHORN_PROFILE") != ""
		if table && api {
			return errors.New("the environment names both a table and an API: say which with --table, --local, --server or --profile")
		}
	}
	if !table && !api {
		file, err := readProfiles()
		if err != nil {
			return usageError{err}
		}
		api = file.standard != "" || file.all[standardProfile] != profile{}
		if !api {
			return usageError{errors.New("say where: --local, --table NAME or --server URL")}
		}
	}
	if s.overAPI = api; api {
		return s.remote.Validate()
	}
	return s.place.Validate()
}

const keysPath = "/api/v1/keys"

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
	*keyStore
	Role, Tenant, Description string
}

func createKeyCommand(s *keyStore) *cobra.Command {
	k := &createKey{keyStore: s}
	c := &cobra.Command{
		Use: "create", Short: "Make a key, and print it, alone, on standard output", Args: none,
		Long:    "Make a key, and print it, alone, on standard output. It is shown this once.",
		Example: "  posthorn keys create --role admin --table NAME\n  posthorn keys create --role producer --tenant acme --description 'the shop' --profile production",
		RunE:    checked(k.Validate, k.Run),
	}
	c.Flags().StringVar(&k.Role, "role", "", "The `ROLE`, what it may do: admin, everything; producer, post events; viewer, read; metrics, read /metrics and /api/v1/stats.")
	completeFlag(c, "role", cobra.FixedCompletions([]string{"admin", "producer", "viewer", "metrics"}, cobra.ShellCompDirectiveNoFileComp))
	c.Flags().StringVar(&k.Tenant, "tenant", "", "The `TENANT` whose key it is. Without it: default; through the API, the caller's own.")
	c.Flags().StringVar(&k.Description, "description", "", "What it is for: a `TEXT`.")
	return c
}

// Validate checks the command line.
func (c *createKey) Validate() error {
	switch {
	case !hook.Role(c.Role).Valid():
		return errors.New(`--role: must be one of "admin","producer","viewer","metrics"`)
	case c.Tenant != "" && !hook.ValidTenant(c.Tenant):
		return errTenant
	case hook.Role(c.Role) == hook.RoleMetrics && c.Tenant != "" && c.Tenant != httpapi.DefaultTenant:
		return fmt.Errorf("--role: metrics is for keys of the tenant %s alone: what it reads counts all tenants", httpapi.DefaultTenant)
	case !utf8.ValidString(c.Description) || utf8.RuneCountInString(c.Description) > hook.MaxDescription:
		return fmt.Errorf("--description: must be at most %d characters long, in UTF-8", hook.MaxDescription)
	}
	return c.keyStore.Validate()
}

// Run implements the command.
func (c *createKey) Run() error {
	if c.overAPI {
		return c.call(c.throughAPI)
	}
	return c.with(func(ctx context.Context, t *dynamo.Table) error {
		keyID := id.NewSource().New("", time.Now())
		k := &hook.APIKey{ID: keyID, Tenant: first(c.Tenant, httpapi.DefaultTenant), Role: hook.Role(c.Role), Description: c.Description, CreatedAt: hook.IDTime(keyID)}
		text, err := k.NewSecret(rand.Reader)
		if err != nil {
			return err
		}
		if err := t.CreateAPIKey(ctx, k); err != nil {
			return err
		}
		if c.JSON {
			return writeJSON(os.Stdout, struct {
				shownKey
				Key string `json:"key"`
			}{showKey(k), text})
		}
		return printKey(text)
	})
}

func printKey(text string) error {
	if _, err := fmt.Println(text); err != nil {
		return fmt.Errorf("print the key: %w", err)
	}
	return hint("This is the only time that the key is shown. Send it as Authorization: Bearer, or as X-API-Key.")
}

func (c *createKey) throughAPI(ctx context.Context, api *client.Client) error {
	body := map[string]any{"role": c.Role, "description": c.Description}
	if c.Tenant != "" {
		body["tenant"] = c.Tenant
	}
	var made item
	if err := api.Call(ctx, http.MethodPost, keysPath, nil, body, &made); err != nil {
		return err
	}
	if c.JSON {
		return writeJSON(os.Stdout, made)
	}
	return printKey(made.text("key"))
}

// hint writes a line to people, apart from what programs read.
func hint(line string) error {
	_, err := fmt.Fprintln(os.Stderr, line)
	return err
}

// listKeys lists keys.
type listKeys struct {
	*keyStore
	Tenant string
}

func listKeysCommand(s *keyStore) *cobra.Command {
	k := &listKeys{keyStore: s}
	c := &cobra.Command{
		Use: "list", Short: "List the keys, newest first, without what they open with", Args: none,
		Example: "  posthorn keys list --table NAME\n  posthorn keys list --local --json",
		RunE:    checked(k.Validate, k.Run),
	}
	c.Flags().StringVar(&k.Tenant, "tenant", "", "Those of this `TENANT`.")
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
	if c.overAPI {
		return c.call(func(ctx context.Context, api *client.Client) error {
			all, err := client.List[shownKey](ctx, api, keysPath, given("tenant", c.Tenant), 0)
			if err != nil {
				return err
			}
			return c.print(all)
		})
	}
	return c.with(func(ctx context.Context, t *dynamo.Table) error {
		all := []shownKey{}
		for page := (hook.Page{Limit: 200}); ; {
			found, next, err := t.ListAPIKeys(ctx, c.Tenant, page)
			if err != nil {
				return err
			}
			for _, k := range found {
				all = append(all, showKey(k))
			}
			if next == "" {
				break
			}
			page.After = next
		}
		return c.print(all)
	})
}

// shownKey is a key without what it opens with.
type shownKey struct {
	ID          string `json:"id"`
	Role        string `json:"role"`
	Tenant      string `json:"tenant"`
	Description string `json:"description"`
	CreatedAt   string `json:"created_at"`
}

func showKey(k *hook.APIKey) shownKey {
	return shownKey{k.ID, string(k.Role), k.Tenant, k.Description, hook.FormatTime(k.CreatedAt)}
}

func (c *listKeys) print(all []shownKey) error {
	if c.JSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetEscapeHTML(false)
		return enc.Encode(all)
	}
	return printTable(all)
}

func printTable(all []shownKey) error {
	if len(all) == 0 {
		return hint("There are no keys.")
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(w, "ID\tROLE\tTENANT\tCREATED\tDESCRIPTION"); err != nil {
		return err
	}
	for _, k := range all {
		if _, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.ID, k.Role, k.Tenant, k.CreatedAt, printable(k.Description)); err != nil {
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
	*keyStore
	ID string
}

func revokeKeyCommand(s *keyStore) *cobra.Command {
	k := &revokeKey{keyStore: s}
	c := &cobra.Command{
		Use: "revoke ID", Short: "Revoke a key by its id", Args: one("ID"),
		Long:    "Revoke a key by its id: what stands between ph_ and the next _.",
		Example: "  posthorn keys revoke 01JCXZ5T5V8Q0R9A1B2C3D4E5F --table NAME",
	}
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
	var err error
	if c.overAPI {
		err = c.call(func(ctx context.Context, api *client.Client) error {
			return api.Call(ctx, http.MethodDelete, keysPath+"/"+url.PathEscape(c.ID), nil, nil, nil)
		})
	} else {
		err = c.with(func(ctx context.Context, t *dynamo.Table) error { return t.DeleteAPIKey(ctx, "", c.ID) })
	}
	var p *client.Problem
	switch {
	case errors.Is(err, hook.ErrNotFound), errors.As(err, &p) && p.Status == http.StatusNotFound:
		return fmt.Errorf("there is no key %s", c.ID)
	case err != nil:
		return err
	}
	return hint("Revoked. A process that has just used the key takes it for up to 60 seconds more.")
}
