package wire

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/stretchr/testify/require"
)

// lambdaEnvironment makes the process's environment that of a function:
// nothing of AWS but what Lambda sets, and more.
func lambdaEnvironment(t *testing.T, more map[string]string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	nowhere := filepath.Join(t.TempDir(), "none")
	for name, value := range map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1",
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_SESSION_TOKEN": "session",
		"AWS_CONFIG_FILE": nowhere, "AWS_SHARED_CREDENTIALS_FILE": nowhere,
	} {
		t.Setenv(name, value)
	}
	for name, value := range more {
		t.Setenv(name, value)
	}
}

func TestFunctionsAreConfiguredAsTheSDKWouldFromTheSameEnvironment(t *testing.T) {
	for name, more := range map[string]map[string]string{
		"as Lambda sets it":   {},
		"another endpoint":    {"AWS_ENDPOINT_URL": "http://localhost:4566"},
		"one for each":        {"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_ENDPOINT_URL_SQS": "http://localhost:2", "AWS_ENDPOINT_URL_DYNAMODB": "http://localhost:3"},
		"endpoints ignored":   {"AWS_ENDPOINT_URL": "http://localhost:1", "AWS_ENDPOINT_URL_SQS": "http://localhost:2", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
		"retries":             {"AWS_RETRY_MODE": "adaptive", "AWS_MAX_ATTEMPTS": "7"},
		"defaults mode":       {"AWS_DEFAULTS_MODE": "in-region"},
		"validated endpoints": {"AWS_USE_FIPS_ENDPOINT": "true", "AWS_USE_DUALSTACK_ENDPOINT": "true"},
		"endpoints by account": {
			"AWS_ACCOUNT_ID_ENDPOINT_MODE": "disabled", "AWS_ACCOUNT_ID": "123456789012",
		},
	} {
		t.Run(name, func(t *testing.T) {
			lambdaEnvironment(t, more)
			want, err := Account(t.Context())
			require.NoError(t, err)
			got, err := functionAccount()
			require.NoError(t, err)
			keys, err := got.Credentials.Retrieve(t.Context())
			require.NoError(t, err)
			wantKeys, err := want.Credentials.Retrieve(t.Context())
			require.NoError(t, err)
			require.Equal(t, wantKeys, keys)
			type seen struct {
				Region   string
				Endpoint string
				Retry    aws.RetryMode
				Attempts int
				Defaults aws.DefaultsMode
				FIPS     aws.FIPSEndpointState
				Dual     aws.DualStackEndpointState
				Account  aws.AccountIDEndpointMode
			}
			queues := func(cfg aws.Config) seen {
				o := sqs.NewFromConfig(cfg).Options()
				return seen{
					o.Region, aws.ToString(o.BaseEndpoint), o.RetryMode, o.RetryMaxAttempts, o.DefaultsMode,
					o.EndpointOptions.UseFIPSEndpoint, o.EndpointOptions.UseDualStackEndpoint, "",
				}
			}
			tables := func(cfg aws.Config) seen {
				o := dynamodb.NewFromConfig(cfg).Options()
				return seen{
					o.Region, aws.ToString(o.BaseEndpoint), o.RetryMode, o.RetryMaxAttempts, o.DefaultsMode,
					o.EndpointOptions.UseFIPSEndpoint, o.EndpointOptions.UseDualStackEndpoint, o.AccountIDEndpointMode,
				}
			}
			require.Equal(t, queues(want), queues(got))
			require.Equal(t, tables(want), tables(got))
		})
	}
}

func TestFunctionsWithoutCredentialsSaySo(t *testing.T) {
	lambdaEnvironment(t, map[string]string{"AWS_SECRET_ACCESS_KEY": ""})
	_, err := functionAccount()
	require.ErrorIs(t, err, errNoCredentials)
}
