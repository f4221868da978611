package seal_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"posthorn/internal/dynamo"
	"posthorn/internal/faultwire"
	"posthorn/internal/hook"
	"posthorn/internal/localaws"
	"posthorn/internal/localaws/inproc"
	"posthorn/internal/seal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant   = "acme"
	endpoint = "ep_01JCXZ5T5V8Q0R9A1B2C3D4E5G"
	secret   = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IQ=="
)

// world is a table and KMS in the same process, with faults between.
type world struct {
	t      *testing.T
	config aws.Config
	faults *faultwire.Transport
	table  *dynamo.Table
	kmsKey string
}

func setup(t *testing.T) *world {
	t.Helper()
	services, err := localaws.Open("")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, services.Close()) })
	straight := inproc.Client(services)
	faulty, faults := faultwire.Wrap(straight)
	w := &world{t: t, config: config(faulty), faults: faults}
	require.NoError(t, dynamo.CreateTable(t.Context(), config(straight), "posthorn"))
	w.table = dynamo.New(w.config, "posthorn", dynamo.Options{})
	w.kmsKey = w.newKMSKey()
	return w
}

func (w *world) newKMSKey() string {
	w.t.Helper()
	out, err := awskms.NewFromConfig(w.config).CreateKey(w.t.Context(), &awskms.CreateKeyInput{})
	require.NoError(w.t, err)
	return *out.KeyMetadata.KeyId
}

// config has the SDK's own retries, three attempts, without their waits.
func config(client *http.Client) aws.Config {
	return aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""), HTTPClient: client,
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) {
				o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
			})
		},
		BaseEndpoint: aws.String("http://aws.test"),
	}
}

func (w *world) kms() *seal.KMS { return seal.NewKMS(w.config, w.kmsKey) }

// open returns a Sealer as another process has it.
func (w *world) open(wrapper seal.Wrapper) *seal.Sealer {
	return seal.New(seal.Options{Keys: w.table, Wrapper: wrapper})
}

func master(t *testing.T, b byte) *seal.Master {
	t.Helper()
	m, err := seal.NewMaster(bytes.Repeat([]byte{b}, seal.KeySize))
	require.NoError(t, err)
	return m
}

// everywhere runs a test with each of the wrappers.
func everywhere(t *testing.T, test func(t *testing.T, w *world, wrapper seal.Wrapper)) {
	t.Helper()
	t.Run("KMS", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		test(t, w, w.kms())
	})
	t.Run("master key", func(t *testing.T) {
		t.Parallel()
		test(t, setup(t), master(t, 7))
	})
}

func sealed(t *testing.T, s *seal.Sealer, tenant, endpointID string) []byte {
	t.Helper()
	b, err := s.Seal(t.Context(), tenant, endpointID, []byte(secret))
	require.NoError(t, err)
	return b
}

func requireOpens(t *testing.T, s *seal.Sealer, tenant, endpointID string, b []byte) {
	t.Helper()
	plain, err := s.Open(t.Context(), tenant, endpointID, b)
	require.NoError(t, err)
	require.Equal(t, secret, string(plain))
}

func requireDamaged(t *testing.T, s *seal.Sealer, tenant, endpointID string, b []byte) {
	t.Helper()
	plain, err := s.Open(t.Context(), tenant, endpointID, b)
	require.ErrorIs(t, err, seal.ErrDamaged)
	require.NotErrorIs(t, err, hook.ErrNotFound, "it is not the endpoint that is missing")
	require.Nil(t, plain)
	requireSilent(t, err)
}

// requireSilent makes sure that an error shows neither the secret nor any of
// the keys, in none of the forms that a program prints bytes in.
func requireSilent(t *testing.T, err error, keys ...[]byte) {
	t.Helper()
	require.Error(t, err)
	for _, b := range append(keys, []byte(secret)) {
		for _, form := range []string{string(b), base64.StdEncoding.EncodeToString(b), hex.EncodeToString(b)} {
			require.NotContains(t, err.Error(), form)
		}
	}
}

// memory is a Keys in memory.
type memory struct {
	mu   sync.Mutex
	keys map[string][]byte
}

func (m *memory) DataKey(_ context.Context, tenant string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.keys[tenant]; k != nil {
		return k, nil
	}
	return nil, hook.ErrNotFound
}

func (m *memory) AddDataKey(_ context.Context, tenant string, wrapped []byte) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.keys == nil {
		m.keys = map[string][]byte{}
	}
	if m.keys[tenant] == nil {
		m.keys[tenant] = wrapped
	}
	return m.keys[tenant], nil
}

var errDown = errors.New("the key service is down")

// counted is a Wrapper that counts its calls, takes a while of the bubble's
// clock, and can be down.
type counted struct {
	seal.Wrapper
	takes           time.Duration
	made, unwrapped atomic.Int64
	down            atomic.Bool
}

func (c *counted) wait(ctx context.Context) error {
	select {
	case <-time.After(c.takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.down.Load() {
		return errDown
	}
	return nil
}

func (c *counted) NewKey(ctx context.Context, tenant string) (plain, wrapped []byte, err error) {
	c.made.Add(1)
	if err := c.wait(ctx); err != nil {
		return nil, nil, err
	}
	return c.Wrapper.NewKey(ctx, tenant)
}

func (c *counted) Unwrap(ctx context.Context, tenant string, wrapped []byte) ([]byte, error) {
	c.unwrapped.Add(1)
	if err := c.wait(ctx); err != nil {
		return nil, err
	}
	return c.Wrapper.Unwrap(ctx, tenant, wrapped)
}
