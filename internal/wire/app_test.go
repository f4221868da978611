package wire

import (
	"bytes"
	"log/slog"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"

	"posthorn/internal/config"
	"posthorn/internal/faultwire"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/seal"
)

// provisioned is the configuration and a client of services in the process.
func provisioned(t testing.TB) (*config.Config, *http.Client) {
	t.Helper()
	services, err := localaws.Open("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, services.Close()) })
	cfg, err := config.Load(config.Local, config.Source{Getenv: func(string) string { return "" }})
	require.NoError(t, err)
	client := inproc.Client(services)
	require.NoError(t, Provision(t.Context(), cfg, Local(client, "http://localhost:4566")))
	return cfg, client
}

func TestSecretsAreSealedByTheKeyThatIsSet(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"KMS", "a key of one's own"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, straight := provisioned(t)
			client, calls := faultwire.Wrap(straight)
			account := Local(client, "http://localhost:4566")
			if name == "KMS" {
				key, err := kms.NewFromConfig(account).CreateKey(t.Context(), &kms.CreateKeyInput{})
				require.NoError(t, err)
				cfg.Seal = config.Seal{KMSKey: *key.KeyMetadata.KeyId}
			} else {
				cfg.Seal = config.Seal{Key: bytes.Repeat([]byte{1}, seal.KeySize)}
			}
			var sealed []byte
			for range 2 { // processes
				app, err := New(cfg, account, slog.New(slog.DiscardHandler))
				require.NoError(t, err)
				if sealed == nil {
					sealed, err = app.sealer.Seal(t.Context(), "acme", "ep_x", []byte("test-secret"))
					require.NoError(t, err)
				}
				plain, err := app.sealer.Open(t.Context(), "acme", "ep_x", sealed)
				require.NoError(t, err)
				require.Equal(t, "test-secret", string(plain))
			}
			asked := 0
			if name == "KMS" {
				asked = 1
			}
			require.Equal(t, asked, calls.Calls("GenerateDataKey"))
			require.Equal(t, asked, calls.Calls("Decrypt"))
			require.Equal(t, 1, calls.Calls("PutItem"), "in the table")
		})
	}
}

func TestThereIsNoAppWithoutAKey(t *testing.T) {
	t.Parallel()
	for _, key := range [][]byte{nil, make([]byte, 16)} {
		_, err := New(&config.Config{Seal: config.Seal{Key: key}}, Local(http.DefaultClient, "http://localhost:4566"), slog.New(slog.DiscardHandler))
		require.ErrorContains(t, err, "master key")
	}
}
